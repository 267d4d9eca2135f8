"""A refusal, or a login page, for want of a credential that a copy does not carry is no difference; any other is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from darktime.split.gate import Gate
from darktime.split.plan.risks import secrets
from tests.darktime.split.conftest import split_settings
from tests.darktime.split.servers import Client
from tests.darktime.split.takers import Taker
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"
LOGIN = b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 2\r\n\r\ngo"
# What a request carries besides its key, and whether its copy goes without a credential.
ASKED: dict[str, tuple[str, tuple[str, ...], bool]] = {
    "plain": ("", (), False),
    "language": ("", ("Accept-Language: de", "X-Other: 1", "Referer: /x"), False),
    "session": ("", ("Cookie: session=1",), True),
    "lang-cookie": ("", ("Cookie: lang=de",), False),
    "basic": ("", ("Authorization: Basic x",), True),
    "api-key": ("", ("X-Api-Key: k",), True),
    "auth-token": ("", ("x-auth-token: k",), True),
    "empty": ("", ("X-Auth-Token:",), False),
    "allowed": ("", ("X-Token: k",), False),
    "token": ("token=secret", (), True),
    "access": ("a=1&ACCESS_TOKEN=secret&b=2", (), True),
    "apikey": ("api-key=secret", (), True),
    "sig": ("sig=a", (), True),
    "without-value": ("token=&key", (), False),
    "allowed-name": ("key=1", (), False),
    "other-name": ("monkey=1&tokens=2&q=token", (), False),
}
ALLOWED = {"allow_cookies": ("lang",), "allow_headers": ("X-Token", "Accept"), "allow_query": ("key",)}


def asked_with(key: str) -> list[tuple[str, str, tuple[str, ...], bool]]:
    """Endpoint, target, header lines, and whether a credential is left behind, of requests with that key."""
    found = []
    for name, (parameters, lines, stripped) in ASKED.items():
        at, head, query = f"/{name}", list(lines), parameters
        if key == "header:X-Who":
            head.append("X-Who: u1")
        elif key.startswith("cookie:"):
            crumbs = [line.removeprefix("Cookie: ") for line in head if line.startswith("Cookie: ")]
            head = [line for line in head if not line.startswith("Cookie: ")]
            head.append("Cookie: " + "; ".join([*crumbs, f"{key.removeprefix('cookie:')}=u1"]))
        elif key == "query:who":
            query = f"{query}&who=u1" if query else "who=u1"
        found.append((at, f"{at}?{query}" if query else at, tuple(head), stripped))
    return found


KEYS: dict[str, tuple[dict[str, Any], bool]] = {
    "ip": ({"key": "ip"}, False),
    "cookie": ({"key": "cookie:sessionid"}, True),
    "cookie-allowed": ({"key": "cookie:sessionid", "allow_cookies": ("lang", "sessionid")}, False),
    "header": ({"key": "header:X-Who"}, True),
    "query": ({"key": "query:who"}, True),
    "query-allowed": ({"key": "query:who", "allow_query": ("key", "who")}, False),
}


@pytest.mark.parametrize("kind", KEYS)
def test_nginx_and_the_gate_in_python_know_which_copies_go_without_a_credential(
    make_split: Callable, kind: str
) -> None:
    words, always = KEYS[kind]
    with Taker() as production, Taker(answer=FORBIDDEN) as dark:
        split = make_split(production.address, mirror_timeout_ms=5000, **{**ALLOWED, **words})
        split.start_relay(dark.address)
        split.start()
        asked = asked_with(words["key"])
        for _, target, lines, _ in asked:
            send(split.address, target, lines)
        wait_until(lambda: through(split) == len(asked), what="all copies")
        without = {at for at, _, _, stripped in asked if stripped or always}
        assert {at for at, left in split.state()["left"].items() if left.get("credential_stripped")} == without
        assert {pair["endpoint"] for pair in split.pairs()} == {at for at, *_ in asked} - without
        assert all(pair["differences"] for pair in split.pairs()), "who has lost nothing is compared as ever"
        if kind == "ip":
            return  # a relay that stands alone has no such key
        gate = Gate(split.settings)
        for at, target, lines, _ in asked:
            headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
            passed = gate.passes("GET", target, headers)
            assert passed is not None, target
            assert passed.stripped is (at in without), target


def test_a_login_page_in_place_of_an_answer_is_no_difference_where_the_session_was_not_copied(
    make_split: Callable,
) -> None:
    with Taker() as production, Taker(answer=LOGIN) as dark:
        split = make_split(production.address, mirror_timeout_ms=5000, key="ip")
        split.start_relay(dark.address)
        split.start()
        send(split.address, "/session", ("Cookie: sessionid=1",))
        send(split.address, "/plain", ())
        wait_until(lambda: through(split) == 2, what="both copies")
        assert split.state()["left"] == {"/session": {"credential_stripped": 1}}
        (pair,) = split.pairs()
    assert pair["endpoint"] == "/plain"
    assert pair["differences"] == [{"what": "status", "production": "200", "dark": "302"}]


def test_the_plan_calls_secret_what_is_a_credential_in_a_query(tmp_path: Path) -> None:
    gate = Gate(split_settings(tmp_path, "127.0.0.1:1", key="header:X-Who", allow_headers=("X-Who",)))
    for name in ("token", "key", "api_key", "API-KEY", "access_token", "sig", "signature", "page", "q", "monkey"):
        passed = gate.passes("GET", f"/x?{name}=1", [("X-Who", "u1")])
        assert passed is not None
        assert passed.stripped is bool(secrets(f"/x?{name}=1")), name


def send(address: str, target: str, lines: tuple[str, ...]) -> None:
    with Client(address) as client:
        head = "\r\n".join((f"GET {target} HTTP/1.1", "Host: h", *lines, "Connection: close", "", ""))
        client.sock.sendall(head.encode())
        while client.sock.recv(65536):
            pass


def through(split: Any) -> int:
    state = split.state()
    left = sum(sum(reasons.values()) for reasons in state.get("left", {}).values())
    return int(state.get("compared", 0)) + left
