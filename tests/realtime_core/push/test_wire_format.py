"""The bytes of EventSource, read back by an exact reading of the standard and by sseclient."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from sseclient import SSEClient

from realtime_core.push.wire_format import Event, chunk, chunk_head_bytes, event_bytes, whole_events
from tests.realtime_core.push.client import Seen, browser_events

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
WORD = st.from_regex(r"[!-~]{1,10}", fullmatch=True)


def lines_of(text: str) -> list[str]:
    return [line for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line]


def test_fields_stand_in_the_modules_order() -> None:
    assert event_bytes(b"test message", None, None) == b"data: test message\n\n"
    assert event_bytes(b"x", b"7", b"post") == b"id: 7\nevent: post\ndata: x\n\n"
    assert event_bytes(b"x", None, b"post") == b"event: post\ndata: x\n\n"


def test_a_body_is_split_at_every_kind_of_line_end_and_empty_lines_are_dropped() -> None:
    expected = b"data: line 1\ndata: line 2\ndata: line 3\ndata: line 4\n\n"
    assert event_bytes(b"line 1\nline 2\rline 3\r\nline 4", None, None) == expected
    assert event_bytes(b"a\n\n\r\nb\n", None, None) == b"data: a\ndata: b\n\n"
    assert event_bytes(b"\n\r\n", None, None) == b"\n"
    # No line end for EventSource: form feed, NEL, line separator.
    assert event_bytes("a\x0cb\x85c\u2028d".encode(), None, None) == "data: a\x0cb\x85c\u2028d\n\n".encode()


@given(st.lists(st.tuples(TEXT, WORD, WORD), max_size=5))
def test_a_browser_sees_what_was_published(messages: list[tuple[str, str, str]]) -> None:
    stream = b": \n" + b"".join(event_bytes(body.encode(), i.encode(), t.encode()) for body, i, t in messages)
    expected = [Seen(i, t, "\n".join(lines_of(body))) for body, i, t in messages if lines_of(body)]
    assert browser_events(stream) == expected


@given(st.lists(st.tuples(TEXT.filter(lines_of), WORD, WORD), max_size=5))
def test_sseclient_sees_what_was_published(messages: list[tuple[str, str, str]]) -> None:
    stream = b"".join(event_bytes(body.encode(), i.encode(), t.encode()) for body, i, t in messages)
    seen = [(event.id, event.event, event.data) for event in SSEClient(iter([stream])).events()]
    assert seen == [(i, t, "\n".join(lines_of(body))) for body, i, t in messages]


def test_events_are_whole_once_their_last_byte_is_written() -> None:
    events = [Event(None, 0.0, None, payload) for payload in (b"abc", b"de", b"f")]
    frame = chunk(b"".join(event.payload for event in events))
    start = chunk_head_bytes(6)
    assert frame == b"6\r\nabcdef\r\n"
    assert [whole_events(events, start, written) for written in range(len(frame) + 1)] == [
        *[0] * 6,
        *[1] * 2,
        2,
        *[3] * 3,
    ]
