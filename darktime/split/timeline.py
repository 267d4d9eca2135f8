"""Both sides' times over a run, in at most so many intervals however long it was. Pure."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from darktime.split.results import percentiles_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from darktime.split.compare import Pair

MOST_INTERVALS: Final = 120
_LEAST_PAIRS: Final = 10  # an interval, on the average
_LEAST_INTERVALS: Final = 10
_STEPS_S: Final = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400)
_SHARES: Final = (50, 99)


def step_for(span_s: float, *, least_s: float = 0.0) -> float:
    """The shortest round interval, in seconds, of which ``MOST_INTERVALS`` reach over the span; not below ``least_s``."""
    fitting = (step for step in _STEPS_S if step >= least_s and span_s < step * MOST_INTERVALS)
    return next(fitting, max(span_s / (MOST_INTERVALS - 1), least_s))


def least_step(span_s: float, count: int) -> float:
    """An interval, in seconds, in which ten of so many things fall on the average; a tenth of the span at the most."""
    return span_s * min(_LEAST_PAIRS / max(count, 1), 1 / _LEAST_INTERVALS)


def timeline(pairs: Sequence[Pair], *, began: float) -> dict[str, Any]:
    """``step_s`` and a row an interval in which a pair began: ``t`` seconds after ``began``, p50 and p99 of each side in ms.

    ``began``: seconds UTC; what began before it counts to the first interval.
    """
    times = [max(pair.at - began, 0.0) for pair in pairs]
    span_s = max(times, default=0.0)
    step_s = step_for(span_s, least_s=max(1.0, least_step(span_s, len(times))))
    placed = sorted(zip((int(at / step_s) for at in times), range(len(pairs)), strict=True))
    rows: list[dict[str, Any]] = []
    for place, some in groupby(placed, key=lambda one: one[0]):
        here = [pairs[number] for _, number in some]
        rows.append(
            {
                "t": round(place * step_s, 3),
                "pairs": len(here),
                **spread("production", [pair.production.seconds for pair in here]),
                **spread("dark", [pair.dark.seconds for pair in here]),
            }
        )
    return {"step_s": step_s, "rows": rows}


def spread(name: str, seconds: Sequence[float]) -> dict[str, float | None]:
    """``NAME_p50_ms`` and ``NAME_p99_ms`` of some times, to the microsecond; None of none."""
    figures = percentiles_ms(seconds)
    return {f"{name}_p{share}_ms": _rounded(figures[f"p{share}_ms"]) for share in _SHARES}


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else round(figure, 3)
