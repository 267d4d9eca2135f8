"""The pure parts of reading streams: any order of numbers in any pieces is accounted as a plain model accounts it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darktime.blast.accounts import DUPLICATE, IN_ORDER, LATE, REORDERED, Account, size, within, without
from darktime.blast.event_text import EventText, whole_chunks, whole_text
from darktime.blast.marks import Marks, body
from darktime.blast.spread import Spreads
from darktime.wire.errors import WireError
from darktime.wire.stream import StreamReader

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n%s\r\n"
numbers = st.lists(st.integers(1, 12), max_size=30)


def modelled(arrivals, published):
    """Kinds and lost numbers by sets alone: what arrived, and how far it has come."""
    seen, highest, kinds = set(), 0, []
    for number in arrivals:
        if number in seen:
            kinds.append(DUPLICATE)
        else:
            kinds.append(IN_ORDER if number > highest else REORDERED)
        seen.add(number)
        highest = max(highest, number)
    return kinds, set(range(1, published + 1)) - seen


@given(numbers, numbers)
def test_an_account_agrees_with_a_plain_model_before_and_after_it_is_settled(before, after):
    account = Account(1)
    kinds, lost = modelled(before, 12)
    assert [account.arrived(number) for number in before] == kinds
    outstanding = account.outstanding(12)
    assert {number for start, stop in outstanding for number in range(start, stop)} == lost
    assert size(outstanding) == len(lost)
    assert without(outstanding, [3, 7]) == len(lost - {3, 7})
    assert within(outstanding, 4, 9) == len(lost & set(range(4, 10)))
    account.settle(12)
    assert account.outstanding(12) == []
    for number in after:
        assert account.arrived(number) == (LATE if number in lost else DUPLICATE)
        lost.discard(number)
    assert account.arrived(13) == IN_ORDER


def test_an_account_that_has_not_begun_owes_nothing():
    assert Account().outstanding(1000) == []


def events(marks, line_end, extra):
    """Events with ids, comments between them, and one that is not ours now and then."""
    pieces = []
    for at, mark in enumerate(marks):
        data = body(b"run", *mark)
        if extra and at % 2:
            data = data.replace(b",", b"," + line_end + b"data: ")
        lines = [b"id: %d" % at, b"data: " + data]
        if extra and at % 3 == 0:
            lines[1:1] = [b": a comment", b"event: kind"]
        pieces.append(line_end.join([*lines, b"", b""]))
        if extra and at % 4 == 0:
            pieces.append(b": ping" + line_end)
        if extra and at % 5 == 0:
            pieces.append(b"data: somebody else's" + line_end + line_end)
    return b"".join(pieces)


def cut_up(data, where):
    places = sorted({place % (len(data) + 1) for place in where})
    return [piece for piece in (data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)) if piece]


def chunked(pieces):
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


marks_of = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 10**15), st.integers(1, 30)), max_size=12
)
places = st.lists(st.integers(0, 10_000), max_size=40)


kinds = st.tuples(st.sampled_from([b"\n", b"\r\n", b"\r"]), st.booleans(), st.booleans(), st.booleans())


@settings(max_examples=300, deadline=None)
@given(marks_of, kinds, places, places)
def test_whatever_the_pieces_the_fast_reader_reads_what_was_sent_and_what_the_exact_one_reads(
    marks, kind, chunk_places, read_places
):
    line_end, extra, is_chunked, bom = kind
    text = (b"\xef\xbb\xbf" if bom else b"") + events(marks, line_end, extra)
    wire = chunked(cut_up(text, chunk_places)) if is_chunked else text
    reader, known = EventText(chunked=is_chunked), Marks("run")
    exact = StreamReader()
    exact.feed(HEAD % (b"Transfer-Encoding: chunked\r\n" if is_chunked else b""))
    read, exactly, last_id = [], [], b""
    at_border = False
    comments = 0
    for piece in cut_up(wire, read_places):
        found = whole_text(piece, chunked=is_chunked) if at_border else None
        if found is not None:  # the short way, which keeps no state
            comments += found[1]
            arrival = known.read(*found)
            exactly += [number for event in exact.feed(piece) for number in known.numbers(event.data)]
        else:
            if at_border:
                reader = EventText(chunked=is_chunked, begun=True)
            before = reader.comments
            arrival = known.read(reader.feed(piece), 0)
            comments += reader.comments - before
            exactly += [number for event in exact.feed(piece) for number in known.numbers(event.data)]
            at_border = reader.at_border
        read += arrival.marks
        assert [mark.number for mark in read] == exactly, "after every read"
        last_id = last_id if arrival.last_id is None else arrival.last_id
    assert [(c, p, round(at * 1e6), n) for c, p, at, n in read] == marks
    if marks:
        assert last_id.decode() == exact.events.last_event_id
    if at_border:
        assert comments == exact.events.comments


def test_a_read_between_two_borders_says_where_its_numbers_begin_and_end():
    known = Marks("run")
    whole = b"".join(b"data: %b\n\n" % body(b"run", 4, 2, 1_500_000, n) for n in (7, 8, 9))
    arrival = known.read(whole, 0)
    assert (arrival.channel, arrival.publisher, arrival.first, arrival.next) == (4, 2, 7, 10)
    assert arrival.marks[0].at_s == 1.5
    swapped = b"".join(b"data: %b\n\n" % body(b"run", 4, 2, 0, n) for n in (8, 7))
    assert known.read(swapped, 0).first == -1
    mixed = b"data: %b\n\ndata: %b\n\n" % (body(b"run", 4, 2, 0, 7), body(b"run", 5, 2, 0, 8))
    assert known.read(mixed, 0).first == -1
    assert Marks("other").read(whole, 0).marks == []


def test_a_mark_is_json_of_one_length():
    import json

    small, large = body(b"run", 0, 0, 1, 1), body(b"run", 99_999, 999, 10**16 - 1, 10**10 - 1)
    assert len(small) == len(large)
    assert json.loads(small) == {"blast": "run", "c": 0, "p": 0, "at": 1, "n": 1}


@pytest.mark.parametrize("raw", [b"", b"5\r\nhel", b"5\r\nhelloXX", b"0\r\n\r\n", b"z\r\n\r\n", b"1;x=y\r\na\r\n"])
def test_what_is_not_whole_plain_chunks_is_left_to_the_exact_decoder(raw):
    assert not whole_chunks(raw)


def test_an_event_without_end_is_given_up():
    reader = EventText(chunked=False)
    for _ in range(16):
        reader.feed(b"x" * 65_536)
    with pytest.raises(WireError):
        reader.feed(b"x")


def test_the_spread_of_an_event_ends_with_its_last_subscriber_and_is_bounded():
    spreads = Spreads(most=2)
    spreads.seen((0, 0, 1), 10.0, 10.5, times=2, of=3)
    spreads.seen((0, 0, 1), 9.0, 9.0, times=1, of=3)
    assert spreads.spans_s == [1.5]
    for number in (2, 3, 4):
        spreads.seen((0, 0, number), 1.0, 2.0, times=2, of=3)
    assert spreads.spans_s == [1.5, 1.0], "the oldest was closed to make room"
    spreads.close()
    assert spreads.spans_s == [1.5, 1.0, 1.0, 1.0]
