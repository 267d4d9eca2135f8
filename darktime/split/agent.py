"""The agent: renews the lease until its time is over or it is told to stop. Small: it runs on the production host."""

from __future__ import annotations

import argparse
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from darktime.split import levels

if TYPE_CHECKING:
    from collections.abc import Callable


def run(folder: Path, *, ttl_s: float, slot_s: int, stop: threading.Event, ready: Callable[[], None]) -> None:
    """Renew until ``stop`` or for ``ttl_s`` seconds, then give the lease back. ``ready`` follows the first renewal."""
    until = time.monotonic() + ttl_s
    pause_s = slot_s / 4
    try:
        levels.renew(folder, time.time(), slot_s)
        ready()
        while True:
            left_s = until - time.monotonic()
            if left_s <= 0 or stop.wait(min(pause_s, left_s)):
                return
            levels.renew(folder, time.time(), slot_s)
    finally:
        levels.release(folder)


def main(argv: list[str] | None = None) -> int:
    """``python -m darktime.split.agent --folder FOLDER --ttl SECONDS``: run until SIGTERM or the TTL."""
    parser = argparse.ArgumentParser(prog="python -m darktime.split.agent", description=__doc__)
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--ttl", required=True, type=float, metavar="SECONDS")
    parser.add_argument("--slot", type=int, default=100, choices=(1, 10, 100, 1000), metavar="SECONDS")
    options = parser.parse_args(argv)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run(
        options.folder,
        ttl_s=options.ttl,
        slot_s=options.slot,
        stop=stop,
        ready=lambda: print(f"agent renews {options.folder}", flush=True),  # noqa: T201 - a child says when it is ready
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
