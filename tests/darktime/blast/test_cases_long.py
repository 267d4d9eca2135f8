"""What a blast must find out, on instances whose one fault is known: at full size."""

import os
import resource
import signal

import pytest

from tests.darktime.blast.runs import blast, burning, running, undisturbed
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

HTTP = ("--path", "/")


def test_a_token_bucket_of_500_is_found_within_5_percent_in_3_minutes(instance):
    bucket = instance("token-bucket", rate=500)
    run = blast(bucket.address, *HTTP, "--search", "--duration", "150", "--slo", "p99<200ms,errors<1%", limit_s=180)
    low, high = run.interval
    assert run.code == 0, run.said
    assert run.found["limit"] == "instance"
    # Of 1 % errors are allowed: 500 answered a second are 505 asked.
    assert low <= 505.1, run.said
    assert high >= 500, run.said
    assert high / low <= 1.05, run.said


def test_one_worker_of_2_ms_holds_500_by_goodput_and_less_by_a_strict_p99(instance, record_property):
    ends = {}
    for name, slo in (("loose", "p50<5000ms,errors<1%"), ("strict", "p99<50ms,errors<1%")):
        worker = instance("fifo", service="constant:2")
        words = (*HTTP, "--search", "--duration", "100", "--seed", "7", "--slo", slo)
        run = undisturbed(worker.address, *words, limit_s=180)
        ends[name] = run.interval
        record_property(name, "{:.0f} to {:.0f}/s".format(*run.interval))
        assert (run.code, run.found["limit"]) == (0, "instance"), run.said
    (low, high), (strict, _) = ends["loose"], ends["strict"]
    assert 475 <= low <= high <= 525, ends
    assert strict <= low, ends


def test_a_stall_of_1_s_in_10_shows_in_the_open_model_and_is_hidden_by_the_closed_one(instance):
    slo = ("--slo", "p99<200ms")
    opened = undisturbed(instance("stall").address, *HTTP, "--rate", "200", "--duration", "40", *slo, limit_s=60)
    closed = blast(
        instance("stall").address, *HTTP, "--closed", "--connections", "4", "--duration", "40", *slo, limit_s=60
    )
    latency = opened.found["latency"]
    assert 850 <= latency["p99_ms"] <= 1050, latency
    assert latency["p90_ms"] < 200, latency
    assert opened.code == 3, opened.said
    assert closed.code == 0, closed.said
    assert closed.found["latency"]["p99_ms"] < 50, closed.found["latency"]


def test_a_generator_that_gets_hardly_any_time_gives_no_capacity(instance):
    server = instance("null")
    core = max(os.sched_getaffinity(0))
    with burning(core, 4):
        run = blast(
            server.address,
            *(*HTTP, "--rate", "20000", "--duration", "10", "--slo", "p99<20ms"),
            prefix=("taskset", "-c", str(core), "nice", "-n", "10"),
            limit_s=400,
        )
    assert run.code == 4, run.said
    assert run.found["limit"] == "generator"
    assert run.found["capacity"] == {"highest_pass_per_s": None, "lowest_fail_per_s": None}
    assert "No capacity is given" in run.found["sentence"]


def test_more_streams_than_1000_open_files_are_refused(instance):
    push = instance("sse")
    run = blast(
        push.address,
        *("--rate", "10", "--streams", "5000"),
        before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1000, 1000)),
    )
    assert run.code == 2
    assert "1,000" in run.said
    assert not push.counters().get("subscribed")


@pytest.mark.parametrize(("above", "cause"), [("503", "503"), ("reset", "reset"), ("drop", "syn_drop")])
def test_a_ceiling_of_2000_connections_is_found_within_1_percent(instance, above, cause, record_property):
    cap = instance("cap", limit=2000, above=above)
    words = ("--rate", "1000", "--duration", "12", "--connections", "3000", "--slo", "p99<10s,errors<90%")
    run = undisturbed(cap.address, *HTTP, *words, limit_s=90)
    met = run.found["connection_ceiling"]
    record_property("ceiling", met and met["at"])
    assert met is not None, run.said
    assert met["cause"] == cause, met
    assert abs(met["at"] - 2000) <= 20, met
    assert f"served {met['at']:,} of 3,000 at once" in run.found["sentence"]


@pytest.mark.parametrize("above", ["503", "reset"])
def test_a_ceiling_of_2000_streams_is_found_exactly(instance, above, record_property):
    push = instance("sse", most=2000, above=above)
    words = ("--rate", "20", "--duration", "8", "--streams", "3000", "--channels", "30", "--slo", "p99<5000ms")
    run = undisturbed(push.address, *words, limit_s=90)
    met, counted = run.found["connection_ceiling"], push.counters()
    record_property("ceiling", met and met["at"])
    assert met is not None, run.said
    assert (met["at"], met["wanted"], met["what"], met["cause"]) == (2000, 3000, "streams", above)
    assert run.code == 3, run.said
    assert run.found["totals"]["lost"] == 0
    assert counted["inside_most"] == 2000


