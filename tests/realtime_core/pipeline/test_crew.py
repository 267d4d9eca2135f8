"""How a crew knows whether more hands would help."""

from __future__ import annotations

from realtime_core.pipeline.crew import Load


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
