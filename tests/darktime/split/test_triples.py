"""Triples: each ends exactly once, whatever comes in whatever order; and the thread that compares keeps to its budget."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.split.compare.answer import Answer
from darktime.split.relay.comparer import Comparer
from darktime.split.relay.copies import Copy
from darktime.split.relay.settings import CompareSettings
from darktime.split.relay.triples import AGAIN, DARK, LEGS, TODAY, Triples, Work
from darktime.wire.eventsource import ServerEvent
from tests.support.waiting import wait_until

NAMES = ("a", "b", "c")
PAGE = Answer(status=200, content_type="application/json", body=b"{}", length=2)
STREAM = Answer(status=200, content_type="text/event-stream")


def copy(name: str) -> Copy:
    return Copy(id=name, at=0.0, user="u", method="GET", target="/p", headers=(), stripped=False, unfit=None)


NEWS = st.tuples(
    st.sampled_from(NAMES), st.sampled_from([*LEGS, "stream", "events", "leave", "ended", "sweep", "late"])
)


@given(st.lists(NEWS, max_size=60))
def test_whatever_comes_every_triple_is_handed_over_or_left_once_and_nothing_is_held_after_the_end(
    news: list[tuple[str, str]],
) -> None:
    handed: list[Work] = []
    released: list[str] = []
    triples = Triples(wait_s=10, hand_over=handed.append, release=released.append)
    begun = 0
    now = 0.0
    for name, what in news:
        now += 0.1
        if triples.get(name) is None:
            triples.begin(copy(name), "/p", now)
            begun += 1
        if what in LEGS:
            triples.answered(name, what, PAGE, now)
        elif what == "stream":
            for leg in LEGS:
                triples.answered(name, leg, STREAM, now, held=True)
        elif what == "events":
            triples.events(name, DARK, [ServerEvent("1", "message", "x")], now)
        elif what == "leave":
            triples.leave(name, "why")
        elif what == "ended":
            triples.production_ended(name, now)
        else:
            now += 20 if what == "late" else 0
            triples.sweep(now, held=lambda one: one != "b", farewell_s=0.5)
        assert len(triples) >= 0
        assert triples.held >= 0
    triples.close(now)
    assert len(triples) == triples.held == 0
    assert begun == len(handed) + sum(triples.left.values())
    assert len(released) == begun


def test_a_stream_on_one_side_only_is_compared_by_its_type_and_the_held_ones_are_released() -> None:
    handed: list[Work] = []
    released: list[str] = []
    triples = Triples(wait_s=10, hand_over=handed.append, release=released.append)
    triples.begin(copy("a"), "/p", 0.0)
    triples.answered("a", TODAY, STREAM, 0.1, held=True)
    triples.answered("a", AGAIN, STREAM, 0.1, held=True)
    triples.answered("a", DARK, PAGE, 0.2)
    assert [work.dark.content_type for work in handed] == ["application/json"]
    assert released == ["a"]
    assert triples.held == 0


def work(number: int) -> Work:
    body = b'{"at": ' + str(number).encode() + b', "list": [' + b",".join(b"%d" % one for one in range(3000)) + b"]}"
    answer = Answer(status=200, content_type="application/json", body=body, length=len(body))
    other = replace(answer, body=body.replace(b"at", b"of"))
    return Work(request_id=f"{number:032x}", method="GET", endpoint="/p", today=answer, again=answer, dark=other)


@pytest.fixture
def comparer(request: pytest.FixtureRequest):
    made = Comparer(CompareSettings(secondary=("h", 1), cpu_share=request.param))
    made.start()
    yield made
    made.close(5)
    assert not made._thread.is_alive()


@pytest.mark.parametrize("comparer", [1e-6], indirect=True)
def test_beyond_its_share_of_a_core_nothing_is_compared_and_that_is_counted(comparer: Comparer) -> None:
    for number in range(2000):
        comparer.put(work(number))
    wait_until(lambda: not comparer.waiting, timeout_s=10, what="all work looked at")
    wait_until(lambda: comparer.compared + comparer.left["cpu_budget"] == 2000, what="all work counted")
    assert 0 < comparer.compared < 1500
    assert comparer.cpu_s < 0.3


@pytest.mark.parametrize("comparer", [1.0], indirect=True)
def test_answers_that_break_the_comparison_are_counted_and_the_next_are_compared(
    comparer: Comparer, caplog: pytest.LogCaptureFixture
) -> None:
    broken = replace(work(1), today=replace(PAGE, body=None))  # type: ignore[arg-type]
    for one in (broken, broken, work(2)):
        comparer.put(one)
    wait_until(lambda: comparer.compared == 1, what="the comparison after them")
    assert comparer.left == {"compare_error": 2}
    assert len(caplog.records) == 1


@pytest.mark.parametrize("comparer", [1.0], indirect=True)
def test_what_waits_at_the_end_is_compared_and_told(comparer: Comparer) -> None:
    for number in range(30):
        comparer.put(work(number))
    comparer.close(5)
    assert sum(comparer.told["totals"].values()) == comparer.compared == 30
    assert {(one["path"], one["kind"]) for one in comparer.told["fields"]} == {("at", "missing"), ("of", "extra")}


def test_streams_that_go_on_are_counted_as_they_were_some_seconds_ago_and_once_when_they_have_ended() -> None:
    triples = Triples(wait_s=10, hand_over=lambda _: None, release=lambda _: None)
    triples.begin(copy("a"), "/ev", 0.0)
    for leg in (TODAY, AGAIN, DARK):
        triples.answered("a", leg, STREAM, 0.1, held=True)
    events = [ServerEvent(id=str(number), type="message", data=str(number)) for number in range(5)]
    for leg in (TODAY, AGAIN):
        triples.events("a", leg, events, 2.0)
    triples.events("a", DARK, [one for one in events if one.id != "3"], 2.0)
    assert triples.streams_so_far() == {}
    triples.sweep(6.0, held=lambda _: True, farewell_s=0.5)
    noise, raw = triples.streams_so_far()["/ev"]
    assert (noise.pairs, noise.common, noise.struck) == (1, 5, {})
    assert (raw.pairs, raw.common, raw.struck) == (1, 4, {"missing": 1})
    triples.close(20.0)
    assert triples.streams_so_far() == triples.streams
    assert triples.streams["/ev"][1].pairs == 1
