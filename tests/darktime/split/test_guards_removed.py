"""What each line of the gate is for: as it is rendered the promise holds, and with that line alone taken away it breaks.

The cases' other counter-runs stand beside them: the naive mirror in test_cases, test_isolation, test_front and test_first_byte.
"""

from __future__ import annotations

import re
import socket
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from darktime.split import levels
from tests.darktime.split.conftest import CANDIDATE
from tests.darktime.split.servers import Quick
from tests.darktime.split.takers import Taker
from tests.darktime.split.taps import LineTap
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.darktime.split.conftest import Split
    from tests.darktime.split.takers import Taken

BACKUP = r"\n +server unix:\S+ backup max_fails=0;"
LEASE = r"\n +if \(!-f \S+/lease/\$darktime_slot\) \{\n +return 418;\n +\}"
KILL = r"\n +if \(-f \S+/kill\) \{\n +return 418;\n +\}"
OURS = r"\n +proxy_set_header X[-_]Darktime\S* \"\";"


def without(pattern: str, instead: str = "") -> Callable[[str], str]:
    """Takes the line away; it must be there."""

    def changed(text: str) -> str:
        found, times = re.subn(pattern, lambda _: instead, text)
        assert times, pattern
        return found

    return changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    method: str = "GET"
    target: str = "/guarded"
    lines: tuple[str, ...] = (CANDIDATE,)


def cookie(value: str) -> Asked:
    return Asked(lines=(f"Cookie: uid={value}",))


GATE = {
    "no key": (without(r'"~\^11:\."', '"~^11:"'), [Asked(lines=()), cookie(""), Asked(lines=("Cookie: other=u1",))]),
    "a malformed key": (
        without(r'"~\^\[A-Za-z0-9_\.:-\]\{1,128\}\\z"', '"~."'),
        [cookie("a/../b"), cookie('a"b'), cookie("%00"), cookie("%0d%0aX:1"), cookie("\xff\xfe"), cookie("x" * 8192)],
    ),
    "another protocol": (
        without(r"\$request_method:\$http_upgrade:", "$request_method::"),
        [Asked(lines=(CANDIDATE, "Upgrade: websocket", "Connection: Upgrade"))],
    ),
    "a method that changes something": (
        without(r'"HEAD::" 1;', '"~::" 1;'),
        [Asked(method="POST"), Asked(method="DELETE"), Asked(method="PUT")],
    ),
    "a copy": (without(r":\$http_x_darktime\"", ':"'), [Asked(lines=(CANDIDATE, "X-Darktime: 1"))]),
    "a path that changes something": (
        without(r"\(\?:(?:\(\?:[logut]\|%\[\d\d\]\w\)){6}\|", "(?:"),  # the word logout, each letter also escaped
        [Asked(target="/account/Logout"), Asked(target="/account/%6Cogout"), Asked(target="/guarded?do=%6Cogout")],
    ),
}


@pytest.fixture
def production() -> Iterator[Taker]:
    with Taker() as one:
        yield one


@pytest.fixture
def copied(make_split: Callable, production: Taker) -> Iterator[Callable[..., list[Taken]]]:
    """What comes to the relay of a split whose configuration is changed so, when it is asked so."""
    with ExitStack() as last:
        split: Split = make_split(production.address, mirror_timeout_ms=5_000)
        relay = last.enter_context(Taker(split.settings.relay_socket))

        def ask(
            changed: Callable[[str], str], asked: list[Asked], *, lease: bool = True, killed: bool = False
        ) -> list[Taken]:
            relay.taken.clear()
            levels.release(split.folder)
            split.start(changed=changed, lease=lease)
            if killed:
                levels.kill(split.folder)
            with split.client() as client:
                for one in asked:
                    assert b" 200 " in client.get(one.target, *one.lines, method=one.method)[0]
                client.get(
                    "/end", "X-Darktime: 1"
                )  # neither key nor unmarked: it waits for the copy before it, and has none
            levels.resume(split.folder)
            split.nginx.stop()
            return list(relay.taken)

        yield ask


