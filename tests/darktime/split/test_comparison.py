"""Comparison by content, over real sockets: what it finds, what it leaves out, and that it costs the dark side nothing."""

from __future__ import annotations

import gzip
import json
import socket
import urllib.request
import uuid
from typing import TYPE_CHECKING, Any, Self

import pytest

from darktime.split.compare.chosen import chosen
from darktime.split.compare.field_table import FieldTable
from darktime.split.results import settled
from tests.darktime.split.pages import Page, Pages
from tests.darktime.split.test_relay_ears import copy_bytes, line
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ALL = ("--compare-share", "1", "--compare-per-s", "10000")


def ids(count: int, start: int = 0) -> list[str]:
    return [f"{number:032x}" for number in range(start, start + count)]


class Nginx:
    """Speaks to a relay as nginx does: copies, and production's lines for them."""

    def __init__(self, split: Any) -> None:
        self.split = split
        self.copies = socket.socket(socket.AF_UNIX)
        self.copies.settimeout(5)
        self.copies.connect(str(split.settings.relay_socket))
        self.lines = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.lines.connect(("127.0.0.1", split.settings.log_port))

    def ask(self, names: list[str], path: str = "/page", *lines: str, method: str = "GET", **said: object) -> None:
        for name in names:
            self.copies.sendall(copy_bytes(name, method, path, *lines))
            assert b"204" in self.copies.recv(64)
            self.end(name, **said)

    def end(self, name: str, **said: object) -> None:
        self.lines.send(line(**{"id": name, "k": self.split.settings.secret, "type": "application/json", **said}))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.copies.close()
        self.lines.close()


@pytest.fixture
def pages() -> Iterator[Callable[[Callable[[str], Page]], Pages]]:
    made: list[Pages] = []

    def begin(make: Callable[[str], Page]) -> Pages:
        made.append(Pages(make))
        return made[-1]

    yield begin
    for one in made:
        one.stop()


def shop(price: float = 9.5, **more: Any) -> Callable[[str], Page]:
    """A page with a request id of its own each time."""

    def make(path: str) -> Page:
        return Page(json.dumps({"path": path, "request_id": str(uuid.uuid4()), "price": price, **more}).encode())

    return make


@pytest.fixture
def comparing(make_split: Callable) -> Callable[..., Any]:
    """A relay before a dark server and a secondary."""

    def begin(dark: Pages, secondary: str, *words: str) -> Any:
        split = make_split(dark.address)
        split.start_relay(dark.address, None, "--secondary", f"http://{secondary}", *ALL, *words)
        return split

    return begin


def comparison(split: Any) -> dict[str, Any]:
    return split.state().get("comparison", {})


def wait_compared(split: Any, count: int) -> dict[str, Any]:
    """The state once so many have been compared, and told."""
    wait_until(lambda: comparison(split).get("told") == count and settled(split.state()), what=f"{count} comparisons")
    return split.state()


def test_a_changed_field_is_reported_by_name_and_what_differs_by_nature_is_not(
    comparing: Callable, pages: Callable
) -> None:
    dark, secondary = pages(shop(price=9.4)), pages(shop())
    words = ("--ignore", "* trace", "--ignore", "/page nowhere", "--metrics", "0")
    split = comparing(dark, secondary.address, *words)
    dark.make = shop(price=9.4, trace="new code")
    with Nginx(split) as nginx:
        nginx.ask(ids(40), "/page/7?q=secret")
        state = wait_compared(split, 40)
    found = {one["path"]: one for one in state["fields"]}
    assert set(found) == {"price", "request_id"}
    assert found["price"]["reported"]
    assert (found["price"]["endpoint"], found["price"]["kind"]) == ("/page/{id}", "changed")
    assert (found["price"]["raw"], found["price"]["noise"], found["price"]["total"]) == (40, 0, 40)
    assert found["price"]["examples"][0] | {"request_id": ""} == {"request_id": "", "today": "9.5", "dark": "9.4"}
    assert found["price"]["examples"][0]["request_id"] in ids(40)
    assert (found["request_id"]["reported"], found["request_id"]["value_class"]) == (False, "uuid")
    assert found["request_id"]["masked"]
    assert state["comparison"]["rules"] == {"* trace": 40, "/page nowhere": 0}
    table = FieldTable.from_dict({**state["comparison"], "fields": state["fields"]})
    assert [one.to_dict() for one in table.findings()] == state["fields"]
    # Each copy went once to the dark instance and twice to the secondary, marked as a copy, its values masked.
    assert (sum(dark.asked.values()), sum(secondary.asked.values())) == (40, 80)
    assert all(head["x-darktime"] == "1" and "traceparent" in head for head in secondary.heads)
    assert not any("secret" in path for path in secondary.asked)
    assert (state["compared"], state["reasons"]) == (40, {})
    assert state["comparison"]["left"] == {}
    exporter = wait_until(lambda: split.relay.line_after("metrics on "), what="the exporter's address")
    with urllib.request.urlopen(f"http://{exporter}/metrics", timeout=5) as reply:
        text = reply.read().decode()
    assert 'darktime_compared_answers_total{outcome="compared"} 40.0' in text
    assert "darktime_fields_reported 1.0" in text


