"""Files of recordings, and access logs: cut, packed, damaged, full of garbage, or of another kind."""

from __future__ import annotations

import gzip
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.errors import UsageError
from darktime.split.record import unpack
from darktime.split.record.lines import MAX_LINE, Answer, Header, Recorded, answer_line, header_line, request_line
from darktime.split.record.reader import read
from darktime.split.record.unpack import Unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = "fedcba9876543210"
HEADER = header_line(Header(experiment="e", key="cookie:uid", began=1000.5))


def request_(number: int, at: float | None = None) -> Recorded:
    return Recorded(
        at=number / 10 if at is None else at, id=f"{number:032x}", user=USER, method="GET", target=f"/page/{number}"
    )


def recorded(count: int) -> list[bytes]:
    """So many requests, each with its answer on a line behind it."""
    lines = [HEADER]
    for number in range(count):
        lines += [request_line(request_(number)), answer_line(f"{number:032x}", Answer(status=200, length=number))]
    return lines


def pieces(raw: bytes, size: int) -> Iterator[bytes]:
    return (raw[at : at + size] for at in range(0, len(raw), size))


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_file_is_read_whole_in_whatever_pieces_it_comes(packed: bool, size: int) -> None:  # noqa: FBT001
    lines = recorded(20)
    raw = b"".join(gzip.compress(line, mtime=0) for line in lines) if packed else b"".join(lines)
    found = read(pieces(raw, size))
    assert found.header == Header(experiment="e", key="cookie:uid", began=1000.5)
    assert found.requests == [request_(number) for number in range(20)]
    assert found.answers[f"{7:032x}"] == Answer(status=200, length=7)
    assert (found.garbage, found.cut, found.damage) == (0, False, "")


@given(st.data())
def test_a_file_that_is_cut_anywhere_gives_what_was_whole_and_says_it(data: st.DataObject) -> None:
    lines = recorded(8)
    raw = b"".join(lines)
    end = data.draw(st.integers(len(lines[0]) + len(lines[1]), len(raw)))
    found = read(pieces(raw[:end], 50))
    *whole, rest = raw[:end].split(b"\n")
    complete = len(whole) + rest.endswith(b"}}")  # without the end of its line it is whole all the same
    assert 1 + len(found.requests) + len(found.answers) == pytest.approx(complete, abs=rest.endswith(b"}"))
    assert found.requests == [request_(number) for number in range(len(found.requests))]
    assert found.garbage == 0, "what a kill cut off is no fault of the file's"
    assert found.cut == (bool(rest) and 1 + len(found.requests) + len(found.answers) == len(whole))


@given(st.data())
def test_gzip_that_is_cut_anywhere_gives_every_member_that_was_whole_and_says_it(data: st.DataObject) -> None:
    members = [gzip.compress(line, mtime=0) for line in recorded(8)]
    raw = b"".join(members)
    end = data.draw(st.integers(len(members[0]) + len(members[1]), len(raw)))
    found = read(pieces(raw[:end], 50))
    whole, left = 0, end
    while whole < len(members) and left >= len(members[whole]):
        left -= len(members[whole])
        whole += 1
    # All of a member's line may be there before its checksum is.
    assert 1 + len(found.requests) + len(found.answers) in {whole, whole + 1}
    assert found.requests == [request_(number) for number in range(len(found.requests))]
    assert found.garbage == 0
    assert bool(found.damage) == bool(left)


def test_requests_are_in_order_of_time_and_those_of_one_moment_in_the_order_of_their_coming() -> None:
    lines = [request_line(request_(number, at)) for number, at in enumerate((0.3, 0.1, 0.1, 0.2, 0.1))]
    assert [int(one.id, 16) for one in read([HEADER + b"".join(lines)]).requests] == [1, 2, 4, 3, 0]


def test_garbage_is_counted_and_named_by_its_line() -> None:
    lines = recorded(50)
    lines[3:3] = [b"\x00\xff garbage\n", b'{"id": 1}\n', b"[" * 100_000 + b"\n"]
    lines.append(request_line(request_(7)))
    lines.append(answer_line("f" * 32, Answer(status=200)))
    found = read([b"".join(lines)])
    assert len(found.requests) == 50
    assert found.garbage == 5
    assert found.named == [
        (4, "it is no JSON"),
        (5, "its id is none"),
        (6, "it is no JSON"),
        (105, "its id has come before"),
        (106, "it answers a request that did not come before"),
    ]


