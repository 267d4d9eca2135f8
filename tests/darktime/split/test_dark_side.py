"""Several dark instances share the users, each user's copies go to one; and any of them may be reached by TLS."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import threading
import time
from collections import defaultdict
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import pytest

from darktime.errors import UsageError
from darktime.split.dark_side import dark_side, parse_instance, tls_context
from darktime.split.instances import refuse_our_own_front
from darktime.split.nginx_blocks import probe_answer
from tests.darktime.blast.servers.tls import make_certificate, server_context
from tests.darktime.split.takers import Taker
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.darktime.split.servers import Origin

METHODS = ("GET", "POST")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl program")
    return make_certificate(tmp_path_factory.mktemp("tls"))


def test_a_user_s_copies_all_go_to_one_instance_and_each_has_its_part(own_relay: Callable) -> None:
    with ExitStack() as last:
        darks = [last.enter_context(Taker()) for _ in range(3)]
        relay = own_relay(dark_side([f"http://{one.address}" for one in darks]))
        for number in range(180):
            relay.copy(number, f"/of/{number % 60}", f"user-{number % 60}")
            relay.line(number)
        wait_until(lambda: relay.state["compared"] == 180, what="all pairs")
        where = defaultdict(list)
        for index, dark in enumerate(darks):
            for one in dark.taken:
                where[one.target].append(index)
        assert sorted(map(len, where.values())) == [3] * 60
        assert all(len(set(indices)) == 1 for indices in where.values())
        assert all(len(dark.taken) >= 3 * 8 for dark in darks), "sixty users over three"
        told = relay.state["instances"]
        assert [one["answered"] for one in told] == [len(dark.taken) for dark in darks]
        assert [one["dark"] for one in told] == [f"http://{dark.address}" for dark in darks]


def test_one_instance_that_dies_costs_its_own_users_copies_and_no_others(own_relay: Callable) -> None:
    with Taker() as alive:
        with Taker() as dead:
            address = dead.address
        relay = own_relay(dark_side([f"http://{alive.address}", f"http://{address}"]))
        for number in range(40):
            relay.copy(number, f"/of/{number}")
            relay.line(number)
        wait_until(lambda: relay.state["offered"] == 40 and not relay.state["waiting"], what="all settled")
        state = relay.state
        first, second = state["instances"]
        assert first["submitted"] == first["answered"] == state["compared"] == len(alive.taken) > 5
        assert (first["failures"], first["breaker"]) == ({}, None)
        assert second["failures"] == state["reasons"] == {"dark_refused": 40 - len(alive.taken)}
        assert second["breaker"] == state["breaker"] == "dark_refused"
        assert second["last_error"]


def test_each_instance_has_so_many_copies_under_way_and_no_more(own_relay: Callable, origin: Callable) -> None:
    darks = [origin(), origin()]
    for dark in darks:
        dark.hang_s = 20
    side = dark_side([f"http://{one.address}" for one in darks], connections=2)
    relay = own_relay(side, lasting_after_s=60.0)
    for number in range(40):
        relay.copy(number, "/page")
    wait_until(lambda: [sum(one.asked.values()) for one in darks] == [2, 2], what="two each")
    assert [one["in_flight"] for one in relay.state["instances"]] == [2, 2]
    wait_until(lambda: relay.state["queued"] == 36, what="the others waiting")


def secured(origin: Origin, certificate: tuple[Path, Path]) -> Origin:
    context = server_context(*certificate)
    origin.socket = context.wrap_socket(origin.socket, server_side=True, do_handshake_on_connect=False)
    return origin


def test_by_tls_copies_bodies_and_streams_go_as_they_do_without(
    make_split: Callable, origin: Callable, certificate: tuple[Path, Path]
) -> None:
    body = os.urandom(300_000)
    with Taker() as production, Taker(tls=server_context(*certificate)) as dark:
        split = make_split(production.address, methods=METHODS, max_body=1_000_000)
        split.start_relay(dark_side([f"https://{dark.address}"], cacert=certificate[0]))
        split.start()
        with split.client() as client:
            for number in range(5):
                client.get(f"/page/{number}", "Cookie: uid=u1")
                client.get(f"/form/{number}", "Cookie: uid=u1", method="POST", body=body)
        wait_until(lambda: split.state().get("compared") == 10, what="ten pairs")
        assert [bytes(one.body) for one in dark.taken if one.method == "POST"] == [body] * 5
        assert len(dark._links) < 2 * 10, "connections are kept"
        split.relay.stop()
        split.nginx.stop()
    live, copy = origin(), secured(origin(), certificate)
    split = make_split(live.address)
    split.start_relay(dark_side([f"https://{copy.address}"], cacert=certificate[0]))
    split.start()
    with split.client() as client:
        client.send("/ev/thread:1", "Cookie: uid=u1")
        wait_until(lambda: copy.streams == 1 == split.state().get("streams"), what="the stream")
        copy.events += [b'{"channel": "thread:1", "id": "1-1", "at": 1.0}'] * 3
        wait_until(lambda: split.state()["channels"] == {"thread:1": 3}, what="its events")
    began = time.monotonic()
    wait_until(lambda: live.streams == 0, what="production's end")
    copy.events.append(copy.events[0])
    wait_until(lambda: copy.streams == 0, what="its end with production's")
    assert time.monotonic() - began < 2
    wait_until(lambda: split.state()["channels"] == {"thread:1": 4}, what="what was still on its way")
    wait_until(lambda: split.state()["compared"] == 1, what="the pair")
    wait_until(lambda: split.state()["channels"] == {"thread:1": 4}, what="what was still on its way")
    assert split.state()["streams_cut"] == 0


def speak_plainly(listener: socket.socket) -> None:
    with suppress(OSError):
        while True:
            link, _ = listener.accept()
            with link, suppress(OSError):
                link.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                link.recv(65536)


@pytest.mark.parametrize(
    ("how", "compared", "said"),
    [("unknown", 0, "CERTIFICATE_VERIFY_FAILED"), ("insecure", 3, ""), ("plain", 0, "SSL"), ("hangs", 0, "")],
)
def test_who_cannot_be_verified_gets_no_copy_and_why_is_told(
    own_relay: Callable, certificate: tuple[Path, Path], how: str, compared: int, said: str
) -> None:
    with ExitStack() as last:
        if how in {"hangs", "plain"}:
            listener = last.enter_context(socket.create_server(("127.0.0.1", 0)))
            at = "{}:{}".format(*listener.getsockname())
            if how == "plain":
                thread = threading.Thread(target=speak_plainly, args=(listener,))
                thread.start()
                last.callback(thread.join)
                last.callback(listener.shutdown, socket.SHUT_RDWR)
        else:
            dark = last.enter_context(Taker(tls=server_context(*certificate)))
            at = dark.address
        relay = own_relay(dark_side([f"https://{at}"], insecure=how == "insecure"), connect_s=0.4)
        for number in range(3):
            relay.copy(number, "/page")
            relay.line(number)
        wait_until(lambda: relay.state["compared"] + sum(relay.state["reasons"].values()) == 3, what="the end of all")
        state = relay.state
        assert state["compared"] == compared
        assert state["reasons"].keys() <= {"dark_timeout" if how == "hangs" else "dark_reset"}
        assert said in state["instances"][0]["last_error"]
        if how in {"unknown", "insecure"}:
            assert len(dark.taken) == compared


@pytest.mark.parametrize("hides", [False, True], ids=["as it is", "a Python that hides it"])
def test_a_reply_that_is_cut_off_below_tls_is_no_whole_one(
    own_relay: Callable, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, *, hides: bool
) -> None:
    made = ssl.create_default_context

    def hiding(**words: Any) -> ssl.SSLContext:
        context = made(**words)
        context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
        return context

    if hides:
        monkeypatch.setattr(ssl, "create_default_context", hiding)
    context, ends = server_context(*certificate), []

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            with suppress(OSError), context.wrap_socket(link, server_side=True) as secure:
                secure.recv(65536)
                secure.sendall(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
                ends.append(1)
                if len(ends) == 1:
                    secure.unwrap()  # TLS's own end

    with ExitStack() as last:
        listener = last.enter_context(socket.create_server(("127.0.0.1", 0)))
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        last.callback(thread.join)
        last.callback(listener.shutdown, socket.SHUT_RDWR)
        relay = own_relay(dark_side(["https://{}:{}".format(*listener.getsockname())], cacert=certificate[0]))
        for number in range(2):
            relay.copy(number, "/page")
            relay.line(number)
            wait_until(
                lambda number=number: relay.state["compared"] + sum(relay.state["reasons"].values()) == number + 1
            )
        assert (relay.state["compared"], relay.state["reasons"]) == (1, {"dark_reset": 1})


def test_a_front_of_ours_behind_tls_is_recognized_as_well(certificate: tuple[Path, Path]) -> None:
    answer = probe_answer("s" * 24).encode()
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer)
    with Taker(answer=reply, tls=server_context(*certificate)) as front, Taker() as other:
        good, bad = parse_instance(f"http://{other.address}"), parse_instance(f"https://{front.address}")
        refuse_our_own_front("s" * 24, [good], front="here")
        with pytest.raises(UsageError, match="leads back to here"):
            refuse_our_own_front("s" * 24, [good, bad], front="here")


@pytest.mark.parametrize(
    ("urls", "words", "told_of"),
    [
        (["http://a:1", "https://a:1"], {}, "each instance once"), ([], {}, "0 dark instances"), (["http://a"], {}, "HOST:PORT"),
        (["http://a:1/x"], {}, "HOST:PORT"), (["http://u@a:1"], {}, "HOST:PORT"), (["http://a:99999"], {}, "HOST:PORT"),
        (["http://a:1"], {"insecure": True}, "for https"), (["http://a:1"], {"connections": 0}, "--dark-connections 0"),
        ([f"http://a:{port}" for port in range(1, 66)], {}, "65 dark instances"),
    ],
)  # fmt: skip
def test_a_dark_side_that_cannot_be_is_refused(urls: list[str], words: dict[str, Any], told_of: str) -> None:
    with pytest.raises(UsageError, match=told_of):
        dark_side(urls, **words)


def test_an_instance_is_read_as_it_is_written(tmp_path: Path) -> None:
    assert [parse_instance(one).url for one in ("http://a:8001/", "https://b", "https://[::1]:9")] == [
        "http://a:8001", "https://b:443", "https://[::1]:9",
    ]  # fmt: skip
    (tmp_path / "empty.pem").write_text("nothing")
    with pytest.raises(UsageError, match="--dark-cacert"):
        tls_context(dark_side(["https://a:1"], cacert=tmp_path / "empty.pem"))
    context = tls_context(dark_side(["https://a:1"]))
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert tls_context(dark_side(["http://a:1"])) is None