def test_the_same_code_on_both_sides_is_reported_in_nothing_whatever_its_coding(
    comparing: Callable, pages: Callable
) -> None:
    plain = shop(items=[{"id": one, "n": one} for one in range(20)])

    def packed(path: str) -> Page:
        return Page(gzip.compress(plain(path).body), coding="gzip")

    dark = pages(lambda path: Page(status=404) if path == "/gone" else plain(path))
    split = comparing(dark, pages(packed).address, "--ignore", "HEAD /gone (status)")
    with Nginx(split) as nginx:
        nginx.ask(ids(30))
        nginx.ask(ids(5, 100), method="HEAD")
        nginx.ask(ids(20, 200), "/gone", method="HEAD")
        state = wait_compared(split, 55)
    assert [one["path"] for one in state["fields"]] == ["request_id"]
    assert not any(one["reported"] for one in state["fields"])
    assert state["comparison"]["totals"] == {"/page": 30, "HEAD /page": 5, "HEAD /gone": 20}
    assert state["comparison"]["rules"] == {"HEAD /gone (status)": 20}
    assert state["comparison"]["unread"] == {}


def test_bodies_that_are_too_big_or_bombs_are_compared_by_digest_and_length(
    comparing: Callable, pages: Callable
) -> None:
    made = {
        "/big": Page(json.dumps("x" * 20_000).encode()),
        "/bomb": Page(gzip.compress(b"0" * 10_000_000), coding="gzip"),
        "/tail": Page(json.dumps("x" * 20_000).encode()),
    }
    dark, secondary = pages(made.__getitem__), pages(made.__getitem__)
    dark.make = (made | {"/tail": Page(json.dumps("x" * 20_001).encode())}).__getitem__
    split = comparing(dark, secondary.address, "--compare-bytes", "16384")
    with Nginx(split) as nginx:
        for number, path in enumerate(made):
            nginx.ask(ids(20, 100 * number), path)
        state = wait_compared(split, 60)
    assert state["comparison"]["unread"] == {"body_too_big": 120, "body_bomb": 60}
    (found,) = state["fields"]
    assert (found["endpoint"], found["path"], found["reported"]) == ("/tail", "(body)", True)
    assert found["examples"][0]["today"].startswith("20,002 bytes, digest ")


def test_which_copies_are_compared_is_told_by_their_ids(comparing: Callable, pages: Callable) -> None:
    dark, secondary = (
        pages(lambda path: Page(json.dumps(path).encode())),
        pages(lambda path: Page(json.dumps(path).encode())),
    )
    split = comparing(dark, secondary.address, "--compare-share", "0.3")
    names = ids(60)
    with Nginx(split) as nginx:
        for name in names:
            nginx.ask([name], f"/{name}")
        wait_until(lambda: split.state().get("compared") == 60, what="sixty pairs")
        expected = {f"GET /{name}": 2 for name in names if chosen(name, 0.3)}
        wait_compared(split, len(expected))
    assert dict(secondary.asked) == expected
    assert 5 < len(expected) < 35


def test_a_secondary_that_hangs_fills_its_own_bounds_and_the_dark_comparison_goes_on(
    comparing: Callable, pages: Callable
) -> None:
    dark, secondary = pages(shop()), pages(lambda _: Page(hang=True))
    split = comparing(dark, secondary.address)
    with Nginx(split) as nginx:
        nginx.ask(ids(300))
        # Sooner than the secondary's first request can have timed out.
        wait_until(lambda: split.state().get("compared") == 300, timeout_s=8, what="three hundred pairs")
        state = split.state()
    assert state["reasons"] == {}
    assert state["in_flight"] == 0
    assert state["breaker"] is None
    left = state["comparison"]["left"]
    assert left["compare_full"] >= 1
    assert state["comparison"]["open"] + sum(left.values()) == state["comparison"]["chosen"] == 300
    assert state["comparison"]["open"] <= 100
    assert sum(secondary.asked.values()) <= 16
    assert split.relay.stop() == 0
    state = json.loads(split.state_path.read_text())
    assert sum(state["comparison"]["left"].values()) == 300


