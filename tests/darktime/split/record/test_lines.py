"""Lines of a recording: what is written is read again, and nothing that is read can be sent as anything but one request."""

from __future__ import annotations

import json

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from darktime.errors import UsageError
from darktime.split.record.lines import (
    VERSION,
    Answer,
    Header,
    NotALine,
    Recorded,
    answer_line,
    header_line,
    of_payload,
    read_header,
    read_line,
    request_line,
)
from darktime.split.record.outgoing import request_bytes
from darktime.split.relay.copies import Copy
from darktime.split.relay.copies import request_bytes as to_the_dark

ID = "0123456789abcdef" * 2
USER = "fedcba9876543210"
GOOD = {"at": 0.5, "id": ID, "user": USER, "method": "GET", "target": "/a?b=1", "headers": [["Host", "site.example"]]}

token = st.text("abcXYZ-_09", min_size=1, max_size=12)
value = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20)
requests = st.builds(
    Recorded,
    at=st.integers(0, 10**9).map(lambda ms: ms / 1000),
    id=st.text("0123456789abcdef", min_size=32, max_size=32),
    user=st.text("0123456789abcdef", min_size=16, max_size=16),
    method=st.sampled_from(["GET", "HEAD", "POST"]),
    target=value.map(lambda text: "/" + text),
    headers=st.lists(st.tuples(token.map(lambda text: "A" + text), value), max_size=4).map(tuple),
    body=st.binary(max_size=50),
)
answers = st.none() | st.builds(
    Answer,
    status=st.integers(100, 599),
    content_type=st.none() | st.text(st.characters(codec="ascii"), max_size=20),
    length=st.none() | st.integers(0, 10**9),
    seconds=st.none() | st.floats(0, 1e6),
)


def line(**changes: object) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


@given(requests, answers)
def test_a_request_and_its_answer_are_read_as_they_were_written(request_: Recorded, answer: Answer | None) -> None:
    written = request_line(request_, answer)
    assert written.count(b"\n") == 1
    assert written.endswith(b"\n")
    assert read_line(written) == (request_, answer)
    if answer is not None:
        assert read_line(answer_line(request_.id, answer)) == (request_.id, answer)


@given(st.text(max_size=40), st.text(max_size=40), st.integers(0, 2**34))
def test_a_header_is_read_as_it_was_written(experiment: str, key: str, began: int) -> None:
    header = Header(experiment=experiment, key=key, began=began / 1000)
    assert read_header(header_line(header)) == header


def test_a_newer_version_is_refused_with_the_remedy_and_the_oldest_that_is_read_is() -> None:
    newer = json.dumps({"darktime_recording": VERSION + 1, "experiment": "e", "key": "ip", "began": 1}).encode()
    with pytest.raises(UsageError, match=r"version 2.*replay it with the release that made it"):
        read_header(newer)
    with pytest.raises(UsageError, match="record again"):
        read_header(newer.replace(b": 2", b": 0"))
    with pytest.raises(NotALine):
        read_header(newer.replace(b": 2", b": true"))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"target": "http://other.example/x"}, "target"),
        ({"target": "/a\r\nHost: other.example"}, "target"),
        ({"target": "/a b"}, "target"),
        ({"target": "/a\x00"}, "target"),
        ({"target": "/ü"}, "target"),
        ({"target": "*"}, "target"),
        ({"target": "/" + "a" * 70_000}, "target"),
        ({"target": None}, "target"),
        ({"method": "GET / HTTP/1.1\r\nX: y\r\n\r\nGET"}, "method"),
        ({"method": "get"}, "method"),
        ({"method": "CONNECT\n"}, "method"),
        ({"headers": [["A", "b\r\nX-Darktime-Id: 1"]]}, "headers"),
        ({"headers": [["A", "b\x00"]]}, "headers"),
        ({"headers": [["A", "b\n"]]}, "headers"),
        ({"headers": [["A\r\nB", "c"]]}, "headers"),
        ({"headers": [["A ", "c"]]}, "headers"),
        ({"headers": [["", "c"]]}, "headers"),
        ({"headers": [["A", "snow \u2603"]]}, "headers"),
        ({"headers": [["Content-Length", "5"]]}, "headers"),
        ({"headers": [["transfer-encoding", "chunked"]]}, "headers"),
        ({"headers": [["Connection", "close"]]}, "headers"),
        ({"headers": [["X-Darktime-Id", ID]]}, "headers"),
        ({"headers": [["Expect", "100-continue"]]}, "headers"),
        ({"headers": [["Host", "a"], ["HOST", "b"]]}, "two hosts"),
        ({"headers": [["Host", "a/b"]]}, "headers"),
        ({"headers": [["A", "b"]] * 101}, "headers"),
        ({"headers": {"A": "b"}}, "headers"),
        ({"headers": [["A", 1]]}, "headers"),
        ({"headers": [["A"]]}, "headers"),
        ({"body": "%%"}, "body"),
        ({"body": 7}, "body"),
        ({"at": -1}, "at"),
        ({"at": "0"}, "at"),
        ({"at": True}, "at"),
        ({"at": 1e300}, "at"),
        ({"id": "../../etc"}, "id"),
        ({"user": "anna@site.example"}, "user"),
        ({"answer": {"status": 99}}, "status"),
        ({"answer": {"status": "200"}}, "status"),
        ({"answer": [200]}, "answer"),
        ({"answer": {"status": 200, "type": "x" * 300}}, "type"),
        ({"answer": {"status": 200, "length": -1}}, "length"),
    ],
    ids=lambda one: repr(one)[:50] if isinstance(one, dict) else "",
)
def test_a_hostile_request_is_no_line_and_it_is_said_why(changes: dict[str, object], why: str) -> None:
    assert read_line(line())[0] == Recorded(**{**GOOD, "headers": (("Host", "site.example"),)})
    with pytest.raises(NotALine, match=why):
        read_line(line(**changes))


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-10, 10**9)
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from([*GOOD.values()]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*GOOD, "body", "answer"]), anything))
@example({"headers": [["A", "b\r\n\r\nGET /other HTTP/1.1\r\nHost: x"]]})
@example({"method": "POST", "body": "R0VUIC8gSFRUUC8xLjENCg0K"})
@example({"headers": [["A", "\x85b"]]})
def test_whatever_a_line_says_it_is_refused_or_sent_as_exactly_one_request(changes: dict[str, object]) -> None:
    try:
        found, _ = read_line(line(**changes))
    except NotALine:
        return
    if isinstance(found, str):
        return
    for keep_host in (True, False):
        one_request(request_bytes(found, "127.0.0.1:8001", keep_host=keep_host), found, keep_host=keep_host)


