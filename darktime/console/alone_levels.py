"""What steers a relay that stands alone: its level files and lists, here and by Redis on every host; and what has stood there."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from darktime.console.running import RAMPS
from darktime.console.watching import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from darktime.split.relay.settings import AloneSettings

REDIS = "redis.url"
Ramps = list[dict[str, Any]]


@contextmanager
def steered(
    folder: Path, settings: AloneSettings, asked: dict[str, Any], lists: Mapping[str, Sequence[str]]
) -> Iterator[Callable[[], Ramps]]:
    """Until this is over the level files stand as they were asked for, or as the experiment in Redis does.

    Gives what tells every percentage that has stood, with its time, the oldest first. Afterwards nobody is in, and no list is left.

    Args:
        folder: of the results.
        settings: the relay's; its level files are in ``settings.folder``.
        asked: the command's options.
        lists: users by the list's name.

    Raises:
        UsageError: the experiment stands at more than this host allows.
        ConfigurationError: the Redis cannot be used.
    """
    from darktime.split import levels

    state, most = settings.folder, settings.copy.max_percent
    with ExitStack() as last:
        for name in (levels.ONLY, levels.NEVER):
            levels.no_list(state, name)  # of an earlier run
            if name in lists:
                levels.set_list(state, name, lists[name])
                last.callback(levels.no_list, state, name)
        last.callback(levels.set_percent, state, 0, most)
        if asked["redis"] is None:
            levels.set_percent(state, asked["percent"], most)
            yield _ramps_here(folder / RAMPS, asked["percent"])
        else:
            with _followed(folder, settings, asked) as ramps:
                yield ramps


@contextmanager
def _followed(folder: Path, settings: AloneSettings, asked: dict[str, Any]) -> Iterator[Callable[[], Ramps]]:
    from darktime.console.partaking import recorded, taking_part
    from darktime.split.agent import Follower, following
    from darktime.split.experiment import Experiment, client_of
    from darktime.split.folder import write_private
    from realtime_core.stack import external_valkey

    url = external_valkey(asked["redis"], name=asked["experiment"]).url
    experiment = Experiment(client_of(url), asked["experiment"])
    write_private(folder / REDIS, url + "\n")
    try:
        with taking_part(experiment, asked):
            follower = Follower(settings.folder, experiment, max_percent=settings.copy.max_percent, say=say)
            with following(follower):
                yield lambda: recorded(experiment, folder)
    finally:
        (folder / REDIS).unlink(missing_ok=True)


def _ramps_here(file: Path, percent: float) -> Callable[[], Ramps]:
    from darktime.split.experiment import ramp_record
    from darktime.split.steering import whoami

    began = time.time()
    first = ramp_record(who=whoami(), before=0.0, after=percent, why="the relay begins", now=began)

    def ramps() -> Ramps:
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        return [first, *(one for one in map(json.loads, lines) if one["at"] >= began)]  # not those of an earlier run

    return ramps