def test_a_secondary_that_resets_is_left_alone_and_asked_again_when_it_has_recovered(
    comparing: Callable, pages: Callable
) -> None:
    dark, secondary = pages(shop()), pages(lambda _: Page(reset=True))
    split = comparing(dark, secondary.address)
    with Nginx(split) as nginx:
        for number in range(40):
            nginx.ask(ids(1, number))
            wait_until(lambda at=number: split.state().get("compared", 0) > at - 20, what="pairs")
        wait_until(lambda: split.state().get("compared") == 40 and not comparison(split)["open"], what="forty pairs")
        state = split.state()
        assert state["comparison"]["secondary_breaker"] == "dark_reset"
        assert state["comparison"]["left"] == {"secondary_failed": 40}
        assert set(state["comparison"]["secondary_failures"]) == {"reset"}
        assert (state["reasons"], state["breaker"], state["breaker_trips"]) == ({}, None, 0)
        secondary.make = shop()
        more = iter(ids(1000, 1000))

        def recovered() -> bool:
            nginx.ask([next(more)])
            return bool(comparison(split)["compared"])

        wait_until(recovered, what="a comparison after it recovered")
    assert comparison(split)["secondary_breaker"] is None


def test_a_dark_instance_that_fails_is_named_as_before_and_its_copies_are_not_compared_by_content(
    comparing: Callable, pages: Callable
) -> None:
    dark, secondary = pages(lambda _: Page(reset=True)), pages(shop())
    split = comparing(dark, secondary.address)
    with Nginx(split) as nginx:
        nginx.ask(ids(30))
        wait_until(lambda: sum(split.state().get("reasons", {}).values()) == 30, what="thirty reasons")
    assert set(split.state()["reasons"]) == {"dark_reset"}
    assert comparison(split)["left"] == {"dark_failed": 30}
    assert split.state()["fields"] == []


def test_what_is_beyond_a_second_has_lost_its_credential_or_was_not_modified_is_counted(
    comparing: Callable, pages: Callable
) -> None:
    def make(path: str) -> Page:
        return {"/not": Page(status=304), "/denied": Page(b"{}", status=403)}.get(path, Page(b"{}"))

    split = comparing(pages(make), pages(make).address, "--compare-per-s", "0.5")
    with Nginx(split) as nginx:
        nginx.ask(ids(1), "/not")
        wait_until(lambda: comparison(split).get("left") == {"not_modified": 1}, what="the first of a second")
        nginx.ask(ids(20, 100))
        wait_until(lambda: split.state()["compared"] == 21, what="all through")
        assert comparison(split)["left"]["per_second"] >= 15
        more = iter(ids(1000, 1000))

        def denied() -> bool:
            nginx.ask([next(more)], "/denied", "X-Darktime-Stripped: 1")
            return "credential_stripped" in comparison(split)["left"]

        wait_until(denied, timeout_s=15, what="the next that may")


def event(number: int) -> bytes:
    return f"id: 1-{number}\ndata: {number}\n\n".encode()


def test_streams_are_compared_event_by_event_while_all_three_are_held(comparing: Callable, pages: Callable) -> None:
    dark, secondary = pages(lambda _: Page(stream=True)), pages(lambda _: Page(stream=True))
    split = comparing(dark, secondary.address)
    name = ids(1)[0]
    with Nginx(split) as nginx:
        nginx.copies.sendall(copy_bytes(name, "GET", "/ev/thread:1", "Accept: text/event-stream"))
        wait_until(lambda: comparison(split).get("streams") == 1, what="three streams")
        assert (len(dark.streams), len(secondary.streams)) == (1, 2)
        for number in range(10):
            secondary.say(event(number))
            if number != 4:
                dark.say(event(number))
            if number == 6:
                dark.say(event(number) + event(99))
        wait_until(lambda: split.state().get("events") == 11, what="the dark events")
        nginx.end(name, type="text/event-stream")
        wait_until(lambda: not dark.streams and not secondary.streams, what="the end of all streams")
        wait_until(lambda: comparison(split)["streams"] == 0 and split.state()["stream_pairs"], what="the counts")
    (pair,) = split.state()["stream_pairs"]
    assert pair["endpoint"] == "/ev/{id}"
    assert pair["noise"] | {"examples": []} == {
        "pairs": 1, "common": 10, "missing": 0, "extra": 0, "doubled": 0, "doubled_today": 0, "out_of_order": 0,
        "outside": 0, "examples": [],
    }  # fmt: skip
    raw = pair["raw"]
    assert (raw["common"], raw["missing"], raw["extra"], raw["doubled"]) == (9, 1, 1, 1)
    assert sorted(raw["examples"]) == ["extra 1-99", "missing 1-4"]
    assert pair["struck"] == {"noise": {}, "raw": {"missing": 1, "extra": 1, "doubled": 1}}
    assert not pair["ignored"]
    assert comparison(split)["streams"] == 0