@pytest.mark.parametrize("what", GATE)
def test_what_must_not_be_copied_is_not_and_would_be_without_its_line_of_the_gate(what: str, copied: Callable) -> None:
    changed, asked = GATE[what]
    assert copied(str, asked) == []
    assert [(one.method, one.target) for one in copied(changed, asked)] == [(one.method, one.target) for one in asked]


def test_production_sees_no_header_of_ours_that_a_client_makes_up_and_would_without_our_lines(
    copied: Callable, production: Taker
) -> None:
    made_up = ("X-Darktime-User: u1", "X-Darktime-Id: 1", "X_Darktime_At: 1", "X-Darktime_Body: 1")
    for changed, count in ((str, 0), (without(OURS), len(made_up))):
        production.taken.clear()
        copied(changed, [Asked(lines=(CANDIDATE, *made_up))])
        (seen,) = [one for one in production.taken if one.target == "/guarded"]
        assert sum("darktime" in name for name in seen.headers) == count


def test_no_secret_goes_with_a_copy_and_would_if_headers_were_passed_as_they_are(copied: Callable) -> None:
    secret = ("Authorization: Bearer geheim", "X-Api-Key: geheim", f"{CANDIDATE}; session=geheim")
    for changed, there in (
        (str, False),
        (without("proxy_pass_request_headers off", "proxy_pass_request_headers on"), True),
        (without(r'proxy_set_header Cookie ""', "proxy_set_header Cookie $http_cookie"), True),
    ):
        (copy,) = copied(changed, [Asked(lines=secret)])
        assert ("geheim" in repr(copy.headers)) is there


@pytest.mark.parametrize(("line", "how"), [(LEASE, {"lease": False}), (KILL, {"killed": True})], ids=["lease", "kill"])
def test_mirroring_ends_with_the_lease_and_with_the_kill_file_and_would_not_without_asking_for_them(
    line: str, how: dict[str, bool], copied: Callable
) -> None:
    assert copied(str, [Asked()], **how) == []
    assert len(copied(without(line), [Asked()], **how)) == 1


def test_a_copy_that_the_relay_does_not_take_is_told_of_and_would_be_lost_without_the_sink(
    make_split: Callable,
) -> None:
    """The relay is dead: production answers all the same, and only the sink knows what became of the copies."""
    quick = Quick()
    try:
        split = make_split(quick.address)
        for changed, sunk in ((str, 10), (without(BACKUP), 0)):
            with LineTap(split.settings) as tap:
                split.start(changed=changed)
                with split.client() as client:
                    for _ in range(10):
                        assert b" 200 " in client.get("/page", CANDIDATE)[0]
                wait_until(lambda tap=tap: tap.lines.total() == 10, what="the line of each")
                assert tap.sunk.total() == sunk  # the sink's line comes before production's
                split.nginx.stop()
    finally:
        quick.stop()


def test_a_stopped_relay_is_asked_five_times_and_without_sink_or_max_fails_it_holds_up_every_request(
    make_split: Callable,
) -> None:
    """The kernel takes connections for it and nobody answers: each copy costs its connection's next request the read timeout."""
    requests, most, timeout_s, pause_s = 12, 5, 0.2, 2.0
    quick = Quick()
    try:
        split = make_split(quick.address, mirror_timeout_ms=int(timeout_s * 1000))
        with socket.socket(socket.AF_UNIX) as stopped:
            stopped.bind(str(split.settings.relay_socket))
            stopped.listen(128)
            stopped.setblocking(False)
            found = []
            for changed in (str, without(BACKUP), without(" max_fails=5 ", " max_fails=0 ")):
                split.start(changed=changed)
                with split.client() as client:
                    took_s = sum(client.timed("/page", CANDIDATE) for _ in range(requests))
                split.nginx.stop()
                found.append((asked_of(stopped), took_s))
    finally:
        quick.stop()
    (ours, ours_s), *removed = found
    assert most <= ours <= most + ours_s / pause_s, "one more where a pause was over meanwhile"
    assert ours < requests
    for asked, took_s in removed:
        assert asked == requests
        assert took_s > 0.9 * (requests - 1) * timeout_s, "each waited for the copy before it"


def asked_of(stopped: socket.socket) -> int:
    """How many connections have waited there."""
    count = 0
    with suppress(BlockingIOError):
        while True:
            stopped.accept()[0].close()
            count += 1
    return count