def test_a_search_ends_at_once_where_the_instance_does_not_take_the_streams(instance):
    push = instance("sse", most=40)
    run = undisturbed(push.address, "--search", "--duration", "60", "--streams", "60", "--channels", "3", limit_s=90)
    assert (run.code, run.found["limit"]) == (3, "instance"), run.said
    assert len(run.found["probes"]) == 1, "at another rate as many are turned away"
    assert run.found["connection_ceiling"]["at"] == 40


def test_an_instance_that_is_cold_for_more_than_half_of_a_run_is_not_decided(instance):
    server = instance("delay", delay="constant:5", cold_s=12, cold_ms=600)
    words = ("--rate", "100", "--duration", "20", "--slo", "p99<300ms")
    run = undisturbed(server.address, *HTTP, *words, limit_s=60)
    assert run.code == 5, run.said
    assert run.found["limit"] == "unknown"
    assert run.found["cold_start"] is None, "nothing is left out"
    assert run.found["latency"]["p99_ms"] > 600
    assert "it was cold for" in run.found["sentence"]


def test_one_lost_of_1000_is_counted_exactly_among_100000_deliveries(instance):
    push = instance("sse", drop_every=1000)
    run = blast(
        push.address,
        *("--rate", "250", "--duration", "20", "--streams", "100", "--channels", "5"),
        *("--slo", "lost<1%,p99<5000ms"),
        limit_s=60,
    )
    counted, totals = push.counters(), run.found["totals"]
    assert run.code == 0, run.said
    assert counted["published"] == totals["requests"] == 5000
    assert totals["lost"] == counted["dropped"] == 100_000 // 1000
    assert totals["deliveries"] == counted["deliveries"] == 100_000 - totals["lost"]


@pytest.mark.parametrize(
    ("fault", "theirs", "ours"),
    # The last of a channel's thousand has no successor to be swapped with: of two in a thousand one is.
    [({"duplicate_every": 1000}, "duplicated", "duplicated"), ({"swap_every": 500}, "swapped", "reordered")],
    ids=["doubled", "swapped"],
)
def test_one_doubled_or_swapped_of_1000_is_counted_exactly_among_100000_deliveries(instance, fault, theirs, ours):
    push = instance("sse", **fault)
    run = blast(
        push.address,
        *("--rate", "250", "--duration", "20", "--streams", "100", "--channels", "5"),
        *("--slo", "lost=0,p99<5000ms"),
        limit_s=60,
    )
    counted, totals = push.counters(), run.found["totals"]
    assert run.code == 0, run.said
    assert totals[ours] == counted[theirs] == 100_000 // 1000
    assert totals["deliveries"] == counted["deliveries"] - counted["duplicated"] == 100_000
    assert totals["lost"] == 0


def test_a_delivery_that_is_late_by_100_ms_is_found_within_3_ms(instance, record_property):
    push = instance("sse", delay_ms=100)
    words = ("--rate", "100", "--duration", "20", "--streams", "200", "--channels", "10", "--slo", "p99<500ms")
    run = undisturbed(push.address, *words, limit_s=60)
    late, acknowledged = run.found["latency"]["p50_ms"], dict(run.found["spectrum"]["service"])[50.0]
    record_property("delivery p50", late)
    assert run.code == 0, run.said
    assert 97 <= late <= 103
    assert acknowledged < 10


def test_5000_streams_that_the_server_kills_all_come_back_and_lose_nothing(instance, record_property):
    push = instance("sse", history=5000)
    words = ("--rate", "50", "--duration", "20", "--streams", "5000", "--channels", "50", "--slo", "p99<10s,lost=0")
    with running(push.address, *words, "--timeout", "10") as run:
        wait_until(lambda: push.counters().get("published", 0) > 200, timeout_s=60, what="publishes")
        killed = push.command("kill", how="reset")["killed"]
        ended = run.end(60)
    counted, streams, totals = push.counters(), ended.found["streams"], ended.found["totals"]
    record_property("reconnect", streams["reconnect"])
    assert ended.code == 0, ended.said
    assert killed == counted["resumed"] == streams["reconnect"]["count"] == streams["open"] == 5000
    assert streams["reasons"] == {"reset": 5000}
    # What is published while a stream asks again is a replay to one of the two and live to the other.
    assert totals["replayed"] == pytest.approx(counted["replayed"], rel=0.01)
    assert totals["replayed"] > 0
    assert totals["deliveries"] == 1000 * 100
    assert (totals["lost"], totals["duplicated"]) == (0, 0)


