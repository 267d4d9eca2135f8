"""One relay's part of the bounds that several share. Pure.

What protects others is divided: the dark instances, the secondary, the disk, the kernel's memory for log lines, and who judges
the pairs. What protects a process
from itself (its queues, its streams, its table of requests) each has whole: users are spread evenly, their bursts are not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from darktime.errors import UsageError
from darktime.split.relay import line_room

if TYPE_CHECKING:
    from darktime.split.dark_side import DarkSide
    from darktime.split.relay.settings import CompareSettings, RelaySettings


def share_of(settings: RelaySettings, relays: int) -> RelaySettings:
    """The settings of one of so many relays. Raises UsageError where a bound is too small to be divided."""
    if relays == 1:
        return settings
    record = settings.record
    if record is not None:
        limits = record.limits
        fewer = replace(limits, bytes=_part(limits.bytes, relays), requests=_part(limits.requests, relays))
        record = replace(record, limits=fewer)
    return replace(
        settings,
        dark=None if settings.dark is None else dark_share(settings.dark, relays),
        compare=None if settings.compare is None else _compare_share(settings.compare, relays),
        record=record,
        limits=replace(
            settings.limits,
            pairs_bytes=_part(settings.limits.pairs_bytes, relays),
            lines_bytes=max(line_room.LEAST, _part(settings.limits.lines_bytes, relays)),
        ),
    )


def dark_share(dark: DarkSide, relays: int) -> DarkSide:
    """The dark side as one of so many relays may use it. Raises UsageError where there is no connection for each."""
    if dark.connections < relays:
        raise UsageError(
            f"--dark-connections {dark.connections}: {relays} relays share them, and each needs one; say {relays} or more, or "
            "fewer --relay-workers"
        )
    return replace(dark, connections=_part(dark.connections, relays))


def _compare_share(compare: CompareSettings, relays: int) -> CompareSettings:
    return replace(
        compare,
        per_s=compare.per_s / relays,
        most=_part(compare.most, relays),
        connections=_part(compare.connections, relays),
        streams=_part(compare.streams, relays),
    )


def _part(whole: int, relays: int) -> int:
    """At least one each, or nothing would ever come through."""
    return max(1, whole // relays)