def one_request(raw: bytes, found: Recorded, *, keep_host: bool) -> None:
    """Another's parser reads the bytes as that request and nothing behind it."""
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=200_000)
    server.receive_data(raw)
    request = server.next_event()
    assert isinstance(request, h11.Request)
    assert (request.method.decode(), request.target.decode()) == (found.method, found.target)
    body = b""
    while not isinstance(event := server.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Data)
        body += event.data
    assert body == found.body
    assert server.trailing_data[0] == b""
    names = [name for name, _ in request.headers]
    assert names.count(b"host") == names.count(b"x-darktime-id") == names.count(b"x-darktime") == 1
    told = dict(request.headers)
    assert told[b"x-darktime-id"] == found.id.encode()
    recorded = next((one for name, one in found.headers if name.lower() == "host"), None)
    assert told[b"host"].decode() == (recorded if recorded and keep_host else "127.0.0.1:8001")


@given(st.binary(max_size=200))
def test_no_bytes_make_a_reader_raise_anything_else(raw: bytes) -> None:
    for read in (read_line, read_header):
        with pytest.raises((NotALine, UsageError)):
            read(raw)


def test_what_is_recorded_is_what_the_dark_instance_gets_without_what_belongs_to_the_sending() -> None:
    copy = Copy(
        id=ID, at=1.0, user="anna", method="GET", target="/a?token=geheim", stripped=False, unfit=None,
        headers=(("Host", "site.example"), ("Accept", "*/*"), ("Cookie", "theme=dark; ")),
    )  # fmt: skip
    payload = to_the_dark(copy, (), "secret")
    found, left_out = of_payload(ID, 0.25, USER, payload)
    assert left_out == 0
    assert f"{found.method} {found.target} HTTP/1.1\r\n".encode() in payload
    assert found.headers == (("Host", "site.example"), ("Accept", "*/*"), ("Cookie", "theme=dark"))
    assert b"geheim" not in request_line(found)
    assert b"anna" not in request_line(found)


@given(st.binary(max_size=120))
def test_whatever_goes_out_can_be_read_again_when_it_was_recorded(noise: bytes) -> None:
    payload = (
        b"GET /" + noise.replace(b" ", b"").replace(b"\r\n", b"") + b" HTTP/1.1\r\nHost: h\r\nA: " + noise + b"\r\n\r\n"
    )
    try:
        found, _ = of_payload(ID, 0.0, USER, payload)
    except NotALine:
        return
    assert read_line(request_line(found)) == (found, None)
