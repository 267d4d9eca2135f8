"""Makes the samples of blast and compare: results as the commands write them, of instances that a seeded queue plays.

That of a scenario is a real run of slow_readers. ``python tests/darktime/report/make_samples.py`` writes them again;
they are committed, and reviewed like code.
"""

from __future__ import annotations

import json
import math
import random
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from darktime.blast.interleaved import Leg, compare_legs, order

SAMPLES = Path(__file__).parent / "samples"
Results = dict[str, Any]
CONNECTIONS = 200
DRAWN = 400  # latencies drawn a second; counts are scaled to the rate
EDGES_MS = [round(0.5 * 2 ** (step / 2), 3) for step in range(29)]
PERCENTS = (0, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 100)


def percentile(ordered: list[float], percent: float) -> float:
    return round(ordered[min(len(ordered) - 1, max(math.ceil(percent * len(ordered) / 100) - 1, 0))], 3)


def five(ordered: list[float]) -> dict[str, float]:
    named = (("p50", 50), ("p90", 90), ("p99", 99), ("p999", 99.9), ("max", 100))
    return {f"{name}_ms": percentile(ordered, percent) for name, percent in named}


def percentiles(rng: random.Random, count: int, median_ms: float, sigma: float = 0.4) -> dict[str, float]:
    drawn = sorted(rng.lognormvariate(math.log(median_ms), sigma) for _ in range(2_000))
    return {"count": count, **{key: value for key, value in five(drawn).items() if key != "p999_ms"}}


