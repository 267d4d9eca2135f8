"""One worker's side of a run: takes the task, opens its traffic, offers plan after plan, reports every second.

It speaks to the head through the runner of Locust, which carries the messages from process to process, or within one.
"""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from gevent.event import Event
from gevent.queue import Empty, SimpleQueue

from darktime.blast.arrivals import Share
from darktime.blast.ceiling import ceiling_of_one
from darktime.blast.clocks import Clock
from darktime.blast.feed import LocustFeed
from darktime.blast.machine import Machine
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
from darktime.blast.offer import Offering
from darktime.blast.permit import permit, permit_plan
from darktime.blast.plan import Plan
from darktime.blast.publisher import Published
from darktime.blast.settings import reserve_open_files
from darktime.blast.tally import Tally
from darktime.blast.task import Recognised, Task
from darktime.blast.tls_socket import give_back_memory
from darktime.errors import DarktimeError, ExitCode, RunInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from locust.env import Environment

    from darktime.blast.cohort import Cohort
    from darktime.blast.offered import Second

GREET_EVERY_S = 0.5
# A head that says nothing for so long is gone; what was opened is closed.
SILENCE_S = 120.0
IDLE_S = 0.05
# Workers end a plan within a drain of each other.
EXCHANGE_S = 10.0


class Inbox:
    """What the head says to this process; registered once a runner, before the first message can come.

    ``clock`` is the head's, as well as it is known. ``only``: hosts that this worker was started for, none: any.
    ``say`` is told, in a line, what is done. ``refused`` is why the work was not done, with the exit code.
    """

    def __init__(
        self,
        environment: Environment,
        machine: Machine,
        *,
        only: Sequence[str] = (),
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.machine = machine
        self.only = only
        self.say = say
        self.clock = Clock(wall_s=time.time() - time.monotonic())
        self.refused: tuple[str, int] | None = None
        self.stopped = Event()
        self.greeted = Event()
        self._said: SimpleQueue[tuple[str, dict[str, Any]]] = SimpleQueue()
        runner = environment.runner
        assert runner is not None
        for kind in (TASK, PLAN, ALL_PUBLISHED):
            runner.register_message(kind, self._note)
        runner.register_message(GREETED, lambda **_: self.greeted.set())
        runner.register_message(STOP, lambda **_: self.stopped.set())
        runner.register_message(CLOCK, self._set_clock)

    def take(self) -> tuple[str, dict[str, Any]] | None:
        """The oldest message that was not taken yet."""
        try:
            said: tuple[str, dict[str, Any]] = self._said.get_nowait()
        except Empty:
            return None
        return said

    def _set_clock(self, msg: Any, **_: Any) -> None:
        self.clock = Clock.from_dict(msg.data["clock"])

    def _note(self, msg: Any, **_: Any) -> None:
        self._said.put((msg.type, msg.data))


class Hand:
    """Runs once, in the greenlet of the one user of its process."""

    def __init__(self, environment: Environment, cohort: Cohort, inbox: Inbox) -> None:
        self._runner = environment.runner
        self._environment = environment
        self._cohort = cohort
        self._inbox = inbox

    def run(self) -> None:
        """Until the head says stop, or is silent for two minutes. Errors are told to the head."""
        try:
            task = self._await_task()
            if task is not None:
                given = Task.from_dict(task["task"])
                permit(given, Machine.from_dict(task["machine"]), self._inbox.machine, self._inbox.only)
                ceiling = (
                    ceiling_of_one(given.connections, tls=bool(given.address["tls"])) if task["calibrate"] else None
                )
                self._work(given, Share(task["index"], task["workers"]), ceiling)
        except DarktimeError as error:
            self._refuse(str(error), int(error.exit_code))
        except Exception as error:
            self._refuse(f"{type(error).__name__}: {error}", int(ExitCode.ERROR))
            raise

    def _refuse(self, text: str, exit_code: int) -> None:
        self._inbox.refused = text, exit_code
        self._say(REFUSED, {"error": text, "exit_code": exit_code})

    def _await_task(self) -> dict[str, Any] | None:
        """Greet until the head has heard it: it may not listen yet."""
        until = time.monotonic() + SILENCE_S
        next_greeting = 0.0
        while not self._inbox.stopped.is_set() and time.monotonic() < until:
            said = self._inbox.take()
            if said is not None and said[0] == TASK:
                return said[1]
            if time.monotonic() >= next_greeting and not self._inbox.greeted.is_set():
                next_greeting = time.monotonic() + GREET_EVERY_S
                self._say(HELLO, {})
            self._cohort.turn(IDLE_S)
        return None

    def _work(self, task: Task, share: Share, ceiling_per_s: float | None) -> None:
        inbox = self._inbox
        # Where the head's clock is this one's, times need no correction, and get none.
        away = inbox.clock.error_s > 0
        clock: Callable[[], float] = (lambda: inbox.clock.monotonic(time.monotonic())) if away else time.monotonic
        place = replace(task.place(share), clock=clock)
        sockets = -(-task.sockets() // share.workers)
        reserve_open_files(sockets)
        inbox.say(
            f"worker {share.index + 1} of {share.workers}: opens {sockets:,} sockets at {place.address.authority}"
        )
        scenario = task.load_scenario() if task.scenario else Recognised(task)
        traffic = scenario.traffic(self._cohort, place)
        feed = LocustFeed(self._environment, traffic.method, traffic.name)
        wall = lambda: inbox.clock.wall(time.monotonic())  # noqa: E731 - the head adds up seconds by its own clock
        tally = Tally(self._cohort, traffic, [feed.second, self._report], wall=wall)
        self._cohort.each_second.append(tally.flush)
        stop = inbox.stopped.is_set
        try:
            traffic.open(self._cohort, place.address.authority, stop)
            if place.address.tls:
                give_back_memory()
            self._say(STANDING, {"ceiling_per_s": ceiling_per_s})
            exchange, number = None, 0
            if task.shares_a_channel and share.workers > 1:
                exchange = lambda mine: self._exchange(mine, number, share.index)  # noqa: E731
            offering = Offering(self._cohort, traffic, tally, share, stop, exchange=exchange)
            heard = time.monotonic()
            while not stop() and time.monotonic() < heard + SILENCE_S:
                said = inbox.take()
                if said is None:
                    self._cohort.turn(IDLE_S)
                    continue
                if said[0] != PLAN:  # an answer that came too late
                    continue
                plan, number = Plan.from_dict(said[1]["plan"]), said[1]["number"]
                permit_plan(plan, task)
                if plan.action:
                    scenario.act(plan.action, traffic)
                rate = plan.mean_rate_per_s()
                inbox.say(f"{plan.stage}: {'closed' if rate is None else f'{rate:,.0f}/s'} for {plan.duration_s:g} s")
                while (early_s := said[1]["start_at"] - clock()) > 0 and not stop():
                    self._cohort.turn(min(IDLE_S, early_s))
                offered = offering.offer(plan, began_s=said[1]["began_s"], patient=said[1]["patient"])
                self._say(OFFERED, {"number": number, "offered": offered.to_dict()})
                heard = time.monotonic()
        finally:
            tally.flush()
            self._cohort.each_second.remove(tally.flush)
            traffic.close()

    def _exchange(self, mine: Published, number: int, index: int) -> dict[int, Published]:
        """What the others published by the end of the plan, by publisher; nothing where the run is stopped. Raises RunInvalid."""
        self._say(PUBLISHED, {"number": number, "index": index, "account": asdict(mine)})
        until = time.monotonic() + EXCHANGE_S
        while time.monotonic() < until and not self._inbox.stopped.is_set():
            said = self._inbox.take()
            if said is None:
                self._cohort.turn(IDLE_S)
            elif said[0] == ALL_PUBLISHED and said[1]["number"] == number:
                accounts = enumerate(said[1]["accounts"])
                return {publisher: Published(**account) for publisher, account in accounts if publisher != index}
        if self._inbox.stopped.is_set():
            return {}
        raise RunInvalid(f"the other workers did not say within {EXCHANGE_S:g} s what they published: the run is void")

    def _report(self, second: Second) -> None:
        self._say(SECOND, {"second": second.to_dict()})

    def _say(self, kind: str, data: dict[str, Any]) -> None:
        assert self._runner is not None
        self._runner.send_message(kind, data)
