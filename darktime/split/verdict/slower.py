"""Whether one side's 95th percentile is above the other's, of pairs that come in users; and by how much. Pure.

Two percentiles are equal where as many of one side's times lie above their common 95th percentile as of the other's: McNemar's
question again, asked of "slower than that". It is counted in the same pairs, user by user, so it needs no bootstrap, any level
can be had, and few users show in its variance. docs/adr/0023 has what was measured against a bootstrap of users.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from darktime.split.verdict.apart import WAYS, Above, apart
from darktime.split.verdict.clusters import Interval, sums_of
from darktime.split.verdict.exact import student
from darktime.split.verdict.needs import times_until
from darktime.split.verdict.spells import UNSEEN, between, stretches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from darktime.split.verdict.clusters import Levels

    Numbers = NDArray[np.float64]

SHARE: Final = 0.95
_RARE: Final = 1 - SHARE
TICK_S: Final = 0.001  # of nginx's clock
_FLOAT: Final = 1e-6
_MOST_BEND: Final = 0.9
_BISECTIONS: Final = 20
_DOUBLINGS: Final = 40


@dataclass(frozen=True, slots=True)
class Times:
    """Both sides' seconds, pair by pair, and whose each pair is: the number of a user, from 0. Production comes first."""

    production: Numbers
    dark: Numbers
    owner: NDArray[np.intp]
    counts: Numbers
    tops: tuple[Numbers, Numbers]  # the largest tenth of each, sorted: their common 95th percentile is among them
    widths: tuple[float, float]  # of each around its own
    p95s: tuple[float, float]
    stretch: NDArray[np.intp] | None = None  # of time, in which each pair began

    @classmethod
    def of(cls, production: Numbers, dark: Numbers, owner: NDArray[np.intp], *, at: Numbers | None = None) -> Times:
        """Times of at least two pairs. Whole milliseconds are spread over their tick, the same way each time.

        ``at``: when each began, in seconds; without it all are taken to have begun at times of their own.
        """
        draw = np.random.default_rng(1)
        production, dark = _untied(production, draw), _untied(dark, draw)
        ordered = np.sort(production), np.sort(dark)
        top = len(production) - _above(len(production)) - 1
        return cls(
            production=production,
            dark=dark,
            owner=owner,
            counts=np.bincount(owner).astype(float),
            tops=(ordered[0][top:], ordered[1][top:]),
            widths=(_width(ordered[0]), _width(ordered[1])),
            p95s=(p95(production), p95(dark)),
            stretch=None if at is None else stretches(at),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lean:
    """How much more often dark is above the common percentile than production: its share, its error, degrees of freedom.

    ``spells``: the same error and degrees of freedom by stretches of time, where they are known. ``sides`` gives what of
    production and of dark lies above times between their own percentiles; it is asked only where that matters.
    """

    value: float
    error: float
    freedom: float
    sides: Callable[[], Iterator[tuple[Above, Above]]]
    spells: tuple[float, float] | None = None

    def reach(self, level: float) -> float:
        """How far from the value the truth may be, to either side, with that chance of being further."""
        by_user = student(level, self.freedom) * self.error
        if self.spells is None:
            return by_user
        error, freedom = self.spells
        return max(by_user, student(level, freedom) * error)

    def sign(self, levels: Levels) -> int:
        """1: above, -1: below, 0: cannot be told. Either errs with its level at the most.

        Where the slowest of both sides do not tell, sides that lie far apart do.
        """
        if self.value < 0:
            told = -1 if self.value + self.reach(levels.high) < 0 else 0
        else:
            told = 1 if self.value - self.reach(levels.low) > 0 else 0
        return told or apart(self.sides(), _RARE, levels)

    def times_needed(self, levels: Levels) -> float:
        """How many times as many users of the same kind would tell; infinite where nothing leans either way."""
        level = levels.high if self.value < 0 else levels.low
        slowest = (self.reach(level) / self.value) ** 2 if self.value else math.inf
        sides = list(self.sides())
        return min(slowest, times_until(lambda times: apart(sides, _RARE, levels, times) != 0))


def p95(values: Numbers) -> float:
    """The 95th percentile."""
    return float(np.quantile(values, SHARE))


def lean(times: Times, *, ratio: float, slack_s: float) -> Lean:
    """How dark's p95 leans against ``ratio`` times production's + ``slack_s``."""
    dark = (times.dark - slack_s) / ratio
    count = len(dark)
    above = _above(count)
    top = np.sort(np.concatenate((times.tops[0], (times.tops[1] - slack_s) / ratio)))
    common = (top[-above] + top[-above - 1]) / 2
    # Of what lies on it only so large a part counts as above that there is as much above as there has to be.
    on = (dark == common).sum() + (times.production == common).sum()
    part = (above - (top > common).sum()) / on if on else 0.0
    slow, other = ((values > common) + part * (values == common) for values in (dark, times.production))
    # The common percentile is itself a guess from these pairs: where one side is denser there, its error does not cancel.
    bend = _bend(times.widths[0], times.widths[1] / ratio)
    score = (1 + bend) * slow - (1 - bend) * other - bend * above / count
    sums = sums_of(score, times.owner, times.counts, spread=_spread(slow, other, bend, above / count / 2))
    return Lean(
        value=sums.total / count,
        error=math.sqrt(sums.variance + UNSEEN) / count,
        freedom=sums.freedom,
        sides=lambda: _sides(times, dark, (times.p95s[1] - slack_s) / ratio),
        spells=None if times.stretch is None else between(score, times.stretch),
    )


def excess(times: Times, levels: Levels, *, ratio: float, slack_s: float) -> Interval:
    """By how many seconds dark's p95 is above ``ratio`` times production's + ``slack_s``.

    The bounds are where ``lean`` turns; infinite where no number of seconds would make it turn.
    """
    value = p95(times.dark) - ratio * p95(times.production) - slack_s

    def turns(seconds: float, sign: int) -> bool:
        return lean(times, ratio=ratio, slack_s=slack_s + seconds).sign(levels) == sign

    # From 0 outwards, so that the bounds say the same as ``lean`` does at the margin itself.
    start = max(abs(value), TICK_S)
    return Interval(
        value=value,
        low=-_boundary(lambda seconds: turns(-seconds, 1), start),
        high=_boundary(lambda seconds: turns(seconds, -1), start),
    )


def _sides(times: Times, dark: Numbers, dark_p95: float) -> Iterator[tuple[Above, Above]]:
    """What of both sides lies above times between their percentiles. ``dark``: its times as production would have them."""
    fast, slow = sorted((times.p95s[0], dark_p95))
    for way in WAYS:
        between_them = fast + way * (slow - fast)
        production, other = (
            Above.of(values, between_them, times.owner, times.counts, times.stretch)
            for values in (times.production, dark)
        )
        yield production, other


def _boundary(turned: Callable[[float], bool], start: float) -> float:
    """The smallest number for which it has turned: it has not below, and has above."""
    here = turned(0.0)
    inside, outside = 0.0, start
    for _ in range(_DOUBLINGS):
        if turned(-outside if here else outside) != here:
            break
        inside, outside = outside, outside * 2
    else:
        return -math.inf if here else math.inf
    for _ in range(_BISECTIONS):
        middle = (inside + outside) / 2
        if turned(-middle if here else middle) == here:
            inside = middle
        else:
            outside = middle
    return -inside if here else outside


def _above(count: int) -> int:
    """How many of both sides' times lie above their common percentile."""
    return max(1, round(2 * (1 - SHARE) * count))


def _untied(values: Numbers, draw: np.random.Generator) -> Numbers:
    ticks = values / TICK_S
    if np.abs(ticks - np.round(ticks)).max() > _FLOAT:
        return values
    spread: Numbers = values + draw.uniform(-TICK_S / 2, TICK_S / 2, len(values))
    return spread


def _width(ordered: Numbers) -> float:
    """How far apart the values around the percentile are: the narrower, the denser."""
    near = min(max(2 * math.sqrt(SHARE * (1 - SHARE) / len(ordered)), 0.005), 0.04)
    ends = np.interp([SHARE - near, SHARE + near], np.linspace(0, 1, len(ordered)), ordered)
    return float(ends[1] - ends[0])


def _bend(production: float, dark: float) -> float:
    """How unequal two densities are, from their widths: -1 to 1."""
    both = production + dark
    return min(max((dark - production) / both, -_MOST_BEND), _MOST_BEND) if both > 0 else 0.0


def _spread(slow: Numbers, other: Numbers, bend: float, share: float) -> float:
    """The variance of one pair's score if both sides are above as often as each other, in that share of the pairs.

    Where one side was seen above less often than that, what was seen of it varies less too, and would be believed too much.
    """
    seen = float(slow.mean()), float(other.mean())
    size = math.sqrt(seen[0] * (1 - seen[0]) * seen[1] * (1 - seen[1]))
    together = max(float((slow * other).mean() - seen[0] * seen[1]) / size, 0.0) if size else 0.0
    return share * (1 - share) * ((1 + bend) ** 2 + (1 - bend) ** 2 - 2 * (1 - bend * bend) * together)