class Instance:
    """One queue of ``capacity_per_s``; what it cannot serve at once waits, up to ``patience_s`` of it."""

    def __init__(
        self, seed: int, capacity_per_s: float, *, base_ms: float = 2.0, patience_s: float = 4.0, slo_ms: float = 200.0
    ) -> None:
        self.rng = random.Random(seed)
        self.capacity_per_s = capacity_per_s
        self.base_ms = base_ms
        self.patience_s = patience_s
        self.slo_ms = slo_ms
        self.lag_ms = 0.4  # of the generator
        self.backlog = 0.0
        self.t = 0
        self.series: list[Results] = []
        self.heat: list[Results] = []
        self.latency: list[float] = []
        self.spans: list[slice] = []  # of each probe, in what was drawn
        self.service: list[float] = []

    def second(self, rate_per_s: float, *, fanout: int = 0, streams: int | None = None, lost: int = 0) -> list[float]:
        rng = self.rng
        use = min(rate_per_s / self.capacity_per_s, 0.985)
        self.backlog = min(
            max(self.backlog + rate_per_s - self.capacity_per_s, 0.0), self.patience_s * self.capacity_per_s
        )
        wait_ms = 1000 * self.backlog / self.capacity_per_s
        # What the connections hold waits at the instance; the rest waits for a free connection.
        inside_ms = min(wait_ms, 1000 * CONNECTIONS / self.capacity_per_s)
        middle = math.log(self.base_ms * (1 + 0.5 * use / (1 - use)))
        service = sorted(rng.lognormvariate(middle, 0.55) + inside_ms * rng.uniform(0.85, 1.1) for _ in range(DRAWN))
        lags = sorted(rng.expovariate(4.6 / max(self.lag_ms, 1e-6)) for _ in range(DRAWN))
        before_ms = wait_ms - inside_ms
        latency = sorted(one + rng.choice(lags) + before_ms * rng.uniform(0.85, 1.1) for one in service)
        answered = min(rate_per_s, self.capacity_per_s * rng.uniform(0.985, 1.0) if self.backlog else rate_per_s)
        failures = round(0.02 * rate_per_s) if self.backlog >= self.patience_s * self.capacity_per_s else 0
        counts = [0] * len(EDGES_MS)
        for one in latency:
            at = next((at for at, edge in enumerate(EDGES_MS) if one <= edge), len(EDGES_MS) - 1)
            counts[at] += 1
        scale = answered / DRAWN
        self.heat.append({"t": self.t, "counts": [round(one * scale) for one in counts]})
        figures = five(latency)
        self.series.append(
            {
                "t": self.t,
                "planned": round(rate_per_s),
                "requests": round(answered),
                "failures": failures,
                "p50_ms": figures["p50_ms"],
                "p99_ms": figures["p99_ms"],
                "deliveries": round(answered * fanout) - lost if fanout else 0,
                "lost": lost,
                "streams": streams or 0,
                "in_flight": round(answered * sum(latency) / len(latency) / 1000, 1),
                "send_lag_p99_ms": percentile(lags, 99),
                "loop_lag_ms": round(rng.uniform(0.6, 2.4) * max(self.lag_ms, 0.4), 2),
                "cpu_share": round(min(0.05 + rate_per_s / self.ceiling_per_s, 1.0) * rng.uniform(0.96, 1.0), 3),
                "canary_ms": round(percentile(service, 50) * rng.uniform(0.9, 1.3), 2),
            }
        )
        self.t += 1
        self.service += service
        self.latency += latency
        return latency

    ceiling_per_s = 45_000.0

    def probe(self, rate_per_s: float, seconds: int, stage: str, **asked: Any) -> Results:
        began, latency, first = self.t, [], len(self.latency)
        for _ in range(seconds):
            latency += self.second(rate_per_s, **asked)
        latency.sort()
        self.spans.append(slice(first, len(self.latency)))
        rows = self.series[began:]
        requests, errors = sum(row["requests"] for row in rows), sum(row["failures"] for row in rows)
        figures = five(latency)
        held = figures["p99_ms"] < self.slo_ms and not errors
        in_time = sum(one < self.slo_ms for one in latency) / len(latency)
        lost = sum(row["lost"] for row in rows)
        deliveries = sum(row["deliveries"] for row in rows)
        if stage != "recover":
            self.backlog = 0.0  # the search waits for an empty queue before the next rate
        return {
            "rate_per_s": round(rate_per_s, 3),
            "achieved_per_s": round((requests - errors) / seconds, 3),
            "goodput_per_s": round((requests - errors) / seconds * in_time, 3),
            **figures,
            "errors": errors,
            "requests": requests,
            "deliveries_per_s": round(deliveries / seconds, 3) if asked.get("fanout") else None,
            "lost": lost,
            "passed": held and not lost,
            "why": "held"
            if held and not lost
            else f"{lost} deliveries lost"
            if lost
            else f"p99 {figures['p99_ms']:,.0f} ms",
            "stage": stage,
            "outcome": "pass" if held and not lost else "fail",
            "began_s": began,
            "duration_s": seconds,
            "in_flight": round(sum(row["in_flight"] for row in rows) / seconds, 1),
            "little_error": round(self.rng.uniform(-0.02, 0.02), 4),
            "send_lag_p99_ms": max(row["send_lag_p99_ms"] for row in rows),
            "cpu_share": max(row["cpu_share"] for row in rows),
            "canary_p99_ms": round(max(row["canary_ms"] for row in rows) * 1.4, 2),
            "service_p99_ms": percentile(sorted(self.service[-DRAWN * seconds :]), 99),
        }


