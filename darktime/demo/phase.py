"""One phase of the demo: visitors write for a while, everything settles, the ledger and the pairs are judged."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from darktime.demo.findings import FAULT_HOP, unbalanced
from realtime_core.ledger import balance, read

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis import Redis

    from darktime.demo.watch import Watch
    from realtime_core.ledger import HopBalance

WINDOW_S = 5.0  # the ledger's default: phases begin and end on its borders, so that no window belongs to two
SETTLE_S = 15.0
STILL_S = 1.5
QUIET_S = 10.0
EVENT_HOPS = (
    "hooks>queue",
    "queue>pipeline",
    "pipeline>production",
    "pipeline>dark",
    "pipeline>window",
    "production>visitors",
    "dark>relay",
)


# An instance that was there before us counts nothing of what it hands out.
OF_OUR_INSTANCES = ("production>visitors", "dark>relay")


def hops_of(*, external: bool) -> tuple[str, ...]:
    """The hops that must balance, in the order of the way; of instances that are not ours, those that can be seen."""
    return tuple(hop for hop in EVENT_HOPS if not external or hop not in OF_OUR_INSTANCES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From when until when (seconds UTC, on the borders of the ledger's windows) a phase's events were saved."""

    since: float
    until: float


class Ledgers:
    """The ledger of the run, as the phases read it."""

    def __init__(self, redis: Redis, name: str, hops: Sequence[str]) -> None:
        self._redis = redis
        self._name = name
        self._hops = hops

    def balances(self, span: Span | None = None, hops: Sequence[str] | None = None) -> list[HopBalance]:
        """The balance of each hop, in the order of the way, over the span or over the whole run."""
        since, until = (span.since, span.until) if span else (None, None)
        found = {one.hop: one for one in balance(read(self._redis, self._name, since=since, until=until))}
        return [found[hop] for hop in hops or self._hops if hop in found]


def begin_on_border(watch: Watch, not_before: float) -> float:
    """Wait until a window begins that no earlier phase has used; its time."""
    border = max(not_before, math.floor(time.time() / WINDOW_S) * WINDOW_S)
    watch.until(lambda: time.time() >= border, timeout_s=WINDOW_S + 1)
    return border


def write_for(watch: Watch, order: Callable[[str], None], seconds: float) -> float:
    """Visitors write for so long, then are quiet; the border after the last event that was saved."""
    order("write")
    watch.during(seconds)
    order("quiet")
    watch.until(lambda: not watch.visitors.get("writing", True), timeout_s=QUIET_S)
    return math.ceil((time.time() + 0.5) / WINDOW_S) * WINDOW_S


def settle(watch: Watch, ledgers: Ledgers, span: Span, *, faulty: bool) -> list[HopBalance]:
    """Wait until every hop has come back to 0 that can, and no count moves any more; the last reading."""
    besides = [FAULT_HOP] if faulty else []
    last: Sequence[tuple[object, ...]] = ()
    since = time.monotonic()
    reading: list[HopBalance] = []

    def settled() -> bool:
        nonlocal last, since, reading
        reading = ledgers.balances(span)
        # The ages of open owners change with every reading; what is counted must not.
        counted = [(one.hop, one.sent, one.received, one.explained, one.missing, one.extra) for one in reading]
        if counted != last:
            last, since = counted, time.monotonic()
        # With a part of the way dead its hop never balances: then standing still is all there is to wait for.
        balanced = not unbalanced(reading, besides=besides) or bool(watch.incidents)
        return bool(reading) and balanced and time.monotonic() - since >= STILL_S

    watch.until(settled, timeout_s=SETTLE_S)
    return reading
