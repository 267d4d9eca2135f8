"""The reading of subscribers as it is, hot path and all, without sockets: its account is that of a plain model."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from darktime.blast.cohort import Cohort
from darktime.blast.event_text import EventText
from darktime.blast.link import OPEN
from darktime.blast.marks import body
from darktime.blast.publisher import Published, Publisher
from darktime.blast.settings import resolve
from darktime.blast.streams import Streams
from darktime.wire.poller import IN

ADDRESS = resolve("127.0.0.1:1")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def cut_up(data, where):
    places = sorted({place % (len(data) + 1) for place in where})
    return [piece for piece in (data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)) if piece]


def event(publisher, number, end):
    return b"id: %d%bdata: %b%b%b" % (number, end, body(b"run", 0, publisher, 1_000_000, number), end, end)


def modelled(sent, published):
    """What one subscriber's account must be: by sets alone."""
    figures = {"delivered": 0, "duplicated": 0, "reordered": 0, "lost": 0}
    for publisher in (0, 1):
        seen, highest = set(), 0
        for number in (number for one, number in sent if one == publisher):
            if number in seen:
                figures["duplicated"] += 1
                continue
            seen.add(number)
            figures["delivered"] += 1
            figures["reordered"] += number < highest
            highest = max(highest, number)
        figures["lost"] += published - len(seen)
    return figures


# Mostly in order, as streams are, with any disorder possible.
disorder = st.lists(st.tuples(st.integers(0, 1), st.integers(1, 12)), max_size=25)
order = st.lists(st.integers(0, 1), max_size=20).map(
    lambda who: [(publisher, who[: at + 1].count(publisher)) for at, publisher in enumerate(who)]
)


@settings(max_examples=250, deadline=None)
@given(
    st.one_of(disorder, order, st.tuples(order, disorder).map(lambda both: both[0] + both[1])),
    st.tuples(st.integers(1, 3), st.booleans(), st.sampled_from([b"\n", b"\n", b"\r\n"])),
    st.one_of(st.none(), st.lists(st.integers(0, 5000), max_size=30)),
    st.one_of(st.none(), st.lists(st.integers(0, 5000), max_size=30)),
)
@example([(0, 1), (0, 2), (0, 2)], (1, False, b"\r\n"), None, None)  # the same bytes again, shared with nobody
def test_for_any_numbers_in_any_pieces_the_account_is_that_of_a_plain_model(sent, kind, chunk_places, read_places):
    count, checked, end = kind
    whole = [event(publisher, number, end) for publisher, number in sent]
    texts = whole if chunk_places is None else cut_up(b"".join(whole), chunk_places)
    chunks = [b"%x\r\n%b\r\n" % (len(text), text) for text in texts]
    reads = chunks if read_places is None else cut_up(b"".join(chunks), read_places)

    cohort = Cohort()
    publisher = Publisher(ADDRESS, 1, "run")
    streams = Streams(
        cohort, ADDRESS, publisher, count=count, run="run", publishers=2, check_share=1.0 if checked else 0.0
    )
    try:
        streams._chunked = True
        for fd, link in enumerate(streams._links, 1000):
            streams._dialer.by_fd[fd] = link
            pieces = iter(reads)
            link.recv = lambda _, pieces=pieces: next(pieces)
            link.state, link.expected, link.reader = OPEN, 1, EventText(chunked=True)
            streams._delays.readers[0] += 1
            if checked:
                streams._crosscheck.begin(link)
                streams._crosscheck.feed(link, HEAD)
        for _ in reads:
            streams.ready([(fd, IN) for fd in range(1000, 1000 + count)])
        publisher.published[0] = 20
        assert streams.settle({1: Published(last=[20], refused=[[]])}) == modelled(sent, 20)["lost"] * count
        counted = streams.take()
        figures = {name: getattr(counted, name) for name in ("delivered", "duplicated", "reordered", "lost")}
        assert figures == {name: figure * count for name, figure in modelled(sent, 20).items()}
        assert counted.latency.count == counted.delivered
        assert counted.bytes == sum(map(len, reads)) * count
        assert (counted.checked, counted.differed) == (len(sent) * count if checked else 0, 0)
        assert all(link.last_id == b"%d" % sent[-1][1] for link in streams._links if sent)
    finally:
        cohort.close()
