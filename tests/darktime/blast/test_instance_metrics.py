"""What an instance says of itself at /metrics: followed at little cost, bounded, and ignored aloud where it is hostile."""

import json
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darktime.blast.metric_series import FIRST, MAX_NAMES, MAX_POINTS, MOST_OTHERS, MetricSeries
from darktime.blast.metric_text import COUNTER, GAUGE, Metric, is_metrics, metrics_in
from darktime.blast.metric_watch import MetricWatch, source_of
from darktime.blast.settings import BlastSettings, check
from darktime.errors import DarktimeError, UsageError
from tests.support.processes import running
from tests.support.schemas import require_schema
from tests.support.waiting import wait_until

DARKESTTIME = Path(sys.executable).parent / "darkesttime"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


def blast(tmp_path, address, *words):
    command = [DARKESTTIME, "blast", "--instance", address, "--rate", "200", "--duration", "3", "--out", "run", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=28, check=False)
    return done, json.loads((tmp_path / "run" / "results.json").read_text())


def test_a_run_has_the_instances_own_figures_second_by_second(tmp_path, instance):
    server = instance("fifo", service="constant:2", metrics=True)
    done, results = blast(tmp_path, server.address)
    assert done.returncode == 0, done.stderr
    require_schema(results)
    told = {metric["name"]: metric for metric in results["instance_metrics"]}
    assert list(told)[:3] == list(FIRST)
    memory = told["process_resident_memory_bytes"]
    assert 5e6 < memory["first"] <= memory["highest"] < 1e9
    assert 0 < told["process_cpu_seconds_total"]["highest"] < 1
    served = told["instance_requests_total"]
    assert served["kind"] == "counter"
    assert served["highest"] == pytest.approx(200, rel=0.1)
    times = [t for t, _ in memory["points"]]
    assert len(times) >= 3
    assert all(0.8 < later - earlier < 1.6 for earlier, later in pairwise(times))
    assert "INSTANCE   at most memory" in done.stdout
    assert "own figures" in (tmp_path / "run" / "report.html").read_text()


def test_a_run_whose_path_is_named_asks_for_nothing_beside_its_plan(tmp_path, instance):
    server = instance("delay", delay="constant:1", metrics=True)
    done, results = blast(tmp_path, server.address, "--path", "/x")
    assert results["instance_metrics"] is None
    assert "INSTANCE" not in done.stdout
    assert server.counters()["requests"] == results["totals"]["requests"] == 600


@pytest.mark.parametrize(
    ("words", "read"), [(("--path", "/x", "--metrics", "/metrics"), True), (("--metrics", "off"), False)]
)
def test_metrics_are_read_where_that_is_said_and_not_where_it_is_off(tmp_path, instance, words, read):
    server = instance("delay", delay="constant:1", metrics=True)
    _, results = blast(tmp_path, server.address, *words)
    found = results["instance_metrics"]
    assert found if read else found is None


@pytest.mark.parametrize(("trust", "read"), [("cacert", True), ("insecure", True), ("", False)])
def test_over_https_they_are_read_from_whom_the_run_trusts_and_from_nobody_else(instance, trust, read):
    server = instance("delay", metrics=True, tls=True)
    asked = {"cacert": {"cacert": str(server.certificate)}, "insecure": {"insecure": True}, "": {}}[trust]
    seen = MetricWatch(source(server.url, metrics="/metrics", **asked)).finish(0.0)
    assert bool(seen.metrics) is read
    assert ("CERTIFICATE_VERIFY_FAILED" in seen.ignored) is not read


def head(kind=PROMETHEUS, status="200 OK"):
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n".encode()


def endless(link):
    link.sendall(head())
    while True:
        link.sendall(b"queue_depth 1\n" * 4096)


def slow(link):
    link.sendall(head())
    while True:
        link.sendall(b"a")
        time.sleep(0.1)


def silent(link):
    link.recv(1)