def results(instance: Instance, probes: list[Results], *, measured_probe: int = -1, **given: Any) -> Results:
    rows, span = instance.series, instance.spans[measured_probe]
    measured, service = sorted(instance.latency[span]), sorted(instance.service[span])
    requests, failures = sum(row["requests"] for row in rows), sum(row["failures"] for row in rows)
    made: Results = {
        "schema_version": 1,
        "kind": "blast",
        "name": "blast",
        "command": "darkesttime blast --instance 127.0.0.1:8001",
        "version": "0.1.0",
        "seed": 7,
        "host": {"python": "3.11.7", "kernel": "Linux 6.1.0", "cpus": 2},
        "instance": "127.0.0.1:8001",
        "endpoint": "http",
        "model": "open",
        "started": "2026-11-25T09:14:03Z",
        "duration_s": float(len(rows)),
        "slo": "p99 < 200 ms, errors < 0.1 %",
        "thresholds": [],
        "probes": probes,
        "capacity": {"highest_pass_per_s": None, "lowest_fail_per_s": None},
        "limit": "instance",
        "sentence": "",
        "totals": {
            "requests": requests,
            "failures": failures,
            "bytes": requests * 312,
            "deliveries": sum(row["deliveries"] for row in rows),
            "lost": sum(row["lost"] for row in rows),
            "duplicated": 0,
            "reordered": 0,
            "replayed": 0,
            "redirects": 0,
            "connects": 200,
            "connect_errors": 0,
        },
        "statuses": {"200": requests - failures} | ({"503": failures} if failures else {}),
        "reasons": {"status 503": failures} if failures else {},
        "latency": five(measured),
        "spectrum": {
            "latency": [[percent, percentile(measured, percent)] for percent in PERCENTS],
            "service": [[percent, percentile(service, percent)] for percent in PERCENTS],
        },
        "heat": {"edges_ms": EDGES_MS, "seconds": instance.heat},
        "series": rows,
        "streams": None,
        "overload": None,
        "health": {
            "send_lag_p99_ms": max(row["send_lag_p99_ms"] for row in rows),
            "loop_lag_max_ms": max(row["loop_lag_ms"] for row in rows),
            "cpu_share": max(row["cpu_share"] for row in rows),
            "achieved_share": 0.9997,
            "verdict": "healthy",
        },
        "calibration": {"ceiling_per_s": 41_200.0, "share": 0.12},
        "canary": {"requests": 10 * len(rows), "errors": 0, "p50_ms": 2.4, "p99_ms": 11.8},
        "workers": [],
        "instance_metrics": None,
        "findings": [],
        "locust": {"requests": requests, "failures": failures},
        "exit_code": 0,
    }
    return made | given


def http() -> Results:
    """A plain HTTP instance, searched, and driven beyond what it holds."""
    one = Instance(11, 1_960.0)
    probes = [one.probe(rate, 3, "double") for rate in (125.0, 250.0, 500.0, 1_000.0, 2_000.0)]
    probes += [one.probe(rate, 4, "bisect") for rate in (1_414.0, 1_682.0, 1_834.0, 1_992.0, 1_912.0)]
    probes.append(one.probe(1_912.0, 10, "confirm"))
    probes += [one.probe(rate, 8, "beyond") for rate in (2_294.0, 3_824.0)]
    one.backlog = 3_000.0
    probes.append(one.probe(956.0, 8, "recover"))
    held, failed = 1_912.0, 1_992.0
    return results(
        one,
        probes,
        thresholds=[
            {"text": "p99 < 200 ms", "seen": probes[10]["p99_ms"], "unit": "ms", "ok": True},
            {"text": "errors < 0.1 %", "seen": 0.0, "unit": "%", "ok": True},
        ],
        capacity={"highest_pass_per_s": held, "lowest_fail_per_s": failed},
        sentence="The instance held 1,912 requests/s (p99 < 200 ms, errors < 0.1 %) and failed at 1,992: p99 "
        f"{probes[8]['p99_ms']:,.0f} ms. Generator 9 % busy, canary slow too: the instance is the limit.",
        overload={
            "verdict": "collapse",
            "metastable": False,
            "ratio": 0.0,
            "recovered_after_s": 2.0,
            "sentence": "At twice the capacity nothing was answered in time any more; at half of it, it was well after 2 s.",
        },
        measured_probe=10,
        instance_metrics=told(one),
    )


