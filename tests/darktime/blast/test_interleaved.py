"""Two instances in turn: which order, what the pairs say, and the real command against instances whose difference is known."""

import json
import math
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.blast.interleaved import Leg, compare_legs, leg_of, order
from darktime.blast.student import inside, quantile
from darktime.errors import ExitCode
from tests.support.schemas import require_schema
from tests.support.waiting import wait_until

pytestmark = pytest.mark.quiet

DARKESTTIME = Path(sys.executable).parent / "darkesttime"
TABLE = {
    (0.95, 1): 12.706,
    (0.95, 2): 4.3027,
    (0.95, 5): 2.5706,
    (0.99, 7): 3.4995,
    (0.9, 9): 1.8331,
    (0.95, 30): 2.0423,
}


@pytest.mark.parametrize(("share", "freedom"), TABLE)
def test_students_t_is_that_of_the_tables(share, freedom):
    assert quantile(share, freedom) == pytest.approx(TABLE[share, freedom], rel=1e-4)
    assert inside(quantile(share, freedom), freedom) == pytest.approx(share)


def test_a_share_or_a_freedom_that_is_none_is_refused():
    for share, freedom in ((0, 3), (1, 3), (0.5, 0)):
        with pytest.raises(ValueError, match="degrees of freedom"):
            quantile(share, freedom)


@given(st.integers(1, 50))
def test_both_sides_have_as_many_legs_and_as_many_of_them_first(pairs):
    turns = order(pairs)
    assert turns.count("A") == turns.count("B") == pairs
    firsts = turns[::2]
    assert abs(firsts.count("A") - firsts.count("B")) <= 1
    assert all({turns[at], turns[at + 1]} == {"A", "B"} for at in range(0, len(turns), 2))


def legs(pairs, *, ratios, spread=0.03, seed=1, code=0):
    """A's figures are 10, B's so many times as much, and each leg is off by chance."""
    random = Random(seed)
    return [
        Leg(
            side=side,
            figures={
                name: 10 * (ratio if side == "B" else 1) * math.exp(random.gauss(0, spread))
                for name, ratio in ratios.items()
            },
            exit_code=code,
            why="ended",
        )
        for side in order(pairs)
    ]


@pytest.mark.parametrize(
    ("ratios", "outcome", "code"),
    [
        ({"p50": 1.5, "p99": 1.5, "goodput": 1.0}, "worse", 3),
        ({"p50": 0.6, "p99": 1.0, "goodput": 1.0}, "better", 0),
        ({"p50": 1.0, "p99": 1.0, "goodput": 0.7}, "worse", 3),
        ({"capacity": 1.4}, "better", 0),
        ({"p50": 0.5, "goodput": 0.5}, "cannot tell", 5),
        ({"p50": 1.0, "p99": 1.0}, "cannot tell", 5),
    ],
)
def test_lower_times_and_higher_rates_are_better_and_both_ways_at_once_is_nothing_to_tell(ratios, outcome, code):
    found = compare_legs(legs(6, ratios=ratios), planned=12)
    assert (found.outcome, found.exit_code) == (outcome, code)
    for metric in found.metrics:
        assert metric.low <= metric.ratio <= metric.high
        assert metric.low < ratios[metric.name] * 1.02
        assert metric.high > ratios[metric.name] / 1.02


def test_what_drifts_evenly_is_no_difference():
    """Every leg 10 % slower than the one before: in the order ABABAB B would look 10 % slower."""
    drifting = [Leg(side=side, figures={"p50": 1.1**at}, exit_code=0) for at, side in enumerate(order(8))]
    found = compare_legs(drifting, planned=16)
    assert found.outcome == "cannot tell"
    assert found.metrics[0].ratio == pytest.approx(1.0)


@pytest.mark.parametrize("pairs", [4, 6, 12])
def test_the_same_instance_twice_is_hardly_ever_found_to_differ_however_many_figures_are_looked_at(pairs):
    names = dict.fromkeys(("p50", "p90", "p99", "p99.9", "goodput"), 1.0)
    wrong = sum(
        compare_legs(legs(pairs, ratios=names, spread=0.2, seed=seed), planned=2 * pairs).outcome != "cannot tell"
        for seed in range(200)
    )
    assert wrong <= 14, "5 % of 200, and what chance may add"


def test_a_leg_that_was_generator_bound_voids_all_and_leaves_no_figure():
    ran = [*legs(4, ratios={"p50": 2.0}), Leg(side="B", figures={"p50": 9.0}, exit_code=4, why="It was late.")]
    found = compare_legs(ran, planned=12)
    assert (found.exit_code, found.metrics, found.outcome) == (ExitCode.INVALID, (), "cannot tell")
    assert "in leg 9 (B) the generator was the limit. It was late." in found.sentence


