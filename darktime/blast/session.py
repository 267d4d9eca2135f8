"""The course of a run, at its head: the rate that was asked for, a search, a scenario's plans; then beyond capacity."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from darktime.blast.cold_start import without_cold_start
from darktime.blast.growth import LEAST_EVEN, LEAST_RANDOM
from darktime.blast.interval import of_plans
from darktime.blast.overload import Overload, at_capacity, judge_overload
from darktime.blast.plan import Plan
from darktime.blast.result import FAIL, GENERATOR, judge
from darktime.blast.search import Durations, Search
from darktime.blast.settings import max_rate
from darktime.blast.witness import pace, pace_to_see_calm

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from darktime.blast.head import Head
    from darktime.blast.interval import Interval
    from darktime.blast.offered import Offered
    from darktime.blast.record import Record
    from darktime.blast.result import Probe
    from darktime.blast.scenario import Finding, Scenario
    from darktime.blast.settings import BlastSettings
    from darktime.blast.witness import Witness

START_HTTP_PER_S = 500.0
START_PUSH_PER_S = 50.0
DRAIN_S = 1.0
FINE_PRECISION = 1.03
# However slow the instance, a try is long enough to see a queue that grows: that is what a capacity is the end of.
FIRST_SHARE = 4  # of so many parts of the time the first try takes one at the most
QUICK = Durations(least_requests=LEAST_EVEN, longest_s=30.0)
QUICK_RANDOM = Durations(least_requests=LEAST_RANDOM, longest_s=30.0)
# A search that has time holds longer, so that a p99 rests on some hundred requests.
FINE = Durations(double_s=2.0, bisect_s=4.0, confirm_s=8.0, least_requests=1000, longest_s=20.0)
BEYOND = (1.2, 2.0)
BEYOND_S = 8.0
RECOVER_AT = 0.5
RECOVER_S = 15.0
FINE_RECOVER_S = 60.0
# After a failure, at most so long until the next try; sooner once so many answers in a row were as before.
COOL_S = 5.0
FINE_COOL_S = 20.0
CALM_ANSWERS = 3
# ... and before the first: its process must have begun.
MEET_S = 3.0
LOOK_S = 0.05


class Session:
    """Runs once. ``probes`` and ``offered`` grow as plans are offered; ``search`` is None when none was asked for."""

    def __init__(
        self,
        settings: BlastSettings,
        head: Head,
        *,
        push: bool,
        scenario: Scenario | None,
        record: Record,
        on_probe: Callable[[Probe], None] | None,
        stop: Callable[[], bool],
        witness: Witness | None = None,
        on_plan: Callable[[Plan], None] | None = None,
    ) -> None:
        self.settings = settings
        self._witness = witness
        self.probes: list[Probe] = []
        self.offered: list[Offered] = []
        self.search: Search | None = None
        self.overload: Overload | None = None
        self.ended_early = ""  # why a scenario's plans were not all offered
        self.not_beyond = ""  # why what was asked for beyond the capacity was left out
        self.findings: Sequence[Finding] = ()
        self._head = head
        self._push = push
        self._scenario = scenario
        self._record = record
        self._on_probe = on_probe
        self._on_plan = on_plan
        self._stop = stop

    def run(self) -> None:
        """Do it all."""
        settings = self.settings
        if self._scenario is not None:
            self._run_scenario(self._scenario)
        elif settings.closed:
            self._note(self._offer(Plan(stage="hold", duration_s=settings.duration_s, drain_s=settings.timeout_s)))
        elif settings.rate_per_s is not None:
            self._hold(settings.rate_per_s, settings.duration_s)
        else:
            self._run_search()
            if settings.beyond and not self._stop():
                self._go_beyond()

    def _run_scenario(self, scenario: Scenario) -> None:
        """Its plans, up to the one that errors ended: whoever answers so is left in peace.

        Findings are about all of them, of which the last may have been cut short: what it showed by then is what there is to find.
        """
        plans = scenario.plans()
        for number, plan in enumerate(plans, 1):
            if self._stop():
                return
            offered = self._offer(plan, patient=scenario.patient)
            self._note(offered)
            if offered.aborted and not self._stop():
                self.ended_early = f"It was ended in plan {number} of {len(plans)} of the scenario: {offered.aborted}."
                if number < len(plans):
                    return
        self.findings = [self._judged(finding) for finding in scenario.findings(self.offered)]

    def _judged(self, finding: Finding) -> Finding:
        """Held to the limit that somebody named for it, where somebody did."""
        named = self.settings.slo.of(finding.metric) if self.settings.slo_named and finding.metric else None
        return finding if named is None else replace(finding, judged_by=str(named))

    def interval(self) -> Interval:
        """What the search, or the one rate that was asked for, has shown."""
        return of_plans(self.probes) if self.search is None else self.search.interval

    def cold_start(self) -> str:
        """What was left out of the figures of the rate that was asked for; empty without a cold start."""
        held = self.offered[-1] if self.offered else None
        if held is None or held.cold_start is None or held.cold_start.rest is None:
            return ""
        return held.cold_start.sentence(held.whole_latency())

    def _hold(self, rate_per_s: float, duration_s: float) -> None:
        plan = Plan(
            stage="hold",
            rate_per_s=rate_per_s,
            duration_s=duration_s,
            drain_s=self.settings.timeout_s,
            seed=self.settings.seed,
        )
        began = int(time.time())
        offered = self._offer(plan)
        if judge(offered, self.settings.slo).outcome == FAIL:
            self._head.finish()
            means = [mean_us for at_s, mean_us in self._record.means if at_s >= began]
            offered = without_cold_start(offered, means, self._record.first)
        self._note(offered)

    def _run_search(self) -> None:
        settings = self.settings
        self._meet_witness()
        durations = FINE if settings.search else QUICK if settings.seed is None else QUICK_RANDOM
        start = START_PUSH_PER_S if self._push else START_HTTP_PER_S
        # Where there is little time, the first try is at a rate whose least number of requests leaves time for more.
        start = max(start, FIRST_SHARE * durations.least_requests / settings.duration_s)
        search = self.search = Search(
            start_per_s=start,
            max_per_s=max_rate(settings),
            precision=FINE_PRECISION if settings.search else 1.1,
            confirm=settings.search,
            durations=durations,
        )
        end = time.monotonic() + settings.duration_s
        while (attempt := search.next(end - time.monotonic())) is not None and not self._stop():
            plan = Plan(
                stage=attempt.stage,
                rate_per_s=attempt.rate_per_s,
                duration_s=min(attempt.duration_s, settings.duration_s),
                # What the objective allows to take longer is waited for.
                drain_s=min(max(DRAIN_S, settings.slo.good_ms / 1000), settings.timeout_s),
                seed=settings.seed,
            )
            offered = self._offer(plan)
            if self._stop():
                self._note(offered)
                return
            strict = settings.search and attempt.rate_per_s * attempt.duration_s >= settings.slo.requests_needed
            probe = self._note(offered, strict=strict)
            search.record(attempt.rate_per_s, probe.outcome, answered_per_s=probe.achieved_per_s, more_s=probe.more_s)
            if offered.streams_never_served:  # at another rate they would be turned away as well
                return
            if probe.outcome == FAIL:
                if self._witness is not None:
                    self._witness.ask(pace_to_see_calm(attempt.rate_per_s))
                self._cool_down(min(FINE_COOL_S if settings.search else COOL_S, end - time.monotonic()))

    def _meet_witness(self) -> None:
        """Wait until the canary has seen how an instance answers that nobody loads: it is what calm is known by."""
        until = time.monotonic() + MEET_S
        while self._witness is not None and time.monotonic() < until and not self._stop():
            self._witness.listen()
            if len(self._witness.answers) >= CALM_ANSWERS:
                return
            time.sleep(LOOK_S)

    def _cool_down(self, limit_s: float) -> None:
        """Leave an instance that did not hold in peace until the canary is answered as before: a queue is no capacity."""
        if self._witness is None or not self._witness.knows:
            return
        calm_us, calm, until = self._witness.calm_us(), 0, time.monotonic() + limit_s
        while time.monotonic() < until and not self._stop():
            for _, took in self._witness.listen():
                calm = calm + 1 if 0 <= took <= calm_us else 0
            if calm >= CALM_ANSWERS:
                return
            time.sleep(LOOK_S)

    def _go_beyond(self) -> None:
        assert self.search is not None
        capacity = self.search.highest_pass_per_s
        self.not_beyond = _why_not_beyond(self.search)
        if capacity is None or self.not_beyond:
            return
        settings = self.settings
        baseline = at_capacity(self.probes, capacity)
        rates = sorted({min(capacity * factor, max_rate(settings)) for factor in BEYOND})
        beyond = []
        for rate in rates:
            if self._stop():
                return
            plan = Plan(stage="beyond", rate_per_s=rate, duration_s=BEYOND_S, drain_s=0.0, seed=settings.seed)
            beyond.append(self._note(self._offer(plan, patient=True)))
        began = int(time.time())
        recover_s = FINE_RECOVER_S if settings.search else RECOVER_S
        plan = Plan(
            stage="recover",
            rate_per_s=capacity * RECOVER_AT,
            duration_s=recover_s,
            drain_s=DRAIN_S,
            seed=settings.seed,
        )
        low = self._note(self._offer(plan, patient=True))
        self._head.finish()
        # The first second still holds what was left of the overload; the last one is a fraction.
        recovery = [second for second in self._record.recent if began <= second.at_s < began + recover_s]
        allowed = rates[-1] >= capacity * BEYOND[-1]
        self.overload = judge_overload(baseline, beyond, recovery, low=low, allowed=allowed)

    def _offer(self, plan: Plan, *, patient: bool = False) -> Offered:
        """Have it offered, with as much of a canary beside it as does not matter."""
        if self._on_plan is not None:
            self._on_plan(plan)
        if self._witness is not None:
            # Closed, nobody knows the rate: as little as can tell something.
            load_per_s = (plan.mean_rate_per_s() or 0.0) * self._heard_by
            wanted = not self.settings.searches
            self._witness.ask(pace(load_per_s, plan.duration_s, wanted=wanted))
        return self._head.offer(plan, patient=patient)

    @property
    def _heard_by(self) -> float:
        """What the instance has to do for a request: at a push endpoint each goes to all who listen on its channel."""
        settings = self.settings
        return 1 + settings.streams / (1 if settings.channel else settings.channels) if self._push else 1.0

    def _note(self, offered: Offered, *, strict: bool = False) -> Probe:
        if self._witness is not None:
            # The span lies before its draining, which the answers of a second or so may belong to: they are few.
            until = time.time()
            seen, many = self._witness.p99_ms(until - offered.duration_s - DRAIN_S, until)
            offered.health = replace(offered.health, canary_p99_ms=seen, canary_requests=many)
        probe = judge(offered, self.settings.slo, strict=strict, histogram=True)
        self.offered.append(offered)
        self.probes.append(probe)
        if self._on_probe is not None:
            self._on_probe(probe)
        return probe


def _why_not_beyond(search: Search) -> str:
    """Why there is no capacity to go beyond; empty where there is one."""
    if search.highest_pass_per_s is None:
        why = "no rate was held"
    elif search.lowest_fail_per_s is None:
        why = "no rate failed"
    elif search.limited_by == GENERATOR:
        why = "the generator was the limit"
    elif search.noise:
        why = "what was found is noise"
    else:
        return ""
    return f"Nothing was offered beyond the capacity (--beyond), for none was found: {why}."
