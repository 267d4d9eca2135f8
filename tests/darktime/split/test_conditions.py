"""Only these users, never those, and only requests with a certain header: by lists in files and by patterns."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.errors import UsageError
from darktime.split import levels
from darktime.split.conditions import only_maps, read_users
from tests.darktime.split.servers import Quick
from tests.support.waiting import wait_until


@pytest.mark.parametrize(
    "text",
    [
        "Host=x",
        "header:Host",
        "header:Host=",
        "ip=127.0.0.1",
        "cookie:a-b=1",
        'header:Host=a"b',
        "header:Host=a b",
        "header:Host=$x",
    ],
)
def test_a_condition_that_is_none_is_refused_with_an_example(text):
    with pytest.raises(UsageError, match=r"as in header:Host=www\.example\.org|takes letters"):
        only_maps([text])


@given(
    st.lists(st.text("abc.*+@/:,;=-_19", min_size=1, max_size=12), min_size=1, max_size=4, unique=True),
    st.text(max_size=12),
)
def test_a_value_matches_itself_and_nothing_else(values, other):
    ((variable, pattern),) = only_maps([f"header:X-Site={value}" for value in values])
    assert variable == "$http_x_site"
    pattern = pattern.replace(r"\z", r"\Z")  # of PCRE
    assert all(re.match(pattern, value) for value in values)
    assert (re.match(pattern, other) is not None) == (other in values)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "names nobody"),
        ("# nobody\n\n", "names nobody"),
        ("ann\nb b\n", "line 2: 'b b' is no user"),
        ("..\n", "line 1: '..' is no user"),
        ("a/b\n", "is no user"),
        ("\n".join(f"u{number}" for number in range(100_001)), "more than 100,000 users"),
    ],
    ids=["empty", "comments", "blank", "dots", "slash", "too many"],
)
def test_a_list_that_is_none_names_the_line(text, named):
    with pytest.raises(UsageError, match=named):
        read_users(text, "--never never.txt")


def test_a_list_is_users_one_a_line():
    assert read_users("# staff\nann\n bob \n\nann\n", "--only-users x") == ("ann", "bob")


@pytest.fixture
def mirrored(make_split, folder):
    """Who gets copies, once the lists are set."""
    made = []

    def begin(**settings):
        production = Quick()
        split = make_split(production.address, slot_s=1000, **settings)
        split.start()
        relay = Quick(split.settings.relay_socket)
        made.extend((production, relay))
        return split, relay

    yield begin
    for one in made:
        one.stop()


def asked(split, relay, *requests):
    """The users whose copies came, of one request each (cookie and host)."""
    with split.client() as client:
        for user, host in requests:
            client.get("/page", f"Cookie: uid={user}", f"X-Site: {host}")
        client.get("/page", "Cookie: uid=last", "X-Site: www.example.org")
    wait_until(lambda: relay.users["last"], what="the copy of the last")
    return set(relay.users) - {"last"}


def test_the_listed_alone_are_in_and_the_others_are_never(mirrored, folder):
    split, relay = mirrored(only_listed=True, never_listed=True)
    levels.set_list(folder, levels.ONLY, ["ann", "bob", "eve", "last"])
    levels.set_list(folder, levels.NEVER, ["eve", "dan"])
    everybody = [(user, "x") for user in ("ann", "bob", "eve", "dan", "zoe", "..", ".")]
    assert asked(split, relay, *everybody) == {"ann", "bob"}
    levels.set_list(folder, levels.ONLY, ["zoe", "last"])  # without a reload
    relay.users.clear()
    assert asked(split, relay, *everybody) == {"zoe"}


def test_only_requests_that_meet_every_condition_are_copied(mirrored):
    split, relay = mirrored(
        only=("header:X-Site=www.example.org", "header:X-Site=m.example.org", "cookie:uid=ann", "cookie:uid=last")
    )
    requests = [
        ("ann", "www.example.org"),
        ("bob", "www.example.org"),
        ("ann", "other.example.org"),
        ("ann", "wwwxexample.org"),
    ]
    assert asked(split, relay, *requests) == {"ann"}
    assert relay.users["ann"] == 1


def test_a_list_is_changed_to_exactly_what_it_shall_be(tmp_path):
    levels.set_list(tmp_path, levels.NEVER, ["ann", "bob"])
    levels.set_list(tmp_path, levels.NEVER, ["bob", "zoe"])
    assert [levels.listed(tmp_path, levels.NEVER, user) for user in ("ann", "bob", "zoe")] == [False, True, True]
    assert levels.listed(tmp_path, levels.ONLY, "ann") is None
