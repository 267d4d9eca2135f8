"""How many streams a relay holds where a process may have only so many files open: each stream is one. Pure, but for ``may_have``.

A relay without a descriptor left could not take nginx's connections either, and production's next requests would wait for that:
so what others need is set aside.
"""

from __future__ import annotations

import resource
from dataclasses import replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from darktime.split.relay.settings import Limits, RelaySettings

_OWN: Final = 64  # files of results, listeners, pollers, the ledger's connection
_NGINX: Final = 512  # copies come on 256 connections at the most, on twice as many while nginx is reloaded
_LASTING: Final = 4  # replies that last have one in so many of what is left for both


def may_have(*, raised: bool = False) -> int:
    """How many files a process may have open here; ``raised``: from now on this one has as many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if raised:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def fitted(settings: RelaySettings, files: int) -> RelaySettings:
    """The same settings with as many streams as so many open files have room for."""
    dark, compare = settings.dark, settings.compare
    if dark is None:
        return settings
    beside = 0 if compare is None else compare.connections + compare.streams
    instances = len(dark.instances) + (compare is not None and compare.calibrate_s > 0)
    limits = fitting(settings.limits, files, instances=instances, connections=dark.connections, beside=beside)
    return replace(settings, limits=limits)


def fitting(limits: Limits, files: int, *, instances: int, connections: int, beside: int = 0) -> Limits:
    """The limits of a relay before so many instances. ``connections``: to each; ``beside``: to whoever else is asked.

    A second instance of today's code that calibrates is one of them: what began there is held there.
    """
    if files == resource.RLIM_INFINITY:
        return limits
    others = _OWN + min(_NGINX, files // 4) + instances * connections + beside
    room = max(files - others, 0) // instances
    lasting = min(limits.lasting, room // _LASTING)
    return replace(limits, lasting=lasting, streams=min(limits.streams, room - lasting))


def fewer(wanted: Limits, fit: Limits, files: int) -> str | None:
    """What is said where fewer streams fit than are wanted; None where all do."""
    if fit.streams >= wanted.streams:
        return None
    return (
        f"a relay holds {fit.streams:,} mirrored streams of an instance at once, not {wanted.streams:,}: a process may have "
        f"{files:,} files open here, and each stream is one; copies beyond are relay_full. To hold more raise the hard limit "
        "(ulimit -Hn, or LimitNOFILE= in the service), or take more relays"
    )