def test_what_there_is_of_an_interrupted_one_is_said_and_half_a_pair_counts_for_nothing():
    whole = legs(6, ratios={"p50": 2.0})
    found = compare_legs(whole[:9], planned=12, interrupted=True)
    assert (found.exit_code, found.outcome) == (ExitCode.INTERRUPTED, "worse")
    assert found.sentence.startswith("Interrupted after 9 of 12 legs. B is worse")
    few = compare_legs(whole[:5], planned=12, interrupted=True)
    assert few.outcome == "cannot tell"
    assert "2 whole pairs are too few" in few.sentence
    assert compare_legs([], planned=12, interrupted=True).exit_code == ExitCode.INTERRUPTED


def result(*, requests=5000, low=None, high=None, goodput=100.0):
    probe = {"requests": requests, "duration_s": 5.0, "goodput_per_s": goodput}
    return {
        "probes": [probe],
        "latency": {"p50_ms": 1.0, "p90_ms": 2.0, "p99_ms": 3.0, "p999_ms": 4.0, "max_ms": 5.0},
        "capacity": {"highest_pass_per_s": low, "lowest_fail_per_s": high},
        "exit_code": 0,
        "sentence": "",
    }


def test_a_percentile_of_too_few_requests_is_no_figure_and_no_goodput_is_less_than_one_a_leg():
    assert set(leg_of("A", result(), searched=False).figures) == {"p50", "p90", "p99", "p99.9", "goodput"}
    assert set(leg_of("A", result(requests=100), searched=False).figures) == {"p50", "p90", "goodput"}
    assert leg_of("A", result(goodput=0.0), searched=False).figures["goodput"] == 0.2


def test_a_search_has_a_capacity_only_where_both_its_ends_are_known():
    assert leg_of("A", result(low=400.0, high=441.0), searched=True).figures == {"capacity": 420.0}
    assert not leg_of("A", result(low=400.0), searched=True).figures


def test_searches_that_agree_to_the_last_digit_know_a_ratio_no_better_than_their_ends():
    def searched(low, high):
        return {side: leg_of(side, result(low=low, high=high), searched=True) for side in "AB"}

    a, b, near = searched(519.0, 572.0), searched(327.0, 360.0), searched(500.0, 550.0)
    found = compare_legs([(a if side == "A" else b)[side] for side in order(4)], planned=8)
    assert found.outcome == "worse"
    (capacity,) = found.metrics
    assert capacity.low == pytest.approx(327 / 572)
    assert capacity.high == pytest.approx(360 / 519)
    assert compare_legs([(a if side == "A" else near)[side] for side in order(4)], planned=8).outcome == "cannot tell"


def compare(tmp_path, a, b, *words, limit_s=100):
    command = [DARKESTTIME, "compare", "--ab", a, b, "--out", "out", "--json", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=limit_s, check=False)
    results = json.loads(done.stdout) if done.stdout else {}
    if results:
        require_schema(results)
        assert (tmp_path / "out" / "report.html").exists()
        assert done.returncode == results["exit_code"]
    return done, results


def undisturbed(tmp_path, a, b, *words, tries=3):
    """Again while it says that this machine was too busy to judge by."""
    for number in range(tries):
        (tmp_path / str(number)).mkdir()
        done, results = compare(tmp_path / str(number), a, b, *words)
        if done.returncode != ExitCode.INVALID:
            break
    return done, results, tmp_path / str(number) / "out"


QUICK = ("--rate", "250", "--duration", "1", "--pairs", "4", "--path", "/")


@pytest.mark.timeout(110)
def test_in_the_real_command_the_slower_instance_is_worse_and_the_faster_better_by_so_much(tmp_path, instance):
    fast, slow = instance("delay", delay="uniform:10:14"), instance("delay", delay="uniform:16:20", seed=2)
    done, results, out = undisturbed(tmp_path, fast.address, slow.address, *QUICK)
    assert done.returncode == ExitCode.FAILED, done.stderr
    median = next(metric for metric in results["metrics"] if metric["name"] == "p50")
    assert median["outcome"] == "worse"
    assert 1.3 < median["ratio"] < 1.6
    assert median["a"] < median["b"]
    assert [leg["side"] for leg in results["legs"]] == list("ABBAABBA")
    assert len(list((out / "legs").iterdir())) == 10, "a warm leg each, thrown away, and eight"
    assert fast.counters()["requests"] == slow.counters()["requests"], "the same plan"


@pytest.mark.long  # 95 % of the time, as it says
@pytest.mark.timeout(110)
def test_in_the_real_command_the_same_server_twice_cannot_be_told_apart(tmp_path, instance):
    one = instance("delay", delay="constant:12")
    done, results, _ = undisturbed(tmp_path, one.address, one.address, *QUICK)
    assert done.returncode == ExitCode.WAIT, done.stderr
    assert results["outcome"] == "cannot tell"
    median = next(metric for metric in results["metrics"] if metric["name"] == "p50")
    assert 0.9 < median["ratio"] < 1.1


