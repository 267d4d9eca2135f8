"""Sampling: the Python function and a live nginx name the same users."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.errors import UsageError
from darktime.split import levels, nginx_blocks
from darktime.split.log_format import LogLine, OtherLine, read_line
from darktime.split.sampling import bucket, buckets_for, murmur2, sampled, valid_user
from tests.darktime.split.conftest import binaries
from tests.darktime.split.servers import Client, Quick
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

USERS = [f"u{number}" for number in range(10_000)]
NAMES = st.text(alphabet="abcXYZ019_.:-", min_size=1, max_size=128)


def test_the_hash_gives_the_published_values() -> None:
    assert [murmur2(text) for text in (b"", b"a", b"abcd")] == [0, 0x92685F5E, 0x26873021]


@pytest.mark.parametrize("user", ["", "a b", "a\n", "ü", 'a"b', "x" * 129, "a/b", "a\x00"])
def test_who_is_no_valid_user_is_in_no_bucket_at_any_percentage(user: str) -> None:
    assert bucket("salt", user) is None
    assert not sampled("salt", user, 100)
    assert not valid_user(user.encode())


@given(user=NAMES, low=st.integers(0, 1000), high=st.integers(0, 1000))
def test_whoever_is_in_at_a_percentage_is_in_at_every_higher_one(user: str, low: int, high: int) -> None:
    low, high = sorted((low, high))
    assert not sampled("s", user, low / 10) or sampled("s", user, high / 10)


def test_another_salt_samples_other_users() -> None:
    first, second = ({user for user in USERS if sampled(salt, user, 10)} for salt in ("one", "two"))
    assert 800 < len(first) < 1200
    assert len(first & second) < 250


@pytest.mark.parametrize("percent", [-1, 100.1, 0.05, float("nan")])
def test_a_percentage_that_cannot_be_is_refused(percent: float) -> None:
    with pytest.raises((UsageError, ValueError)):
        buckets_for(percent)


@pytest.mark.parametrize("nginx", binaries().values(), ids=binaries().keys())
def test_a_live_nginx_samples_exactly_the_users_that_the_function_names_through_a_ramp(
    make_split: Callable, folder: Path, nginx: Path
) -> None:
    production = Quick()
    split = make_split(production.address, max_percent=25.0, salt="exp-1", slot_s=1000, mirror_timeout_ms=5_000)
    relay = Quick(split.settings.relay_socket)
    try:
        split.start(percent=1, nginx=nginx)
        cookies = [f"Cookie: a=1; uid={user}" for user in USERS]
        found = {}
        with split.client() as client:
            for step, percent in enumerate((1, 5, 25, 5, 0)):
                levels.set_percent(folder, percent, 25)
                assert levels.percent_of(folder) == percent
                relay.users.clear()
                some = cookies if step < 3 else cookies[: 4000 if percent else 500]
                client.pipeline("/page", some)
                expected = {user for user in USERS[: len(some)] if sampled("exp-1", user, percent)}
                wait_until(lambda: len(relay.users) >= len(expected), what=f"{len(expected)} copies")  # noqa: B023
                found[step] = set(relay.users)
                assert found[step] == expected
                assert set(relay.users.values()) <= {1}
                share = percent / 100
                assert abs(len(found[step]) / len(some) - share) <= 3 * (share * (1 - share) / len(some)) ** 0.5
        assert found[0] < found[1] < found[2]
        assert found[3] <= found[1]
        assert found[4] == set()
        assert production.requests == len(cookies) * 3 + 4500, "on one connection, which nothing of this has closed"
    finally:
        relay.stop()
        production.stop()


HOSTILE = {
    "none": ["X: 1", "Cookie: a=1", "Cookie: uid=", "Cookie: xuid=abc"],
    "unusable": [
        "Cookie: uid=a b", "Cookie: uid=a%00b", 'Cookie: uid="a"', "Cookie: uid=" + "x" * 129, "Cookie: uid=" + "x" * 8000,
        "Cookie: uid=\xff\xfe", "Cookie: uid=a/../b", "Cookie: uid=$host", "Cookie: uid=a,b", "Cookie: uid=a%0d%0aX-Darktime: 1",
        'Cookie: uid=\\", "k": "', "Cookie: uid=../kill", "Cookie: uid=\xe2\x82", "Cookie: uid=\t",
    ],
    # Of two of the same name the first is meant, here as at most servers.
    "valid": ["Cookie: uid=good; uid=other", "Cookie: uid=good"],
}  # fmt: skip


def test_nobody_is_sampled_without_a_key_that_is_whole_and_well_formed_and_each_line_about_it_can_be_read(
    make_split: Callable, origin: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nginx_blocks, "CENSUS_PERCENT", 100)  # all that is not copied is told of
    production = origin()
    split = make_split(production.address)
    relay = Quick(split.settings.relay_socket)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as lines:
            lines.bind(("127.0.0.1", split.settings.log_port))
            lines.settimeout(5)
            split.start()
            with Client(split.address) as client, Client(production.address) as direct:
                for keyed, hostile in HOSTILE.items():
                    for line in hostile:
                        answer, wanted = client.get("/page", line), direct.get("/page", line)
                        assert (answer[0].split(b"\r\n")[0], answer[1]) == (wanted[0].split(b"\r\n")[0], wanted[1])
                        assert production.heads[-2].get("cookie") == production.heads[-1].get("cookie"), "as it came"
                        told = read_line(lines.recv(65536), split.settings.secret)
                        if keyed == "valid":
                            assert isinstance(told, LogLine)
                        else:
                            assert isinstance(told, OtherLine)
                            assert told.keyed == keyed, line
        wait_until(lambda: relay.users["good"] == 2, what="the copies of the one good user")
        assert dict(relay.users) == {"good": 2}
    finally:
        relay.stop()


@pytest.mark.parametrize(
    ("key", "target", "line", "user"),
    [
        ("header:X-User-Id", "/page", "X-User-Id: u7", "u7"),
        ("query:account", "/page?a=1&account=u7&account=u8", "X: 1", "u7"),
        ("query:account", "/page?account=a%20b", "X: 1", None),
        ("query:account", "/page?a=1", "X: 1", None),
        ("ip", "/page", "X-Forwarded-For: 10.0.0.1", "127.0.0.1"),
    ],
)
def test_a_user_is_known_by_what_the_key_names_and_by_nothing_else(
    make_split: Callable, key: str, target: str, line: str, user: str | None
) -> None:
    production = Quick()
    split = make_split(production.address, key=key)
    split.start()
    relay = Quick(split.settings.relay_socket)
    try:
        with Client(split.address) as client:
            assert b" 200 " in client.get(target, line)[0]
            if user is None:  # a later request of somebody who is known: then the one before was not copied
                later = {"query:account": "/page?account=last"}[key]
                client.get(later, "X: 1")
                user = "last"
        wait_until(lambda: relay.users[user] == 1, what="the copy")
        assert dict(relay.users) == {user: 1}
    finally:
        relay.stop()
        production.stop()