HOSTILE = {
    "endless": (endless, "more than 1,048,576 bytes"),
    "slow": (slow, "longer than 2 s"),
    "silent": (silent, "longer than 2 s"),
    "garbage": (lambda link: link.sendall(head() + b"\x00\xff{{{=\n" * 50), "no Prometheus text"),
    "empty": (lambda link: link.sendall(head()), "no gauge and no counter"),
    "page": (lambda link: link.sendall(head("text/html") + b"queue 1\n"), "does not say that it is Prometheus text"),
    "missing": (lambda link: link.sendall(head(status="404 Not Found") + b"queue 1\n"), "answered 404"),
    "header": (lambda link: link.sendall(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000), "header line"),
    "no HTTP": (lambda link: link.sendall(b"hello\n" * 9), "hello"),
}
# What says of itself that it is metrics; the others are not, and nobody asked.
SAID_UNASKED = {"endless", "slow", "garbage", "empty"}


@contextmanager
def serving(answer):
    """HOST:PORT of a server that answers every request so."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as threads:
        links = []

        def one(link):
            with link, suppress(OSError):
                link.recv(65_536)
                answer(link)
                link.shutdown(socket.SHUT_RDWR)

        def run():
            with suppress(OSError):
                while True:
                    link, _ = listener.accept()
                    links.append(link)
                    threads.submit(one, link)

        threads.submit(run)
        try:
            yield "{}:{}".format(*listener.getsockname())
        finally:
            for one_of_them in [listener, *links]:
                with suppress(OSError):
                    one_of_them.shutdown(socket.SHUT_RDWR)


def source(address, **asked):
    settings_ = BlastSettings(instance=address, **asked)
    return source_of(settings_, check(settings_))


@pytest.mark.parametrize("name", HOSTILE)
def test_metrics_that_are_hostile_are_ignored_in_time_and_it_is_said(name):
    answer, why = HOSTILE[name]
    with serving(answer) as address:
        began = time.monotonic()
        seen = MetricWatch(source(address, metrics="/metrics")).finish(0.0)
        assert time.monotonic() - began < 8
        assert seen.metrics is None
        assert why in seen.ignored


@pytest.mark.parametrize("name", ["endless", "page", "missing"])
def test_unasked_only_what_calls_itself_metrics_is_worth_a_word(name):
    with serving(HOSTILE[name][0]) as address:
        assert bool(MetricWatch(source(address)).finish(0.0).ignored) is (name in SAID_UNASKED)


def test_metrics_that_turn_bad_keep_what_was_seen_and_are_asked_no_more():
    asked = []

    def answer(link):
        asked.append(1)
        link.sendall(head() + (b"process_open_fds 3\n" if len(asked) == 1 else b"\xff\n"))

    with serving(answer) as address:
        watch = MetricWatch(source(address))
        wait_until(lambda: len(asked) >= 6, timeout_s=20, what="six readings")
        seen = watch.finish(0.0)
    assert len(asked) == 6
    assert "no Prometheus text" in seen.ignored
    assert [metric["name"] for metric in seen.metrics] == ["process_open_fds"]


def test_a_reading_that_costs_much_is_made_seldom():
    asked = {"small": 0, "large": 0}
    large = head() + "".join(f'm{number}{{worker="{number % 7}"}} 1\n' for number in range(40_000)).encode()

    def answer(name, reply):
        def answered(link):
            asked[name] += 1
            link.sendall(reply)

        return answered

    with serving(answer("small", head() + b"queue 3\n")) as one, serving(answer("large", large)) as other:
        watches = [MetricWatch(source(other)), MetricWatch(source(one))]
        wait_until(lambda: asked["small"] >= 4, timeout_s=20, what="four readings")
        for watch in watches:
            watch.finish(0.0)
    assert asked["large"] == 1


def test_a_reader_ends_with_whoever_started_it():
    with serving(lambda link: link.sendall(head() + b"queue 3\n")) as address:
        code = (
            "from darktime.blast.metric_watch import *\nfrom darktime.blast.settings import *\nimport os\n"
            f"s = BlastSettings(instance={address!r})\nw = MetricWatch(source_of(s, check(s)))\n"
            "print(w._process.pid, flush=True)\nos._exit(0)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
        wait_until(lambda: not running(int(done.stdout)), timeout_s=5, what="its end")


@pytest.mark.parametrize(
    ("metrics", "why"),
    [
        ("http://192.0.2.7:9100/metrics", "add --allow 192.0.2.7"),
        ("ftp://127.0.0.1/metrics", "http://HOST:PORT/PATH"),
        ("metrics", "http://HOST:PORT/PATH"),
        ("/a b", "percent-encoded"),
        ("/a\r\nX: y", "percent-encoded"),
        ("http://127.0.0.1:99999/metrics", "--metrics"),
        ("http://no-such-host.invalid/metrics", "not found"),
        ("http://127.0.0.1:0/metrics", "port 0"),
    ],
)
def test_metrics_elsewhere_obey_the_rules_of_hosts(metrics, why):
    with pytest.raises(UsageError, match="--metrics") as refused:
        source("127.0.0.1:9", metrics=metrics)
    assert why in str(refused.value)


def test_metrics_of_a_host_that_is_allowed_are_read_there():
    found = source("127.0.0.1:9", metrics="http://192.0.2.7:9100/m?x=1", allow=("192.0.2.7",))
    assert (found.host, found.port, found.path, found.named) == ("192.0.2.7", 9100, "/m?x=1", True)
    assert source("127.0.0.1:9").path == "/metrics"
    assert source("127.0.0.1:9", path="/") is None
    assert source("127.0.0.1:9", scenario="steady") is None


def test_gauges_and_counters_are_read_and_nothing_else():
    body = b"""# TYPE queue gauge
