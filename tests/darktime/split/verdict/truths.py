"""Splits whose truth is known because it was made so: users who are alike in themselves, and few of whom make most requests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from darktime.blast.wilson import wilson
from darktime.split.verdict.clusters import difference_of
from darktime.split.verdict.looks import levels
from darktime.split.verdict.shares import HALVES, outcome
from darktime.split.verdict.slower import Times, lean

LOOKS = 5
LIKENESS = 0.05
RATIO, SLACK_S = 1.10, 0.005
RUNS = 400


@dataclass
class Rates:
    """Of how many runs ended how, and after how many pairs."""

    runs: int = 0
    go: int = 0
    no_go: int = 0
    pairs: int = 0

    def add(self, ended, pairs):
        self.runs += 1
        self.go += ended < 0
        self.no_go += ended > 0
        self.pairs += pairs if ended else 0

    def of(self, count):
        low, high = wilson(count, self.runs, 1.96)
        return f"{count / self.runs:.1%} ({low:.1%} to {high:.1%})"

    def __str__(self):
        ended = self.go + self.no_go
        after = f", after {self.pairs / ended:,.0f} pairs" if ended else ""
        return f"{self.runs} runs: GO {self.of(self.go)}, NO-GO {self.of(self.no_go)}{after}"


def requests_of(draw, users, least=2, most=500):
    """How many requests each user makes: Pareto's law with index 1.5, so that a tenth of them makes half."""
    return np.minimum(np.ceil(least * (draw.pareto(1.5, users) + 1)), most).astype(int)


def looked(users, judge):
    """The first outcome of the looks at growing data, and at how many pairs; ``judge(users, look)``."""
    for look in range(1, LOOKS + 1):
        ended, pairs = judge(users * look // LOOKS, look)
        if ended:
            return ended, pairs
    return 0, 0


# --- errors


def alike(correlation):
    """Each user has a rate of his own, drawn from a Beta distribution with this intraclass correlation."""

    def rates(draw, users, mean):
        spread = 1 / correlation - 1
        return draw.beta(mean * spread, (1 - mean) * spread, users) if mean else np.zeros(users)

    return rates


def a_kind(share):
    """Only this share of the users fails at all."""

    def rates(draw, users, mean):
        return np.where(draw.random(users) < share, min(mean / share, 1.0), 0.0)

    return rates


def errors(truth, kind, *, users, margin, base=0.0, runs=RUNS, likeness=LIKENESS, seed=0):
    """Runs in which dark fails ``truth`` more often than production, which fails ``base`` itself."""
    draw, seen = np.random.default_rng(seed), Rates()
    for _ in range(runs):
        counts = requests_of(draw, users)
        worse = draw.binomial(counts, kind(draw, users, truth + base))
        better = draw.binomial(counts - worse, alike(0.01)(draw, users, base))
        columns = [values.astype(float) for values in (worse, better, counts)]

        def judge(some, look, columns=columns):
            difference = difference_of(*(values[:some] for values in columns), likeness)
            return outcome(difference, levels(0.95, look, HALVES), margin), columns[2][:some].sum()

        seen.add(*looked(users, judge))
    return seen


# --- latency


def as_production(draw, production, owner, users):
    """Dark's times follow production's, each user's by a factor of his own."""
    return production * draw.lognormal(0, 0.2, users)[owner] * draw.lognormal(0, 0.15, len(owner))


def with_a_tail(draw, production, owner, users):
    """Dark has a tail that production has not: one request in 17 takes about twice as long."""
    slow = np.where(draw.random(len(owner)) < 0.06, 1 + draw.exponential(1.0, len(owner)), 1)
    return production * draw.lognormal(0, 0.05, len(owner)) * slow


def the_same(draw, production, owner, users):
    """Dark's times are production's, nearly."""
    return production * draw.lognormal(0, 0.02, len(owner))


def on_its_own(draw, production, owner, users):
    """Dark's times have nothing to do with production's of the same request."""
    return 0.02 * draw.lognormal(0, 0.56, len(owner))


def even(draw, production, owner, users):
    """Dark takes nearly the same for everybody, production does not: their densities differ as much as they can."""
    return 0.02 * draw.lognormal(0, 0.05, len(owner))


def bad_for_some(draw, production, owner, users):
    """Dark is slow for 6 % of the users and for nobody else: whether the p95 shows it hangs on how busy these are."""
    slow = 0.03 + draw.exponential(0.1, len(owner))
    return np.where((draw.random(users) < 0.06)[owner], slow, 0.02 * draw.lognormal(0, 0.1, len(owner)))


KINDS = {one.__name__: one for one in (as_production, with_a_tail, the_same, on_its_own, even, bad_for_some)}
# What becomes of production's p95, in seconds; "half" and "twice" are of the margin.
TRUTHS = {
    "no harm": lambda p95: p95 + 0.0003,
    "half": lambda p95: p95 * (1 + (RATIO - 1) / 2) + SLACK_S / 2,
    "margin": lambda p95: p95 * RATIO + SLACK_S,
    "twice": lambda p95: p95 * (1 + (RATIO - 1) * 2) + SLACK_S * 2,
}


def times(draw, counts, kind):
    owner = np.repeat(np.arange(len(counts)), counts)
    production = 0.02 * draw.lognormal(0, 0.4, len(counts))[owner] * draw.lognormal(0, 0.4, len(owner))
    return production, kind(draw, production, owner, len(counts)), owner


def factor(kind, truth):
    """By which dark's times are multiplied so that its p95 is what the truth makes of production's: of many users."""
    production, dark, _ = times(np.random.default_rng(99), np.full(200_000, 4), KINDS[kind])
    return TRUTHS[truth](np.quantile(production, 0.95)) / np.quantile(dark, 0.95)


def clock(draw, seconds):
    """As nginx measures: the difference of two readings of a clock that ticks in milliseconds."""
    phase = draw.random(len(seconds))
    return np.floor(seconds * 1000 + phase) / 1000


def signs(production, dark, owner, at):
    """The verdict's own way."""
    return lean(Times.of(production, dark, owner), ratio=RATIO, slack_s=SLACK_S).sign(at)


def bootstrap(production, dark, owner, at):
    """What the verdict does not do any more: percentiles of the excess over users drawn again."""
    draw, resamples = np.random.default_rng(1), 400
    users = int(owner.max()) + 1
    orders = [np.argsort(values) for values in (dark, production)]
    found = np.empty(resamples)
    for number in range(resamples):
        weights = np.bincount(draw.integers(0, users, users), minlength=users).astype(float)
        p95 = []
        for values, order in zip((dark, production), orders, strict=True):
            reached = weights[owner[order]].cumsum()
            p95.append(values[order][min(int(reached.searchsorted(0.95 * reached[-1])), len(values) - 1)])
        found[number] = p95[0] - RATIO * p95[1] - SLACK_S
    low, high = np.quantile(found, [at.low, 1 - at.high])
    return 1 if low > 0 else -1 if high < 0 else 0


def latency(truth, kind, *, users, runs=RUNS, endpoints=1, judge_by=signs, seed=0):
    """Runs in which dark's p95 is what the truth makes of production's."""
    draw, seen, by = np.random.default_rng(seed), Rates(), factor(kind, truth)
    for _ in range(runs):
        production, dark, owner = times(draw, requests_of(draw, users), KINDS[kind])
        columns = clock(draw, production), dark * by

        def judge(some, look, columns=columns, owner=owner):
            rows = owner < some
            at = levels(0.95, look, endpoints)
            return judge_by(columns[0][rows], columns[1][rows], owner[rows], at), int(rows.sum())

        seen.add(*looked(users, judge))
    return seen
