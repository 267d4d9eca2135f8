"""Every scenario, run for some two seconds as it is run: a process of its own, against a server that counts too."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.realtime_core.push.client import metric

ROOT = Path(__file__).parents[3]
STREAMS = ("--number", "streams=30", "--number", "connections=4")


def run(address, name, *words, timeout=28):
    done = subprocess.run(
        [sys.executable, "-m", "darktime.blast", "--instance", address, "--scenario", str(name), *words],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    return {finding["name"]: finding for finding in result["findings"]}, result


def numbers(**named):
    return [word for name, value in named.items() for word in ("--number", f"{name}={value}")]


@pytest.fixture
def push(stack):
    return stack.push("push", options=["--store", "200"])


@pytest.fixture
def address(push):
    return f"{push.host}:{push.port}"


def test_one_channel_says_how_far_apart_its_subscribers_hear_an_event(address):
    found, _ = run(address, "one_channel", *STREAMS, *numbers(rate=50, duration=2))
    assert found["fan-out spread"]["value"] > 0


def test_the_pope_spike_follows_its_curve_to_the_last_publish(push, address):
    found, result = run(address, "pope", *STREAMS, *numbers(speed=195))
    # The area below the curve: 37,800 publishes in 390 s.
    assert result["totals"]["requests"] == 194 == metric(push, "published_total")
    assert result["totals"]["deliveries"] == 194 * 10 == metric(push, "deliveries_total")
    assert found["slowest delivery"]["value"] > 0
    assert (found["lost"]["value"], found["lost"]["ok"]) == (0, True)


def test_after_a_storm_everybody_is_served_again_and_what_was_missed_is_replayed(address):
    found, _ = run(address, "reconnect_storm", *STREAMS, *numbers(rate=50, duration=1, storm=2))
    assert found["served again"]["ok"] is True
    assert 0.5 <= found["served again"]["value"] < 2
    assert found["replayed"]["value"] > 0
    assert found["lost"]["value"] == 0


def test_a_storm_at_an_instance_that_keeps_nothing_is_said_to_have_lost(stack):
    push = stack.push("push")
    words = ["--slo", "p99<200ms,errors<0.1%,lost<90%"]
    found, _ = run(
        f"{push.host}:{push.port}", "reconnect_storm", *STREAMS, *numbers(rate=50, duration=1, storm=2), *words
    )
    assert found["replayed"]["value"] == 0
    assert found["lost"]["value"] > 0
    assert found["lost"]["ok"] is False


def test_slow_readers_fall_behind_and_the_fast_ones_lose_nothing(address):
    words = [*STREAMS, *numbers(rate=200, duration=2)]
    found, _ = run(address, "slow_readers", *words, *numbers(share=0.2))
    assert found["fast readers' p99"]["value"] > 0
    assert found["fast readers' lost"]["value"] == 0
    assert found["slow readers behind"]["value"] > 0


def test_without_slow_readers_nobody_is_behind(address):
    found, result = run(address, "slow_readers", *STREAMS, *numbers(rate=100, duration=2, share=0))
    assert found["slow readers behind"]["value"] == 0
    assert result["totals"]["deliveries"] == 200 * 15


def test_a_burst_of_comments_is_told_apart_from_before_and_after(address):
    found, result = run(address, "comment_burst", *STREAMS, *numbers(rate=20, burst=200, duration=1, channels=5))
    assert [name for name in found if name.startswith("p99")] == ["p99 quiet", "p99 burst", "p99 after"]
    assert all(found[name]["value"] > 0 for name in found if name != "lost")
    assert found["lost"]["value"] == 0
    quiet, burst, after = (probe["requests"] for probe in result["probes"])
    assert burst > 4 * max(quiet, after)


def test_publish_and_subscribe_accounts_for_every_delivery_as_the_server_does(push, address):
    found, result = run(address, "publish_and_subscribe", *STREAMS, *numbers(rate=100, duration=2, channels=10))
    assert result["totals"]["deliveries"] == 200 * 3 == metric(push, "deliveries_total")
    assert (found["delivered"]["value"], found["delivered"]["ok"]) == (100, True)
    assert found["delivery p99"]["value"] > 0
