"""Recognises an instance that takes only so many connections or streams: how many, and how it turned others away. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from darktime.blast.histogram import Histogram

# A SYN that is dropped is sent again after 1, then 2, then 4 s: a connection then stands after 1, 3 or 7 s and a little.
RETRIED_S = (1.0, 3.0, 7.0)
RETRIED_WIDTH = 1.15
# What lies between an ordinary connect and a first repeat: as many there as at the repeats is only a slow network.
BETWEEN_S = (0.4, 0.95)
# Fewer of either kind are accidents.
LEAST_TURNED_AWAY = 5
LEAST_SHARE = 0.01
UNAVAILABLE = "503"
RESET_REASONS = ("reset", "connect_refused")
TIMEOUT_REASONS = ("connect_timeout",)
OURS = "ours_"  # what this machine refused begins so: it is never the instance's


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionCeiling:
    """``at`` of ``wanted`` were served. ``turned_away``: how often others were, by ``cause``.

    ``cause``: "503", "reset" or "syn_drop". ``what``: "connections" or "streams".
    """

    at: int
    wanted: int
    what: str
    cause: str
    turned_away: int
    sentence: str


def connection_ceiling(
    turned_away: Mapping[str, int], connect: Histogram, *, served: int, wanted: int, what: str = "connections"
) -> ConnectionCeiling | None:
    """The ceiling that a run met, or None.

    ``turned_away``: how often a connection that was never served ended, by the reason, and with an answer of 503 by
    that. ``connect``: how long those took that stood. ``served``: connections that were, and stand at the end. An
    instance that turns away whom it had served sheds load, and one that serves nobody has ended: neither is a ceiling.
    Of several signs the one that came most often names the cause.
    """
    if not 0 < served < wanted:
        return None
    signs = _signs(turned_away)
    signs["syn_drop"] += _retried(connect)
    cause = max(signs, key=lambda name: signs[name])
    away = signs[cause]
    if away < max(LEAST_TURNED_AWAY, LEAST_SHARE * connect.count):
        return None
    how = {
        "503": f"answered others with 503 ({away:,} times)",
        "reset": f"reset or refused others ({away:,} times)",
        "syn_drop": f"left others waiting for a second or more ({away:,} times): its backlog was full, SYNs were dropped",
    }[cause]
    sentence = f"The instance takes only so many {what}: it served {served:,} of {wanted:,} at once and {how}."
    return ConnectionCeiling(at=served, wanted=wanted, what=what, cause=cause, turned_away=away, sentence=sentence)


def turns_away(turned_away: Mapping[str, int]) -> bool:
    """Whether it is the instance that does not take more, and no accident; never where this machine refused any."""
    ours = any(name.startswith(OURS) for name in turned_away)
    return not ours and max(_signs(turned_away).values()) >= LEAST_TURNED_AWAY


def _signs(turned_away: Mapping[str, int]) -> dict[str, int]:
    return {
        "503": turned_away.get(UNAVAILABLE, 0),
        "reset": sum(turned_away.get(name, 0) for name in RESET_REASONS),
        "syn_drop": sum(turned_away.get(name, 0) for name in TIMEOUT_REASONS),
    }


def _retried(connect: Histogram) -> int:
    """Connects that stood only after a repeated SYN; 0 where they are no heap of their own."""
    repeated = sum(_within(connect, start, start * RETRIED_WIDTH) for start in RETRIED_S)
    between = _within(connect, *BETWEEN_S)
    return repeated if repeated > 2 * between else 0


def _within(times: Histogram, first_s: float, last_s: float) -> int:
    return times.count_above(int(first_s * 1e6) - 1) - times.count_above(int(last_s * 1e6))
