"""Whether the split harms those whose requests it copies: their times and errors at production against the control group's.

Pure. Users were dealt into buckets by a hash, and buckets into the two groups: if copying did nothing, any other dealing
of the same buckets would look alike. A permutation test (Fisher, 1935) over whole buckets asks how many look as bad; it is
exact for any number of them, and one busy user does not count as many. Looks are repeated: the k-th may err with a share
of alpha / (k (k + 1)), all of them together with alpha.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from darktime.split.population import LONGEST_STEP, Population, ms_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from darktime.split.population import Bucket

ALPHA: Final = 0.05
# What is slower by less harms nobody: a part of the time, and what the clock and the scale cannot tell.
SLOWER: Final = 1.25
SLACK_MS: Final = 5.0
MORE_ERRORS: Final = 0.002
# Fewer say nothing, of buckets a group and of requests a group.
LEAST_BUCKETS: Final = 3
LEAST_REQUESTS: Final = 200
# A look is worth it when so much more has come.
GROWTH: Final = 2.0
_DEALINGS: Final = 20_000
_MOST_DEALINGS: Final = 400_000
# So many dealings as bad as what happened must be possible below the limit, or nothing can be told from none.
_MARGIN: Final = 4
_TAIL: Final = 0.05
_QUIET: Final = "their requests took as long, and failed as often, as the control group's"


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """One look. ``harmed`` is None where too little has come to tell; ``sentence`` says what was seen."""

    harmed: bool | None
    sentence: str
    figures: dict[str, Any]


class Watch:
    """Looks as often as is worth it, at what has come since ``begin``."""

    def __init__(self) -> None:
        self._before: Population | None = None
        self._looks = 0
        self._seen = 0

    def begin(self, now: Population) -> None:
        """From here on: another percentage is another comparison. What was spent on looks stays spent."""
        self._before, self._seen = now.since(Population()), 0  # a copy: it grows on

    def look(self, now: Population) -> Harm | None:
        """What is to be seen; None when too little more has come for another look."""
        came = now if self._before is None else now.since(self._before)
        copied = sum(bucket.requests for bucket in came.copied.values())
        others = sum(bucket.requests for bucket in came.others.values())
        if min(copied, others) < max(LEAST_REQUESTS, GROWTH * self._seen):
            return None
        self._seen = min(copied, others)
        self._looks += 1
        return look(came, alpha=ALPHA / (self._looks * (self._looks + 1)))


def look(came: Population, *, alpha: float) -> Harm:
    """Compare the two groups once; it may err with a chance of ``alpha``."""
    copied, others = _alive(came.copied), _alive(came.others)
    requests = [sum(bucket.requests for bucket in some) for some in (copied, others)]
    figures: dict[str, Any] = {"copied": _figures(copied), "others": _figures(others)}
    if min(len(copied), len(others)) < LEAST_BUCKETS or min(requests) < LEAST_REQUESTS:
        few = f"{requests[0]:,} requests of {len(copied)} buckets, and {requests[1]:,} of {len(others)} in the control group"
        return Harm(harmed=None, sentence=f"{few}, are too few to see harm", figures=figures)
    worse = []
    share = alpha / 3  # of times twice, and of errors
    if _MARGIN / _possible(len(copied), len(others)) > share:
        few = f"{len(copied)} buckets, and {len(others)} in the control group,"
        return Harm(harmed=None, sentence=f"{few} are too few to see harm by now", figures=figures)
    for what, words in (("took", "until nginx was through"), ("up", "at production")):
        low, high = figures["others"][f"{what}_p95_ms"], figures["copied"][f"{what}_p95_ms"]
        if low is None or high is None or high <= SLOWER * low + SLACK_MS:
            continue
        steps = [[getattr(bucket, what) for bucket in some] for some in (copied, others)]
        slow = _beyond(steps[0], steps[1])
        if _chance(slow[0], slow[1], share) < share:
            worse.append(f"p95 {words} {high:,.0f} ms against {low:,.0f} ms")
    rates = [
        sum(bucket.errors for bucket in some) / count for some, count in zip((copied, others), requests, strict=True)
    ]
    if rates[0] > rates[1] + MORE_ERRORS:
        counts = [[(bucket.errors, bucket.requests) for bucket in some] for some in (copied, others)]
        if _chance(counts[0], counts[1], share) < share:
            worse.append(f"{rates[0]:.2%} errors against {rates[1]:.2%}")
    who = f"Users whose requests are copied ({requests[0]:,} requests, {requests[1]:,} of the control group)"
    if worse:
        return Harm(harmed=True, sentence=f"{who} are served worse by production: {'; '.join(worse)}", figures=figures)
    return Harm(harmed=False, sentence=f"{who} are not harmed: {_QUIET}", figures=figures)


def _alive(buckets: Mapping[str, Bucket]) -> list[Bucket]:
    return [bucket for _, bucket in sorted(buckets.items()) if bucket.requests > 0]


def _figures(buckets: Sequence[Bucket]) -> dict[str, Any]:
    requests = sum(bucket.requests for bucket in buckets)
    return {
        "buckets": len(buckets),
        "requests": requests,
        "errors": sum(bucket.errors for bucket in buckets),
        "took_p95_ms": _p95_ms([bucket.took for bucket in buckets]),
        "up_p95_ms": _p95_ms([bucket.up for bucket in buckets]),
    }


def _p95_ms(scales: Sequence[Mapping[int, int]]) -> float | None:
    step = _tail_step(scales)
    return None if step is None else round(ms_of(step), 1)


def _tail_step(scales: Sequence[Mapping[int, int]]) -> int | None:
    """The step of the 95th percentile; None of nothing."""
    counts = [0] * (LONGEST_STEP + 1)
    for scale in scales:
        for step, count in scale.items():
            counts[step] += count
    left = (1 - _TAIL) * sum(counts)
    for step, count in enumerate(counts):
        left -= count
        if left <= 0 and count:
            return step
    return None


def _beyond(
    copied: Sequence[Mapping[int, int]], others: Sequence[Mapping[int, int]]
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Of each bucket: how many took longer than 95 % of the control group, and how many there were."""
    limit = _tail_step(others)
    assert limit is not None
    copied_, others_ = (
        [(sum(count for step, count in scale.items() if step > limit), sum(scale.values())) for scale in some]
        for some in (copied, others)
    )
    return copied_, others_


