"""Bounds of shares whose requests come in users: one user's requests are alike, and count for less than as many others'. Pure.

All arrays have one number a user: how many of his requests there are, and how many of them were so and so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from darktime.split.verdict.exact import lower_limit, student, upper_limit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Counts = NDArray[np.float64]

_MOST_LEVERAGE: Final = 0.99
# So many users with a hit weigh as much as what is assumed of how alike one user's requests are.
_ASSUMED_USERS: Final = 10
_NORMAL: Final = 1e6  # degrees of freedom that are as good as any number


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A figure and its bounds: each errs with its level at the most."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """What each bound may err with: a NO-GO stands on ``low``, a GO on ``high``."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What is known of a share. ``design``: its variance against that of as many independent requests.

    ``users``: how many of equal size would say as much; ``freedom``: so many make up the hits; ``struck``: so many had any.
    """

    share: float
    count: float
    design: float
    users: float
    struck: int
    freedom: float

    def low(self, alpha: float, times: float = 1.0) -> float:
        """The lower bound; with ``times`` as many users of the same kind.

        Exact limits at the effective size: Korn and Graubard, Survey Methodology 24 (1998). That a lower bound has no
        more degrees of freedom than users who make up its hits is ours: one busy user is no evidence against all.
        """
        size = self.count * times / self.design * _shrunk(alpha, self.freedom * times)
        return lower_limit(self.share * size, size, alpha)

    def high(self, alpha: float, times: float = 1.0) -> float:
        """The upper bound; with ``times`` as many users of the same kind."""
        # A variance that few users' hits are all there is of is less sure; where there are none it is assumed.
        told = min(self.users, _ASSUMED_USERS + self.struck) if self.struck else self.users
        size = self.count * times / self.design * _shrunk(alpha, max(told * times - 1, 1.0))
        return upper_limit(self.share * size, size, alpha)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The share of requests that were worse on one side only, less the share that were better."""

    worse: Share
    better: Share
    together: float

    @property
    def value(self) -> float:
        """The difference as it was seen."""
        return self.worse.share - self.better.share

    def low(self, alpha: float, times: float = 1.0) -> float:
        """The lower bound, of both shares' limits: Zou and Donner, Statistics in Medicine 27 (2008)."""
        worse = self.worse.share - self.worse.low(alpha, times)
        better = self.better.high(alpha, times) - self.better.share
        return self.value - _joined(worse, better, self.together)

    def high(self, alpha: float, times: float = 1.0) -> float:
        """The upper bound."""
        worse = self.worse.high(alpha, times) - self.worse.share
        better = self.better.share - self.better.low(alpha, times)
        return self.value + _joined(worse, better, self.together)

    def interval(self, levels: Levels, times: float = 1.0) -> Interval:
        """Both bounds; with ``times`` as many users of the same kind."""
        return Interval(value=self.value, low=self.low(levels.low, times), high=self.high(levels.high, times))


def effective_users(counts: Counts) -> float:
    """How many users of equal size would say as much, were each one's requests all alike (Kish, Survey Sampling, 1965)."""
    squares = float(counts @ counts)
    return float(counts.sum()) ** 2 / squares if squares else 0.0


def residuals(hits: Counts, counts: Counts) -> Counts:
    """By how much each user's hits differ from his part of all, grown by his leverage: the jackknife's, "CR3".

    Bell and McCaffrey, Survey Methodology 28 (2002): plain residuals understate the variance when few users are large.
    """
    total = counts.sum()
    if not total:
        return hits * 0
    grown = 1 - np.minimum(counts / total, _MOST_LEVERAGE)
    made: Counts = (hits - hits.sum() / total * counts) / grown
    return made


def freedom(parts: Counts) -> float:
    """Degrees of freedom of a variance that is the sum of these squares (Satterthwaite 1946): 1 when one user makes it."""
    squares = parts * parts
    fourth = float(squares @ squares)
    return max(1.0, float(squares.sum()) ** 2 / fourth) if fourth else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """The sum of a score over all requests, its variance, and the degrees of freedom of that."""

    total: float
    variance: float
    freedom: float


