"""Blasts at a host that is not this machine, within a network that leads nowhere: modest, refused, or within limits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.darktime.blast.elsewhere import HOST, network
from tests.darktime.blast.runs import blast

ROOT = Path(__file__).parents[3]
DARKESTTIME = Path(sys.executable).parent / "darkesttime"


@pytest.fixture
def elsewhere():
    with network() as found:
        yield found


def test_a_host_that_nobody_named_gets_a_modest_run_and_is_said_how_to_get_more(instance, elsewhere):
    null = instance("null", host=HOST, before=elsewhere.prefix)
    run = blast(null.address, "--duration", "3", prefix=elsewhere.prefix)
    assert run.code == 0, run.said
    assert run.found["totals"]["requests"] == 30
    served = elsewhere.call(null.counters)
    assert served["requests"] <= 30 + 2, "two more told what it is"
    assert served["connections"] <= 10 + 2
    assert run.found["capacity"] == {"highest_pass_per_s": None, "lowest_fail_per_s": None}
    assert run.found["limit"] == "not reached"
    assert run.found["latency"]["p99_ms"] > 0
    assert f"{HOST} is not named as yours to load" in run.found["sentence"]
    assert f"--allow {HOST} and --max-rate" in run.found["sentence"]


def test_a_push_endpoint_that_nobody_named_gets_few_streams(instance, elsewhere):
    sse = instance("sse", host=HOST, before=elsewhere.prefix)
    run = blast(sse.address, "--duration", "2", prefix=elsewhere.prefix)
    assert run.code == 0, run.said
    assert run.found["endpoint"] == "push"
    assert run.found["totals"]["lost"] == 0
    served = elsewhere.call(sse.counters)
    assert served["published"] == 20
    assert served["subscribed"] <= 10
    assert served["connections"] <= 10 + 2 + 2, "streams, publishers, and two that told what it is"


def test_more_than_modest_is_refused_before_a_connection_is_made(instance, elsewhere):
    null = instance("null", host=HOST, before=elsewhere.prefix)
    for words, named in (
        (("--rate", "500"), f"--allow {HOST}"),
        (("--search",), f"--allow {HOST}"),
        (("--streams", "1000"), "at most 10"),
        (("--allow", HOST), "--max-rate is required"),
    ):
        run = blast(null.address, *words, prefix=elsewhere.prefix)
        assert (run.code, run.result) == (2, None), words
        assert named in run.said
        assert len(run.said.splitlines()) == 1
    assert elsewhere.call(null.counters)["connections"] == 0


def test_the_command_refuses_as_its_process_does(tmp_path, elsewhere):
    command = [*elsewhere.prefix, DARKESTTIME, "blast", "--instance", f"{HOST}:80", "--rate", "500"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert f"--allow {HOST}" in done.stderr


def test_plain_locust_is_refused_where_nobody_named_the_host(tmp_path, instance, elsewhere):
    null = instance("null", host=HOST, before=elsewhere.prefix)
    words = ["--headless", "-u", "1", "-t", "3", "--host", f"http://{null.address}"]
    done = subprocess.run(
        [*elsewhere.prefix, sys.executable, "-m", "locust", "-f", str(ROOT / "scenarios" / "steady.py"), *words],
        capture_output=True,
        text=True,
        timeout=28,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 2, done.stderr
    assert f"--allow {HOST}" in done.stderr
    assert elsewhere.call(null.counters)["connections"] == 0


def test_a_host_is_allowed_by_the_settings_file(tmp_path, instance, elsewhere):
    null = instance("null", host=HOST, before=elsewhere.prefix)
    (tmp_path / "darktime.toml").write_text(f'[blast]\nallow = ["{HOST}"]\nmax_rate = 200.0\n')
    words = ("--path", "/", "--rate", "200", "--duration", "1", "--out", "run")
    done = subprocess.run(
        [*elsewhere.prefix, DARKESTTIME, "blast", "--instance", null.address, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=25,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert elsewhere.call(null.counters)["requests"] == 200


@pytest.mark.parametrize(
    "words", [(), ("--allow", HOST, "--max-rate", "500", "--rate", "500")], ids=["modest", "allowed"]
)
def test_a_host_that_only_errs_is_left_in_peace_within_two_seconds(instance, elsewhere, words):
    erring = instance("erring", host=HOST, error=1, before=elsewhere.prefix)
    run = blast(erring.address, "--path", "/", "--duration", "9", *words, prefix=elsewhere.prefix)
    assert run.code == 3, run.said
    assert run.found["probes"][0]["duration_s"] < 2
    rate = 500 if words else 10
    assert elsewhere.call(erring.counters)["requests"] <= 2 * rate