def _possible(copied: int, others: int) -> float:
    """How many dealings there are, of those that are drawn at the most."""
    return min(math.comb(copied + others, copied), _MOST_DEALINGS)


def _chance(copied: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]], share: float) -> float:
    """How often another dealing of the same buckets has as large a share of hits among the copied, or a larger one.

    Each bucket is (hits, requests). Of so many dealings as it takes to tell ``share``, the one that happened among them.
    """
    dealings = round(min(max(_DEALINGS, 2 * _MARGIN / share), _MOST_DEALINGS))
    import numpy as np  # noqa: PLC0415 - the agent of a production host must not pay for it

    some = [[one for one in group if one[1]] for group in (copied, others)]
    hits, requests = np.array([*some[0], *some[1]], dtype=np.float64).T
    size = len(some[0])
    seen = _excess(hits[:size].sum(), requests[:size].sum(), hits.sum(), requests.sum())
    draw = np.random.default_rng(1)
    as_bad = 0
    block = max(1, min(dealings, 2_000_000 // len(hits)))
    for begin in range(0, dealings, block):
        many = min(block, dealings - begin)
        dealt = np.argpartition(draw.random((many, len(hits))), size - 1, axis=1)[:, :size]
        found = _excess(hits[dealt].sum(axis=1), requests[dealt].sum(axis=1), hits.sum(), requests.sum())
        as_bad += int(np.count_nonzero(found >= seen - 1e-12))
    return (1 + as_bad) / (1 + dealings)


def _excess(
    hits: NDArray[np.float64] | np.float64,
    requests: NDArray[np.float64] | np.float64,
    all_hits: float,
    all_requests: float,
) -> NDArray[np.float64] | np.float64:
    """The share of hits in a group above that of the rest."""
    return hits / requests - (all_hits - hits) / (all_requests - requests)
