"""What a host gets that nobody named as his own to load: never more than a modest run. Nothing is connected here."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.blast.conclude import Conclusion
from darktime.blast.counts import Counts
from darktime.blast.modest import (
    MODEST_CHANNELS,
    MODEST_CONNECTIONS,
    MODEST_DURATION_S,
    MODEST_RATE_PER_S,
    MODEST_STREAMS,
    modest,
)
from darktime.blast.remarks import may_speak_tls, remarked
from darktime.blast.settings import Address, BlastSettings, admitted, check
from darktime.errors import ExitCode, UsageError

HOST = "192.0.2.1"
ELSEWHERE = BlastSettings(instance=f"{HOST}:80")
ADDRESS = Address(host=HOST, port=80, family=2, ip=HOST, loopback=False)
HELD = Conclusion(
    highest_pass_per_s=10.0,
    lowest_fail_per_s=None,
    limit="not reached",
    sentence="The instance held 10 requests/s.",
    exit_code=ExitCode.OK,
)


def test_a_host_that_nobody_named_gets_a_modest_run():
    settings, address = admitted(ELSEWHERE)
    assert not address.loopback
    assert (settings.rate_per_s, settings.duration_s) == (MODEST_RATE_PER_S, MODEST_DURATION_S)
    assert (settings.streams, settings.connections) == (MODEST_STREAMS, MODEST_CONNECTIONS)
    assert not settings.with_canary, "it asks ten times a second too"
    assert not settings.searches


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "[::1]", "localhost"])
def test_this_machine_gets_what_was_asked_for(host):
    asked = BlastSettings(instance=f"{host}:80", rate_per_s=5000.0, streams=1000)
    assert admitted(asked)[0] == asked


def test_a_host_that_was_named_gets_what_was_asked_for_up_to_its_limit():
    asked = replace(ELSEWHERE, allow=(HOST,), max_rate_per_s=1000.0, rate_per_s=1000.0)
    assert admitted(asked)[0] == asked
    with pytest.raises(UsageError, match="--rate 1001: the limit is 1000/s"):
        admitted(replace(asked, rate_per_s=1001.0))
    with pytest.raises(UsageError, match="--max-rate is required"):
        admitted(replace(asked, max_rate_per_s=None))
    with pytest.raises(UsageError, match="--closed has no rate"):
        admitted(replace(asked, closed=True, rate_per_s=None))


def test_the_name_of_a_host_is_the_same_in_capitals():
    asked = BlastSettings(instance="LOCALHOST:80", allow=("LocalHost",))
    assert admitted(asked)[0] == asked


def test_more_than_modest_is_refused_with_the_limit_and_the_remedy():
    for asked, named in (
        ({"rate_per_s": 500.0}, "--rate 500: at most 10 "),
        ({"rate_per_s": 5.0, "duration_s": 60.0}, "--duration 60: at most 10 "),
        ({"connections": 1000}, "--connections 1000: at most 10 "),
        ({"streams": 1000}, "--streams 1000: at most 10 "),
        ({"channels": 50}, "--channels 50: at most 2 "),
        ({"processes": 2}, "--processes 2: at most 1 "),
        ({"closed": True}, "--closed: "),
        ({"search": True}, "--search: "),
        ({"beyond": True}, "--beyond: "),
        ({"scenario": "pope"}, "--scenario: "),
        ({"follow": True}, "--follow: "),
        ({"canary": True}, "--canary: "),
    ):
        with pytest.raises(UsageError) as refused:
            check(replace(ELSEWHERE, **asked))
        assert named in str(refused.value)
        assert f"add --allow {HOST} and --max-rate" in str(refused.value)
        assert "\n" not in str(refused.value)


@given(
    st.builds(
        BlastSettings,
        instance=st.just(f"{HOST}:80"),
        rate_per_s=st.none() | st.floats(0.1, 20.0),
        duration_s=st.just(20.0) | st.floats(0.1, 90.0),
        streams=st.just(200) | st.integers(1, 20),
        channels=st.just(20) | st.integers(1, 4),
        connections=st.just(100) | st.integers(1, 20),
        processes=st.integers(1, 2),
        max_rate_per_s=st.none() | st.floats(0.1, 100.0),
        closed=st.booleans(),
        search=st.booleans(),
        beyond=st.booleans(),
        follow=st.booleans(),
        canary=st.none() | st.booleans(),
        scenario=st.none() | st.just("pope"),
    )
)
def test_whatever_is_asked_for_a_run_is_modest_or_refused(asked):
    try:
        run = modest(asked, HOST)
    except UsageError:
        return
    assert run.rate_per_s is not None
    assert run.rate_per_s <= min(MODEST_RATE_PER_S, asked.max_rate_per_s or MODEST_RATE_PER_S)
    assert run.duration_s <= MODEST_DURATION_S
    assert run.streams <= MODEST_STREAMS
    assert run.channels <= MODEST_CHANNELS
    assert run.connections <= MODEST_CONNECTIONS
    assert run.processes == 1
    assert not any((run.closed, run.search, run.beyond, run.follow, run.scenario, run.with_canary))
    assert modest(run, HOST) == run


def counted(requests, failures=0, **reasons):
    counts = Counts()
    counts.requests, counts.failures, counts.reasons = requests, failures, dict(reasons)
    counts.latency.add(12_000, requests)
    return counts


def test_a_modest_run_says_what_it_was_and_gives_no_capacity():
    said = remarked(HELD, ADDRESS, modest_per_s=10.0, counts=counted(100), unit="requests")
    assert (said.highest_pass_per_s, said.lowest_fail_per_s, said.limit) == (None, None, "not reached")
    assert said.exit_code == ExitCode.OK
    assert f"{HOST} is not named as yours to load: this was a modest run of 100 requests at 10/s" in said.sentence
    assert "0 errors, p99 12 ms" in said.sentence
    assert f"add --allow {HOST} and --max-rate" in said.sentence


def test_a_modest_run_that_failed_still_fails():
    failed = replace(HELD, limit="instance", sentence="It did not hold.", exit_code=ExitCode.FAILED)
    said = remarked(failed, ADDRESS, modest_per_s=10.0, counts=counted(20, 20, status_5xx=20), unit="requests")
    assert said.sentence.startswith("It did not hold. ")
    assert (said.exit_code, said.limit) == (ExitCode.FAILED, "not reached")


def test_a_run_without_verification_says_so():
    address = replace(ADDRESS, tls=True, insecure=True)
    assert "(--insecure)" in remarked(HELD, address, counts=counted(1), unit="requests").sentence
    assert remarked(HELD, ADDRESS, counts=counted(1), unit="requests") == HELD


def test_only_who_was_hung_up_on_every_time_looks_for_tls():
    assert may_speak_tls(ADDRESS, counted(9, 9, reset=5, closed=4))
    assert not may_speak_tls(ADDRESS, counted(9, 9, timeout=9))
    assert not may_speak_tls(replace(ADDRESS, tls=True), counted(9, 9, reset=9))
    answered = counted(9, 8, reset=8)
    answered.statuses["200"] = 1
    assert not may_speak_tls(ADDRESS, answered)
