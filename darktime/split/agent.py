"""The agent: renews the lease until its time is over or it is told to stop, and follows the experiment in Redis.

Small: it runs on the production host. With Redis gone it keeps the percentage that was, until its time is over. An
experiment that is no more is mirrored for nobody.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from darktime.errors import DarktimeError
from darktime.split import levels
from darktime.split.experiment import away

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from darktime.split.experiment import Experiment, Standing

FOLLOW_EVERY_S = 0.5


def run(
    folder: Path,
    *,
    ttl_s: float,
    slot_s: int,
    stop: threading.Event,
    ready: Callable[[], None],
    follower: Follower | None = None,
) -> None:
    """Renew until ``stop`` or for ``ttl_s`` seconds, then give the lease back. ``ready`` follows the first renewal.

    Redis is followed in a thread of its own: one that hangs holds up no lease.
    """
    until = time.monotonic() + ttl_s
    pause_s = slot_s / 4
    with nullcontext() if follower is None else following(follower):
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


@contextmanager
def following(follower: Follower) -> Iterator[None]:
    """Follow in a thread of its own; where nobody's lease is to be renewed, this is all of an agent."""
    over = threading.Event()
    thread = threading.Thread(target=_keep_following, args=(follower, over), name="follower", daemon=True)
    follower.look()
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(FOLLOW_EVERY_S)


def _keep_following(follower: Follower, over: threading.Event) -> None:
    while not over.wait(FOLLOW_EVERY_S):
        try:
            follower.look()
        except Exception as error:  # noqa: BLE001 - whatever it was, the next look tries it all again
            follower.failed(error)


class Follower:
    """Makes the level files those of the experiment. ``say`` gets a line when it changes, or Redis comes and goes."""

    def __init__(self, folder: Path, experiment: Experiment, *, max_percent: float, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._experiment = experiment
        self._max_percent = max_percent
        self._say = say
        self._away = False
        self._killed = False
        self._percent: float | None = None
        self._failure = ""

    def look(self) -> None:
        """Ask Redis how it stands, a second at most, and follow; without an answer all stays as it is."""
        try:
            standing = self._experiment.standing()
        except away() as error:
            if not self._away:
                self._say(f"Redis does not answer, the percentage stays as it is: {error}")
            self._away = True
            return
        except DarktimeError as error:  # of another version: not ours to follow
            self.failed(error)
            standing = None
        if self._away:
            self._away = False
            self._say("Redis answers again")
        self._follow(standing)

    def failed(self, error: Exception) -> None:
        """What it found could not be followed; said once."""
        if str(error) != self._failure:
            self._failure = str(error)
            self._say(f"the experiment cannot be followed: {error}")

    def _follow(self, standing: Standing | None) -> None:
        percent = 0.0 if standing is None else min(standing.percent, self._max_percent)
        killed = self._killed if standing is None else standing.killed  # what is over is not let go on
        if killed and not self._killed:
            levels.kill(self._folder, by=levels.BY_AGENT)
            self._killed = True
            self._say("mirroring was killed")
        if percent != self._percent:
            levels.set_percent(self._folder, percent, self._max_percent)
            self._percent = percent
            self._say("the experiment is over" if standing is None else f"{percent:g} % from now on")
        if self._killed and not killed:
            levels.resume(self._folder, by=levels.BY_AGENT)  # a kill file that somebody made here stays his
            self._killed = False
            self._say("mirroring may go on")
        self._failure = ""


def main(argv: list[str] | None = None) -> int:
    """``python -m darktime.split.agent --folder FOLDER --ttl SECONDS``: run until SIGTERM or the TTL."""
    parser = argparse.ArgumentParser(prog="python -m darktime.split.agent", description=__doc__)
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--ttl", required=True, type=float, metavar="SECONDS")
    parser.add_argument("--slot", type=int, default=100, choices=(1, 10, 100, 1000), metavar="SECONDS")
    parser.add_argument("--redis-file", type=Path, metavar="FILE", help="holds the URL of the Redis to follow")
    parser.add_argument("--experiment", default="darktime", metavar="NAME")
    parser.add_argument("--max-percent", type=float, default=100.0)
    options = parser.parse_args(argv)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        follower = None if options.redis_file is None else _follower(options)
    except (DarktimeError, OSError) as error:
        _say(str(error))
        return 2
    run(
        options.folder,
        ttl_s=options.ttl,
        slot_s=options.slot,
        stop=stop,
        ready=lambda: print(f"agent renews {options.folder}", flush=True),  # noqa: T201 - a child says when it is ready
        follower=follower,
    )
    return 0


def _follower(options: argparse.Namespace) -> Follower:
    from darktime.split.experiment import Experiment, client_of  # noqa: PLC0415 - an agent without Redis does not load it

    url = options.redis_file.read_text(encoding="utf-8").strip()
    experiment = Experiment(client_of(url), options.experiment)
    return Follower(options.folder, experiment, max_percent=options.max_percent, say=_say)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - the log of a child


if __name__ == "__main__":
    raise SystemExit(main())
