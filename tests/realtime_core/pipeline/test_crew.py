"""How a crew knows whether more hands would help."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from realtime_core.pipeline.crew import GATHER_S, PATIENCE_S, Load, gathering_s, wanted_s

BUSY = "while True: pass"


def test_a_process_computes_all_the_time_when_its_cpu_clock_runs_as_fast_as_the_other() -> None:
    now = {"clock": 0.0, "cpu": 0.0}
    load = Load(lambda: now["clock"], lambda: now["cpu"])

    def computing(clock: float, cpu: float) -> bool:
        now.update(clock=now["clock"] + clock, cpu=now["cpu"] + cpu)
        return load.computing

    assert not computing(0.01, 0.01), "nobody knows yet"
    assert computing(0.05, 0.049)
    assert computing(0.01, 0.0), "one look is no span"
    assert not computing(0.05, 0.03)
    assert not computing(1.0, 0.89)
    assert computing(1.0, 0.91)


def test_who_waits_for_a_core_wants_to_compute_and_who_sleeps_does_not() -> None:
    """Beside others on one core its CPU would say that it has time for another batch."""
    allowed = os.sched_getaffinity(0)
    core = {min(allowed)}
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(2)]
    try:
        for other in others:
            os.sched_setaffinity(other.pid, core)
        os.sched_setaffinity(0, core)
        began, used, wanted = time.monotonic(), time.process_time(), wanted_s()
        while time.monotonic() - began < 0.5:
            pass
        took = time.monotonic() - began
        assert time.process_time() - used < 0.8 * took
        assert wanted_s() - wanted > 0.9 * took
    finally:
        os.sched_setaffinity(0, allowed)
        for other in others:
            other.kill()
            other.wait()
    wanted = wanted_s()
    time.sleep(0.3)
    assert wanted_s() - wanted < 0.15


def test_another_batch_begins_where_the_oldest_takes_long_and_the_last_one_has_left_jobs_time_to_gather() -> None:
    def wait_s(*ages: float) -> float:
        now = time.monotonic()
        return gathering_s([now - age for age in ages])

    assert PATIENCE_S - 0.005 < wait_s(0.0) <= PATIENCE_S
    assert wait_s(PATIENCE_S) <= 0
    assert 0 < wait_s(PATIENCE_S, 0.0) <= GATHER_S
    assert wait_s(PATIENCE_S, GATHER_S) <= 0
