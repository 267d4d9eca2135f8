"""What a copy costs the relay: microseconds of its CPU at steady rates, and beside it what the bare system calls cost.

The copies come as from nginx, over kept connections, and go to an nginx that answers at once; status, type, length and times
are compared, pairs and state are written. ``DARKTIME_BENCH_BEFORE`` names a checkout of older code, which takes its turns
in the same run.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path
from socket import SOCK_DGRAM
from typing import TYPE_CHECKING

from darktime.split.folder import PrivateFolder
from realtime_core.free_ports import free_port
from realtime_core.stack import Stack, find_nginx
from tests.bench.as_nginx import AsNginx
from tests.bench.splitter import instance

if TYPE_CHECKING:
    from realtime_core.stack import Service

RATES = (400, 1_600, 5_000, 10_000, 14_000)
SECONDS = 1.5
TURNS = 5
PACE_S = 0.01
SECRET = "bench-bench-bench-bench"
BEFORE = "DARKTIME_BENCH_BEFORE"


@dataclass(slots=True)
class Taker:
    """One relay. ``costs``: µs a copy, by rate, one a turn. ``state``: None where there is no logic that could keep one."""

    name: str
    service: Service
    front: AsNginx
    state: Path | None = None
    costs: dict[int, list[float]] = field(default_factory=dict)
    reached: dict[int, list[float]] = field(default_factory=dict)
    waits: dict[int, list[float]] = field(default_factory=dict)

    def turn(self, per_s: int) -> None:
        """Send for a while, and see what it cost."""
        before, sent = _cpu_us(self.service.pid), self.front.sent
        self.reached.setdefault(per_s, []).append(self.front.send(per_s, SECONDS))
        cost = (_cpu_us(self.service.pid) - before) / (self.front.sent - sent)
        self.costs.setdefault(per_s, []).append(cost)
        self.waits.setdefault(per_s, []).append(statistics.quantiles(self.front.answers, n=100)[98] * 1000)


def measure(folder: Path) -> list[str]:
    """Lines for docs/benchmarks.md."""
    older = os.environ.get(BEFORE)
    with Stack(folder / "relays") as stack:
        dark = instance(stack, find_nginx().path, "dark")
        takers = [_relay(stack, "relay", dark, None)]
        if older:
            takers.append(_relay(stack, "before", dark, older))
        takers += [_bare(stack, "bare", dark, 0.0), _bare(stack, "bare-paced", dark, PACE_S)]
        for taker in takers:
            taker.front.send(2_000, 0.5)  # warm
        for _ in range(TURNS):
            for per_s in RATES:
                for taker in takers:
                    taker.turn(per_s)
        for taker in takers:
            taker.front.close()
        for taker in takers:
            taker.service.stop()
            _check(taker)
    return [line for per_s in RATES for line in _lines(per_s, takers)]


def _check(taker: Taker) -> None:
    """Nothing was saved by leaving something out."""
    if taker.state is None:
        return
    state = json.loads(taker.state.read_text())
    assert state["received"] == taker.front.sent, state
    assert state["compared"] + sum(state["reasons"].values()) == state["received"], state
    assert state["compared"] > 0.9 * state["received"], state["reasons"]


def _relay(stack: Stack, name: str, dark: str, tree: str | None) -> Taker:
    folder = stack.adopt(PrivateFolder()).path
    (folder / "secret").write_text(SECRET)
    port, state = free_port(kind=SOCK_DGRAM), folder / "state.json"
    argv = [
        *(
            sys.executable,
            "-m",
            "darktime.split.relay",
            "--socket",
            str(folder / "relay.sock"),
            "--log-port",
            str(port),
        ),
        *("--dark", f"http://{dark}", "--state", str(state), "--secret-file", str(folder / "secret")),
        *(
            "--pairs",
            str(folder / "pairs.jsonl"),
            "--population",
            str(folder / "population.json"),
            "--compare",
            "length",
        ),
    ]
    service = stack.start(name, argv, ready="relay on ", env={"PYTHONPATH": tree} if tree else None, cwd=folder)
    return Taker(name, service, AsNginx(folder / "relay.sock", port, SECRET), state)


def _bare(stack: Stack, name: str, dark: str, pace_s: float) -> Taker:
    folder = stack.adopt(PrivateFolder()).path
    port, script = free_port(kind=SOCK_DGRAM), Path(__file__).with_name("bare_relay.py")
    path = folder / "bare.sock"
    argv = [sys.executable, str(script), str(path), str(port), dark.rpartition(":")[2], str(pace_s)]
    service = stack.start(name, argv, ready="relay on ")
    return Taker(name, service, AsNginx(path, port, SECRET))


def _lines(per_s: int, takers: list[Taker]) -> list[str]:
    ours = takers[0]
    found = [f"- {per_s:,} copies/s: {_figures(ours, per_s)}, of {TURNS} turns of {SECONDS:g} s"]
    for other in takers[1:]:
        ratios = sorted(one / two for one, two in zip(ours.costs[per_s], other.costs[per_s], strict=True))
        words = f"**{statistics.median(ratios):.2f}** of {_NAMES[other.name]} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        found.append(f"  - {words}: {_figures(other, per_s)}")
    return found


_NAMES = {
    "before": "the relay before",
    "bare": "the bare system calls, each as it comes",
    "bare-paced": f"the bare system calls, replies and lines read every {PACE_S * 1000:g} ms",
}


def _figures(taker: Taker, per_s: int) -> str:
    costs = sorted(taker.costs[per_s])
    reached, wait = statistics.median(taker.reached[per_s]), statistics.median(taker.waits[per_s])
    return (
        f"{statistics.median(costs):.0f} µs of CPU a copy ({costs[0]:.0f} to {costs[-1]:.0f}) at {reached:,.0f}/s, "
        f"answered within {wait:.2f} ms (p99)"
    )


def _cpu_us(pid: int) -> float:
    """Processor time of a process, all threads, as the scheduler has it."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1000
