"""Streams by the ten thousand, held for minutes: nothing is lost, and the generator's memory does not grow."""

import os
from itertools import pairwise

import pytest

from tests.darktime.blast.runs import running
from tests.support.memory import Watch, slope_a_minute

HOLD_S = float(os.environ.get("DARKTIME_LONG_STREAMS_S", "600"))  # shorter to try it out
pytestmark = [pytest.mark.long, pytest.mark.engine("nginx-nchan"), pytest.mark.timeout(HOLD_S + 300)]
LOOK_S = 5.0
MOST_SLOPE_A_MINUTE = 0.01


@pytest.mark.parametrize("size", [(19_000, 1, 200, 50), (100_000, 6, 100, 60)], ids=["19000", "100000"])
def test_streams_are_held_for_minutes_without_a_loss_and_in_the_same_memory(nchan, size, record_property):
    streams, processes, channels, rate = size
    words = ("--streams", str(streams), "--channels", str(channels), "--processes", str(processes))
    plan = ("--rate", str(rate), "--duration", str(HOLD_S), "--slo", "p99<2s,lost=0,errors=0", "--timeout", "30")
    with running(nchan, *words, *plan) as run, Watch(lambda: [run.pid, *run.workers()], LOOK_S) as watch:
        done = run.end(HOLD_S + 280)
    found = done.found
    totals = found["totals"]
    owed = totals["requests"] * streams // (channels * processes)
    for name in ("p50_ms", "p99_ms", "max_ms"):
        record_property(name, found["latency"][name])
    assert done.code == 0, done.said
    assert found["streams"]["open"] == streams
    assert (totals["lost"], totals["duplicated"], totals["failures"]) == (0, 0, 0)
    assert totals["deliveries"] == pytest.approx(owed, rel=0.01), "channels have a stream more or less"
    holding = [seen for pid, seen in watch.looks.items() if pid != run.pid or processes == 1]
    assert len(holding) == processes
    for seen in holding:
        held = [one for one in seen if one[0] > seen[-1][0] - 0.9 * HOLD_S]  # after it has opened
        assert all(later > earlier for (earlier, _), (later, _) in pairwise(held))
        slope = slope_a_minute(held)
        record_property("RSS", f"{held[-1][1] / 1024:.0f} MB, {100 * slope:+.2f} % a minute")
        assert slope < MOST_SLOPE_A_MINUTE