queue{worker="a\\"b"} 3
queue{worker="c"} NaN
# TYPE jobs_total counter
jobs_total 7
jobs_created 1.7e9
# TYPE took histogram
took_bucket{le="+Inf"} 3
took_count 3
took_sum 1
untyped_thing 4
"""
    assert metrics_in(body) == {
        'queue{worker="a"b"}': Metric(kind=GAUGE, value=3.0),
        "jobs_total": Metric(kind=COUNTER, value=7.0),
        "untyped_thing": Metric(kind=GAUGE, value=4.0),
    }
    assert is_metrics("application/openmetrics-text; version=1.0.0")
    assert not is_metrics("text/plain")


@settings(deadline=None, max_examples=300)
@given(
    st.binary(max_size=300) | st.text(alphabet='a_{}="\\,# 1.eE+-\nTYPEHELPcountergauge', max_size=300).map(str.encode)
)
def test_whatever_the_bytes_they_are_read_or_refused(body):
    try:
        found = metrics_in(body)
    except DarktimeError:
        return
    assert found
    json.dumps({name: one.value for name, one in found.items()}, allow_nan=False)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 3 * MAX_POINTS), st.integers(1, 40))
def test_series_are_bounded_in_points_and_in_names_and_keep_first_and_last_in_time(readings, names):
    series = MetricSeries()
    for at in range(readings):
        series.add(float(at), {f"m{number}": Metric(kind=GAUGE, value=float(at * number)) for number in range(names)})
    chosen = series.chosen()
    assert len(chosen) <= len(FIRST) + MOST_OTHERS
    for metric in chosen:
        assert 0 < len(metric["points"]) <= MAX_POINTS
        assert [t for t, _ in metric["points"]] == sorted(t for t, _ in metric["points"])
        assert metric["points"][0][0] == 0.0


def test_no_more_names_are_followed_than_so_many_but_those_of_every_process_always_are():
    many = {f"m{number}": Metric(kind=GAUGE, value=1.0) for number in range(MAX_NAMES + 10)}
    many["process_open_fds"] = Metric(kind=GAUGE, value=5.0)
    series = MetricSeries()
    series.add(0.0, many)
    assert len(series._columns) == MAX_NAMES
    assert series.chosen()[0]["name"] == "process_open_fds"


def test_a_counter_is_told_as_a_rate_and_one_that_began_anew_has_none_there():
    series = MetricSeries()
    for at, value in enumerate((10.0, 15.0, 2.0, 5.0)):
        series.add(float(at), {"jobs_total": Metric(kind=COUNTER, value=value)})
    (jobs,) = series.chosen()
    assert jobs["points"] == [[1.0, 5.0], [3.0, 3.0]]
    assert (jobs["first"], jobs["last"], jobs["highest"]) == (10.0, 5.0, 5.0)


def test_what_changed_most_is_shown_gauges_and_counters_in_turn():
    series = MetricSeries()
    for at in range(2):
        readings = {f"g{number}": Metric(kind=GAUGE, value=100.0 + at * number) for number in range(20)}
        readings |= {f"c{number}_total": Metric(kind=COUNTER, value=float(at * number)) for number in range(20)}
        series.add(float(at), readings)
    assert [one["name"] for one in series.chosen()] == [
        name for number in range(19, 13, -1) for name in (f"g{number}", f"c{number}_total")
    ]
