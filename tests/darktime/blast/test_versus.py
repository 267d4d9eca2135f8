"""Two runs compared: better, worse, or cannot tell."""

from dataclasses import asdict
from random import Random

import pytest

from darktime.blast.result import judge
from darktime.blast.slo import Slo
from darktime.blast.versus import compare, compare_pairs
from tests.darktime.blast.simulated import offered, times


def run(low=None, high=None, *, probes=(), code=0, slo="p99 < 200 ms", endpoint="http"):
    return {
        "exit_code": code,
        "slo": slo,
        "endpoint": endpoint,
        "model": "open",
        "capacity": {"highest_pass_per_s": low, "lowest_fail_per_s": high},
        "probes": list(probes),
    }


def window(p99_ms, rate=500.0):
    return {"rate_per_s": rate, "p99_ms": p99_ms, "requests": 5000, "latency_histogram": None}


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        ((1000, 1030), (1200, 1236), "better"),
        ((1200, 1236), (1000, 1030), "worse"),
        ((1000, 1030), (1020, 1050), "cannot tell"),
        ((1000, 1030), (1031, 1062), "cannot tell"),
    ],
)
def test_capacities_differ_only_where_their_intervals_do_not_meet(first, second, verdict):
    found = compare(run(*first), run(*second))
    assert (found.verdict, found.basis) == (verdict, "capacity")
    assert found.low <= found.ratio <= found.high


def test_a_slower_p99_at_the_same_rate_is_worse_by_so_much():
    random = Random(4)
    before = [window(random.gauss(20, 1)) for _ in range(12)]
    after = [window(random.gauss(30, 1)) for _ in range(12)]
    found = compare(run(500, probes=before), run(500, probes=after))
    assert (found.verdict, found.basis) == ("worse", "p99")
    assert 1.4 < found.low < 1.5 < found.high < 1.6
    assert compare(run(500, probes=after), run(500, probes=before)).verdict == "better"


def test_the_same_thing_twice_is_hardly_ever_found_to_differ():
    wrong = 0
    for seed in range(60):
        random = Random(seed)
        sides = [run(500, probes=[window(random.gauss(20, 2)) for _ in range(10)]) for _ in range(2)]
        wrong += compare(*sides).verdict != "cannot tell"
    assert wrong <= 6


def test_one_window_is_compared_by_its_histogram():
    def measured(scale, seed):
        random = Random(seed)
        spread = times(*((random.expovariate(1 / scale), 1) for _ in range(5000)))
        probe = offered((1, 0), rate=500)
        probe.counts.latency.merge(spread)
        probe.counts.requests = probe.planned = 5000
        return run(500, probes=[asdict(judge(probe, Slo(), histogram=True))])

    assert compare(measured(10, 1), measured(15, 2)).verdict == "worse"
    assert compare(measured(10, 1), measured(10, 2)).verdict == "cannot tell"
    found = compare(measured(10, 1), measured(15, 2))
    assert found.low < 1.5 < found.high


def test_runs_that_cannot_be_compared_are_not():
    for other, why in (
        (run(1000, 1030, code=4), "exit code 4"),
        (run(1000, 1030, slo="p99 < 100 ms"), "objectives"),
        (run(1000, 1030, endpoint="push"), "endpoint"),
        (run(500, probes=[window(20, rate=700)]), "common rate"),
        (run(500, probes=[window(20)]), "common rate"),
    ):
        first = run(500, probes=[window(20)]) if "common" in why else run(1000, 1030)
        found = compare(first, other)
        assert (found.verdict, found.ratio) == ("cannot tell", None)
        assert why in found.sentence


def test_the_answer_is_the_same_every_time():
    random = Random(4)
    sides = [run(500, probes=[window(random.gauss(20, 2)) for _ in range(10)]) for _ in range(2)]
    assert compare(*sides) == compare(*sides)


def test_pairs_in_turn_cancel_what_drifts():
    random = Random(2)
    pairs = []
    for number in range(12):
        drift = 1 + number / 6  # the machine grows faster all the while
        pairs.append((1000 * drift * random.gauss(1, 0.01), 1100 * drift * random.gauss(1, 0.01)))
    found = compare_pairs(pairs)
    assert found.verdict == "better"
    assert found.low < 1.1 < found.high
    assert compare_pairs(pairs, higher_is_better=False).verdict == "worse"


def test_pairs_that_go_either_way_or_are_few_tell_nothing():
    assert compare_pairs([(100, 110), (110, 100)] * 5).verdict == "cannot tell"
    assert compare_pairs([(100, 150)] * 3).verdict == "cannot tell"
    with pytest.raises(ValueError, match="0 or less"):
        compare_pairs([(0, 1)])
