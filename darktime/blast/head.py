"""The head of a run: hands its workers the task, has them offer plans together, and adds up what they counted.

A worker that is lost makes what was counted void: its part of the plan is missing, and nobody knows how much of it was
sent. It is never handed to the others in silence.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from gevent.event import Event

from darktime.blast.clocks import between
from darktime.blast.machine import here
from darktime.blast.messages import (
    ALL_PUBLISHED,
    CLOCK,
    GREETED,
    HELLO,
    OFFERED,
    PLAN,
    PUBLISHED,
    REFUSED,
    SECOND,
    STANDING,
    STOP,
    TASK,
)
from darktime.blast.offered import Offered, Second
from darktime.errors import DarktimeError, ExitCode, RunInvalid, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.env import Environment

    from darktime.blast.plan import Plan
    from darktime.blast.roll import Roll
    from darktime.blast.task import Task

GATHER_S = 30.0
# Opening 100,000 streams takes its time; the workers themselves give up before.
OPEN_S = 400.0
# Beyond a plan's own time: its draining, its way there and back.
GRACE_S = 20.0
# Workers begin a plan together: so much later than they are told.
LEAD_S = 0.2
LOOK_S = 0.05
# The counts of a second arrive from every worker within the next; older seconds are complete.
LATE_S = 2


class Head:
    """``on_second`` gets every second of the run, once, added up over the workers, in order."""

    def __init__(
        self,
        environment: Environment,
        task: Task,
        workers: int,
        *,
        stop: Callable[[], bool],
        dead: Callable[[], list[str]] = list,
        roll: Roll | None = None,
        on_second: Callable[[Second], None] = lambda _: None,
    ) -> None:
        runner = environment.runner
        assert runner is not None
        self.workers = workers
        self.lost: list[str] = []
        self.requests_by_worker: dict[str, int] = {}
        self.cpu_by_worker: dict[str, float] = {}
        self._runner = runner
        self._task = task
        self._stop = stop
        self._dead = dead
        self._roll = roll
        self._on_second = on_second
        self._heard = Event()
        self._ids: list[str] = []
        self._standing: set[str] = set()
        self._ceilings: dict[str, float] = {}
        self._refused: tuple[str, int] | None = None
        self._offered: dict[int, dict[str, Offered]] = {}
        self._accounts: dict[int, dict[str, Any]] = {}  # of the plan that is offered
        self._number = 0
        self._began = time.monotonic()
        self._seconds: dict[int, dict[str, Second]] = {}
        for kind, listener in (
            (HELLO, self._hello),
            (STANDING, self._stands),
            (REFUSED, self._refuses),
            (PUBLISHED, self._published),
            (OFFERED, self._counts),
            (SECOND, self._second),
        ):
            runner.register_message(kind, listener)

    def await_workers(self, limit_s: float) -> None:
        """Wait until all have joined. Raises RunInvalid."""
        roll = self._roll
        if roll is not None:
            self._until(roll.complete, limit_s, lambda: f"{len(roll.machines)} of {self.workers} workers joined")

    def held_back(self) -> int:
        """Requests of seconds that were not handed on yet."""
        return sum(part.counts.requests for parts in self._seconds.values() for part in parts.values())

    def gather(self, *, calibrate: bool = False) -> None:
        """Wait for the workers, and until each has opened its part. Raises UsageError, RunInvalid or DarktimeError.

        ``calibrate``: each measures first what it is enough for, on its own machine.
        """
        self._until(
            lambda: len(self._ids) >= self.workers, GATHER_S, lambda: f"{len(self._ids)} of {self.workers} workers came"
        )
        if self._stop():
            return
        for index, node in enumerate(self._ids):
            self._tell_clock(node)
            data = {
                "task": self._task.to_dict(),
                "index": index,
                "workers": self.workers,
                "machine": here().to_dict(),
                "calibrate": calibrate,
            }
            self._runner.send_message(TASK, data, node)
        self._until(
            lambda: len(self._standing) >= self.workers,
            OPEN_S,
            lambda: f"{len(self._standing)} of {self.workers} workers stood",
        )

    @property
    def ceiling_per_s(self) -> float | None:
        """Requests a second that all workers together are enough for; None unless each has measured its part."""
        found = list(self._ceilings.values())
        return sum(found) if len(found) == self.workers else None

    def offer(self, plan: Plan, *, patient: bool = False) -> Offered:
        """Have all workers offer ``plan`` together. Raises RunInvalid when one is lost."""
        self._number += 1
        number = self._number
        self._offered[number] = {}
        self._accounts.clear()
        data = {
            "number": number,
            "plan": plan.to_dict(),
            "start_at": time.monotonic() + LEAD_S if self.workers > 1 else 0.0,
            "began_s": time.monotonic() - self._began,
            "patient": patient,
        }
        for node in self._ids:
            self._runner.send_message(PLAN, data, node)
        answers = self._offered[number]
        self._until(
            lambda: len(answers) >= self.workers,
            plan.duration_s + plan.drain_s + GRACE_S,
            lambda: f"{len(answers)} of {self.workers} workers ended the plan {plan.stage!r}",
            stoppable=False,
        )
        del self._offered[number]
        first, *others = (answers[node] for node in self._ids)
        for other in others:
            first.merge(other)
        first.clock_error_ms = 1000 * self.clock_error_s()
        return first

    def clock_error_s(self) -> float:
        """How far the clocks of two workers may be apart, as they are corrected; 0 where they read the same."""
        return between([self._roll.clock(node).error_s for node in self._ids]) if self._roll is not None else 0.0

    def stop(self) -> None:
        """Let the workers close what they have open."""
        for node in self._ids:
            self._runner.send_message(STOP, {}, node)

    def finish(self) -> None:
        """Hand on the seconds that were still held back for a late worker."""
        for at in sorted(self._seconds):
            self._hand_on(at)

    def _hand_on(self, at: int) -> None:
        first, *others = self._seconds.pop(at).values()
        for other in others:
            first.merge(other)
        self._on_second(first)

    def _until(
        self, done: Callable[[], bool], limit_s: float, seen: Callable[[], str], *, stoppable: bool = True
    ) -> None:
        until = time.monotonic() + limit_s
        told = False
        while not done():
            if self._stop():
                if stoppable:
                    return
                if not told:  # they end the plan early, and answer
                    told = True
                    self.stop()
            if self._refused is not None:
                text, code = self._refused
                raise {ExitCode.USAGE: UsageError, ExitCode.INVALID: RunInvalid}.get(ExitCode(code), DarktimeError)(
                    text
                )
            self._check_workers()
            if time.monotonic() > until:
                raise RunInvalid(f"{seen()} within {limit_s:g} s: the run is void")
            self._heard.clear()
            self._heard.wait(LOOK_S)

    def _tell_clock(self, node: str) -> None:
        if self._roll is not None:
            self._runner.send_message(CLOCK, {"clock": self._roll.clock(node).to_dict()}, node)

    def _check_workers(self) -> None:
        clients = getattr(self._runner, "clients", None)
        lost = list(self._dead())
        if clients is not None:
            known = self._ids or (list(self._roll.machines) if self._roll is not None else [])
            gone = (node for node in known if node not in clients or clients[node].state in ("missing", "stopped"))
            lost += [node for node in gone if node not in lost]
        if lost:
            self.lost = lost
            raise RunInvalid(
                f"{len(lost)} of {self.workers} workers was lost ({', '.join(map(self.name, lost))}): its part of the "
                f"plan is missing, so this run is void"
            )

    def name(self, node: str) -> str:
        """A worker, for people."""
        return self._roll.name(node) if self._roll is not None else node

    def _hello(self, msg: Any, **_: Any) -> None:
        if msg.node_id not in self._ids and len(self._ids) < self.workers:
            self._ids.append(msg.node_id)
        self._runner.send_message(GREETED, {}, msg.node_id)
        self._heard.set()

    def _stands(self, msg: Any, **_: Any) -> None:
        self._standing.add(msg.node_id)
        if msg.data["ceiling_per_s"] is not None:
            self._ceilings[msg.node_id] = msg.data["ceiling_per_s"]
        self._heard.set()

    def _refuses(self, msg: Any, **_: Any) -> None:
        self._refused = (msg.data["error"], msg.data["exit_code"])
        self._heard.set()

    def _published(self, msg: Any, **_: Any) -> None:
        if msg.data["number"] != self._number:
            return
        self._accounts[msg.data["index"]] = msg.data["account"]
        if len(self._accounts) == self.workers:
            told = {"number": self._number, "accounts": [self._accounts[index] for index in range(self.workers)]}
            for node in self._ids:
                self._runner.send_message(ALL_PUBLISHED, told, node)

    def _counts(self, msg: Any, **_: Any) -> None:
        answers = self._offered.get(msg.data["number"])
        if answers is not None:
            answers[msg.node_id] = Offered.from_dict(msg.data["offered"])
        self._heard.set()

    def _second(self, msg: Any, **_: Any) -> None:
        second = Second.from_dict(msg.data["second"])
        node = msg.node_id
        self.requests_by_worker[node] = self.requests_by_worker.get(node, 0) + second.counts.requests
        self.cpu_by_worker[node] = max(self.cpu_by_worker.get(node, 0.0), second.cpu_share)
        parts = self._seconds.setdefault(second.at_s, {})
        if node in parts:
            parts[node].follow(second)
        else:
            parts[node] = second
        for at in sorted(self._seconds):
            if at <= second.at_s - (LATE_S if self.workers > 1 else 1):
                self._hand_on(at)