def test_a_stream_that_the_secondary_cuts_ends_the_span_and_no_event_after_it_is_extra(
    comparing: Callable, pages: Callable
) -> None:
    dark, secondary = pages(lambda _: Page(stream=True)), pages(lambda _: Page(stream=True))
    split = comparing(dark, secondary.address, "--ignore", "/ev* (events)", "--ignore", "/other (events)")
    with Nginx(split) as nginx:
        nginx.copies.sendall(copy_bytes(ids(1)[0], "GET", "/ev", "Accept: text/event-stream"))
        wait_until(lambda: comparison(split).get("streams") == 1, what="three streams")
        dark.say(event(1))
        secondary.say(event(1))
        for link in list(secondary.streams):
            link.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: comparison(split)["streams"] == 0, what="the end of the span")
        for number in range(2, 9):
            dark.say(event(number))
        wait_until(lambda: split.state()["events"] == 8, what="events after it")
        assert len(dark.streams) == 1
    (pair,) = split.state()["stream_pairs"]
    assert (pair["raw"]["common"], pair["raw"]["extra"], pair["raw"]["missing"]) == (1, 0, 0)
    assert pair["ignored"]
    assert comparison(split)["rules"] == {"/ev* (events)": 1, "/other (events)": 0}


def test_lengths_are_compared_where_production_says_them_exactly(make_split: Callable, pages: Callable) -> None:
    dark = pages(lambda _: Page(b'{"a":1}'))
    split = make_split(dark.address)
    split.start_relay(dark.address, None, "--compare", "length")
    told = [
        {"len": "7", "enc": ""}, {"len": "8", "enc": ""}, {"len": "8", "enc": "gzip"}, {"len": "", "enc": ""}, {"len": "8"}, {},
    ]  # fmt: skip
    with Nginx(split) as nginx:
        for number, said in enumerate(told):
            nginx.ask(ids(1, number), bytes="99", **said)
        nginx.ask(ids(1, 50), method="HEAD", len="8", enc="")
        wait_until(lambda: split.state().get("compared") == 7 and len(split.pairs()) == 7, what="seven pairs")
    assert split.state()["differing"] == 1
    found = {int(pair["id"], 16): pair for pair in split.pairs()}
    assert found[1]["differences"] == [{"what": "length", "production": "8", "dark": "7"}]
    assert all(not pair["differences"] for number, pair in found.items() if number != 1)
    assert (found[0]["production"]["length"], found[2]["production"]["length"]) == (7, 99)


def test_without_a_secondary_nothing_of_a_body_is_kept_and_the_state_has_no_fields(
    make_split: Callable, pages: Callable
) -> None:
    dark = pages(shop())
    split = make_split(dark.address)
    split.start_relay(dark.address)
    with Nginx(split) as nginx:
        nginx.ask(ids(5))
        wait_until(lambda: split.state().get("compared") == 5, what="five pairs")
    assert not {"fields", "comparison", "stream_pairs"} & set(split.state())
    assert "compared" not in split.pairs()[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--secondary", "https://x:1"), "--secondary https://x:1: http://HOST:PORT"),
        (("--secondary", "http://nobody.invalid:1"), "the secondary nobody.invalid:1 has no address"),
        (("--secondary", "http://127.0.0.1:1", "--compare-share", "0"), "compare share 0"),
        (("--secondary", "http://127.0.0.1:1", "--compare-share", "nan"), "compare share nan"),
        (("--secondary", "http://127.0.0.1:1", "--compare-bytes", "10"), "compare bytes 10"),
        (("--secondary", "http://127.0.0.1:1", "--compare-per-s", "-1"), "-1 comparisons a second"),
        (("--ignore", "* a..b"), "rule '* a..b'"),
        (("--compare", "status,colour"), "compare 'colour'"),
    ],
    ids=range(8),
)
def test_what_cannot_be_compared_is_refused(tmp_path: Any, capsys: Any, words: tuple[str, ...], said: str) -> None:
    from darktime.split.relay.__main__ import main

    (tmp_path / "secret").write_text("s")
    given = [
        *("--socket", str(tmp_path / "s"), "--log-port", "0", "--dark", "http://127.0.0.1:1"),
        *("--state", str(tmp_path / "st"), "--secret-file", str(tmp_path / "secret")),
    ]
    assert main([*given, *words]) == 2
    assert said in capsys.readouterr().err