def told(one: Instance) -> list[Results]:
    """What the instance says of itself: memory that grows, a processor as busy as it serves, a queue, a counter."""
    seconds = range(len(one.series))
    memory = [48_234_496.0 + 4_096.0 * 25 * at for at in seconds]
    busy = [round(min(second["requests"] / one.capacity_per_s, 0.99), 3) for second in one.series]
    return [
        metric("process_resident_memory_bytes", "gauge", memory[0], memory[-1], memory),
        metric("process_cpu_seconds_total", "counter", 3.1, 3.1 + sum(busy), busy),
        metric("process_open_fds", "gauge", 12.0, 212.0, [12.0, *(212.0 for _ in seconds[1:])]),
        metric(
            'queue_depth{worker="<b>1</b>"}', "gauge", 0.0, 0.0, [float(second["in_flight"]) for second in one.series]
        ),
        metric("http_requests_total", "counter", 0.0, 132_604.0, [float(second["requests"]) for second in one.series]),
    ]


def metric(name: str, kind: str, first: float, last: float, values: list[float]) -> Results:
    points = [[float(at), value] for at, value in enumerate(values)]
    return {
        "name": name,
        "kind": kind,
        "first": first,
        "last": round(last, 3),
        "highest": max(values),
        "points": points[1:] if kind == "counter" else points,
    }


def push() -> Results:
    """A push endpoint at one rate that loses a few deliveries."""
    one = Instance(23, 900.0, base_ms=4.0)
    probes = [one.probe(200.0, 14, "hold", fanout=1_000, streams=1_000)]
    later = one.probe(200.0, 2, "hold", fanout=1_000, streams=996, lost=14)
    rest = one.probe(200.0, 14, "hold", fanout=1_000, streams=1_000)
    whole = probes[0] | {"duration_s": 30, "requests": 6_000, "lost": later["lost"], "passed": False, "outcome": "fail"}
    whole |= {"why": f"{later['lost']} deliveries lost", "p99_ms": max(probes[0]["p99_ms"], rest["p99_ms"])}
    made = results(one, [whole])
    delivered, lost = made["totals"]["deliveries"], made["totals"]["lost"]
    made["totals"] |= {"duplicated": 2, "reordered": 1, "replayed": 9, "connects": 1_016}
    return made | {
        "command": "darkesttime blast --instance 127.0.0.1:9301 --rate 200 --streams 1000 --duration 30 --slo "
        "'p99<200ms,errors<0.1%,lost=0'",
        "instance": "127.0.0.1:9301",
        "endpoint": "push",
        "slo": "p99 < 200 ms, errors < 0.1 %, lost = 0",
        "thresholds": [
            {"text": "p99 < 200 ms", "seen": made["latency"]["p99_ms"], "unit": "ms", "ok": True},
            {"text": "errors < 0.1 %", "seen": 0.0, "unit": "%", "ok": True},
            {"text": "lost = 0", "seen": lost, "unit": "", "ok": False},
        ],
        "sentence": f"The instance did not hold 200 publishes/s to 1,000 streams: {lost} of {delivered + lost:,} "
        "deliveries were lost, all of them within two seconds after 4 streams were cut.",
        "streams": {
            "open": 1_000,
            "opened": 1_016,
            "ended": 16,
            "completed": 0,
            "delivered": delivered,
            "lost": lost,
            "duplicated": 2,
            "reordered": 1,
            "replayed": 9,
            "late": 0,
            "reasons": {"reset": 4, "ended by the instance": 12},
            "spread": percentiles(one.rng, 6_000, 7.5),
            "connect": percentiles(one.rng, 1_000, 1.8),
            "reconnect": percentiles(one.rng, 16, 1_020.0, 0.1),
            "first_event": percentiles(one.rng, 1_016, 9.0),
            "between": percentiles(one.rng, delivered, 5.0),
        },
        "exit_code": 3,
    }


