"""The independent prober beside a run: what it counts as an answer, and what its failures mean."""

import threading
import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from darktime.blast.canary import RATE_PER_S
from darktime.blast.session import Session
from darktime.blast.settings import resolve
from darktime.blast.witness import LEAST_ANSWERS, SHARE, Witness, pace, pace_to_see_calm
from tests.darktime.blast.runs import undisturbed
from tests.darktime.blast.test_engine import server
from tests.support.waiting import wait_until

GIVEN = {"Authorization": "Bearer secret"}


def answering(reply, *, closes=False, only_with=b""):
    """Gives every request this reply; a 401 to one that lacks what it wants."""

    def answer(link):
        buffer = b""
        while data := link.recv(65_536):
            buffer += data
            while b"\r\n\r\n" in buffer:
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                link.sendall(reply if only_with in head else b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
                if closes:
                    return

    return answer


def heard(instance, headers=None, many=3):
    """Its first answers."""
    witness = Witness(resolve(instance), "/", headers)
    try:
        wait_until(lambda: len(witness.listen() and witness.answers) >= many, timeout_s=10, what="answers")
        return [took for _, took in witness.answers]
    finally:
        witness.close()


@pytest.mark.parametrize(
    ("reply", "closes"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", False),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", True),
    ],
)
def test_every_whole_reply_below_400_is_an_answer(reply, closes):
    with server(answering(reply, closes=closes)) as instance:
        assert min(heard(instance)) >= 0


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        b"hello\r\n",
    ],
)
def test_a_refusal_and_half_a_reply_are_failures(reply):
    with server(answering(reply, closes=True)) as instance:
        assert heard(instance, many=2) == [-1, -1]


def test_it_asks_with_the_headers_of_the_run_and_keeps_them_off_the_command_line():
    with server(answering(b"HTTP/1.1 204 No Content\r\n\r\n", only_with=b"Authorization: Bearer secret")) as instance:
        assert max(heard(instance)) == -1
        assert min(heard(instance, GIVEN)) >= 0
        witness = Witness(resolve(instance), "/", GIVEN)
        try:
            command = Path(f"/proc/{witness.pid}/cmdline").read_bytes()
            assert b"secret" not in command
        finally:
            witness.close()


def saw(*took_us):
    """A witness that has heard this, one after the other from second 1 on."""
    witness = object.__new__(Witness)
    witness.answers = [(float(at), took) for at, took in enumerate(took_us, 1)]
    witness.listen = list
    return witness


def test_a_failure_counts_as_the_longest_that_it_would_have_waited():
    assert saw(*[900_000] * 19, -1).p99_ms(0, 100) == (5000.0, 20)
    assert saw(*[1000] * 20, *[-1] * 20).p99_ms(21, 100) == (5000.0, 20)


def test_who_was_never_answered_says_nothing():
    assert saw(*[-1] * 20).p99_ms(0, 100) == (None, 20)
    assert not saw(*[-1] * 20).knows
    assert saw(-1, 1000).knows


def test_too_few_answers_are_no_p99():
    assert saw(*[1000] * 9).p99_ms(0, 100) == (None, 9)


def test_a_run_does_not_wait_for_one_who_was_never_answered_to_be_served_well_again():
    session = object.__new__(Session)
    session._witness, session._stop = saw(-1, -1, -1), lambda: False
    began = time.monotonic()
    session._cool_down(3.0)
    assert time.monotonic() - began < 1.0
    session._witness = saw(1000, 1000, -1)
    session._cool_down(0.5)
    assert time.monotonic() - began >= 0.5, "it was served well, and is not yet again"


@given(st.floats(0.1, 1e6), st.floats(0.1, 600))
def test_beside_a_search_it_is_at_most_a_fiftieth_of_the_load_and_silent_where_that_says_nothing(
    load_per_s, duration_s
):
    per_s = pace(load_per_s, duration_s)
    assert per_s <= min(RATE_PER_S, load_per_s * SHARE)
    assert per_s == 0 or per_s * duration_s >= LEAST_ANSWERS


@given(st.floats(0.1, 1e6), st.floats(2, 600))
def test_where_somebody_asks_for_it_at_a_rate_it_says_something(load_per_s, duration_s):
    per_s = pace(load_per_s, duration_s, wanted=True)
    assert per_s * duration_s >= LEAST_ANSWERS
    assert per_s <= max(RATE_PER_S, load_per_s * SHARE)


@given(st.floats(0.1, 1e6))
@example(35.5)  # whose tenth a product rounds up
def test_while_an_instance_is_left_in_peace_it_asks_a_little(failed_per_s):
    assert 1 <= pace_to_see_calm(failed_per_s) <= max(1, min(RATE_PER_S, failed_per_s / 10))


def test_it_is_silent_when_it_is_told_so_and_asks_again_at_once():
    with server(answering(b"HTTP/1.1 204 No Content\r\n\r\n")) as instance:
        witness = Witness(resolve(instance), "/")

        def asked():
            witness.listen()
            return len(witness.answers)

        try:
            wait_until(lambda: asked() >= 3, timeout_s=10, what="answers")
            witness.ask(0)
            before = asked() + 1  # one may have been on its way
            quiet = time.monotonic() + 1
            wait_until(lambda: time.monotonic() > quiet, timeout_s=5, what="ten intervals")
            assert asked() <= before
            witness.ask(10)
            wait_until(lambda: asked() >= before + 3, timeout_s=10, what="more answers")
        finally:
            witness.close()


def test_the_request_that_is_under_way_at_the_end_is_heard_of():
    came, go = threading.Event(), threading.Event()

    def late(link):
        link.recv(65_536)
        came.set()
        go.wait(5)
        link.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with server(late) as instance:
        witness = Witness(resolve(instance), "/")
        try:
            assert came.wait(10)
            threading.Timer(0.3, go.set).start()
        finally:
            witness.close()
        assert [took >= 0 for _, took in witness.answers] == [True]


def test_its_share_of_the_load_is_in_its_summary():
    assert saw(1000, 1000, -1).summary(297)["share"] == 0.01


def test_the_canary_does_not_take_what_a_slow_instance_could_hold(instance):
    """A bucket of 60 a second: a canary of ten would take a sixth of it. Its burst is for this machine's own lateness."""
    bucket = instance("token-bucket", rate=60, burst=4)
    run = undisturbed(bucket.address, "--path", "/", "--duration", "20", "--slo", "p99<500ms,errors<1%")
    low, high = run.interval
    assert low <= 60 * 1.05, run.said
    assert high >= 60 / 1.05, run.said
    asked = bucket.counters()["requests"]
    assert asked == run.found["totals"]["requests"] + run.found["canary"]["requests"]
    assert run.found["canary"]["share"] == round(run.found["canary"]["requests"] / asked, 6)
