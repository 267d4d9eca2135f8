"""Requests a second of one core against one nginx on the other: the cohort, with full accounting, and its peers, in turns.

Closed model, no pipelining, the same connections. One nginx may be the limit of the fastest, so the CPU that each used
for a request stands beside.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from darktime.errors import UsageError
from realtime_core.stack import Stack, find_nginx
from tests.bench.splitter import instance

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CONNECTIONS = 64
SECONDS = 3
TURNS = 5
LOCUSTFILE = """\
import os
import time

from locust import FastHttpUser, HttpUser, constant, events, task

began = 0.0

@events.test_start.add_listener
def begin(**_):
    global began
    began = time.process_time()

@events.test_stop.add_listener
def end(**_):
    with open(os.environ["CPU_S"], "w") as file:
        file.write(str(time.process_time() - began))

class Fast(FastHttpUser):
    wait_time = constant(0)

    @task
    def get(self):
        self.client.get("/")

class Plain(HttpUser):
    wait_time = constant(0)

    @task
    def get(self):
        self.client.get("/")
"""
AUTOCANNON = "autocannon@8.0.0"
NPM_S = 60
PEERS = {"wrk": "wrk", "h2load": "nghttp2-client", "hey": "hey"}
SERVED = {
    "wrk": re.compile(r"Requests/sec:\s+([\d.]+)"),
    "hey": re.compile(r"Requests/sec:\s+([\d.]+)"),
    "h2load": re.compile(r"finished in [\d.]+s, ([\d.]+) req/s"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Requests a second, and microseconds of processor a request."""

    per_s: float
    cpu_us: float


def measure(folder: Path) -> list[str]:
    """Lines for docs/benchmarks.md. Raises UsageError for a peer that is not installed."""
    missing = [package for program, package in PEERS.items() if shutil.which(program) is None]
    if missing:
        raise UsageError(f"the blast's bench needs {', '.join(missing)}: apt-get install {' '.join(missing)}")
    (folder / "locustfile.py").write_text(LOCUSTFILE)
    autocannon, why = _autocannon(folder)
    names = ["cohort", "wrk", "h2load", "hey", *(["autocannon"] if autocannon else []), "FastHttpUser", "HttpUser"]
    with Stack(folder / "blast") as stack:
        address = instance(stack, find_nginx().path, "instance")
        for service in _processes(stack):
            os.sched_setaffinity(service, {0})
        turns: dict[str, list[Turn]] = {}
        for _ in range(TURNS):
            for name in names:
                turns.setdefault(name, []).append(_turn(name, address, folder, autocannon))
    lines = [_line(name, found, turns["cohort"]) for name, found in turns.items()]
    return lines if autocannon else [*lines, f"- autocannon was left out: {why}"]


def _autocannon(folder: Path) -> tuple[str, str]:
    """Where autocannon is, else why it is not there: installed by npm, into this run's folder, only where both are."""
    found = shutil.which("autocannon")
    if found:
        return found, ""
    missing = [program for program in ("node", "npm") if shutil.which(program) is None]
    if missing:
        return "", f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed"
    words = [
        "npm",
        "install",
        "--prefix",
        str(folder / "npm"),
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        AUTOCANNON,
    ]
    try:
        subprocess.run(words, capture_output=True, timeout=NPM_S, check=True)
    except (subprocess.SubprocessError, OSError) as error:
        return "", f"npm could not install {AUTOCANNON} ({error})"
    return str(folder / "npm" / "node_modules" / ".bin" / "autocannon"), ""


def _processes(stack: Stack) -> list[int]:
    from tests.support.processes import descendants

    del stack
    return descendants()


def _turn(name: str, address: str, folder: Path, autocannon: str = "") -> Turn:
    url, seconds, connections = f"http://{address}/", str(SECONDS), str(CONNECTIONS)
    result = folder / "result.json"
    words: Sequence[str] = {
        "cohort": [
            *(sys.executable, "-m", "darktime.blast", "--instance", address, "--path", "/", "--closed"),
            *("--connections", connections, "--duration", seconds, "--no-canary", "--json", str(result)),
        ],
        "wrk": ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", url],
        "h2load": ["h2load", "--h1", "-t1", f"-c{connections}", f"-D{seconds}", url],
        "hey": ["hey", "-c", connections, "-z", f"{seconds}s", url],
        "autocannon": [autocannon, "--json", "-c", connections, "-d", seconds, url],
    }.get(name) or [
        *(sys.executable, "-m", "locust", "-f", str(folder / "locustfile.py"), "--headless", "--json"),
        *("-u", connections, "-r", connections, "-t", f"{SECONDS + 1}s", "--host", f"http://{address}"),
        {"FastHttpUser": "Fast", "HttpUser": "Plain"}[name],
    ]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        ["taskset", "-c", "1", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "GOMAXPROCS": "1", "CPU_S": str(folder / "cpu_s")},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if name == "cohort":
        probe = json.loads(result.read_text())["probes"][0]
        assert probe["errors"] == 0, probe
        # Of the measured span alone, as a load of the interpreter and of Locust is no request.
        return Turn(per_s=probe["achieved_per_s"], cpu_us=probe["cpu_share"] / probe["achieved_per_s"] * 1e6)
    if name == "autocannon":
        told = json.loads(done.stdout)
        assert told["non2xx"] == told["errors"] == 0, told
        per_s = told["requests"]["total"] / told["duration"]
        return Turn(per_s=per_s, cpu_us=cpu_s / told["requests"]["total"] * 1e6)
    if name in SERVED:
        found = SERVED[name].search(done.stdout)
        assert found is not None, done.stdout + done.stderr
        return Turn(per_s=float(found[1]), cpu_us=cpu_s / (float(found[1]) * SECONDS) * 1e6)
    row = json.loads(done.stdout[done.stdout.index("[") :])[0]
    span = max(row["last_request_timestamp"] - row["start_time"], 1.0)
    cpu_s = float((folder / "cpu_s").read_text())  # of the test alone, as with the cohort
    return Turn(per_s=row["num_requests"] / span, cpu_us=cpu_s / row["num_requests"] * 1e6)


def _line(name: str, turns: list[Turn], cohort: list[Turn]) -> str:
    rates = sorted(turn.per_s for turn in turns)
    cpu_us = statistics.median(turn.cpu_us for turn in turns)
    figures = f"{statistics.median(rates):,.0f} requests/s ({rates[0]:,.0f} to {rates[-1]:,.0f}), {cpu_us:.1f} µs of CPU a request"
    if name == "cohort":
        return f"- blast, closed model, {CONNECTIONS} connections, one core, full accounting: {figures}"
    ratios = sorted(ours.per_s / theirs.per_s for ours, theirs in zip(cohort, turns, strict=True))
    by_cpu = sorted(theirs.cpu_us / ours.cpu_us for ours, theirs in zip(cohort, turns, strict=True))
    return (
        f"- blast to {name}: **{statistics.median(ratios):.2f}** by rate ({ratios[0]:.2f} to {ratios[-1]:.2f}), "
        f"**{statistics.median(by_cpu):.2f}** by CPU a request ({by_cpu[0]:.2f} to {by_cpu[-1]:.2f}), {TURNS} turns of "
        f"{SECONDS} s; {name}: {figures}"
    )