def generator() -> Results:
    """A run whose generator was the limit: no capacity."""
    one = Instance(31, 60_000.0, base_ms=0.8)
    one.ceiling_per_s = 21_000.0
    probes = [one.probe(rate, 3, "double") for rate in (2_500.0, 5_000.0, 10_000.0)]
    one.lag_ms = 64.0
    probes.append(one.probe(20_000.0, 4, "double"))
    why = "generator-bound: sends were 64 ms late (p99), more than 20 ms"
    probes[-1] |= {"passed": False, "outcome": "generator", "why": why}
    made = results(one, probes, limit="generator", exit_code=4)
    made["health"] |= {"send_lag_p99_ms": 64.1, "cpu_share": 0.99, "achieved_share": 0.94, "verdict": why}
    return made | {
        "thresholds": [
            {"text": "p99 < 200 ms", "seen": None, "unit": "ms", "ok": None},
            {"text": "errors < 0.1 %", "seen": None, "unit": "%", "ok": None},
        ],
        "sentence": "No capacity is given: this generator was the limit (sends were 64 ms late, CPU 99 %). "
        "Give it more processes with --processes, or another machine.",
        "calibration": {"ceiling_per_s": 21_300.0, "share": 0.94},
        "canary": {"requests": 130, "errors": 0, "p50_ms": 0.9, "p99_ms": 2.2},
    }


def tokens() -> Results:
    """Streams that begin with a request and end by themselves."""
    one = Instance(43, 90.0, base_ms=18.0)
    probes = [one.probe(rate, 6, "double", fanout=64, streams=streams) for rate, streams in ((20.0, 62), (40.0, 131))]
    probes += [one.probe(rate, 6, "bisect", fanout=64, streams=streams) for rate, streams in ((80.0, 402), (57.0, 188))]
    made = results(one, probes)
    delivered = made["totals"]["deliveries"]
    opened = made["totals"]["requests"]
    return made | {
        "name": "token_stream",
        "command": "darkesttime blast --instance 127.0.0.1:8080 --scenario token_stream --search",
        "instance": "127.0.0.1:8080/v1/chat/completions",
        "endpoint": "stream",
        "slo": "first_event p99 < 500 ms, between p99 < 80 ms",
        "thresholds": [
            {"text": "first event p99 < 500 ms", "seen": 231.0, "unit": "ms", "ok": True},
            {"text": "between events p99 < 80 ms", "seen": 46.2, "unit": "ms", "ok": True},
            {"text": "streams whole > 99.9 %", "seen": 100.0, "unit": "%", "ok": True},
        ],
        "capacity": {"highest_pass_per_s": 57.0, "lowest_fail_per_s": 80.0},
        "sentence": "The instance held 57 streams/s, each on time (first event p99 < 500 ms, between events p99 < 80 ms), "
        "and failed at 80: first event p99 812 ms.",
        "streams": {
            "open": 188,
            "opened": opened,
            "ended": 0,
            "completed": opened - 188,
            "delivered": delivered,
            "lost": 0,
            "duplicated": 0,
            "reordered": 0,
            "replayed": 0,
            "late": 0,
            "reasons": {},
            "spread": None,
            "connect": percentiles(one.rng, opened, 0.9),
            "reconnect": None,
            "first_event": percentiles(one.rng, opened, 92.0),
            "between": percentiles(one.rng, delivered - opened, 24.0, 0.3),
        },
        "heat": None,
        "canary": None,
    }


def kept(run: Results) -> Results:
    """A real run as it is kept for a sample: without the histograms of its probes, which nobody would review."""
    return run | {"probes": [probe | {"latency_histogram": None} for probe in run["probes"]]}


