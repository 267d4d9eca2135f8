"""Which options of a run go together: one that would be ignored is refused, or is a scenario's own number. Pure.

Options go by the names that they have on the command line, without dashes: ``max_rate``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from darktime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class Exclusive(NamedTuple):
    """Two options of which one would do nothing, and what to do instead."""

    first: str
    second: str
    text: str


_ONE = "leave one of the two out"
_ITSELF = "a scenario says itself what it asks for and how: leave one of the two out, or write a scenario of your own"
_NO_STREAMS = "a path is asked of plain HTTP, which has no streams: leave one of the two out"
EXCLUSIVE = (
    Exclusive("rate", "search", f"a rate that is named is held, and none is searched for: {_ONE}"),
    Exclusive("rate", "beyond", f"only a search finds the capacity to go beyond: {_ONE}"),
    Exclusive("rate", "budget", f"a budget is the time of a search, and --duration that of a rate: {_ONE}"),
    Exclusive("rate", "closed", f"in the closed model the instance sets the rate: {_ONE}"),
    Exclusive("closed", "search", f"in the closed model no rate is searched for: {_ONE}"),
    Exclusive("closed", "beyond", f"only a search finds the capacity to go beyond: {_ONE}"),
    Exclusive("closed", "budget", f"a budget is the time of a search, and --duration that of the closed model: {_ONE}"),
    Exclusive("closed", "seed", f"in the closed model nothing is planned, at random or evenly: {_ONE}"),
    Exclusive("closed", "max_rate", f"--closed has no rate to limit: {_ONE}"),
    Exclusive("duration", "budget", f"both are the time that a search may take: {_ONE}"),
    Exclusive("channel", "channels", f"everything goes through the one: {_ONE}"),
    *(Exclusive("path", name, _NO_STREAMS) for name in ("streams", "channels", "channel")),
    *(
        Exclusive("scenario", name, _ITSELF)
        for name in ("closed", "search", "beyond", "budget", "fresh", "follow", "header", "channel")
    ),
)
# Whoever names one of these says what kind of run it is.
KINDS = frozenset({"rate", "search", "beyond", "budget", "closed", "scenario"})
# What is said of one part does nothing where that part is not played here.
PARTS = {
    **dict.fromkeys(("expect_workers", "master_bind_host", "master_bind_port"), ("master",)),
    **dict.fromkeys(("master_host", "master_port"), ("worker",)),
    "expect_workers_max_wait": ("master", "worker"),
    **dict.fromkeys(("web_host", "web_port", "autoquit"), ("web",)),
}
# Of a worker's own command line; all else comes from its master.
OF_A_WORKER = frozenset({"worker", "master_host", "master_port", "expect_workers_max_wait", "processes", "allow"})
# With a scenario they set its number of the same name.
NUMBERS = ("rate", "duration", "streams", "channels", "connections", "seed", "path")
ONLY_FOR_PUSH = ("streams", "channels", "channel")
ONLY_FOR_HTTP = ("connections", "fresh", "follow", "header")


def flag(name: str) -> str:
    """As it is written on the command line."""
    return "--" + name.replace("_", "-")


def refuse_ignored(named: Collection[str]) -> None:
    """Raises UsageError where one of the options that were named would do nothing beside another."""
    for first, second, text in EXCLUSIVE:
        if first in named and second in named:
            raise UsageError(f"{flag(first)} with {flag(second)}: {text}")
    if "number" in named and "scenario" not in named:
        raise UsageError("--number without --scenario: it is a number of a scenario; name that, or leave it out")


def refuse_of_another_part(named: Collection[str], played: Collection[str]) -> None:
    """Raises UsageError for an option of a part that is not played here. ``played``: some of master, worker, web."""
    for name in sorted(named):
        parts = PARTS.get(name)
        if parts is not None and not any(part in played for part in parts):
            needed = " or ".join(flag(part) for part in parts)
            raise UsageError(f"{flag(name)} without {needed}: it would do nothing; add {needed}, or leave it out")
        if "worker" in played and name not in OF_A_WORKER:
            raise UsageError(f"{flag(name)} comes from the master: leave it out, or leave --worker out")


def refuse_of_another_kind(named: Collection[str], authority: str, *, push: bool) -> None:
    """Raises UsageError for options that are about the other kind of instance than the one that was found."""
    what = "a push endpoint" if push else "plain HTTP"
    for name in ONLY_FOR_HTTP if push else ONLY_FOR_PUSH:
        if name in named:
            about = "plain HTTP" if push else "push endpoints"
            raise UsageError(
                f"{flag(name)} with {authority}: it is about {about}, and this is {what}; leave it out (of "
                f"darktime.toml too)"
            )


def numbers_of(
    scenario: str, given: Mapping[str, Any], asked: Mapping[str, Any], known: Collection[str]
) -> dict[str, Any]:
    """A scenario's numbers as they were given, and those that options set. ``known`` are the ones that it has.

    Raises UsageError for an option of which it has no number, and for one that was also given as a number.
    """
    numbers = dict(given)
    for name, value in asked.items():
        if name not in known:
            has = ", ".join(sorted(known)) or "none"
            raise UsageError(
                f"{flag(name)} with --scenario {scenario}: it has no number {name!r} that this could be; it has {has}: "
                f"leave {flag(name)} out, or name one of these with --number"
            )
        if name in numbers:
            raise UsageError(f"{flag(name)} with --number {name}={numbers[name]}: both are one number; say it once")
        whole = isinstance(value, float) and value.is_integer()
        numbers[name] = str(int(value) if whole else value)
    return numbers