def sums_of(score: Counts, owner: NDArray[np.intp], counts: Counts, *, spread: float) -> Sum:
    """The sum of a score that each request has. ``owner``: whose it is; ``spread``: what it varies by at least.

    The variance is the larger of two. The jackknife's, over the users who are there: when few large ones make it up, and
    are not there, it is too small just then. And what users of these sizes would come to if all were as alike in
    themselves as they are on average: it knows of large ones by their size, whatever they met with.
    """
    users = len(counts)
    parts = residuals(np.bincount(owner, score, users).astype(float), counts)
    off = score - score.mean()
    sums, squares = np.bincount(owner, off, users), np.bincount(owner, off * off, users)
    several = counts > 1
    products = (sums[several] ** 2 - squares[several]) / (counts[several] - 1)
    each = float(squares.sum()) / len(score)
    alike = float(products.sum()) / float(counts[several].sum()) / each if several.any() and each else 0.0
    design = len(score) + float(counts @ (counts - 1)) * max(alike, 0.0)
    return Sum(
        total=float(score.sum()),
        variance=max(float(parts @ parts), design * max(each, spread)),
        freedom=freedom(parts),
    )


def share_of(hits: Counts, counts: Counts, likeness: float) -> Share:
    """The share of hits among all requests.

    ``likeness``: how alike one user's requests are taken to be (the intraclass correlation) until hits of some ten users
    say it themselves. Without it 5,000 requests of 20 users in which nothing failed would speak for all users.
    """
    count, found = float(counts.sum()), float(hits.sum())
    if not count:
        return Share(share=0.0, count=0.0, design=1.0, users=0.0, struck=0, freedom=1.0)
    share, users = found / count, effective_users(counts)
    parts = residuals(hits, counts)
    simple = share * (1 - share) * count
    seen = float(parts @ parts) / simple if simple > 0 else 1.0
    struck = hits > 0
    design = max(seen, 1 + (count / users - 1) * _alike(hits[struck], counts[struck], share, likeness))
    return Share(
        share=share,
        count=count,
        design=design,
        users=users,
        struck=int(struck.sum()),
        freedom=max(effective_users(hits), 1.0),
    )


def difference_of(worse: Counts, better: Counts, counts: Counts, likeness: float) -> Difference:
    """What is known of the difference of two shares of the same requests."""
    parts = [residuals(hits, counts) for hits in (worse, better)]
    size = math.sqrt(float(parts[0] @ parts[0]) * float(parts[1] @ parts[1]))
    # Only where one user's being worse goes with another's being better, which widens.
    together = min(0.0, float(parts[0] @ parts[1]) / size) if size else 0.0
    return Difference(
        worse=share_of(worse, counts, likeness), better=share_of(better, counts, likeness), together=together
    )


def _alike(hits: Counts, counts: Counts, share: float, likeness: float) -> float:
    """The intraclass correlation, of the users who were hit: how much likelier their other requests are hit as well.

    Their own variance would not do: the hits of many small users say nothing of the few large ones who were not hit yet.
    """
    others = float(counts.sum()) - len(counts)
    again = (float(hits.sum()) - len(hits)) / others if others else likeness
    found = max((again - share) / (1 - share), 0.0) if share < 1 else 0.0
    return (_ASSUMED_USERS * likeness + len(hits) * found) / (_ASSUMED_USERS + len(hits))


def _joined(one: float, other: float, together: float) -> float:
    return math.sqrt(max(one * one + other * other - 2 * together * one * other, 0.0))


def _shrunk(alpha: float, degrees: float) -> float:
    """What part of a size is left where its variance has so few degrees of freedom."""
    return (student(alpha, _NORMAL) / student(alpha, degrees)) ** 2