def comparison() -> Results:
    """Two runs, one of them better in what was measured well enough."""
    rows = [
        ("capacity", "/s", 1_912.0, 2_240.0, 1.17, 1.11, 1.24, "better"),
        ("p50", "ms", 4.1, 4.0, 0.98, 0.94, 1.03, "cannot tell"),
        ("p99", "ms", 148.2, 96.4, 0.65, 0.52, 0.81, "better"),
        ("p99.9", "ms", 410.0, 502.0, 1.22, 0.71, 2.1, "cannot tell"),
        ("errors", "%", 0.02, 0.06, 3.0, 1.2, 7.4, "worse"),
        ("lost", "", 0.0, 0.0, None, None, None, "cannot tell"),
    ]
    names = ("name", "unit", "a", "b", "ratio", "low", "high", "outcome")

    def side(name: str, folder: str, held: float, failed: float) -> Results:
        return {
            "name": name,
            "folder": folder,
            "capacity": {"highest_pass_per_s": held, "lowest_fail_per_s": failed},
        }

    return {
        "schema_version": 1,
        "kind": "compare",
        "a": side("steady", "runs/2026-11-24T09-14-03Z-steady", 1_912.0, 1_992.0),
        "b": side("steady", "runs/2026-11-25T10-02-41Z-steady", 2_240.0, 2_330.0),
        "outcome": "better",
        "metrics": [dict(zip(names, row, strict=True)) for row in rows],
        "sentence": "B is better: it holds 1.17 times the rate of A (1.11 to 1.24).",
        "exit_code": 0,
    }


def in_turn() -> Results:
    """Two instances in turn: B has longer tails, and serves less of what is offered in time."""
    rng = random.Random(20)
    slower = {"p50": 1.02, "p90": 1.1, "p99": 1.6, "p99.9": 1.9, "goodput": 0.97}
    usual = {"p50": 4.2, "p90": 9.0, "p99": 31.0, "p99.9": 88.0, "goodput": 498.0}
    legs = [
        Leg(
            side=side,
            figures={
                name: round(
                    value
                    * (slower[name] if side == "B" else 1)
                    * rng.lognormvariate(0, 0.002 if name == "goodput" else 0.06),
                    3,
                )
                for name, value in usual.items()
            },
            exit_code=3 if side == "B" and at % 3 else 0,
            why="The instance held 500 requests/s (p99 < 40 ms, errors < 0.1 %).",
        )
        for at, side in enumerate(order(6))
    ]
    found = compare_legs(legs, planned=12)
    return {
        "schema_version": 1,
        "kind": "compare",
        "started": "2026-11-25T10:20:00+00:00",
        "duration_s": 77.4,
        "a": {"name": "127.0.0.1:8001", "folder": "runs/2026-11-25T10-20-00Z-compare/legs/*-A", "capacity": None},
        "b": {"name": "127.0.0.1:8002", "folder": "runs/2026-11-25T10-20-00Z-compare/legs/*-B", "capacity": None},
        "plan": {
            "rate_per_s": 500.0,
            "leg_s": 5.0,
            "scenario": None,
            "slo": "p99<40ms,errors<0.1%",
            "path": "/<b>",
            "pairs": 6,
        },
        "legs": [asdict(leg) for leg in legs],
        "outcome": found.outcome,
        "metrics": [asdict(metric) for metric in found.metrics],
        "sentence": found.sentence,
        "exit_code": int(found.exit_code),
    }


