"""The gate in Python is our nginx's gate: the same request in, the same copy out, at either's dark instance."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from darktime.split import levels
from darktime.split.gate import Gate, argument, cookie, normalized
from darktime.split.sampling import sampled
from tests.darktime.split.conftest import split_settings
from tests.darktime.split.servers import Client
from tests.darktime.split.takers import Taken, Taker
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NUMBER = "x-number"
SETS: dict[str, dict[str, Any]] = {
    "cookie": {
        "key": "cookie:uid",
        "allow_cookies": ("lang", "a_b"),
        "allow_query": ("page",),
        "excluded": ("logout", "a/b", "x.y"),
        "methods": ("GET", "HEAD", "POST"),
    },
    "query": {"key": "query:user", "only_paths": ("/a/", "/b"), "allow_query": ("user",)},
    "cookie-only": {
        "key": "cookie:uid",
        "only": ("cookie:lang=en", "cookie:lang=a,b", "cookie:lang=de", "header:Host=Site.example:81"),
    },
    "query-only": {"key": "query:user", "only": ("query:page=3", "query:page=4")},
    "header": {"key": "header:X-User", "allow_headers": ("Authorization", "X-User", "Accept", "X-Number")},
}
USERS = ("u1", "u2", "u3", "u4", "u5", "u6", "", "no user", "a" * 128, "a" * 129, "x:y.z-_", "ü")
PIECES = (
    "/", "//", "/./", "/../", ".", "..", "%2e", "%2E%2e", "%2F", "a", "b", "%61", "a/b", "/a/b", "logout", "LogOut", "%6cogout",
    "log%00out", "%zz", "%", "%3f", "%23", "%25", "%2541", "+", "x%2ey", "x/../y", "~", ";", "%C3%BC",
)  # fmt: skip
ARGS = (
    "user=u1",
    "USER=u2",
    "page=3",
    "q=words",
    "=",
    "a=",
    "user",
    "user=u3&user=u4",
    "xuser=u1",
    "x=logout",
    "u=a/b",
    "%6cogout",
)
HEADERS = (
    "Authorization: secret", "Accept: text/html", "accept-language: en", "X-Darktime: 1", "X-Darktime: ", "X_Darktime: 1",
    "Upgrade: websocket", "User-Agent:  spaced  ", "X-Other: 1", "Range: bytes=0-1", 'If-None-Match: "x"', "X-Darktime-User: u9",
)  # fmt: skip
COOKIES = (
    "lang=en", "A_B=2", "LANG = de", "lang=", "session=1", "uid2=x", "xuid=u1", "a=1,lang=fr", "lang=a,b", "flag", "=x",
    " lang=en ",
)  # fmt: skip

EXCLUDED_AS_ASKED = (
    "/logout/../y", "/z/logout/%2e%2e/y", "/LOGOUT/./../y", "/y#logout", "/y?a=1#LogOut", "//z//x.y/../y", "/a/./b/../../y",
)  # fmt: skip


def requests(kind: str, count: int, seed: int = 7) -> list[tuple[str, str, list[str], bytes]]:
    """Random requests: method, target, header lines, body."""
    draw = random.Random(f"{kind}{seed}")
    found = []
    for _ in range(count):
        target = "/" + "".join(draw.choices(PIECES, k=draw.randrange(6)))
        target = draw.choice(("/a/1", "/b", "/thread/7", target, target))
        target += draw.choice(
            ("", "", "?", "?" + "&".join(draw.choices(ARGS, k=draw.randrange(1, 4))), "#f", "?a=1#f?b")
        )
        user, lines = draw.choice(USERS[:6] if draw.random() < 0.7 else USERS), []
        crumbs = draw.sample(COOKIES, k=draw.randrange(3))
        if kind.startswith("cookie"):
            crumbs.insert(draw.randrange(len(crumbs) + 1), draw.choice(("uid=", "UID=", "uid = ")) + user)
        if kind == "header":
            lines.append(f"{draw.choice(('X-User', 'x-user'))}: {user}")
        if kind == "cookie-only":
            crumbs += draw.choices([one for one in COOKIES if "lang" in one.lower()], k=draw.randrange(1, 3))
        if crumbs:
            lines.append("Cookie: " + draw.choice(("; ", ";")).join(crumbs))
        if kind.startswith("query") and "#" not in target:
            target += ("&" if "?" in target else "?") + f"user={user}".replace(" ", "%20")
            if kind == "query-only":
                target += "&" + draw.choice(("page=3", "PAGE=4", "page=33", "page=3&page=5", "page=5&page=3", "page="))
        # Of lines of one name nginx before 1.23 sees the first only.
        lines += {
            line.partition(":")[0].lower().replace("_", "-"): line for line in draw.sample(HEADERS, k=draw.randrange(3))
        }.values()
        method = draw.choice(("GET", "GET", "GET", "HEAD", "POST", "POST", "DELETE"))
        found.append((method, target, lines, draw.choice((b"", b"hello")) if method == "POST" else b""))
    return found


def copies(dark: Taker) -> dict[str, tuple[Any, ...]]:
    return {one.headers[NUMBER]: told(one) for one in dark.taken if NUMBER in one.headers}


def told(one: Taken) -> tuple[Any, ...]:
    headers = {name: value for name, value in one.headers.items() if name != "traceparent"}
    return one.method, one.target, headers, bytes(one.body)


def seen(alone: Any) -> int:
    state = alone.state
    return state["received"] + state["outside"] + state["marked"]


def send(address: str, request: tuple[str, str, list[str], bytes], number: int) -> None:
    method, target, lines, body = request
    with Client(address) as client:
        head = "\r\n".join((f"{method} {target} HTTP/1.1", "Host: Site.example:81", f"{NUMBER}: {number}", *lines))
        if method == "POST":
            head += f"\r\nContent-Type: a/b\r\nContent-Length: {len(body)}"
        client.sock.sendall(head.encode("utf-8") + b"\r\nConnection: close\r\n\r\n" + body)
        while client.sock.recv(65536):
            pass


@pytest.mark.parametrize("kind", SETS)
def test_what_our_nginx_copies_a_relay_that_stands_alone_copies_and_in_the_same_words(
    make_split: Callable, alone_relay: Callable, kind: str
) -> None:
    with Taker() as production, Taker() as theirs, Taker() as ours:
        words = {"allow_headers": ("Accept", "Range", "X-Number", "User-Agent", "If-None-Match"), **SETS[kind]}
        split = make_split(production.address, max_percent=60.0, **words)
        split.start_relay(theirs.address)
        split.start(percent=50.0)
        alone = alone_relay(ours.address, split.settings)
        levels.set_percent(alone.folder, 50.0, 60.0)
        asked = requests(kind, 160)
        if kind == "query":  # a fragment is no part of the query
            asked += [
                ("GET", target, [], b"")
                for user in USERS[:6]
                for target in (f"/a/1?x=1#&user={user}", f"/a/2?user={user}#&y=1")
            ]
        if kind == "cookie":  # an excluded word that is gone once the path is resolved
            asked += [
                ("GET", target, [f"Cookie: uid={user}"], b"") for user in USERS[:6] for target in EXCLUDED_AS_ASKED
            ]
        for number, request in enumerate(asked):
            send(split.address, request, number)
            send(alone.address, request, number)
        wait_until(lambda: alone.state["requests"] == seen(alone), what="the end of all of ours")
        wait_until(lambda: alone.state["answered"] == alone.state["received"], what="our copies")
        wait_until(lambda: split.state()["offered"] == split.state()["received"] == len(theirs.taken), what="nginx's")
        wait_until(lambda: not split.state()["waiting"], what="the end of all")
        state = split.state()
        assert state["reasons"].keys() <= {"credential_stripped"}
        assert state["received"] == len(theirs.taken) == state["compared"] + sum(state["reasons"].values())
        their_copies, our_copies = copies(theirs), copies(ours)
        for number, request in enumerate(asked):
            assert our_copies.get(str(number)) == their_copies.get(str(number)), request
        assert 8 < len(our_copies) < 130


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/", "/"), ("//a///b/", "/a/b/"), ("/a/./b", "/a/b"), ("/a/b/..", "/a/"), ("/a/..", "/"), ("/..", None),
        ("/a/../..", None),
        ("/a/%2e%2E/b", "/b"), ("/a%2F%2fb", "/a/b"), ("/%3f%23%25", "/?#%"), ("/%2541", "/%41"), ("/%", None), ("/%0g", None),
        ("/%00", None), ("a", None), ("http://x/", None), ("/a/.", "/a/"), ("/a/...", "/a/..."), ("/.a", "/.a"),
        ("/a/..b", "/a/..b"),
    ],
)  # fmt: skip
def test_a_path_is_what_nginx_calls_uri(path: str, wanted: str | None) -> None:
    assert normalized(path) == wanted


def test_cookies_and_parameters_are_found_as_nginx_finds_them() -> None:
    assert [cookie("a=1; uid=x y; uid=z", "uid"), cookie("xuid=1,UID = 2 ;", "uid"), cookie("uid; uid=3", "uid")] == [
        "x y", "2 ", "3",
    ]  # fmt: skip
    assert [argument("a=1&User=2&user=3", "user"), argument("xuser=1", "user"), argument("user", "user")] == [
        "2",
        "",
        "",
    ]


def test_nobody_beyond_the_maximum_passes_whatever_files_there_are(tmp_path: Path) -> None:
    gate = Gate(split_settings(tmp_path, "127.0.0.1:1", max_percent=20.0))
    users = [f"u{number}" for number in range(500)]
    passed = [user for user in users if gate.passes("GET", "/", [("Cookie", f"uid={user}")])]
    assert passed == [user for user in users if sampled("darktime", user, 20.0)]


@pytest.mark.parametrize(
    "target", ["/logout/../x", "/a/logout/%2e%2e/x", "/LOGOUT/./../y", "/x#logout", "/%6cogout", "/x?logout"]
)
def test_an_excluded_word_excludes_where_it_was_asked_for_and_where_it_leads(tmp_path: Path, target: str) -> None:
    gate = Gate(split_settings(tmp_path, "127.0.0.1:1", excluded=("logout",)))
    cookie_of_one = [("Cookie", "uid=u1")]
    assert gate.passes(
        "GET", target.replace("logout", "login").replace("LOGOUT", "login").replace("%6c", "x"), cookie_of_one
    )
    assert gate.passes("GET", target, cookie_of_one) is None
