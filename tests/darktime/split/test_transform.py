"""A user's own function over each copy: it may rewrite and drop, it can harm nobody, and what it gives back is checked."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import redirect_stderr
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darktime.console.transform import TransformRemarks
from darktime.report import text_summary
from darktime.report.watched_blocks import gone_through
from darktime.split.dark_side import dark_side
from darktime.split.marks import mark
from darktime.split.record.reader import read
from darktime.split.relay.copies import Copy as Arrived
from darktime.split.relay.copies import request_bytes
from darktime.split.relay.settings import RelaySettings
from darktime.split.relay.transforming import Transforming
from darktime.split.transform import Copy, NotSendable, checked
from realtime_core.free_ports import free_port
from tests.darktime.split.servers import Client
from tests.darktime.split.takers import Taker
from tests.support.schemas import require_schema
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]
DARKTIME = Path(sys.executable).parent / "darktime"
SECRET = "s" * 24
METHODS = frozenset({"GET", "HEAD", "POST"})
HERE = "tests.darktime.split.transforms"
GIVEN = Copy(
    id="0" * 32,
    at=1.5,
    user="u1",
    method="GET",
    path="/thread/1",
    query="page=2",
    headers=(("Host", "site.example"), ("Accept", "*/*")),
    cookies=(("lang", "en"),),
)


def arrived(**changes: Any) -> Arrived:
    values: dict[str, Any] = {
        "id": "0" * 32,
        "at": 1.5,
        "user": "u1",
        "method": "GET",
        "target": "/thread/1?page=2&token=t",
        "headers": (("Host", "site.example"), ("Accept", "*/*"), ("Cookie", "lang=en; a=b=c; ")),
        "stripped": True,
        "unfit": None,
    }
    return Arrived(**{**values, **changes})


def transforming(function: Callable[[Copy], Any], monkeypatch: pytest.MonkeyPatch) -> Transforming:
    import tests.darktime.split.transforms as module

    monkeypatch.setattr(module, "made", function, raising=False)
    settings = RelaySettings(
        dark=dark_side(["http://127.0.0.1:9"]),
        secret=SECRET,
        state=Path("/none"),
        allow_query=frozenset({"page"}),
        methods=METHODS,
    )
    return Transforming(f"{HERE}:made", settings)


def sent(copy: Arrived) -> bytes:
    return request_bytes(copy, {"page"}, SECRET)


def without_trace(raw: bytes) -> bytes:
    return re.sub(rb"traceparent: [^\r]*\r\n", b"", raw)


ODD = st.sampled_from(
    ["", "GET", "POST", "HEAD", "/", "/a?b", "/a#b", "/a b", "/a%20b", "a", "Host", "host", "X_Darktime", "X-Darktime-Id", "x\r\ny",
     "x\ny", " x", "x ", "x\0", "Cookie", "Content_Length", "Transfer-Encoding", "chunked", "Accept", "é", "€", "a;b", "1", "b=1"]
)  # fmt: skip
TEXT = ODD | st.text(max_size=6)
PAIRS = st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple)


@settings(deadline=None)  # a shared machine's load is not what it is about
@given(
    method=TEXT,
    path=TEXT,
    query=TEXT,
    headers=PAIRS.map(lambda some: (("Host", "site.example"), *some)) | PAIRS,
    cookies=PAIRS,
    body=st.binary(max_size=12),
)
def test_whatever_comes_back_goes_out_as_one_marked_request_or_not_at_all(**fields: Any) -> None:
    after = replace(GIVEN, **fields)
    with pytest.MonkeyPatch.context() as patch:
        going = transforming(lambda _: after, patch)
        copy = going.of(arrived())
    if copy.unfit is not None:
        assert copy.unfit == "transform_failed"
        assert going.state()["first_error"]
        return
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(sent(copy))
    request = connection.next_event()
    assert isinstance(request, h11.Request)
    assert [value for name, value in request.headers if name == b"x-darktime"] == [b"1"]
    assert sum(name == b"host" for name, _ in request.headers) == 1
    assert not any(name.replace(b"_", b"-") in {b"transfer-encoding", b"connection"} for name, _ in request.headers)
    assert request.method.decode() in METHODS
    assert request.target.decode("latin-1") == fields["path"] + ("?" + fields["query"] if fields["query"] else "")
    found = b""
    while isinstance(event := connection.next_event(), h11.Data):
        found += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert connection.trailing_data[0] == b""
    assert found == fields["body"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"method": "PUT"}, "--methods"), ({"user": "u2"}, "id, at and user"), ({"body": b"x"}, "a GET with a body"),
        ({"method": "POST", "body": bytes(65_537)}, "--max-body is 65,536"), ({"method": "POST", "body": "x"}, "bytes, please"),
        ({"path": "/a\r\nX: y"}, "path"), ({"path": "//\x7f"}, "path"), ({"query": "a b"}, "query"), ({"path": None}, "path"),
        ({"headers": (("Host", "h"), ("A", "b\r\nc: d"))}, "no line break"), ({"headers": (("A", "b"),)}, "0 Host headers"),
        ({"headers": (("Host", "a"), ("host", "b"))}, "2 Host headers"), ({"headers": (("Host", "a/b"),)}, "is no host"),
        ({"headers": (("Host", "h"), ("x_darktime", "0"))}, "relay's own"),
        ({"headers": (("Host", "h"), ("Te", "x"))}, "relay's own"),
        ({"headers": (("Host", "h"), ("Accept-Encoding", "gzip"))}, "relay's own"), ({"headers": {"Host": "h"}}, "pairs"),
        ({"headers": (("Host", "h"), ("Cookie", "a=b"))}, "go into cookies"),
        ({"headers": (("Host", 1),)}, "no (name, value) pair"),
        ({"headers": (("Host", "h"), ("A", "€"))}, "header A (length 1, character 1 is '€')"),
        ({"cookies": (("a", "b;c"),)}, "cookie"),
        ({"headers": (("Host", "h"),) * 101}, "at most 100"), ({"cookies": (("a", "b" * 131_072),)}, "131,072 at the most"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_sent_is_refused_and_says_why(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(NotSendable, match=re.escape(told)):
        checked(GIVEN, replace(GIVEN, **changes), methods=METHODS, max_body=65_536)


HIDDEN = "S3CR3T-0123456789"
BAD = [f"{HIDDEN}\n", f"{HIDDEN};x", f" {HIDDEN}", f"{HIDDEN} ", f"{HIDDEN} {HIDDEN}", f"\0{HIDDEN}", HIDDEN * 10_000]


@pytest.mark.parametrize("value", BAD, ids=["line", "semicolon", "before", "behind", "between", "nul", "long"])
def test_what_is_refused_is_never_shown_wherever_it_stands(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    for changes in (
        *({"headers": (("Host", "h"), pair)} for pair in (("Authorization", value), (value, "x"), (value,), value)),
        *({"cookies": (pair,)} for pair in (("sid", value), (value, "x"), (value,), value)),
        {"query": f"token={value}"},
        {"path": f"/{value}"},
        {"headers": (("Host", value),)},
        {"method": value},
        {"headers": ((f"X-Darktime-{value}", "x"), ("Host", "h"))},
    ):
        going = transforming(lambda copy, changes=changes: replace(copy, **changes), monkeypatch)
        if going.of(arrived()).unfit is not None:
            told.append(going.state()["first_error"])
    assert len(told) > 3
    assert not [one for one in told if "S3CR3T" in one]


def test_what_is_refused_is_described_by_its_name_its_length_and_the_character() -> None:
    for after, told in (
        (
            GIVEN.with_header("Authorization", "Bearer a\n"),
            r"header Authorization (length 9, character 9 is '\n')",
        ),
        (GIVEN.with_cookie("sid", "ab;x"), "cookie sid (length 4, character 3 is ';')"),
        (GIVEN.with_header("X-A", "b "), "header X-A (length 2, character 2 is ' ')"),
        (replace(GIVEN, path="a"), "path (length 1, character 1 is 'a')"),
        (replace(GIVEN, query="a#"), "query (length 2, character 2 is '#')"),
    ):
        with pytest.raises(NotSendable, match=re.escape(told)):
            checked(GIVEN, after, methods=METHODS, max_body=10)


@pytest.mark.parametrize("back", ["a text", True, ("GET", "/")], ids=["text", "true", "tuple"])
def test_only_a_copy_or_none_may_come_back(back: object, monkeypatch: pytest.MonkeyPatch) -> None:
    going = transforming(lambda _: back, monkeypatch)
    assert going.of(arrived()).unfit == "transform_failed"
    assert "a Copy, or None to drop it" in going.state()["first_error"]


def test_it_sees_what_may_leave_and_what_it_leaves_as_it_was_goes_as_it_would_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Copy] = []
    going = transforming(lambda copy: seen.append(copy) or copy, monkeypatch)
    came = arrived()
    assert going.of(came) is came
    (copy,) = seen
    assert (copy.path, copy.query) == ("/thread/1", f"page=2&token={mark(SECRET, 't')}")
    assert copy.headers == (("Host", "site.example"), ("Accept", "*/*"))
    assert (copy.cookies, copy.cookie("a"), copy.header("hOST")) == (
        (("lang", "en"), ("a", "b=c")),
        "b=c",
        "site.example",
    )
    going = transforming(lambda copy: copy.with_header("X-New", "1"), monkeypatch)
    told = going.of(came)
    expected = without_trace(sent(came)).replace(b"Cookie: ", b"X-New: 1\r\nCookie: ")
    assert without_trace(sent(told)) == expected
    assert told.origin == came.target


def test_who_got_a_credential_is_no_longer_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for change, stripped in (
        (lambda copy: copy.with_cookie("session", "x"), False),
        (lambda copy: copy.with_header("authorization", "x"), False),
        (lambda copy: copy.with_cookie("lang", None), True),
        (lambda copy: copy.with_header("X-A", "x"), True),
        (lambda copy: copy.with_header("x-api-key", "x"), False),
        (lambda copy: replace(copy, query="token=x"), False),
        (lambda copy: replace(copy, query="page=x"), True),
    ):
        assert transforming(change, monkeypatch).of(arrived()).stripped is stripped


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("sessions", "MODULE:FUNCTION, please"), ("no_such_module:f", "there is no module no_such_module"),
        (f"{HERE}:nothing", "has no nothing"), (f"{HERE}:number", "of type int, and cannot be called"),
        (f"{HERE}:awaited", "is async"), (f"{HERE}:of_two", "other arguments than one copy"),
        ("broken:f", "broken cannot be imported: ZeroDivisionError"), ("exits:f", "exits cannot be imported: SystemExit"),
        ("lacking:f", "lacking imports no_such_thing"), ("os.path.x:f", "there is no module os.path"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["split", "relay"])
def test_what_cannot_be_called_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, named: str, said: str
) -> None:
    from darktime.console.main import DARKTIME as GROUP
    from darktime.console.main import run

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one != str(tmp_path)])
    for name, text in (("broken", "1 / 0"), ("exits", "raise SystemExit(3)"), ("lacking", "import no_such_thing")):
        (tmp_path / f"{name}.py").write_text(text)
    words = ["--percent", "1", "--key", "cookie:uid", "--dark-state", "isolated", "--dark", "http://127.0.0.1:9"]
    where = ["--production", "http://127.0.0.1:8"] if command == "split" else ["--listen", "127.0.0.1:7"]
    told = StringIO()
    with redirect_stderr(told):
        assert run(GROUP, [command, *words, *where, "--transform", named]) == 2
    assert said in told.getvalue()
    assert named in told.getvalue()
    assert not (tmp_path / "runs").exists()


def test_nobody_else_pays_for_it() -> None:
    code = "import sys, darktime.split.relay.alone; print([one for one in sys.modules if 'transform' in one])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"


def test_behind_nginx_each_copy_goes_as_the_function_says_and_every_one_is_accounted_for(
    make_split: Callable, tmp_path: Path
) -> None:
    with Taker() as production, Taker() as dark:
        split = make_split(production.address, methods=("GET", "POST"), allow_query=("page",))
        kept = tmp_path / "kept.jsonl"
        split.start_relay(dark.address, None, "--transform", f"{HERE}:by_path", "--record", str(kept))
        split.start()
        cookie = "Cookie: uid=u1"
        with split.client() as client:
            for path in ("/plain", "/drop", "/raise", "/exit", "/unmark", "/split", "/slow", "/moved?page=2&t=secret"):
                assert b" 200 " in client.get(path, cookie)[0]
            client.get("/form", cookie, method="POST", body=b"typed")
        wait_until(lambda: split.state().get("compared") == 4, what="four pairs")
        wait_until(lambda: sum(split.state()["reasons"].values()) == 5, what="five that left")
        split.relay.stop()
        state = json.loads(split.state_path.read_text())
        assert len(production.taken) == 9
    assert state["reasons"] == {"transformed_away": 1, "transform_failed": 4}
    assert (state["offered"], state["received"], state["compared"]) == (9, 9, 4)
    assert state["left"]["/drop"] == {"transformed_away": 1}
    told = state["transform"]
    assert {name: told[name] for name in ("function", "called", "rewritten", "dropped", "failed", "slow")} == {
        "function": f"{HERE}:by_path", "called": 9, "rewritten": 2, "dropped": 1, "failed": 4, "slow": 1,
    }  # fmt: skip
    assert told["first_error"].endswith("KeyError: 'u1'\n")
    assert told["p99_ms"] >= 25
    assert 30 <= told["max_ms"] < 3000
    taken = {one.target.partition("?")[0]: one for one in dark.taken}
    assert taken.keys() == {"/plain", "/slow", "/v2/moved", "/form"}
    assert all(one.headers["x-darktime"] == "1" for one in dark.taken)
    assert bytes(taken["/form"].body) == b"TYPED"
    assert taken["/v2/moved"].target == f"/v2/moved?plain=1&page=2&t={mark(split.settings.secret, 'secret')}"
    assert {pair["endpoint"] for pair in split.pairs()} == {"/plain", "/slow", "/moved", "/form"}
    recorded = {one.target.partition("?")[0]: one for one in read([kept.read_bytes()]).requests}
    assert recorded.keys() == {"/plain", "/slow", "/moved", "/form"}, "as they came, and only what went out"
    assert recorded["/form"].body == b"typed"


def test_a_swapped_session_reaches_the_dark_instance_and_nothing_that_is_written(
    make_split: Callable, tmp_path: Path
) -> None:
    refused = b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno"
    with Taker() as production, Taker(answer=refused) as dark:
        split = make_split(production.address)
        kept = tmp_path / "kept.jsonl"
        split.start_relay(dark.address, None, "--transform", f"{HERE}:swap", "--record", str(kept))
        split.start()
        with split.client() as client:
            for number in range(3):
                client.get("/inbox", f"Cookie: uid=u{number}; session=of-production-{number}")
        wait_until(lambda: split.state().get("compared") == 3, what="three pairs")
        split.relay.stop()
        # Three copies of one moment may arrive in any order.
        assert {(one.headers["cookie"], one.headers["authorization"]) for one in dark.taken} == {
            (f"session=dark-session-{number}", f"Bearer dark-session-{number}") for number in range(3)
        }
        assert len(dark.taken) == 3
    state = json.loads(split.state_path.read_text())
    assert state["differing"] == 3, "it asked with a credential: that it is refused says something of the new code"
    assert state["reasons"] == {}
    written = kept.read_text() + split.state_path.read_text() + split.pairs_path.read_text()
    assert "dark-session" not in written
    assert "of-production" not in written
    assert kept.read_text().count('"method"') == 3


def test_a_second_instance_of_todays_code_is_asked_what_the_dark_one_is_and_findings_keep_the_endpoint(
    make_split: Callable,
) -> None:
    new = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew"
    with Taker() as production, Taker(answer=new) as dark, Taker() as today:
        split = make_split(production.address)
        words = ("--secondary", f"http://{today.address}", "--compare-share", "1", "--transform", f"{HERE}:by_path")
        split.start_relay(dark.address, None, *words)
        split.start()
        with split.client() as client:
            client.get("/moved?t=secret", "Cookie: uid=u1")
        target = f"/v2/moved?plain=1&t={mark(split.settings.secret, 'secret')}"
        wait_until(lambda: split.state().get("comparison", {}).get("told") == 1, what="the comparison")
        assert [one.target for one in today.taken] == [target] * 2
        assert [one.target for one in dark.taken] == [target]
        assert {one["endpoint"] for one in split.state()["fields"]} == {"/moved"}


def test_the_summary_and_the_page_tell_what_it_did_and_escape_what_it_said() -> None:
    results = json.loads((ROOT / "tests" / "darktime" / "report" / "samples" / "split.json").read_text())
    results["transform"] = {
        "function": "a:b", "called": 9, "rewritten": 5, "dropped": 3, "failed": 1, "max_ms": 34.2, "p99_ms": 33.0, "slow": 2,
        "first_error": "Traceback\nKeyError: '\x1b[31m<script>'\n",
    }  # fmt: skip
    require_schema(results)
    text = "\n".join(text_summary(results))
    assert "TRANSFORM  a:b · 5 rewritten · 3 dropped · 1 failed" in text
    assert "first error: KeyError: '\\x1b[31m<script>'" in text
    (section,) = gone_through(results["transform"])
    assert "What copies went through" in str(section)
    assert "<script>" not in str(section)
    assert "\x1b" not in str(section)
    assert gone_through(None) == []


def example() -> str:
    """The example of the documentation."""
    (found,) = re.findall(r"```python\n(# sessions\.py.*?)```", (ROOT / "docs" / "transform.md").read_text(), re.DOTALL)
    return str(found)


def test_the_example_of_the_documentation_swaps_sessions_in_a_relay_of_its_own(tmp_path: Path) -> None:
    assert len(example().strip().splitlines()) <= 12
    (tmp_path / "sessions.py").write_text(example())
    (tmp_path / "sessions.csv").write_text("ann,dark-1\nbob,dark-2\n")
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with Taker() as dark:
        (tmp_path / "darktime.toml").write_text(
            f'[relay]\nlisten = "127.0.0.1:{port}"\ndark = "http://{dark.address}"\nkey = "cookie:uid"\npercent = 100\n'
            'dark_state = "isolated"\ntransform = "sessions:transform"\n'
        )
        with subprocess.Popen(
            [str(DARKTIME), "relay", "--out", "run", "--json"],
            cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as command:  # fmt: skip
            state = tmp_path / "run" / "relay.json"
            wait_until(lambda: state.exists() and json.loads(state.read_text())["open"], timeout_s=15, what="the relay")
            with Client(f"127.0.0.1:{port}") as client:
                for user in ("ann", "bob", "eve"):
                    client.get("/inbox", f"Cookie: uid={user}; session=real")
            wait_until(lambda: json.loads(state.read_text())["answered"] == 2, what="two answers")
            command.send_signal(signal.SIGTERM)
            out, err = command.communicate(timeout=10)
    assert command.returncode == 0, err
    results = json.loads(out)
    require_schema(results)
    cookies = [one.headers["cookie"] for one in dark.taken if one.target == "/inbox"]
    assert sorted(cookies) == ["session=dark-1", "session=dark-2"]
    assert results["copies"]["reasons"] == {"transformed_away": 1}
    assert results["transform"]["dropped"] == 1


def test_the_first_error_and_slowness_are_said_once_and_escaped() -> None:
    said: list[str] = []
    remarks = TransformRemarks(said.append)
    told = {"function": "a:b", "first_error": None, "slow": 0, "max_ms": 0.1}
    remarks.look({})
    remarks.look({"transform": told})
    assert said == []
    for slow in (1, 2):
        remarks.look(
            {"transform": {**told, "first_error": "Traceback\nKeyError: '\x1b[31m'\n", "slow": slow, "max_ms": 34.2}}
        )
    assert len(said) == 4
    assert said[0].startswith("a:b failed")
    assert said[2] == "  KeyError: '\\x1b[31m'"
    assert said[3].startswith("SLOW: a:b took 34 ms")
