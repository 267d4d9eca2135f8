"""Bodies as they come: coded, broken, too big, of any kind; each is compared as far as it can be read."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.split.compare.answer import (
    BOMB,
    BROKEN,
    CODING,
    DECODED_BYTES,
    TOO_BIG,
    Answer,
    compare_contents,
    read_answer,
)  # fmt: skip
from darktime.split.compare.rules import Rules, read_rules

NONE = Rules().about("GET", "/x")


def answer(
    body: bytes, kind: str = "application/json", *, coding: str = "", status: int = 200, length: int = -1
) -> Answer:
    return Answer(
        status=status, content_type=kind, coding=coding, body=body, length=len(body) if length < 0 else length
    )


def found(one: Answer, other: Answer, rules: Rules | None = None, **how: Any) -> list[tuple[str, str]]:
    about = (rules or Rules()).about("GET", "/x")
    contents = [read_answer(side, about, **how) for side in (one, other)]
    return [(each.path, each.kind) for each in compare_contents(*contents, about).differences]


PLAIN = json.dumps({"price": 1, "words": "é" * 40}).encode()
RAW = zlib.compressobj(wbits=-15)
CODED = {
    "gzip": gzip.compress(PLAIN),
    "x-gzip": gzip.compress(PLAIN[:10]) + gzip.compress(PLAIN[10:]),
    "deflate": zlib.compress(PLAIN),
    "identity": PLAIN,
}


@pytest.mark.parametrize("coding", CODED)
def test_a_coded_body_is_the_same_as_a_plain_one(coding: str) -> None:
    assert found(answer(PLAIN), answer(CODED[coding], coding=coding)) == []
    other = PLAIN.replace(b"1", b"2", 1)
    assert found(answer(other), answer(CODED[coding], coding=coding)) == [("price", "changed")]


def test_deflate_without_its_header_is_read_too() -> None:
    packed = RAW.compress(PLAIN) + RAW.flush()
    assert found(answer(PLAIN), answer(packed, coding="deflate")) == []


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (answer(gzip.compress(b"0" * (DECODED_BYTES + 1), mtime=0), coding="gzip"), BOMB),
        (answer(gzip.compress(gzip.compress(b"0" * 50_000_000)), coding="gzip"), BROKEN),
        (answer(gzip.compress(PLAIN)[:-9], coding="gzip"), BROKEN),
        (answer(b"not gzip", coding="gzip"), BROKEN),
        (answer(PLAIN, coding="br"), CODING),
        (answer(PLAIN, length=70_000), TOO_BIG),
        (answer(b'{"a":'), BROKEN),
    ],
    ids=range(7),
)
def test_what_cannot_be_read_is_compared_by_digest_and_length_and_says_why(one: Answer, why: str) -> None:
    content = read_answer(one, NONE)
    assert content.why == why
    assert not content.is_json
    assert found(one, one) == []
    assert found(one, answer(one.body + b" ", coding=one.coding, length=one.length + 1)) == [("(body)", "changed")]


@pytest.mark.parametrize("member", [b"", b"x" * 10])
def test_a_bomb_of_many_members_is_stopped_as_well(member: bytes) -> None:
    bomb = gzip.compress(member) * 300 + gzip.compress(b"0" * DECODED_BYTES) * 2
    assert read_answer(answer(bomb, coding="gzip"), NONE).why == BOMB


def test_a_bomb_takes_no_more_memory_than_the_bound_lets() -> None:
    bomb = answer(gzip.compress(b"0" * 20_000_000), coding="gzip")
    tracemalloc.start()
    try:
        assert read_answer(bomb, NONE).why == BOMB
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * DECODED_BYTES


def test_json_that_is_broken_on_one_side_is_a_difference_of_type() -> None:
    assert found(answer(PLAIN), answer(PLAIN[:-1])) == [("(body)", "type")]
    assert found(answer(PLAIN), answer(PLAIN, length=70_000)) == [("(body)", "type")]


def test_status_comes_first_then_type_then_the_body() -> None:
    assert found(answer(PLAIN), answer(b"no", "text/plain", status=500)) == [("(status)", "changed")]
    assert found(answer(PLAIN), answer(PLAIN, "text/plain")) == [("(type)", "changed")]
    assert found(answer(b"a", "text/plain"), answer(b"b", "text/plain")) == [("(body)", "changed")]
    assert found(answer(PLAIN, "application/problem+json"), answer(b'{"price": 2}', "application/problem+json")) == [
        ("price", "changed"),
        ("words", "missing"),
    ]


def test_white_space_of_html_counts_unless_it_is_not_to() -> None:
    pages = [answer(body, "text/html") for body in (b"<p>a b</p>\n", b" <p>a\n\tb</p>", b"<p>a  c</p>")]
    assert found(pages[0], pages[1]) == [("(body)", "changed")]
    assert found(pages[0], pages[1], html_whitespace=True) == []
    assert found(pages[0], pages[2], html_whitespace=True) == [("(body)", "changed")]


def test_ignored_fields_are_left_out_before_lists_are_compared() -> None:
    rules = Rules(read_rules(["* [].at", "* (status)"]))
    one, other = ([{"n": n, "at": at * n} for n in order] for at, order in ((1, (1, 2, 3)), (7, (3, 2, 1))))
    assert found(answer(json.dumps(one).encode()), answer(json.dumps(other).encode()), rules) == [("[]", "order")]
    assert found(answer(PLAIN), answer(PLAIN, status=500), rules) == []


@given(st.binary(max_size=300), st.sampled_from(["", "gzip", "deflate", "br", "\x00"]), st.binary(max_size=300))
def test_no_bytes_make_the_reader_fail(one: bytes, coding: str, other: bytes) -> None:
    found(answer(one, coding=coding), answer(other, coding=coding))