@pytest.mark.long
@pytest.mark.timeout(200)
def test_without_a_rate_capacities_are_compared_in_the_real_command(tmp_path, instance):
    more, less = instance("fifo", service="constant:2"), instance("fifo", service="constant:4")
    words = ("--duration", "8", "--pairs", "4", "--slo", "p99<50ms", "--path", "/")
    done, results, _ = undisturbed(tmp_path, more.address, less.address, *words)
    assert done.returncode == ExitCode.FAILED, done.stderr
    (capacity,) = results["metrics"]
    assert (capacity["name"], capacity["outcome"]) == ("capacity", "worse")
    assert capacity["low"] < 0.5 < capacity["high"], "250/s against 500/s"


@pytest.mark.long
@pytest.mark.timeout(60)
def test_a_generator_bound_leg_voids_it_in_the_real_command(tmp_path, instance):
    one, other = instance("null"), instance("null")
    done, results = compare(
        tmp_path, one.address, other.address, "--rate", "190000", "--duration", "1", "--pairs", "4", "--path", "/"
    )
    assert done.returncode == ExitCode.INVALID, done.stderr
    assert results["metrics"] == []
    assert "No comparison is given" in results["sentence"]
    assert len(results["legs"]) < 8, "it stopped there"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_keeps_what_there_is(tmp_path, instance, ending):
    one = instance("delay", delay="constant:5")
    command = [DARKESTTIME, "compare", "--ab", one.address, one.address, "--out", "out", *QUICK]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        wait_until((tmp_path / "out" / "legs" / "02-B").exists, timeout_s=30, what="a second leg")
        run.send_signal(ending)
        out, err = run.communicate(timeout=20)
    assert run.returncode == ExitCode.INTERRUPTED, err
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    require_schema(results)
    assert [leg["side"] for leg in results["legs"]] == ["A"]
    assert "Interrupted after 1 of 8 legs" in out
    assert (tmp_path / "out" / "report.html").exists()


@pytest.mark.parametrize(
    ("ab", "words", "why"),
    [
        (("A", "192.0.2.1:80"), ("--rate", "10"), "192.0.2.1 is not this machine"),
        (("192.0.2.1:80", "A"), ("--rate", "10"), "192.0.2.1 is not this machine"),
        (("A", "192.0.2.1:80"), ("--allow", "192.0.2.1", "--rate", "10"), "--max-rate is required"),
        (("A", "A"), ("--max-rate", "10", "--rate", "50"), "the limit is 10/s"),
        (("A", "127.0.0.1:1"), ("--rate", "10"), "nothing answers at 127.0.0.1:1"),
        (("A", "A"), ("--pairs", "2"), "--pairs"),
        (("A", "A"), ("--slo", "p99<"), "p99<"),
        (("A", "A"), ("runs/x", "runs/y"), "either two instances are compared or two finished runs"),
    ],
)
def test_both_hosts_pass_the_checks_before_either_gets_a_request(tmp_path, instance, ab, words, why):
    server = instance("null")
    done, results = compare(tmp_path, *(server.address if one == "A" else one for one in ab), "--path", "/", *words)
    assert (done.returncode, results) == (ExitCode.USAGE, {}), done.stderr
    assert why in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert server.counters()["requests"] == 0


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "its certificate does not verify"),
        (("--insecure",), "nothing answers at 127.0.0.1:1"),
        (("--insecure", "--cacert", "ca.pem"), "leave one out"),
    ],
)
def test_what_is_said_of_tls_holds_for_the_one_of_two_that_speaks_it(tmp_path, instance, words, why):
    server = instance("null", tls=True)
    done, _ = compare(tmp_path, server.url, "127.0.0.1:1", "--path", "/", "--rate", "10", *words)
    assert done.returncode == ExitCode.USAGE
    assert why in done.stderr


def test_two_of_different_kinds_are_refused(tmp_path, instance, stack):
    push = stack.push("push")
    done, _ = compare(tmp_path, instance("null").address, f"{push.host}:{push.port}", "--rate", "10")
    assert done.returncode == ExitCode.USAGE
    assert "A is http and B is push" in done.stderr


def test_neither_runs_nor_instances_is_a_wrong_command_line(tmp_path):
    done = subprocess.run(
        [DARKESTTIME, "compare", "one"], cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == ExitCode.USAGE
    assert "RUN_A RUN_B" in done.stderr


def test_the_file_holds_for_a_comparison_as_for_a_blast(tmp_path, instance):
    server = instance("null")
    (tmp_path / "darktime.toml").write_text("[blast]\nmax_rate = 10.0\n\n[compare]\nrate = 50.0\n")
    done, _ = compare(tmp_path, server.address, server.address, "--path", "/")
    assert "the limit is 10/s" in done.stderr
    done, _ = compare(tmp_path, server.address, server.address, "--path", "/", "--rate", "5", "--slo", "x")
    assert "the limit is" not in done.stderr
