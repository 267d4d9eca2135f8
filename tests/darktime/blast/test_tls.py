"""Blasts over TLS, as they are run: their counts are the server's own, and who cannot be trusted gets no load."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.darktime.blast.runs import blast

pytestmark = pytest.mark.quiet

ROOT = Path(__file__).parents[3]


def trusting(one):
    return ("--cacert", str(one.certificate))


@pytest.mark.parametrize(
    "words",
    [
        ("--rate", "400"),
        ("--rate", "200", "--fresh"),
        ("--rate", "400", "--processes", "2"),
        ("--closed", "--connections", "16"),
        ("--closed", "--fresh", "--connections", "4"),
        ("--rate", "300", "--seed", "7", "--header", "X-Long: " + "x" * 20_000),
    ],
    ids=["open", "fresh", "processes", "closed", "closed-fresh", "long"],
)
def test_the_requests_over_tls_are_the_servers_own_count(instance, words):
    server = instance("null", tls=True)
    run = blast(server.url, *trusting(server), "--path", "/", "--duration", "1.5", *words)
    assert run.code == 0, run.said
    totals = run.found["totals"]
    counted = server.counters()
    assert totals["requests"] == counted["requests"] == run.found["locust"]["requests"] > 0
    assert totals["failures"] == counted.get("handshakes_failed", 0) == 0
    assert totals["connects"] == counted["connections"] - 1, "one more told whose certificate it is"


def test_the_handshake_is_a_part_of_a_fresh_requests_time(instance):
    server = instance("null", tls=True)
    words = ("--path", "/", "--rate", "100", "--duration", "2")
    kept = blast(server.url, *trusting(server), *words)
    fresh = blast(server.url, *trusting(server), *words, "--fresh")
    assert fresh.found["latency"]["p50_ms"] > kept.found["latency"]["p50_ms"] + 0.3


def test_streams_over_tls_lose_nothing(instance):
    server = instance("sse", tls=True)
    run = blast(server.url, *trusting(server), "--rate", "200", "--duration", "2", "--streams", "60", "--channels", "6")
    assert run.code == 0, run.said
    assert run.found["endpoint"] == "push"
    totals, counted = run.found["totals"], server.counters()
    assert totals["requests"] == counted["published"] == 400
    assert totals["deliveries"] == counted["deliveries"] == 400 * 10
    assert (totals["lost"], totals["duplicated"], totals["reordered"], totals["failures"]) == (0, 0, 0, 0)
    assert run.found["streams"]["opened"] == counted["subscribed"] == 60


def test_a_lost_event_is_a_lost_event_over_tls_too(instance):
    server = instance("sse", tls=True, drop_every=10)
    run = blast(server.url, *trusting(server), "--rate", "200", "--duration", "2", "--streams", "60", "--channels", "6")
    assert run.found["totals"]["lost"] == server.counters()["dropped"] > 0


def test_streams_that_are_cut_come_back_over_tls_and_get_what_they_missed(instance):
    server = instance("sse", tls=True)
    words = ("--scenario", "reconnect_storm", "--number", "streams=30", "--number", "connections=4")
    for number in ("rate=50", "duration=1", "storm=2"):
        words += ("--number", number)
    run = blast(server.url, *trusting(server), *words)
    assert run.code == 0, run.said
    assert run.found["totals"]["lost"] == 0
    assert run.found["totals"]["replayed"] > 0
    assert run.found["streams"]["opened"] == 60


def test_token_streams_over_tls_are_whole(instance):
    server = instance("token-stream", tls=True, events=10, first_ms=20, between_ms=5)
    words = ("--scenario", "token_stream", "--number", "rate=20", "--number", "duration=2")
    run = blast(server.url, *trusting(server), *words)
    assert run.code == 0, run.said
    assert run.found["totals"]["requests"] == 40
    assert run.found["totals"]["failures"] == 0
    assert run.found["totals"]["deliveries"] == 40 * 10
    assert run.found["streams"]["completed"] == 40


def test_the_canary_asks_over_tls_too(instance):
    server = instance("null", tls=True)
    run = blast(server.url, *trusting(server), "--path", "/", "--rate", "50", "--duration", "2", "--canary")
    canary = run.found["canary"]
    assert canary["requests"] >= 10
    assert canary["errors"] == 0
    assert server.counters()["requests"] == canary["requests"] + run.found["totals"]["requests"]


@pytest.mark.long
def test_a_search_over_tls_is_calibrated_over_tls(instance):
    server = instance("token-bucket", tls=True, rate=400)
    run = blast(server.url, *trusting(server), "--path", "/", "--duration", "10", "--slo", "p99<200ms,errors<1%")
    assert run.found["calibration"]["ceiling_per_s"] > 0
    low, high = run.interval
    assert low <= 440
    assert high >= 360


def test_without_verification_the_run_says_so(instance):
    server = instance("null", tls=True)
    run = blast(server.url, "--insecure", "--path", "/", "--rate", "50", "--duration", "1")
    assert run.code == 0, run.said
    assert "(--insecure)" in run.found["sentence"]


@pytest.mark.parametrize("words", [("--path", "/"), (), ("--scenario", "steady")], ids=["path", "probe", "scenario"])
def test_a_certificate_that_does_not_verify_stops_the_run_before_any_load(instance, words):
    server = instance("null", tls=True)
    run = blast(server.url, *words)
    assert (run.code, run.result) == (2, None)
    assert len(run.said.splitlines()) == 1
    for named in ("does not verify", "self-signed", "--cacert FILE", "--insecure"):
        assert named in run.said
    assert server.counters()["requests"] == 0
    assert server.counters()["connections"] == 1


def test_a_ca_that_signed_another_certificate_is_named(instance, tmp_path):
    server = instance("null", tls=True)
    from tests.darktime.blast.servers.tls import make_certificate

    other, _ = make_certificate(tmp_path)
    run = blast(server.url, "--cacert", str(other), "--path", "/")
    assert (run.code, run.result) == (2, None)
    assert f"does not verify by {other}" in run.said
    nothing = tmp_path / "nothing.pem"
    for text, why in ((None, "No such file"), ("no certificate", "no certificate in PEM form")):
        if text is not None:
            nothing.write_text(text)
        run = blast(server.url, "--cacert", str(nothing), "--path", "/")
        assert run.code == 2
        assert f"--cacert {nothing}: " in run.said
        assert why in run.said


def test_tls_at_a_plain_port_is_named(instance):
    server = instance("null")
    for words in (("--path", "/"), ()):
        run = blast(f"https://{server.address}", *words)
        assert (run.code, run.result) == (2, None)
        assert f"speaks no TLS: write http://{server.address}" in run.said
        assert len(run.said.splitlines()) == 1


def test_plain_http_at_a_tls_port_is_named(instance):
    server = instance("null", tls=True)
    run = blast(server.address, "--rate", "50", "--duration", "1")
    assert (run.code, run.result) == (2, None)
    assert f"speaks TLS: write --instance https://{server.address}" in run.said
    run = blast(server.address, "--path", "/", "--rate", "50", "--duration", "1")
    assert run.code == 3, "a path was named, so nothing was asked before"
    assert f"speaks TLS: write --instance https://{server.address}" in run.found["sentence"]


def test_plain_locust_speaks_tls_with_a_scenario(instance, tmp_path):
    server = instance("null", tls=True)
    command = [sys.executable, "-m", "locust", "-f", str(ROOT / "scenarios" / "steady.py"), "--headless", "-u", "1"]
    words = [
        "--host",
        server.url,
        "--number",
        "rate=100",
        "--number",
        "duration=1",
        "--number",
        "connections=4",
        "-t",
        "6",
    ]
    for variables, code, requests in (
        ({}, 2, 0),
        ({"DARKTIME_BLAST_CACERT": str(server.certificate)}, 0, 100),
    ):
        done = subprocess.run(
            [*command, *words],
            capture_output=True,
            text=True,
            timeout=28,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        )
        assert done.returncode == code, done.stderr
        assert server.counters()["requests"] == requests
