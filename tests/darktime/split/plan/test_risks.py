"""What speaks against copying a request, told from its target alone; what is shown of a secret is of no use to anybody."""

import pytest

from darktime.split.plan.risks import masked, secrets, unsafe_word

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"


@pytest.mark.parametrize(
    ("target", "word"),
    [
        ("/comments/12/delete", "delete"),
        ("/cart/addItem", "add"),
        ("/vote_up/3", "vote"),
        ("/x?action=subscribe", "subscribe"),
        ("/x?q=delete", None),
        ("/address", None),
        ("/settings", None),
        ("/", None),
    ],
)
def test_a_get_that_says_it_does_something_is_known_by_a_whole_word(target, word):
    assert unsafe_word(target) == word


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("/a?token=abc", [("query token", "named so")]),
        ("/a?X-Amz-Signature=abc", [("query X-Amz-Signature", "named so")]),
        (f"/a?x={JWT}", [("query x", "a JSON web token")]),
        ("/a?mail=ann%40example.org", [("query mail", "an e-mail address")]),
        ("/a?c=4111111111111111", [("query c", "a card's number")]),
        ("/a?c=4111111111111112", []),
        ("/verify/d41d8cd98f00b204e9800998ecf8427e", [("path", "a long hexadecimal value")]),
        (f"/in/{JWT}", [("path", "a JSON web token")]),
        ("/static/app.Ab1Ab1Ab1Ab1Ab1Ab1Ab1Ab1Ab1Ab1Ab1Ab1Ab1Ab1.js", []),
        ("/a?page=2&q=cats", []),
        ("/a?token=", []),
    ],
)
def test_secrets_are_found_by_name_and_by_look(target, found):
    assert [(where, what) for where, what, _ in secrets(target)] == found


@pytest.mark.parametrize("secret", ["s", "four", "a-longer-secret", JWT])
def test_of_a_secret_at_most_three_characters_and_a_quarter_are_shown(secret):
    shown = masked(secret).partition("…")[0]
    assert secret.startswith(shown)
    assert len(shown) <= min(3, len(secret) / 4)
