"""Waits for the end of a relay that stands alone, and no longer than it may take: a function of its user's may never come back."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from darktime.console.transform import TransformRemarks
from darktime.console.watching import say
from darktime.errors import DarktimeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from darktime.split.relay.alone import AloneRelay

LOOK_S = 0.2
SAY_EVERY_S = 10.0
# A relay ends its streams and its account within 1.5 s; its probe of a dark instance that says nothing may take 2 s more.
END_S = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Why a relay is over. ``hung``: its loop came to no end, and was left where it stood."""

    why: str
    hung: bool


def watch(relay: AloneRelay, state: Path, *, ttl_s: float, look: Callable[[], object]) -> Ended:
    """Run it until it is over, one line every ten seconds. Raises DarktimeError when it broke.

    A second signal ends the waiting: KeyboardInterrupt.

    Args:
        relay: made, and not running yet.
        state: the file that it writes.
        ttl_s: its time. It looks at it itself, where its loop can.
        look: called a few times a second.
    """
    from darktime.split.vigil import read_state

    broken: list[BaseException] = []

    def run() -> None:
        try:
            relay.run()
        except BaseException as error:  # noqa: BLE001 - said by who waits for it
            broken.append(error)

    # A daemon: one that hangs does not keep the process.
    thread, remarks = threading.Thread(target=run, name="relay", daemon=True), TransformRemarks(say)
    with _signals() as seen:
        thread.start()
        until = time.monotonic() + ttl_s
        next_line = time.monotonic() + SAY_EVERY_S
        while thread.is_alive() and not seen and time.monotonic() < until:
            thread.join(LOOK_S)
            look()
            remarks.look(read_state(state))
            if time.monotonic() >= next_line:
                next_line += SAY_EVERY_S
                told = relay.state()
                say(", ".join(f"{told[what]:,} {what}" for what in ("requests", "received", "answered", "streams")))
        relay.stop()
        if seen:
            say("ending; a second signal ends at once")
        thread.join(END_S)
        why = "stopped by you" if seen else "the time is over"
    if broken:
        raise DarktimeError(f"the relay broke: {broken[0]!r}") from broken[0]
    if not thread.is_alive():
        return Ended(why=why, hung=False)
    why += f"; its loop stood still for {END_S:g} s and was left there: a --transform that never comes back?"
    say(f"HUNG: {why}")
    return Ended(why=why, hung=True)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """The signals that have come. The second raises KeyboardInterrupt: whoever sends it does not want to wait."""
    seen: list[int] = []

    def note(number: int, _frame: object) -> None:
        seen.append(number)
        if len(seen) > 1:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave(code: int) -> NoReturn:
    """End the process beside a thread that hangs, whatever that thread waits for."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
