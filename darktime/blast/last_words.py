"""Whether every worker of a plain Locust run was there to its end; a run that lost one is void, and ends in exit code 4.

Locust itself goes on with those that are left and ends as if nothing had been. Here a worker hands on what it counted
and says so when its users have stopped. Who never said it, and is not coming back, was lost.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import gevent

from darktime.blast.messages import ENDED
from darktime.errors import ExitCode

if TYPE_CHECKING:
    from locust.env import Environment

LOOK_S = 0.25
# Locust calls a worker missing that said nothing for four seconds; a busy machine gets more.
WAIT_S = 8.0
# Ctrl-C ends master and workers at once, and a worker may be the first to go.
TOGETHER_S = 2.0
MISSING = "missing"


class LastWords:
    """The master's side, one an environment. ``lost`` are the workers that never said their last word."""

    def __init__(self, environment: Environment) -> None:
        self.lost: set[str] = set()
        self.known: set[str] = set()  # every worker that was given users
        runner: Any = environment.runner
        self._runner = runner
        self._told: set[str] = set()
        self._absent_since: dict[str, float] = {}
        self._watch: Any = None
        events: Any = environment.events
        events.test_start.add_listener(self._begin)
        events.test_stop.add_listener(self._end)
        events.quitting.add_listener(self._judge)
        runner.register_message(ENDED, self._hear)

    @property
    def void(self) -> str:
        """Why the run says nothing, empty where all workers were there to its end."""
        if not self.lost:
            return ""
        names = ", ".join(sorted(self.lost))
        return (
            f"{len(self.lost)} of {len(self.known)} workers was lost ({names}): its part of the plan is missing, "
            f"so this run is void"
        )

    def _begin(self, **_: Any) -> None:
        self._told.clear()
        self._absent_since.clear()
        self._watch = gevent.spawn(self._look_on)

    def _hear(self, msg: Any, **_: Any) -> None:
        self._told.add(msg.node_id)

    def _look_on(self) -> None:
        while True:
            self._look()
            gevent.sleep(LOOK_S)

    def _look(self) -> None:
        clients, now = self._runner.clients, time.monotonic()
        self.known.update(client.id for client in clients.running + clients.spawning)
        for node in self.known:
            if node not in clients or clients[node].state == MISSING:
                self._absent_since.setdefault(node, now)
            else:
                self._absent_since.pop(node, None)  # it was slow, and what it counted is still coming

    def _end(self, **_: Any) -> None:
        """All users have stopped; or Locust quits at once, and its workers must be told before they can have."""
        if self._watch is not None:
            self._watch.kill()
            self._watch = None
        stopping = time.monotonic()
        self._look()
        left = {node for node, since in self._absent_since.items() if stopping - since > TOGETHER_S}
        until = stopping + WAIT_S
        for node in self._silent():
            if node in self._runner.clients:
                self._runner.send_message("quit", client_id=node)
        while self._silent() and time.monotonic() < until:
            gevent.sleep(LOOK_S)
        self.lost |= left | (self.known - self._told)

    def _silent(self) -> set[str]:
        """Who may still say it."""
        clients = self._runner.clients
        missing = {client.id for client in clients.all if client.state == MISSING}
        return self.known - self._told - missing

    def _judge(self, environment: Environment, **_: Any) -> None:
        self._runner.stop(send_stop_to_client=False)  # as Locust will: it has not yet where a signal ends it
        if self.void:
            logging.getLogger("locust.darktime").error("%s", self.void)
            if environment.process_exit_code is None:
                environment.process_exit_code = int(ExitCode.INVALID)


def say_last_word(environment: Environment) -> None:
    """The worker's side: whenever its users have stopped, report what is left and say that this was all."""
    runner: Any = environment.runner
    events: Any = environment.events

    def ended(**_: Any) -> None:
        runner._send_stats()  # noqa: SLF001 - else with the next of its reports, or after the master has gone
        runner.send_message(ENDED, {})

    events.test_stop.add_listener(ended)
    # Before Locust says goodbye: a master whose last worker has left reads nothing more.
    events.quitting.add_listener(lambda **_: runner.stop())
