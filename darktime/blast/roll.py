"""Who takes part in a run: lets workers in, turns away who does not fit, and measures how their clocks stand to ours."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import gevent

from darktime import __version__
from darktime.blast.clocks import Clock, Offset
from darktime.blast.machine import Machine, here
from darktime.blast.messages import ADMITTED, CLOCK, JOIN, PING, PONG, PROTOCOL, TURNED_AWAY

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

# At first a handful of messages, quickly: the fastest of them tells the offset. Then one now and then, since clocks drift.
FIRST_PINGS = 16
FIRST_EVERY_S = 0.02
PING_EVERY_S = 1.0


class Roll:
    """``machines``: of those that were let in, by node. ``note`` is told, in a line, who came and who was turned away."""

    def __init__(self, runner: Any, workers: int, *, note: Callable[[str], None]) -> None:
        self.machines: dict[str, Machine] = {}
        self.workers = workers
        self._here = here()
        self._runner = runner
        self._note = note
        self._offsets: dict[str, Offset] = {}
        self._refused: set[str] = set()
        self._wall_s = time.time() - time.monotonic()
        self._greenlet: Any = None
        runner.register_message(JOIN, self._join)
        runner.register_message(PONG, self._pong)

    def complete(self) -> bool:
        """Whether all have come, and of each it is known how its clock stands."""
        return len(self.machines) >= self.workers and all(len(offset) for offset in self._offsets.values())

    def keep_time(self) -> None:
        """From now on, until ``close``."""
        self._greenlet = gevent.spawn(self._ask)

    def close(self) -> None:
        """No more messages."""
        if self._greenlet is not None:
            self._greenlet.kill()

    def clock(self, node: str) -> Clock:
        """Our clocks for a worker, as of now."""
        offset = self._offsets.get(node)
        if offset is None or not len(offset):
            return Clock(wall_s=self._wall_s)
        offset_s, error_s = offset.best(time.monotonic())
        return Clock(offset_s=offset_s, error_s=error_s, wall_s=self._wall_s)

    def nodes(self, pids: Collection[int]) -> list[str]:
        """The workers that these processes of this machine are; one that never joined goes by its process."""
        joined = {machine.pid: node for node, machine in self.machines.items() if machine.shares_clock(self._here)}
        return [joined.get(pid, f"process {pid}") for pid in pids]

    def name(self, node: str) -> str:
        """A worker, for people."""
        machine = self.machines.get(node)
        return f"{node} ({machine})" if machine is not None else node

    def _join(self, msg: Any, **_: Any) -> None:
        node, data = msg.node_id, msg.data
        error = self._unfit(node, data)
        if error:
            self._runner.send_message(TURNED_AWAY, {"error": error}, node)
            if node not in self._refused:
                self._refused.add(node)
                self._note(f"worker {node} was turned away: {error}")
            return
        if node not in self.machines:
            machine = self.machines[node] = Machine.from_dict(data["machine"])
            if not machine.shares_clock(self._here):
                self._offsets[node] = Offset()
            self._note(f"worker {len(self.machines)} of {self.workers} joined: {self.name(node)}")
        number = list(self.machines).index(node) + 1
        self._runner.send_message(ADMITTED, {"number": number, "workers": self.workers}, node)

    def _unfit(self, node: str, data: dict[str, Any]) -> str:
        if (data.get("version"), data.get("protocol")) != (__version__, PROTOCOL):
            theirs = f"darktime {data.get('version')} (messages {data.get('protocol')})"
            return f"it is {theirs}, the master darktime {__version__} (messages {PROTOCOL}): install the same on both"
        if node not in self.machines and len(self.machines) >= self.workers:
            return f"the run has its {self.workers} workers: start the master with a higher --expect-workers"
        return ""

    def _ask(self) -> None:
        asked = dict.fromkeys(self._offsets, 0)
        while True:
            for node in self._offsets:
                asked[node] = asked.get(node, 0) + 1
                if len(self._offsets[node]):
                    self._runner.send_message(CLOCK, {"clock": self.clock(node).to_dict()}, node)
                self._runner.send_message(PING, {"sent_s": time.monotonic()}, node)
            settled = len(self.machines) >= self.workers and all(many >= FIRST_PINGS for many in asked.values())
            gevent.sleep(PING_EVERY_S if settled else FIRST_EVERY_S)

    def _pong(self, msg: Any, **_: Any) -> None:
        offset = self._offsets.get(msg.node_id)
        if offset is not None:
            offset.add(msg.data["sent_s"], msg.data["there_s"], time.monotonic())
