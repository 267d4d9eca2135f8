"""A replay over time and by percentile, as its results keep them, bounded however long it was. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from darktime.split.timeline import least_step, spread, step_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from darktime.split.record.differences import Outcome
    from darktime.split.record.lines import Answer, Recorded

# The rare ones as closely as the frequent; the last is the longest.
PERCENTS: Final = (0, 10, 25, 50, 75, 90, 95, 97.5, 99, 99.5, 99.9, 99.95, 99.99, 99.999, 100)
_SERIES: Final = ("behind", "recorded", "replayed")
_ALL: Final = 100


def course(
    requests: Sequence[Recorded],
    answers: Mapping[str, Answer],
    outcomes: Sequence[Outcome | None],
    *,
    planned_s: Sequence[float],
    sent_s: Sequence[float | None],
) -> dict[str, Any]:
    """``step_s`` and a row an interval of the plan: how many were due, how many were sent in it, how late, how long answers took.

    ``planned_s`` and ``sent_s``: seconds after the first; None: never sent. ``behind``: from planned to sent. ``recorded``:
    production's own time; ``replayed``: from the planned time; in ms. A row's times are those of what was due in it.
    """
    span_s = max((*planned_s, *(at for at in sent_s if at is not None)), default=0.0)
    step_s = step_for(span_s, least_s=least_step(span_s, len(requests)))
    rows: dict[int, dict[str, int]] = {}
    times: dict[int, dict[str, list[float]]] = {}

    def row(at: float) -> int:
        place = int(at / step_s)
        rows.setdefault(place, {"due": 0, "sent": 0, "unanswered": 0})
        times.setdefault(place, {name: [] for name in _SERIES})
        return place

    for request, outcome, due, sent in zip(requests, outcomes, planned_s, sent_s, strict=True):
        place = row(due)
        rows[place]["due"] += 1
        if sent is not None:
            rows[row(sent)]["sent"] += 1
        answer = answers.get(request.id)
        if answer is not None and answer.seconds is not None:
            times[place]["recorded"].append(answer.seconds)
        if sent is not None and outcome is not None:
            times[place]["behind"].append(max(outcome.latency_s - outcome.service_s, 0.0))
        if outcome is not None and outcome.status:
            times[place]["replayed"].append(outcome.latency_s)
        else:
            rows[place]["unanswered"] += 1
    return {
        "step_s": step_s,
        "rows": [
            {
                "t": round(place * step_s, 3),
                **rows[place],
                **{key: value for name in _SERIES for key, value in spread(name, times[place][name]).items()},
            }
            for place in sorted(rows)
        ],
    }


def can_tell(percent: float, count: int) -> bool:
    """Whether at least one of so many times lies beyond the percentile."""
    return round(count * (_ALL - percent), 6) >= _ALL


def spectrum(seconds: Iterable[float]) -> list[list[float]]:
    """Pairs of a percentile and a time in ms; as far as so many times can tell one."""
    ordered = sorted(seconds)
    told = [percent for percent in PERCENTS if ordered and (percent in {50, _ALL} or can_tell(percent, len(ordered)))]
    return [
        [percent, round(ordered[min(int(len(ordered) * percent / _ALL), len(ordered) - 1)] * 1000, 3)]
        for percent in told
    ]
