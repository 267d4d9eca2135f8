"""Turns the probes of a run into its answer: the interval, what was the limit, the sentence and the exit code. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from darktime.blast.health import HEALTHY
from darktime.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from darktime.blast.result import Probe
    from darktime.blast.slo import Slo


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """``limit``: "instance", "generator" or "not reached"; no capacity is given where the generator was the limit."""

    highest_pass_per_s: float | None
    lowest_fail_per_s: float | None
    limit: str
    sentence: str
    exit_code: ExitCode


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """What a search, or the one rate that was asked for, has shown. ``maximum_per_s``.

    The highest that could be tried.
    """

    highest_pass_per_s: float | None
    lowest_fail_per_s: float | None
    maximum_per_s: float | None = None
    budget_spent: bool = False
    searched: bool = False


def conclude(
    probes: Sequence[Probe], interval: Interval, slo: Slo, *, unit: str, interrupted: bool = False
) -> Conclusion:
    """The answer of a run; ``unit`` is what its rates count ("requests", "publishes")."""
    if interrupted:
        found = (
            _passed(interval.highest_pass_per_s, unit, slo) if interval.highest_pass_per_s else "Nothing is concluded"
        )
        return _conclusion(interval, "not reached", f"Interrupted. {found}.", ExitCode.INTERRUPTED)
    last = probes[-1]
    if last.health != HEALTHY:
        held = interval.highest_pass_per_s
        beyond = f" The instance held {held:,.0f} {unit}/s; its limit lies beyond." if held else ""
        sentence = f"No capacity is given: at {last.rate_per_s:,.0f} {unit}/s this run was {last.health}.{beyond}"
        nothing = Interval(highest_pass_per_s=None, lowest_fail_per_s=None)
        return _conclusion(nothing, "generator", sentence, ExitCode.INVALID)
    highest, lowest = interval.highest_pass_per_s, interval.lowest_fail_per_s
    if highest is None:
        tried = lowest if lowest is not None else last.rate_per_s
        failed = next((probe for probe in reversed(probes) if not probe.passed), last)
        sentence = f"The instance did not hold {tried:,.0f} {unit}/s ({slo}): {failed.why}."
        return _conclusion(interval, "instance", sentence, ExitCode.FAILED)
    if lowest is not None:
        why = next((probe.why for probe in reversed(probes) if not probe.passed and probe.rate_per_s >= lowest - 1), "")
        sentence = f"{_passed(highest, unit, slo)} and failed at {lowest:,.0f}: {why}. The instance is the limit."
        if interval.budget_spent:
            sentence += " The time was spent before the interval was narrower: a longer --duration helps."
        return _conclusion(interval, "instance", sentence, ExitCode.OK)
    if interval.maximum_per_s is not None and highest >= interval.maximum_per_s:
        sentence = f"{_passed(highest, unit, slo)}: held at the highest rate tried. Its limit was not reached."
    elif interval.searched:
        sentence = (
            f"{_passed(highest, unit, slo)}; the time was spent before it failed. A longer --duration finds the limit."
        )
    else:
        sentence = f"{_passed(highest, unit, slo)}."
    return _conclusion(interval, "not reached", sentence, ExitCode.OK)


def _passed(rate_per_s: float, unit: str, slo: Slo) -> str:
    return f"The instance held {rate_per_s:,.0f} {unit}/s ({slo})"


def _conclusion(interval: Interval, limit: str, sentence: str, code: ExitCode) -> Conclusion:
    return Conclusion(
        highest_pass_per_s=interval.highest_pass_per_s,
        lowest_fail_per_s=interval.lowest_fail_per_s,
        limit=limit,
        sentence=sentence,
        exit_code=code,
    )
