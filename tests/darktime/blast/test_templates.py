"""Requests of users: each has an identity of its own, and no value of a file can become another request."""

import json
from itertools import pairwise
from urllib.parse import unquote

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.blast import templates
from darktime.blast.access_log import read_list
from darktime.blast.settings import resolve
from darktime.blast.templates import ForUsers, Template, read_users

ADDRESS = resolve("127.0.0.1:1")
LISTED = 'GET /u/${uid}\n  Cookie: uid=${uid}; s=${token}\nPOST /c {"by": "${uid}"}\n  Content-Type: application/json\n'
VALUES = st.text(st.characters(max_codepoint=0xFF, exclude_categories=("Cc",)), min_size=1, max_size=20)


def source(text, users):
    return ForUsers(ADDRESS, [Template(listed=one, fields=dict(one.headers)) for one in read_list(text)], users)


def parsed(data):
    """As an independent server reads it: target, headers, body; and nothing behind it."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(data)
    head, body = server.next_event(), b""
    while not isinstance(event := server.next_event(), h11.EndOfMessage):
        body += event.data
    assert not server.trailing_data[0]
    return head.target.decode(), {name.decode(): value.decode("latin-1") for name, value in head.headers}, body


def test_each_user_in_turn_makes_all_requests_with_an_identity_of_its_own():
    asked = source(LISTED, [{"uid": "ann", "token": "1"}, {"uid": "bob", "token": "2"}])
    seen = [parsed(asked.next(0.0)[0]) for _ in range(5)]
    assert [target for target, _, _ in seen] == ["/u/ann", "/c", "/u/bob", "/c", "/u/ann"]
    assert [headers.get("cookie") for _, headers, _ in seen[:3]] == ["uid=ann; s=1", None, "uid=bob; s=2"]
    assert [json.loads(seen[at][2]) for at in (1, 3)] == [{"by": "ann"}, {"by": "bob"}]


@given(st.lists(st.fixed_dictionaries({"uid": VALUES, "token": VALUES}), min_size=1, max_size=4))
def test_no_value_can_become_another_request_and_each_arrives_as_it_was(users):
    asked = source(LISTED, users)
    for user in users:
        target, headers, _ = parsed(asked.next(0.0)[0])
        assert unquote(target) == f"/u/{user['uid']}"
        assert headers["cookie"].strip() == f"uid={user['uid']}; s={user['token']}".strip()
        assert json.loads(parsed(asked.next(0.0)[0])[2]) == {"by": user["uid"]}


def test_so_many_requests_that_they_are_made_when_they_are_sent_are_the_same(monkeypatch):
    users = [{"uid": str(number), "token": "t"} for number in range(20)]
    made = source(LISTED, users)
    monkeypatch.setattr(templates, "MAX_MADE", 10)
    unmade = source(LISTED, users)
    for _ in range(45):
        assert made.next(0.0) == unmade.next(0.0)


def test_users_are_csv_with_the_names_of_columns_in_front():
    assert read_users('uid, token\nann,"a,b"\n\nbob,2\n') == [
        {"uid": "ann", "token": "a,b"},
        {"uid": "bob", "token": "2"},
    ]


def test_the_mark_that_spreadsheets_put_in_front_is_no_part_of_the_first_name():
    assert read_users("\ufeffuid,token\r\n1,2\r\n") == [{"uid": "1", "token": "2"}]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "first line"),
        ("uid,uid\na,b\n", "each once"),
        ("uid\n", "no user"),
        ("uid,token\nann\n", "line 2 has 1 values for 2 columns"),
        ("uid\nann\x07\n", "line 2 has a character"),
        ('uid\n"a\n', "line 2"),
        ('"uid,token\n1,2\n', "line 2: "),
        ('uid,token\n1,"ab\ncd"\n', "line 3 has a character"),
    ],
)
def test_users_that_cannot_be_read_are_named_by_line(text, named):
    with pytest.raises(ValueError, match=named):
        read_users(text)


@pytest.mark.parametrize(
    ("listed", "user", "named"),
    [
        ("GET /${nobody}\n", {"uid": "a"}, r"needs \$\{nobody\}: users have uid"),
        ("GET /\n  Cookie: ${uid}\n", {"uid": "ж"}, "cannot stand in a header"),
    ],
)
def test_what_users_lack_or_a_header_cannot_hold_is_refused_before_the_run(listed, user, named):
    with pytest.raises(ValueError, match=named):
        source(listed, [user])


def test_numbers_of_two_requests_in_a_row_are_neighbours():
    asked = source(LISTED, [{"uid": str(number), "token": "t"} for number in range(3)])
    numbers = [asked.next(0.0)[1] for _ in range(6)]
    assert all(after == before + 1 for before, after in pairwise(numbers))
