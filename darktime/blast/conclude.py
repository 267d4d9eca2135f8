"""Turns the probes of a run into its answer: the interval, what was the limit, the sentence and the exit code. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from darktime.blast.health import HEALTHY
from darktime.blast.interval import Interval
from darktime.blast.result import FAIL, GENERATOR, UNDECIDED
from darktime.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from darktime.blast.result import Probe
    from darktime.blast.scenario import Finding
    from darktime.blast.slo import Slo

__all__ = ["Conclusion", "Interval", "conclude", "with_findings"]

# Beyond this share of what the generator reaches against a server that does nothing, its own limit is too near for a
# failure to be the instance's without further evidence.
CEILING_SHARE = 0.7
_REMEDY = "Use more processes (--processes) or another machine."
INSTANCE, NOT_REACHED, UNKNOWN = "instance", "not reached", "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """The answer. No capacity is given where the generator was the limit.

    ``limit``: "instance", "generator", "not reached", or "unknown" where the data contradicts itself or does not
    suffice.
    """

    highest_pass_per_s: float | None
    lowest_fail_per_s: float | None
    limit: str
    sentence: str
    exit_code: ExitCode


def conclude(
    probes: Sequence[Probe],
    interval: Interval,
    slo: Slo,
    *,
    unit: str,
    interrupted: bool = False,
    ceiling_per_s: float | None = None,
    inconclusive: str | None = None,
) -> Conclusion:
    """The answer of a run; ``unit`` is what its rates count ("requests", "publishes").

    ``ceiling_per_s``: what this generator reached against a server that does nothing. ``inconclusive``: "pass" or
    "fail" make exit code 5 a 0 or a 3. Raises ValueError for another word there.
    """
    if inconclusive not in {None, "pass", "fail"}:
        raise ValueError(f"inconclusive {inconclusive!r}: pass or fail")
    unsure = {None: ExitCode.WAIT, "pass": ExitCode.OK, "fail": ExitCode.FAILED}[inconclusive]
    highest, lowest = interval.highest_pass_per_s, interval.lowest_fail_per_s
    if interrupted:
        found = _passed(highest, unit, slo) if highest else "Nothing is concluded"
        return _conclusion(interval, NOT_REACHED, f"Interrupted. {found}.", ExitCode.INTERRUPTED)
    if not probes:
        why = "no rate was tried to its end"
        if interval.budget_spent:
            why = f"the first rate alone takes {interval.next_s:g} s to be judged by; give it a longer --duration"
        return _conclusion(interval, UNKNOWN, f"Inconclusive: {why}.", unsure)
    if _generator_bound(probes, interval):
        return _no_capacity(probes)
    if interval.noise:
        sentence = (
            f"Inconclusive: {interval.noise}. Try when nothing else uses this machine or the instance, or longer."
        )
        return _conclusion(_NOTHING, UNKNOWN, sentence, unsure)
    failed = _failed_probe(probes, lowest)
    if highest is None:
        return _not_held(failed, interval, slo, unit, unsure)
    if lowest is not None:
        return _between(probes, failed, interval, slo, unit, ceiling_per_s=ceiling_per_s)
    return _held(highest, interval, slo, unit)


def _held(highest: float, interval: Interval, slo: Slo, unit: str) -> Conclusion:
    """Nothing failed."""
    if interval.maximum_per_s is not None and highest >= interval.maximum_per_s:
        sentence = f"{_passed(highest, unit, slo)}: held at the highest rate tried. Its limit was not reached."
    elif interval.searched:
        sentence = (
            f"{_passed(highest, unit, slo)}; the time was spent before it failed. A longer --duration finds the limit."
        )
    else:
        sentence = f"{_passed(highest, unit, slo)}."
    return _conclusion(interval, NOT_REACHED, sentence, ExitCode.OK)


def with_findings(conclusion: Conclusion, findings: Sequence[Finding]) -> Conclusion:
    """A promise of the scenario that was not kept is an answer of no, like a threshold; where the run stands as one."""
    failed = [finding for finding in findings if finding.failed]
    if not failed or conclusion.exit_code not in {ExitCode.OK, ExitCode.WAIT, ExitCode.FAILED}:
        return conclusion
    told = ", ".join(_told(finding) for finding in failed)
    return replace(
        conclusion, sentence=f"{conclusion.sentence} Not as it should be: {told}.", exit_code=ExitCode.FAILED
    )


def _told(finding: Finding) -> str:
    return finding.name if finding.value is None else f"{finding.name} ({finding.value:,.6g} {finding.unit})"


def _not_held(failed: Probe, interval: Interval, slo: Slo, unit: str, unsure: ExitCode) -> Conclusion:
    """Nothing passed."""
    lowest = interval.lowest_fail_per_s
    if failed.outcome == UNDECIDED:
        sentence = f"Inconclusive at {failed.rate_per_s:,.0f} {unit}/s ({slo}): {failed.why}. Measure longer."
        return _conclusion(_NOTHING, UNKNOWN, sentence, unsure)
    tried = lowest if lowest is not None else failed.rate_per_s
    sentence = f"The instance did not hold {tried:,.0f} {unit}/s ({slo}): {failed.why}."
    return _conclusion(interval, INSTANCE, sentence, ExitCode.FAILED)


def _between(
    probes: Sequence[Probe], failed: Probe, interval: Interval, slo: Slo, unit: str, *, ceiling_per_s: float | None
) -> Conclusion:
    """A pass and a failure are known: the capacity, unless the generator's own ceiling is too near to tell."""
    highest, lowest = interval.highest_pass_per_s, interval.lowest_fail_per_s
    assert highest is not None
    assert lowest is not None
    near = ceiling_per_s is not None and highest > CEILING_SHARE * ceiling_per_s
    if near and not failed.clear:
        sentence = (
            f"No capacity is given: the search came beyond {CEILING_SHARE:.0%} of what this generator reaches against a "
            f"server that does nothing, and was {failed.cpu_share:.0%} busy where it failed: the instance may hold more "
            f"than it can show. {_REMEDY}"
        )
        return _conclusion(_NOTHING, GENERATOR, sentence, ExitCode.INVALID)
    held = f"The instance held {highest:,.0f} {unit}/s"
    ends = f"{held} ({slo}{', confirmed' if interval.confirmed else ''}) and"
    if failed.outcome == UNDECIDED:
        sentence = f"{ends} was not shown to hold {lowest:,.0f}: {failed.why}."
        limit = UNKNOWN
        above = _failure_above(probes, lowest)
        if above is not None and not (near and not above.clear):
            sentence = f"{sentence[:-1]}; at {above.rate_per_s:,.0f} it failed: {_blame(above, slo)}"
            limit = INSTANCE
    else:
        limit = INSTANCE
        sentence = f"{ends} failed at {lowest:,.0f}: {_blame(failed, slo)}"
    if interval.budget_spent:
        sentence += " The time was spent before the interval was narrower: a longer --duration helps."
    return _conclusion(interval, limit, sentence, ExitCode.OK)


