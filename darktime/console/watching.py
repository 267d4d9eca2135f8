"""Watches over a split that runs: who died, who is harmed, what the ramp's plan says next; and ends it."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from darktime.console.transform import TransformRemarks
from darktime.errors import UsageError
from darktime.report.figures import visible
from darktime.split import levels
from darktime.split.experiment import KILL
from darktime.split.pairs_room import PairsRoom, PairsWatch
from darktime.split.pulse import SILENT_S
from darktime.split.vigil import FRONT, read_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from darktime.split.lookout import Lookout
    from darktime.split.running import RunningSplit
    from darktime.split.schedule import Pilot
    from darktime.split.stage import Stage
    from darktime.split.steering import Steering
    from darktime.split.vigil import Vigil

LOOK_S = 0.5
SAY_EVERY_S = 10.0
SETTLE_S = 3.0
AGENT_EARLY_S = 5.0  # it began to count its time to live before we did


class Watching:
    """One split from its first copy to its last. ``percent`` is what was mirrored last, before it was taken back.

    ``on_look`` is told, before each verdict that the plan asks for, the how many-th of this run it is.
    """

    def __init__(
        self,
        running: RunningSplit,
        vigil: Vigil,
        lookout: Lookout,
        steering: Steering,
        *,
        plan: tuple[Pilot, Stage] | None = None,
        on_look: Callable[[int], None] = lambda _looks: None,
        proof: Callable[[], None] | None = None,
    ) -> None:
        self.percent = self._percent = levels.percent_of(running.folder)
        self._running = running
        self._vigil = vigil
        self._lookout = lookout
        self._steering = steering
        self.looks = 0  # verdicts that were asked for while it ran
        self.on_look = on_look
        if plan is not None and plan[0].percent != self._percent:
            say(f"it stands at {self._percent:g} % already, as another host began it: the ramp's plan is not followed")
            plan = None
        self._plan = plan
        self._told = self._ungathered = self.cut_short = ""
        self._remarks = TransformRemarks(say)
        self._proof = proof

    def until_over(self, *, seconds: float, ttl_s: float, ended: Callable[[], bool]) -> str:
        """Wait, with a line every ten seconds, until ``ended`` says so at the latest; why it is over.

        Only nginx cannot be done without: it ends with this command, and production's requests with it. Raises UsageError
        where so few requests carry the key that nothing can come of it.
        """
        try:
            return self._until_over(seconds=seconds, ttl_s=ttl_s, ended=ended)
        finally:
            self._notice_the_kill_file(last=True)

    def _until_over(self, *, seconds: float, ttl_s: float, ended: Callable[[], bool]) -> str:
        began = time.monotonic()
        pairs = PairsWatch(began + min(seconds, ttl_s))
        next_line = began + SAY_EVERY_S
        while (past := time.monotonic() - began) < seconds:
            if ended():
                return "stopped by you"
            if past >= ttl_s - AGENT_EARLY_S:
                self._vigil.release("agent")  # it gives the lease back, as it was told
            over = self._look(time.monotonic()) or self._look_at_pairs(pairs)
            if over:
                return over
            if time.monotonic() >= next_line:
                next_line += SAY_EVERY_S
                say(self._line())
            time.sleep(LOOK_S)
        return "the time is over"

    def settle(self) -> None:
        """Let the last copies be compared."""
        from darktime.split.results import settled

        ended = time.monotonic()
        while time.monotonic() < ended + SETTLE_S and not self._vigil.lost("relay"):
            if settled(read_state(self._running.state)) and self._vigil.heard_since(ended):
                return
            self._look_on()
        # A relay that has begun to hang has only settled what it had heard of by then.
        while not self._vigil.heard_since(ended) and time.monotonic() < ended + SETTLE_S + SILENT_S:
            self._look_on()

    def _look_on(self) -> None:
        time.sleep(LOOK_S)
        for incident in self._vigil.look():
            say(incident)
        self._gather()

    def _gather(self) -> None:
        failed = self._running.gather() or ""
        if failed != self._ungathered:
            self._ungathered = failed
            say(failed or "what the relays write is put together again")

    def _look(self, now: float) -> str:
        """Why it is over, or empty."""
        for incident in self._vigil.look():
            say(incident)
        self._gather()
        if self._vigil.lost(FRONT):
            return "ended, because nginx did"
        self._say_what_is_not_recorded()
        self._remarks.look(read_state(self._running.state))
        self._follow_ramps()
        self._notice_the_kill_file()
        self._lookout.look(now)
        if self._lookout.keyless:
            self._steering.stop("nobody carries the key")
            raise UsageError(self._lookout.keyless)
        if self._lookout.harmed and self._lookout.harm is not None:
            self._steering.stop(self._lookout.harm.sentence)
            return f"nobody is mirrored any more: {self._lookout.harm.sentence}"
        return self._pilot(now)

    def _look_at_pairs(self, pairs: PairsWatch) -> str:
        told = pairs.look(PairsRoom.of(read_state(self._running.state)), time.monotonic())
        if told:
            say(told)
        self.cut_short = pairs.over
        return pairs.over

    def _pilot(self, now: float) -> str:
        if self._plan is None or levels.killed(self._running.folder):
            return ""
        from darktime.split.results import tempered

        pilot, stage = self._plan
        if not pilot.due(now):
            return ""
        self.looks = pilot.looks
        self.on_look(self.looks)
        incidents = self._incidents()
        try:
            decision = pilot.decide(tempered(stage.judge(look=pilot.looks), incidents), now)
        except (OSError, ValueError, KeyError, TypeError) as error:
            say(f"no verdict could be made, it stays at {self._percent:g} %: {error}")
            return ""
        say(visible("; ".join([decision.said, *incidents[:1]])))
        if decision.percent == 0:
            self._steering.stop(decision.said)
        elif decision.percent is not None:
            try:
                self._steering.ramp(decision.percent, why=decision.said, who="darktime split", expected=self._percent)
            except UsageError as error:
                self._plan = None
                say(f"{error}; the ramp's plan is not followed any more")
                return ""
            self._ramped(decision.percent)
            stage.begin()
        return decision.over

    def _incidents(self) -> list[str]:
        """All that will keep the whole run from a GO: a ramp goes no further on half of what it should have seen."""
        from darktime.split.conclusion import not_judged

        ungathered = [self._ungathered] if self._ungathered else []
        return [
            *self._vigil.incidents,
            *not_judged(read_state(self._running.state), self._running.pairs),
            *ungathered,
        ]

    def _follow_ramps(self) -> None:
        """Somebody else may ramp, here or on another host: a plan has then lost its say."""
        there = levels.percent_of(self._running.folder)
        if there == self._percent:
            return
        say(f"{self._percent:g} % -> {there:g} %, by 'darktime ramp' or another host")
        if self._plan is not None:
            self._plan = None
            say("the ramp's plan is not followed any more")
        self._ramped(there)

    def _notice_the_kill_file(self, *, last: bool = False) -> None:
        """Whoever makes it in a shell writes no record of it."""
        noticed = self._steering.notice(last=last)
        if noticed is not None:
            killed = noticed["what"] == KILL
            say("mirroring was killed by hand" if killed else "the kill file was taken away by hand: mirroring goes on")

    def _ramped(self, percent: float) -> None:
        began = not self._percent and percent
        self._percent = percent
        self.percent = percent or self.percent
        self._lookout.ramped()
        if began and self._proof is not None:
            try:
                self._proof()
            except UsageError as error:
                say(self._vigil.note(f"after the ramp from 0 to {percent:g} %: {error}"))

    def _say_what_is_not_recorded(self) -> None:
        stopped = (read_state(self._running.state).get("recording") or {}).get("stopped") or ""
        if stopped != self._told:
            self._told = stopped
            say(f"nothing more is recorded: {stopped}; mirroring goes on")

    def _line(self) -> str:
        state = read_state(self._running.state)
        counted = ("received", "recorded") if state.get("recorded") else ("received", "compared", "streams")
        return ", ".join((f"{self._percent:g} %", *(f"{state.get(what, 0):,} {what}" for what in counted)))


@contextmanager
def signals() -> Iterator[Callable[[], bool]]:
    """Whether SIGINT or SIGTERM came; what was done at one before is done again afterwards."""
    came = []
    before = {number: signal.signal(number, lambda *_: came.append(1)) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def say(text: str) -> None:
    """A line for whoever watches."""
    click.echo(text, err=True)
