"""A held stream whose end may be among lines that were lost is not held for ever; one that began afterwards is not doubted."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from darktime.split.relay.relay import Relay
from darktime.split.relay.settings import Limits, RelaySettings
from tests.darktime.split.conftest import CANDIDATE, as_side
from tests.darktime.split.taps import LineTap
from tests.darktime.split.test_lost_lines import main_line
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.darktime.split.conftest import Split

STREAM = ("Accept: text/event-stream", CANDIDATE)
LINE_WAIT_S = 1.0


class HeldUp(Relay):
    """A relay whose loop can be held up: what comes meanwhile waits in the kernel, as far as there is room."""

    def __init__(self, settings: RelaySettings) -> None:
        self._on, self._stands = threading.Event(), threading.Event()
        self._on.set()
        super().__init__(settings)

    def hold_up(self) -> None:
        """Until ``go_on``; it stands still when this comes back."""
        self._stands.clear()
        self._on.clear()
        assert self._stands.wait(5)

    def go_on(self) -> None:
        self._on.set()

    def turn(self) -> None:
        """What it has begun to read it has taken in."""
        seen = self.heartbeat.turned
        wait_until(lambda: self.heartbeat.turned > seen, what="the loop's next turn")

    def _turn(self, wait_s: float) -> float:
        if not self._on.is_set():
            self._stands.set()
            self._on.wait(20)
        return super()._turn(wait_s)


@pytest.fixture
def held_up() -> Iterator[Callable[..., HeldUp]]:
    """The relay of a split, in a thread of the test: its lines come in on a port of its own, behind a tap."""
    made: list[tuple[HeldUp, threading.Thread]] = []

    def make(split: Split, dark: str, **limits: float) -> HeldUp:
        settings = RelaySettings(
            socket=split.settings.relay_socket,
            log_port=0,
            dark=as_side(dark),
            secret=split.settings.secret,
            state=split.state_path,
            limits=replace(Limits(line_wait_s=LINE_WAIT_S, lines_bytes=65_536), **limits),
        )
        relay = HeldUp(settings)
        thread = threading.Thread(target=relay.run)
        thread.start()
        made.append((relay, thread))
        return relay

    yield make
    for relay, thread in made:
        relay.go_on()
        relay.stop()
        thread.join()


def test_a_stream_whose_end_was_lost_is_let_go_soon_and_what_began_after_the_gap_is_held(
    make_split: Callable, origin: Callable, held_up: Callable
) -> None:
    """Two of three streams end while the relay reads nothing, and their lines find no room. Of the third nobody can tell."""
    production, dark = origin(), origin()
    split = make_split(production.address)
    relay = held_up(split, dark.address)
    with ExitStack() as last, LineTap(split.settings, relay.log_port) as tap:
        split.start()
        clients = [last.enter_context(split.client()) for _ in range(4)]
        for client in clients[:3]:
            client.send("/ev/thread:1", *STREAM)
        wait_until(lambda: dark.streams == relay.state()["streams"] == 3, what="three streams")
        relay.hold_up()
        tap.fill(main_line(0, split.settings.secret, other=1), 2 * relay.state()["log_room"] + 100)
        for client in clients[:2]:
            client.close()
        wait_until(lambda: tap.lines.total() == 2, what="two lines that find no room")
        wait_until(lambda: production.streams == 1, what="their end at production")
        relay.go_on()
        wait_until(lambda: relay.state()["log_lines"] > 0, what="lines that are read")
        tap.fill(main_line(0, split.settings.secret, other=1), 1)  # the kernel tells of lost lines with the next one
        wait_until(lambda: relay.state()["log_lost"] >= 2, what="the gap")
        relay.turn()
        clients[3].send("/ev/thread:2", *STREAM)
        wait_until(lambda: dark.asked["GET /ev/thread:2"] == 1, what="a stream after the gap")
        began = time.monotonic()
        wait_until(lambda: dark.streams == relay.state()["streams"] == 1, timeout_s=10, what="the end of the three")
        assert relay.state()["reasons"] == {"log_lost": 3}
        wait_until(lambda: time.monotonic() - began > 2 * LINE_WAIT_S, what="as long as any line is waited for")
        assert dark.streams == production.streams - 1 == 1, "one began after the gap, and is held with production's"
        clients[2].close()
        clients[3].close()
        wait_until(lambda: dark.streams == 0 and relay.state()["compared"] == 1, what="its end, and a pair")
        wait_until(
            lambda: relay.state()["late_lines"] == 1, what="the end of the one that nobody could tell from the others"
        )
    assert relay.state()["waiting"] == 0


def test_a_stream_that_ends_while_its_end_is_in_doubt_is_compared_as_ever(
    make_split: Callable, origin: Callable, held_up: Callable
) -> None:
    production, dark = origin(), origin()
    split = make_split(production.address)
    relay = held_up(split, dark.address, line_wait_s=15.0)
    with ExitStack() as last, LineTap(split.settings, relay.log_port) as tap:
        split.start()
        clients = [last.enter_context(split.client()) for _ in range(3)]
        for client in clients:
            client.send("/ev/thread:1", *STREAM)
        wait_until(lambda: dark.streams == relay.state()["streams"] == 3, what="three streams")
        relay.hold_up()
        tap.fill(main_line(0, split.settings.secret, other=1), 2 * relay.state()["log_room"] + 100)
        relay.go_on()
        wait_until(lambda: relay.state()["log_lines"] > 0, what="lines that are read")
        tap.fill(main_line(0, split.settings.secret, other=1), 1)
        wait_until(lambda: relay.state()["log_lost"] > 0, what="the gap")
        for client in clients:
            client.close()
        wait_until(lambda: relay.state()["compared"] == 3, what="three pairs")
    assert (relay.state()["reasons"], relay.state()["waiting"]) == ({}, 0)
