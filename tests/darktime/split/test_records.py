"""Records: every copy settles exactly once, in whatever order its news arrives."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.split.compare import Side
from darktime.split.log_format import LogLine
from darktime.split.relay import reasons
from darktime.split.relay.answers import Answers
from darktime.split.relay.copies import Copy
from darktime.split.relay.records import LOST_WAIT_S, ORPHAN_WAIT_S, Records
from darktime.split.saved import Judged
from darktime.split.verdict import judge
from tests.darktime.split.verdict.made import pairs

AT = 1764000000.0


class Books:
    """What a ledger would hold: +1, -1 and explained, by hop and id."""

    def __init__(self) -> None:
        self.net: Counter[tuple[str, str]] = Counter()
        self.why: Counter[tuple[str, str]] = Counter()
        self.pairs: list[object] = []

    def sent(self, hop: str, request_id: str, at: float) -> None:
        assert at == AT
        self.net[hop, request_id] += 1

    def received(self, hop: str, request_id: str, at: float) -> None:
        assert at == AT
        self.net[hop, request_id] -= 1

    def explained(self, hop: str, request_id: str, at: float, reason: str) -> None:
        assert at == AT
        self.net[hop, request_id] -= 1
        self.why[hop, reason] += 1

    def paired(self, pair: object) -> None:
        self.pairs.append(pair)

    def left(self) -> dict[tuple[str, str], int]:
        return {key: net for key, net in self.net.items() if net}


def fresh(limit: int = 100) -> tuple[Records, Books]:
    books = Books()
    return Records(books, wait_s=10, stream_wait_s=100, limit=limit), books


def copy(name: str = "a", *, stripped: bool = False, accept: str = "*/*") -> Copy:
    headers = (("Accept", accept),)
    return Copy(id=name, at=AT, user="u", method="GET", target="/p", headers=headers, stripped=stripped, unfit=None)


def line(name: str = "a", *, sink: bool = False, status: int = 200) -> LogLine:
    return LogLine(
        id=name, at=AT, sink=sink, status=status, content_type="text/plain", seconds=0.1, aborted=status == 499
    )


def written_before() -> LogLine:
    """A line that nginx wrote before the other requests began."""
    return replace(line("other"), at=AT, took=-1.0)


def side(status: int = 200) -> Side:
    return Side(status=status, content_type="text/plain", length=1, seconds=0.2)


NEWS = st.permutations(["copy", "line", "dark", "sink"]).flatmap(
    lambda order: st.integers(0, 4).map(lambda count: order[:count])
)


@given(news=NEWS, fails=st.booleans(), aborted=st.booleans(), sweeps=st.booleans(), again=NEWS)
def test_whatever_comes_in_whatever_order_only_a_line_with_neither_copy_nor_excuse_is_left(
    *, news: list[str], fails: bool, aborted: bool, sweeps: bool, again: list[str]
) -> None:
    records, books = fresh()
    for one in [*news, *(word for word in again if word in {"line", "dark", "sink"} and word in news)]:
        if one == "copy":
            records.arrived(copy(), "m", 0)
        elif one == "line":
            records.line(line(status=499 if aborted else 200), 0)
        elif one == "sink":
            records.line(line(sink=True), 0)
        elif fails:
            records.failed("a", "dark_reset")
        else:
            records.replied("a", side(), 0)
    if sweeps:
        records.sweep(1000)
    records.close()
    assert len(records) == 0
    lost = "line" in news and "copy" not in news and "sink" not in news and not aborted
    assert books.left() == ({("mirror", "a"): 1} if lost else {})
    assert records.received == ("copy" in news)
    assert records.received == records.compared + sum(records.reasons.values())


def test_a_copy_waits_for_its_line_and_a_stream_for_longer() -> None:
    records, books = fresh()
    records.arrived(copy("plain"), "m", 0)
    records.arrived(copy("stream", accept="text/event-stream"), "m", 0)
    records.replied("plain", side(), 0)
    assert records.sweep(9) == []
    assert records.sweep(11) == ["plain"]
    assert books.why == {("compared", "log_lost"): 1}
    records.line(line("plain"), 12)
    assert records.late_lines == 1
    assert records.sweep(101) == ["stream"]
    assert not books.left()


def test_a_line_without_a_copy_is_missing_and_one_that_the_sink_took_is_explained() -> None:
    records, books = fresh()
    records.line(line("lost"), 0)
    records.line(line("shed"), 0)
    records.line(line("shed", sink=True), 0)
    assert records.sweep(ORPHAN_WAIT_S + 0.1) == []
    assert books.left() == {("mirror", "lost"): 1}
    assert books.why == {("mirror", "shed_sink"): 1}


def test_a_copy_that_came_twice_shows_as_extra_and_goes_on_once() -> None:
    records, books = fresh()
    assert records.arrived(copy(), "m", 0)
    assert not records.arrived(copy(), "m", 0)
    records.line(line(), 0)
    records.replied("a", side(), 0)
    assert not records.arrived(copy(), "m", 0)
    assert books.left() == {("mirror", "a"): -2}
    assert records.compared == 1


def test_a_denial_for_want_of_a_credential_that_was_not_copied_is_no_difference() -> None:
    records, books = fresh()
    records.arrived(copy(stripped=True), "m", 0)
    records.line(line(), 0)
    records.replied("a", side(403), 0)
    assert books.why == {("compared", "credential_stripped"): 1}
    assert not books.pairs


@pytest.mark.parametrize("status", [302, 303, 307])
@pytest.mark.parametrize(
    ("production", "stripped", "excused"),
    [
        (200, True, True),
        (204, True, True),
        (304, True, True),
        (200, False, False),
        (301, True, False),
        (404, True, False),
    ],
)
def test_a_redirect_in_place_of_an_answer_for_want_of_a_credential_is_no_difference(
    status: int, production: int, *, stripped: bool, excused: bool
) -> None:
    records, books = fresh()
    records.arrived(copy(stripped=stripped), "m", 0)
    records.line(line(status=production), 0)
    records.replied("a", side(status), 0)
    assert (books.why == {("compared", "credential_stripped"): 1}) is excused
    assert len(books.pairs) == (not excused)


def test_beyond_its_bound_it_takes_no_copy_and_says_so() -> None:
    records, books = fresh(limit=2)
    assert [records.arrived(copy(name), "m", 0) for name in "abc"] == [True, True, False]
    assert records.reasons == {"relay_full": 1}
    records.line(line("c"), 0)
    records.close()
    assert not books.left()


def test_what_left_is_counted_by_endpoint_by_the_applications_own_names_where_they_are_known() -> None:
    records = Records(Books(), wait_s=10, stream_wait_s=100, limit=100, templates=("/p/{page}",))
    targets = {"a": "/p/one", "b": "/p/two?x=1", "c": "/q/17"}
    for name, target in targets.items():
        records.arrived(replace(copy(name), target=target), "u", 0.0)
        records.failed(name, "dark_timeout" if name == "a" else "expired")
    assert records.left == {"/p/{page}": {"dark_timeout": 1, "expired": 1}, "/q/{id}": {"expired": 1}}
    assert records.reasons == {"dark_timeout": 1, "expired": 2}


def test_what_was_compared_is_counted_by_endpoint_the_same_or_different() -> None:
    records = Records(Books(), wait_s=10, stream_wait_s=100, limit=100, templates=("/p/{page}",))
    for name, target, status in (("a", "/p/one", 200), ("b", "/p/two", 500), ("c", "/q/17", 200)):
        records.arrived(replace(copy(name), target=target), "u", 0.0)
        records.line(line(name), 0.0)
        records.replied(name, side(status), 0.0)
    assert records.judged == {"/p/{page}": {"same": 1, "differs": 1}, "/q/{id}": {"same": 1}}
    assert (records.compared, records.differing) == (3, 1)


def test_where_lines_were_lost_a_copy_without_one_is_named_soon_after_all_others_have_been_read() -> None:
    records, books = fresh()
    records.arrived(copy("lost"), "m", 0)
    records.arrived(copy("refused"), "m", 0)
    records.failed("refused", "dark_refused")
    records.arrived(copy("stream", accept="text/event-stream"), "m", 0)
    records.gap(5, AT + 1)
    assert records.sweep(9) == [], "lines wait behind the gap: one may be its own"
    records.lines_read(1)
    assert records.sweep(1 + LOST_WAIT_S) == [], "production may be at it still"
    assert records.sweep(1.1 + LOST_WAIT_S) == ["lost"]
    assert records.reasons == {"dark_refused": 1, "log_lost": 1}
    assert (records.offered, len(records)) == (2, 1), "a stream may go on"
    records.sweep(1000)
    assert not books.left()


def test_a_stream_whose_end_may_be_among_lost_lines_waits_as_long_as_any_copy_however_many_more_are_lost() -> None:
    records, books = fresh()
    records.arrived(copy("stream", accept="text/event-stream"), "m", 0)
    records.streaming("stream")
    records.replied("stream", side(), 0)
    assert records.sweep(20) == []
    for second in range(20, 30):
        records.gap(1, AT + second)
        records.lines_read(second)
        assert records.sweep(second) == []
    assert records.sweep(30.1) == ["stream"]
    assert (records.reasons, records.offered) == ({"log_lost": 1}, 1)
    records.line(line("stream"), 31)  # it went on: production's client had not left
    assert records.late_lines == 1
    assert not books.left()


def test_a_stream_is_in_doubt_no_more_once_each_lost_line_is_known_and_one_that_began_later_never_is() -> None:
    records, _ = fresh()
    records.arrived(copy("lost"), "m", 0)
    records.arrived(copy("stream", accept="text/event-stream"), "m", 0)
    records.gap(1, AT + 1)
    records.lines_read(0)
    assert records.sweep(LOST_WAIT_S + 0.1) == ["lost"]
    records.gap(1, AT - 1)
    records.arrived(copy("later", accept="text/event-stream"), "m", 50)
    assert records.sweep(51) == records.sweep(99) == []


def test_a_stream_that_lasts_longer_than_one_may_be_held_has_expired_and_no_line_was_lost() -> None:
    records, books = fresh()
    records.arrived(copy("stream", accept="text/event-stream"), "m", 0)
    records.replied("stream", side(), 0)
    assert records.sweep(100) == []
    assert records.sweep(100.1) == ["stream"]
    assert books.why == {("compared", "expired"): 1}


def test_a_copy_that_began_after_lines_were_lost_waits_for_its_own_as_ever() -> None:
    records, _ = fresh()
    records.gap(5, AT + 3)  # read late: the next line says that it was written before this request began
    records.line(written_before(), 0)
    records.arrived(copy(), "m", 0)
    records.lines_read(0)
    assert records.sweep(9) == []
    assert records.sweep(11) == ["a"]


def test_a_line_without_a_copy_is_explained_where_the_sink_s_may_be_lost_and_each_lost_line_explains_one() -> None:
    records, books = fresh()
    records.line(line("before"), 0)
    records.gap(2, AT + 1)
    for name in "xyz":
        records.line(line(name), 0)
    records.sweep(ORPHAN_WAIT_S + 0.1)
    assert records.mirror_reasons == {"log_lost": 2}
    assert books.left() == {("mirror", "before"): 1, ("mirror", "z"): 1}


def test_a_line_without_a_copy_whose_request_began_after_lines_were_lost_is_missing() -> None:
    records, books = fresh()
    records.gap(2, AT + 3)
    records.line(written_before(), 0)
    records.line(line(), 0)
    records.sweep(ORPHAN_WAIT_S + 0.1)
    assert books.left()["mirror", "a"] == 1


@given(
    lost=st.integers(0, 6),
    news=st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["copy", "line", "sink", "dark"])), max_size=20),
    gap_at=st.integers(0, 20),
)
def test_no_more_is_explained_by_lost_lines_than_were_lost_and_every_copy_is_settled_once(
    lost: int, news: list[tuple[str, str]], gap_at: int
) -> None:
    records, books = fresh()
    for place, (name, what) in enumerate([*news, ("", "")]):
        if place == min(gap_at, len(news)) and lost:
            records.gap(lost, AT + 1)
        if what == "copy":
            records.arrived(copy(name), "m", 0)
        elif what == "dark":
            records.replied(name, side(), 0)
        elif what:
            records.line(line(name, sink=what == "sink"), 0)
    records.lines_read(0)
    records.sweep(LOST_WAIT_S + 0.1)
    assert records.reasons["log_lost"] + records.mirror_reasons["log_lost"] <= lost
    records.close()
    assert records.received == records.compared + sum(records.reasons.values())
    missing = sum(net for (hop, _), net in books.left().items() if hop == "mirror" and net > 0)
    assert records.offered == records.received + sum(records.mirror_reasons.values()) + missing


def test_a_reason_that_is_not_in_the_list_explains_nothing_and_is_exported(caplog: pytest.LogCaptureFixture) -> None:
    reasons.listed.cache_clear()  # each is said once a process
    records, books = fresh()
    for name in ("a", "b"):
        records.arrived(copy(name), "m", 0)
        records.line(line(name), 0)
        records.failed(name, "made_up")
    assert records.reasons == {"unknown": 2}
    assert records.left == {"/p": {"unknown": 2}}
    assert books.why == {("compared", "unknown"): 2}
    assert [one.message for one in caplog.records if "made_up" in one.message] == [
        "copies left for 'made_up', which is no reason of the list: they are counted as unknown"
    ]
    explained = Judged(left=records.left, reasons=records.reasons).reasons_alone()
    verdict = judge(pairs(), explained, left=records.left)
    assert verdict.outcome == "NO-GO"
    assert "2 left for a reason that nobody knows" in verdict.reasons[0]


def test_every_reason_of_the_list_is_counted_as_itself() -> None:
    assert [reasons.listed(one) for one in reasons.ALL] == list(reasons.ALL)
    records, _ = fresh()
    for number, reason in enumerate(reasons.ALL):
        records.arrived(copy(str(number)), "m", 0)
        records.failed(str(number), reason)
    assert records.reasons == dict.fromkeys(reasons.ALL, 1)


def test_a_relay_that_stands_alone_counts_by_the_list_too() -> None:
    answers = Answers(stream_life_s=10, limit=10)
    answers.arrived(copy(), "m", 0.0)
    answers.failed("a", "made_up")
    assert answers.reasons == {"unknown": 1}
