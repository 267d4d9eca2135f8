"""Whether slow consumers harm the others: the fast ones' times and losses before the slow ones slowed down, and after. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darktime.blast.scenario import Finding
from darktime.blast.wilson import below, least_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from darktime.blast.deliveries import Deliveries

PERCENT = 99.0
ABOVE = 1 - PERCENT / 100


def harm(heard: Sequence[Deliveries | None], *, limit_ms: float) -> list[Finding]:
    """Of the plan with slow readers, the last, against that without, where there was one.

    Harm is a p99 of the fast readers that rose by more than ``limit_ms``, or what they lost more of than before.
    """
    after = heard[-1]
    assert after is not None
    p99 = after.latency.percentile_ms(PERCENT)
    found = [
        Finding(name="fast readers' p99", value=p99, unit="ms", text="while others read slowly"),
        Finding(name="fast readers' lost", value=after.lost, unit="deliveries", text="", ok=not after.lost),
        Finding(name="slow readers behind", value=after.slow_behind, unit="deliveries", text="owed to them at the end"),
    ]
    before = heard[0] if len(heard) > 1 else None
    if before is None:
        return found
    alone = before.latency.percentile_ms(PERCENT)
    return [
        _verdict(before, after, limit_ms),
        Finding(name="fast readers' p99 alone", value=alone, unit="ms", text="before the others slowed down"),
        *found,
    ]


def _verdict(before: Deliveries, after: Deliveries, limit_ms: float) -> Finding:
    alone, together = before.latency.percentile_ms(PERCENT), after.latency.percentile_ms(PERCENT)
    lost = after.lost - before.lost
    if alone is None or together is None or before.latency.count < least_count(ABOVE):
        return Finding(name="harm", value=None, unit="ms", text="too few deliveries to tell; a longer duration would")
    delta = round(together - alone, 3)
    slower = after.latency.count_above(round((alone + limit_ms) * 1000))
    within = below(slower, after.latency.count, ABOVE)
    ok = False if lost > 0 else within
    what = f"from {_ms(alone)} to {_ms(together)} ms; {limit_ms:g} ms are allowed"
    lose = f", and they lost {lost:,} deliveries more" if lost > 0 else ""
    verdict = {
        True: "slow consumers do not harm the others",
        False: "slow consumers harm the others",
        None: "it cannot be told from so few whether slow consumers harm the others",
    }[ok]
    return Finding(name="harm", value=delta, unit="ms", text=f"{verdict}: their p99 went {what}{lose}", ok=ok)


def _ms(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits
