"""How a split begins, as it was asked for: an nginx of its own, or beside one that is there. Checked before anything starts."""

from __future__ import annotations

from socket import SOCK_DGRAM
from typing import TYPE_CHECKING, Any

from darktime.console.asked import (
    about_uploads,
    as_included,
    choices,
    comparing,
    endpoints_of,
    given,
    lists_of,
    pairs_bytes_of,
    stream_life,
    workers_asked,
)
from darktime.console.dark_side import side_of
from darktime.console.front import front_asked, production_asked, reached, refuse_beside_theirs
from darktime.console.include import read_includes
from darktime.console.recording import record_settings, to_whom
from darktime.console.watching import say
from realtime_core.free_ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from darktime.split.commands import CompareOptions, LedgerNames
    from darktime.split.dark_side import DarkSide
    from darktime.split.running import RunningSplit
    from darktime.split.settings import CopySettings
    from realtime_core.stack import Stack

    Start = Callable[[Stack, Path, LedgerNames, float], RunningSplit]

REDIS = "redis.url"


def whole(asked: dict[str, Any]) -> Start:
    """What starts a split with an nginx of its own."""
    from darktime.split.folder import PrivateFolder
    from darktime.split.instances import check_instances, check_secondary
    from darktime.split.running import start_split
    from darktime.split.settings import Route, SplitSettings
    from realtime_core.stack import find_nginx

    nginx, production, side = find_nginx(asked["nginx"]), production_asked(asked), side_of(asked)
    front, workers = front_asked(asked, nginx, say), workers_asked(asked)
    asked["production"] = ", ".join(production.urls)
    asked["dark"] = None if side is None else ", ".join(side.urls)
    darks = () if side is None else tuple(one.at for one in side.instances)
    compare = comparing(asked)
    in_either_way = _in_either_way(asked, compare)
    check_instances(production.instances, () if side is None else side.instances, listen=asked["listen"])
    if compare.secondary is not None:
        today = (("production", at) for at in production.at)
        others = [*today, ("listen", asked["listen"]), *(("dark", at) for at in darks)]
        check_secondary(compare.secondary.removeprefix("http://"), others=others)
    tls = reached(production, say)

    def start(stack: Stack, results: Path, ledger: LedgerNames, percent: float) -> RunningSplit:
        private = stack.adopt(PrivateFolder()).path
        log_port, *more_log_ports = free_ports(workers, kind=SOCK_DGRAM)
        settings = SplitSettings(
            listen=asked["listen"],
            front=front,
            routes=(Route(prefix="/", upstreams=production.at, mirrored=True, tls=tls),),
            relay_socket=private / "relay.sock",
            sink_socket=private / "sink.sock",
            log_port=log_port,
            more_log_ports=tuple(more_log_ports),
            **choices(asked),
        )
        for line in about_uploads(settings, asked):
            say(line)
        both = in_either_way(settings, results, ledger)
        running = start_split(stack, settings, folder=private, nginx=nginx.path, dark=side, percent=percent, **both)
        say_what_fits(side, compare, workers)
        say(
            f"mirroring {percent:g} % of users {to_whom(asked)}; production's requests go to {front.address(settings.listen)}"
        )
        return running

    return start


def joined(asked: dict[str, Any]) -> Start:
    """What starts a split beside an nginx that is already there."""
    from darktime.split.dark_side import parse_instance
    from darktime.split.instances import check_instances, check_secondary
    from darktime.split.running import start_joined
    from darktime.split.workers import workers_of

    folder, side = asked["joined"].resolve(), side_of(asked)
    asked["dark"] = None if side is None else ", ".join(side.urls)
    darks = () if side is None else tuple(one.at for one in side.instances)
    refuse_beside_theirs(given, "--include")
    there = read_includes(folder, asked, () if side is None else side.instances)
    settings, where = there.settings, there.where
    as_included(settings, asked)
    compare = comparing(asked)
    in_either_way = _in_either_way(asked, compare)
    today = [parse_instance(url, "production") for url in asked["production"]]
    check_instances(today, () if side is None else side.instances)
    others = [*(("dark", at) for at in darks), *(("production", one.at) for one in today), *there.comparable]
    if compare.secondary is not None:
        check_secondary(compare.secondary.removeprefix("http://"), others=others)
    asked["production"] = ", ".join(asked["production"]) or where

    def start(stack: Stack, results: Path, ledger: LedgerNames, percent: float) -> RunningSplit:
        for line in about_uploads(settings, asked):
            say(line)
        both = in_either_way(settings, results, ledger)
        running = start_joined(
            stack, settings, folder=folder, dark=side, percent=percent, front=where, hosts=there.hosts, **both
        )
        say_what_fits(side, compare, len(workers_of(settings)))
        say(f"mirroring {percent:g} % of users {to_whom(asked)}, in the nginx that has the includes of {folder}")
        return running

    return start


def say_what_fits(side: DarkSide | None, compare: CompareOptions, relays: int) -> None:
    """Where each relay may have too few files open for the streams that it would hold, say how many it holds."""
    from darktime.split.relay.open_files import fewer, fitting, may_have
    from darktime.split.relay.settings import CompareSettings, Limits

    if side is None:
        return
    wanted, files, beside = Limits(), may_have(), 0
    if compare.secondary is not None:
        usual = CompareSettings(secondary=("", 0))
        beside = usual.connections + usual.streams
    fit = fitting(
        wanted,
        files,
        instances=len(side.instances) + (compare.calibrate_s > 0),
        connections=max(side.connections // relays, 1),
        beside=beside // relays,
    )
    line = fewer(wanted, fit, files)
    if line is not None:
        say(line)


def _in_either_way(
    asked: dict[str, Any], compare: CompareOptions
) -> Callable[[CopySettings, Path, LedgerNames], dict[str, Any]]:
    """What ``start_split`` and ``start_joined`` are both told; what can be refused is refused now."""
    lists, endpoints = lists_of(asked), endpoints_of(asked)
    life_s, pairs_bytes = stream_life(asked), pairs_bytes_of(asked)

    def told(settings: CopySettings, results: Path, ledger: LedgerNames) -> dict[str, Any]:
        return {
            "ttl_s": asked["ttl"],
            "results": results,
            "follow": results / REDIS,
            "lists": lists,
            "ledger": ledger,
            "record": record_settings(asked, settings),
            "compare": compare,
            "endpoints": endpoints,
            "transform": asked.get("transform"),
            "stream_life_s": life_s,
            "pairs_bytes": pairs_bytes,
        }

    return told