def test_a_line_beyond_all_bounds_is_passed_over_and_not_kept() -> None:
    lines = recorded(20)
    long = b'{"x":"' + b"x" * (2 * MAX_LINE) + b'"}\n'
    raw = b"".join([*lines[:5], long, *lines[5:]])
    found = read(pieces(raw, 60_000))
    assert (len(found.requests), found.garbage) == (20, 1)
    assert found.named == [(6, "it is longer than 4,194,304 bytes")]


def test_a_file_that_is_mostly_garbage_is_refused() -> None:
    with pytest.raises(UsageError, match=r"6 of its 47 lines are garbage, more than 10% \(line 42: it is no JSON"):
        read([b"".join([*recorded(20), *[b"x\n"] * 6])])


def test_a_newer_version_and_a_broken_first_line_are_refused() -> None:
    with pytest.raises(UsageError, match="version 2"):
        read([HEADER.replace(b":1,", b":2,", 1)])
    with pytest.raises(UsageError, match="its first line is none"):
        read([HEADER[:40]])


@pytest.mark.parametrize("raw", [b"", b"\n\n", HEADER, b"hello\n", gzip.compress(b"", mtime=0), b"\x1f\x8bnone"])
def test_a_file_without_a_request_is_refused(raw: bytes) -> None:
    with pytest.raises(UsageError, match="name a recording, or an access log"):
        read([raw])


def test_what_stands_behind_broken_gzip_is_lost_and_said() -> None:
    raw = gzip.compress(b"".join(recorded(5)))
    found = read([raw + b"no gzip"])
    assert (len(found.requests), found.damage) == (5, "what follows is no gzip")
    broken = gzip.compress(b"".join(recorded(5))) + gzip.compress(b"x" * 1000, mtime=0)[:-9]
    assert read([broken]).damage == "its gzip ends in the middle"


def test_a_small_file_that_unpacks_to_any_size_is_refused_before_it_has_the_memory() -> None:
    bomb = gzip.compress(b"\n" * 50_000_000, mtime=0)
    with pytest.raises(UsageError, match="unpacks to more than 10,000,000 bytes"):
        list(Unpacked([bomb], max_line=1000, most_bytes=10_000_000))
    assert unpack.MOST_BYTES < 2**33


@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_make_the_reader_raise_anything_else(raw: bytes, headed: bool) -> None:  # noqa: FBT001
    with suppress(UsageError):
        read([(HEADER if headed else b"") + raw])


COMBINED = '{host} - {user} [24/Nov/2026:10:00:{at:02} +0000] "{what} HTTP/1.1" {status} 7 "-" "Mozilla"\n'


def test_an_access_log_is_read_as_a_recording_its_whole_seconds_spread_and_its_lines_the_ids() -> None:
    lines = [
        COMBINED.format(host="10.0.0.1", user="-", at=1, what="GET /a", status=200),
        COMBINED.format(host="10.0.0.2", user="-", at=1, what="GET /b?x=1", status=404),
        "garbage\n",
        COMBINED.format(host="10.0.0.1", user="-", at=3, what="POST /c", status=302),
        COMBINED.format(host="10.0.0.1", user="anna", at=3, what="GET http://other.example/", status=200),
    ]
    found = read([line.encode() for line in lines])
    assert found.header is None
    assert [(one.at, one.method, one.target, int(one.id, 16)) for one in found.requests] == [
        (0.0, "GET", "/a", 1),
        (0.5, "GET", "/b?x=1", 2),
        (2.0, "POST", "/c", 4),
    ]
    assert found.requests[0].user == found.requests[2].user != found.requests[1].user
    assert found.requests[0].headers == (("User-Agent", "Mozilla"),)
    assert [found.answers[one.id].status for one in found.requests] == [200, 404, 302]
    assert [number for number, _ in found.named] == [3, 5]
    assert "10.0.0" not in repr(found.requests)


def test_a_json_log_is_read_too_and_what_it_says_of_fractions_is_kept() -> None:
    line = b'{"msec": "1764000000.%03d", "request": "GET /caf\xc3\xa9/%d HTTP/1.1", "status": "200", "remote_addr": "::1"}\n'
    found = read([gzip.compress(b"".join(line % (250 * number, number) for number in range(3)))])
    assert [(round(one.at, 3), one.target) for one in found.requests] == [
        (0.0, "/caf%C3%A9/0"),
        (0.25, "/caf%C3%A9/1"),
        (0.5, "/caf%C3%A9/2"),
    ]