def test_what_slow_readers_do_to_the_others_shows_where_the_server_waits_for_them(instance, record_property):
    fast_p99_ms = {}
    for slow in ("buffer", "block"):
        push = instance("sse", slow=slow, send_buffer=4608)
        words = [f"--number={one}" for one in ("share=0.05", "slow_bytes_per_s=1000", "rate=100", "duration=20")]
        run = blast(push.address, "--scenario", "slow_readers", *words, "--slo", "p99<60s,lost<99%", limit_s=90)
        found = {finding["name"]: finding["value"] for finding in run.found["findings"]}
        fast_p99_ms[slow] = found["fast readers' p99"]
        assert found["slow readers behind"] > 0
    record_property("fast readers' p99, ms", fast_p99_ms)
    assert fast_p99_ms["buffer"] < 100
    assert fast_p99_ms["block"] > 10 * fast_p99_ms["buffer"], fast_p99_ms


def test_a_fan_out_to_5000_one_after_the_other_shows_as_spread(instance):
    push = instance("sse", serial_us=20)
    run = blast(
        push.address,
        *("--rate", "1", "--duration", "15", "--streams", "5000", "--channels", "1", "--slo", "p99<5000ms"),
        limit_s=120,
    )
    assert run.code == 0, run.said
    assert run.found["totals"]["deliveries"] == push.counters()["deliveries"] == 75_000
    spread = run.found["streams"]["spread"]
    assert 85 <= spread["p50_ms"] <= 115, spread


@pytest.mark.parametrize("kind", ["graceful", "collapse"])
def test_how_an_instance_behaves_beyond_its_capacity_is_named(instance, kind):
    server = instance("overload", kind=kind)
    words = (*HTTP, "--beyond", "--duration", "20", "--slo", "p99<200ms,errors<1%")
    run = undisturbed(server.address, *words, limit_s=120)
    overload = run.found["overload"]
    assert overload is not None, run.said
    assert overload["verdict"] == kind, overload
    assert overload["recovered_after_s"] is not None, overload
    assert not overload["metastable"]


def test_an_instance_that_stays_down_for_a_minute_is_metastable(instance, record_property):
    server = instance("overload", kind="metastable", retries=3, patience_ms=1000)
    words = (*HTTP, "--search", "--beyond", "--duration", "90", "--slo", "p99<800ms,errors<1%", "--connections", "2000")
    run = undisturbed(server.address, *words, limit_s=240)
    overload = run.found["overload"]
    assert overload is not None, run.said
    record_property("sentence", overload["sentence"])
    assert overload["metastable"], overload
    assert overload["recovered_after_s"] is None
    assert "no recovery in 60 s" in overload["sentence"]


def test_an_instance_whose_limit_depends_on_when_it_is_asked_gets_no_capacity(instance):
    noisy = instance("overload", kind="noisy", capacity=500, flip_s=3)
    words = (*HTTP, "--search", "--duration", "90", "--slo", "p99<200ms,errors<1%")
    run = undisturbed(noisy.address, *words, limit_s=180)
    assert (run.code, run.found["limit"]) == (5, "unknown"), run.said
    assert run.found["sentence"].startswith("Inconclusive: "), run.found["sentence"]
    assert run.found["capacity"] == {"highest_pass_per_s": None, "lowest_fail_per_s": None}


def test_two_processes_agree_with_one_on_counts_and_times(instance):
    server = instance("delay", delay="constant:20")
    runs = [
        undisturbed(server.address, *HTTP, "--rate", "500", "--duration", "20", "--processes", str(count), limit_s=60)
        for count in (1, 2)
    ]
    for run in runs:
        assert run.code == 0, run.said
        assert run.found["totals"]["requests"] == run.found["locust"]["requests"] == 10_000
    one, two = (run.found["latency"]["p50_ms"] for run in runs)
    assert abs(one - two) < 1, (one, two)


@pytest.mark.parametrize("processes", [2, 3])
def test_a_worker_that_is_killed_late_voids_the_run_all_the_same(instance, processes):
    server = instance("null")
    words = (*HTTP, "--rate", "500", "--duration", "20", "--processes", str(processes))
    with running(server.address, *words) as run:
        wait_until(lambda: server.counters()["requests"] > 5000, timeout_s=40, what="requests")
        os.kill(run.workers()[-1], signal.SIGKILL)
        ended = run.end(40)
    assert ended.code == 4, ended.said
    assert ended.found["capacity"]["highest_pass_per_s"] is None
    assert len([one for one in ended.found["workers"] if one["state"] == "lost"]) == 1, ended.found["workers"]
