"""Taking part in an experiment that several hosts share: from when a split begins until it is over."""

from __future__ import annotations

import os
import platform
import time
from contextlib import contextmanager
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from darktime.console.running import RAMPS
from darktime.console.watching import say

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from darktime.split.experiment import Experiment, Standing


@contextmanager
def taking_part(experiment: Experiment, asked: dict[str, Any]) -> Iterator[Standing]:
    """Take part in the experiment, as one of its hosts, until this is over. Raises UsageError."""
    from darktime.split.experiment import away
    from darktime.split.steering import whoami

    host, now = host_name(), time.time()
    standing = experiment.join(
        host,
        percent=asked["percent"],
        max_percent=asked["max_percent"] or asked["percent"],
        until=now + asked["ttl"],
        who=whoami(),
        now=now,
    )
    others = [one for one in standing.hosts if one != host]
    if others:
        say(f"experiment {experiment.name} runs already, on {', '.join(others)}: it stands at {standing.percent:g} %")
    try:
        yield standing
    finally:
        try:
            experiment.leave(host)
        except away() as error:
            say(f"the Redis of the experiment does not answer; there it ends by itself, with its time: {error}")


def recorded(experiment: Experiment, folder: Path) -> list[dict[str, Any]]:
    """Every ramp, kill and resume of the experiment, oldest first; those of this host alone where Redis has gone.

    What was done here while Redis did not answer, or by hand, is recorded here alone.
    """
    from darktime.split.experiment import away
    from darktime.split.results import pair_lines

    try:
        here = pair_lines((folder / RAMPS).read_text(encoding="utf-8"))
    except OSError:  # there is none, or somebody else's
        here = []
    try:
        everywhere = experiment.ramps()
    except away():
        return here
    known = {(one["at"], one["who"]) for one in everywhere}
    return sorted([*everywhere, *(one for one in here if (one["at"], one["who"]) not in known)], key=itemgetter("at"))


def hosts_of(experiment: Experiment, begun: Standing) -> dict[str, Any]:
    """This host, and all that took part when it began or do now: each keeps results of its own."""
    from darktime.split.experiment import away

    try:
        now = experiment.standing()
    except away():
        now = None
    return {"here": host_name(), "all": list(dict.fromkeys((*begun.hosts, *(() if now is None else now.hosts))))}


def host_name() -> str:
    """What this process is called in an experiment."""
    return f"{platform.node()}:{os.getpid()}"