def brought_along(saved: Results) -> Results:
    """The oldest sample with what results have had since; its own figures stay as they are."""
    one = Instance(3, 4_500.0, base_ms=2.0, slo_ms=250.0)
    spans = (1, 1, 2, 2, 2, 2, 2, 2)
    replayed = [
        one.probe(probe["rate_per_s"], seconds, "double" if at < 5 else "bisect", fanout=100, streams=100)
        for at, (probe, seconds) in enumerate(zip(saved["probes"], spans, strict=True))
    ]
    for new, old in zip(replayed, saved["probes"], strict=True):
        new |= {key: old[key] for key in old if key not in new or key in OLD_PROBE}
        new |= {
            "outcome": "pass" if old["passed"] else "fail",
            "p999_ms": round(old["max_ms"] * 0.8, 3),
            "goodput_per_s": round(old["achieved_per_s"] * (1.0 if old["passed"] else 0.4), 3),
        }
    made = results(one, replayed)
    kept = {key: saved[key] for key in OLD}
    streams = {
        "open": 100,
        "opened": 100,
        "ended": 0,
        "completed": 0,
        "delivered": saved["totals"]["deliveries"],
        "lost": 0,
        "duplicated": 0,
        "reordered": 0,
        "replayed": 0,
        "late": 0,
        "reasons": {},
        "spread": percentiles(one.rng, 41_250, 3.1),
        "connect": percentiles(one.rng, 100, 0.9),
        "reconnect": None,
        "first_event": None,
        "between": None,
    }
    spectrum = [[percent, saved["latency"][key]] for percent, key in OLD_LATENCY]
    return (
        made
        | kept
        | {
            "spectrum": {
                "latency": spectrum,
                "service": [
                    [percent, round(value * (0.97 - at * 0.05), 3)] for at, (percent, value) in enumerate(spectrum)
                ],
            },
            "command": "darkesttime blast --instance 127.0.0.1:9301",
            "totals": made["totals"] | {key: saved["totals"][key] for key in OLD_TOTALS},
            "statuses": {"200": 41_250},
            "reasons": {},
            "thresholds": [
                {"text": "p99 < 250 ms", "seen": 148.2, "unit": "ms", "ok": True},
                {"text": "errors = 0", "seen": 0, "unit": "", "ok": True},
                {"text": "lost = 0", "seen": 0, "unit": "", "ok": True},
            ],
            "streams": streams,
            "canary": {"requests": 140, "errors": 0, "p50_ms": 2.0, "p99_ms": 131.0},
        }
    )


OLD = ("instance", "endpoint", "model", "started", "duration_s", "slo", "capacity", "limit", "sentence", "latency")
OLD += ("health", "locust", "exit_code")
OLD_PROBE = ("rate_per_s", "achieved_per_s", "p50_ms", "p90_ms", "p99_ms", "max_ms", "errors", "requests", "lost")
OLD_PROBE += ("deliveries_per_s", "passed", "why")
OLD_LATENCY = ((50, "p50_ms"), (90, "p90_ms"), (99, "p99_ms"), (99.9, "p999_ms"), (100, "max_ms"))
OLD_TOTALS = ("bytes", "deliveries", "duplicated", "failures", "lost", "requests")


def on_lines(value: Any, indent: int = 0) -> str:
    """JSON with one row a line: a series of a minute is sixty lines, not a thousand."""
    line = json.dumps(value, sort_keys=True, ensure_ascii=False)
    if len(line) + indent <= 300 or not value or not isinstance(value, dict | list):
        nested = isinstance(value, dict) and any(isinstance(part, dict | list) for part in value.values())
        if not nested or indent > 2:
            return line
    pad = " " * (indent + 1)
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {on_lines(value[key], indent + 1)}" for key in sorted(value)]
    else:
        parts = [on_lines(part, indent + 1) for part in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n{pad}" + f",\n{pad}".join(parts) + f"\n{' ' * indent}{closing}"


def main() -> None:
    push_search = brought_along(json.loads((SAMPLES / "blast.json").read_text("utf-8")))
    made = {
        "blast": push_search,
        "blast-http": http(),
        "blast-push": push(),
        "blast-generator": generator(),
        "blast-tokens": tokens(),
        # A real run, kept as it came: ``make_samples.py RESULTS.JSON`` takes another.
        "blast-scenario": json.loads((SAMPLES / "blast-scenario.json").read_text("utf-8")),
        "compare": comparison(),
        "compare-ab": in_turn(),
    }
    if len(sys.argv) > 1:
        made["blast-scenario"] = kept(json.loads(Path(sys.argv[1]).read_text("utf-8")))
    for name, sample in made.items():
        (SAMPLES / f"{name}.json").write_text(on_lines(sample) + "\n", "utf-8")
    demo = json.loads((SAMPLES / "demo.json").read_text("utf-8"))
    demo["blast"] = push_search
    (SAMPLES / "demo.json").write_text(on_lines(demo) + "\n", "utf-8")


if __name__ == "__main__":
    main()