def _generator_bound(probes: Sequence[Probe], interval: Interval) -> bool:
    """Whether the upper end is the generator's; without it known, whether the last probe was."""
    if interval.limited_by:
        return interval.limited_by == GENERATOR
    return probes[-1].health != HEALTHY


def _no_capacity(probes: Sequence[Probe]) -> Conclusion:
    """Without a rate: whichever stood here, the tried or the held one, would be taken for a capacity."""
    bound = next((probe for probe in reversed(probes) if probe.health != HEALTHY), probes[-1])
    sentence = f"No capacity is given: this run was {bound.health}. {_REMEDY}"
    return _conclusion(_NOTHING, GENERATOR, sentence, ExitCode.INVALID)


def _failed_probe(probes: Sequence[Probe], lowest: float | None) -> Probe:
    """The probe that speaks for the upper end: the last failure there, else what comes nearest to one."""
    missed = [probe for probe in reversed(probes) if not probe.passed and probe.outcome != GENERATOR]
    there = [probe for probe in missed if lowest is not None and abs(probe.rate_per_s - lowest) <= 1]
    for some in (there, missed):
        failures = [probe for probe in some if probe.outcome in {FAIL, ""}]
        if failures or some:
            return (failures or some)[0]
    return probes[-1]


def _failure_above(probes: Sequence[Probe], rate_per_s: float) -> Probe | None:
    """The lowest failure of the instance beyond a rate; where the last word on that rate was no other."""
    failures = {
        probe.rate_per_s: probe for probe in probes if probe.outcome == FAIL and probe.rate_per_s > rate_per_s + 1
    }
    return failures[min(failures)] if failures else None


def _blame(failed: Probe, slo: Slo) -> str:
    return f"{failed.why}; {_evidence(failed, slo)}: the limit is the instance."


def _evidence(failed: Probe, slo: Slo) -> str:
    words = [f"generator {failed.cpu_share:.0%} busy"]
    if failed.send_lag_p99_ms >= 1:
        words.append(f"sends {failed.send_lag_p99_ms:.0f} ms late (p99)")
    if failed.canary_p99_ms is not None:
        fine = failed.canary_p99_ms < slo.good_ms
        words.append("canary fine" if fine else f"canary slow too ({failed.canary_p99_ms:,.0f} ms)")
    return ", ".join(words)


def _passed(rate_per_s: float, unit: str, slo: Slo) -> str:
    return f"The instance held {rate_per_s:,.0f} {unit}/s ({slo})"


_NOTHING = Interval(highest_pass_per_s=None, lowest_fail_per_s=None)


def _conclusion(interval: Interval, limit: str, sentence: str, code: ExitCode) -> Conclusion:
    return Conclusion(
        highest_pass_per_s=interval.highest_pass_per_s,
        lowest_fail_per_s=interval.lowest_fail_per_s,
        limit=limit,
        sentence=sentence,
        exit_code=code,
    )
