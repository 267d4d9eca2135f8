"""A worker's way into a run: says who it is until the head answers, and answers the head's questions for the time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from gevent.event import Event

from darktime import __version__
from darktime.blast.messages import ADMITTED, JOIN, PING, PONG, PROTOCOL, TURNED_AWAY

if TYPE_CHECKING:
    from darktime.blast.machine import Machine


class Joining:
    """``answered`` is set once the head has; then either ``error`` says why not, or this is ``number`` of ``workers``."""

    def __init__(self, runner: Any, machine: Machine) -> None:
        self.answered = Event()
        self.error = ""
        self.number = self.workers = 0
        self._runner = runner
        self._machine = machine
        runner.register_message(ADMITTED, self._admitted)
        runner.register_message(TURNED_AWAY, self._turned_away)
        runner.register_message(PING, self._ping)
        self.ask()

    def ask(self) -> None:
        """To be let in."""
        data = {"version": __version__, "protocol": PROTOCOL, "machine": self._machine.to_dict()}
        self._runner.send_message(JOIN, data)

    def _admitted(self, msg: Any, **_: Any) -> None:
        self.number, self.workers = msg.data["number"], msg.data["workers"]
        self.answered.set()

    def _turned_away(self, msg: Any, **_: Any) -> None:
        self.error = msg.data["error"]
        self.answered.set()

    def _ping(self, msg: Any, **_: Any) -> None:
        self._runner.send_message(PONG, {"sent_s": msg.data["sent_s"], "there_s": time.monotonic()})
