"""How production's clients come: HTTP/1.0, 1.1 and 2, plain and by TLS; what they get is production's answer, and at once."""

from __future__ import annotations

import re
import socket
import ssl
import time
from typing import TYPE_CHECKING

import pytest

from darktime.errors import UsageError
from darktime.split.certificate import check_certificate
from darktime.split.dark_side import parse_instance
from darktime.split.front import Front
from darktime.split.instances import refuse_our_own_front
from realtime_core.stack import find_nginx
from tests.darktime.split.certificates import Authority, openssl
from tests.darktime.split.conftest import CANDIDATE, binaries
from tests.darktime.split.h2_client import H2Client
from tests.darktime.split.servers import BINARY, Client, Quick
from tests.darktime.split.test_isolation import HOP_BY_HOP
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.darktime.split.h2_client import Answer

SAMPLED, NOT_SAMPLED = ("cookie", "uid=u1"), ("cookie", "other=1")
PARALLEL, REQUESTS_BY_2 = 200, 800
HANG_S = 1.0
LONG_HANG_S = 8.0  # far beyond the noise of a busy machine; nobody here waits for it


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> tuple[Path, Path]:
    return authority.issue("DNS:site.example")


def front_for(nginx: Path, pair: tuple[Path, Path] | None = None, *, http2: bool = True) -> Front:
    old = tuple(map(int, find_nginx(nginx).version.split("."))) < (1, 25, 1)
    certificate, key = pair or (None, None)
    return Front(certificate=certificate, certificate_key=key, http2=http2, http2_by_listen=old)


def trusting(authority: Authority, *protocols: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.cacert))
    context.set_alpn_protocols(list(protocols))
    return context


@pytest.fixture
def quick() -> Iterator[Quick]:
    one = Quick()
    yield one
    one.stop()


class Http1:
    """Clients that speak HTTP/1 in raw bytes, plain or by TLS."""

    def __init__(self, address: str, tls: ssl.SSLContext | None = None) -> None:
        self._address, self._tls = address, tls

    def connect(self) -> socket.socket:
        host, _, port = self._address.rpartition(":")
        link = socket.create_connection((host, int(port)), timeout=10)
        return link if self._tls is None else self._tls.wrap_socket(link, server_hostname="site.example")

    def whole(self, path: str, *lines: str) -> bytes:
        """All that an HTTP/1.0 client gets until the server ends the connection."""
        head = "\r\n".join((f"GET {path} HTTP/1.0", "Host: site.example", *lines))
        got = b""
        with self.connect() as link:
            link.sendall(f"{head}\r\n\r\n".encode())
            while data := link.recv(65536):
                got += data
        return got

    def kept(self) -> Client:
        client = Client(self._address)
        if self._tls is not None:
            client.sock = self._tls.wrap_socket(client.sock, server_hostname="site.example")
        return client


def lower(head: bytes) -> list[tuple[str, str]]:
    """End-to-end fields of an HTTP/1 head, as HTTP/2 writes them."""
    pairs = [line.decode("latin-1").partition(":") for line in head.split(b"\r\n")[1:]]
    return sorted((name.lower(), value.strip()) for name, _, value in pairs if name.lower() not in HOP_BY_HOP)


def like(answer: Answer) -> list[tuple[str, str]]:
    return sorted(pair for pair in answer.fields.elements() if pair[0] not in HOP_BY_HOP)


REQUESTS = (
    ("GET", "/big", b""), ("GET", "/chunked", b""), ("HEAD", "/big", b""), ("GET", "/a%2Fb//c/../d?x=%20&y=a+b", b""),
    ("POST", "/form", b"x" * 70_000), ("DELETE", "/thing/1", b""), ("GET", "/page-no", b""),
)  # fmt: skip
# With which of them who is taken in is copied: GET and HEAD.
COPIES = 5


@pytest.mark.parametrize("nginx", binaries().values(), ids=binaries().keys())
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
def test_http_1_0_1_1_and_2_bring_productions_own_answers_sampled_and_not(
    make_split: Callable, origin: Callable, authority: Authority, pair: tuple[Path, Path], nginx: Path, *, tls: bool
) -> None:
    production, dark = origin(), origin()
    front = front_for(nginx, pair if tls else None, http2=tls or not front_for(nginx, pair).http2_by_listen)
    split = make_split(production.address, front=front)
    split.start_relay(dark.address)
    split.start(nginx=nginx)
    with Client(production.address) as client:
        direct = [client.get(path, method=method, body=body) for method, path, body in REQUESTS]
    ours = Http1(split.address, trusting(authority, "http/1.1") if tls else None)
    for cookie in (SAMPLED, NOT_SAMPLED):
        line = f"Cookie: {cookie[1]}"
        with ours.kept() as client:
            for (method, path, body), (head, told) in zip(REQUESTS, direct, strict=True):
                our_head, our_body = client.get(path, line, method=method, body=body)
                assert (lower(our_head), our_body) == (lower(head), told), path
                assert our_head.split(b"\r\n")[0] == head.split(b"\r\n")[0]
        for (_, path, _), (head, told) in zip(REQUESTS[:2], direct, strict=False):
            our_head, _, our_body = ours.whole(path, line).partition(b"\r\n\r\n")
            assert (lower(our_head), our_body) == (lower(head), told), path
        if front.http2:
            with H2Client(split.address, trusting(authority, "h2") if tls else None) as two:
                for (method, path, body), (head, told) in zip(REQUESTS, direct, strict=True):
                    answer = two.ask(path, cookie, method=method, body=body)
                    assert (like(answer), answer.body) == (lower(head), told), path
                    assert answer.status == int(head.split(b" ")[1])
    expected = COPIES * (2 if front.http2 else 1) + 2
    wait_until(lambda: split.state().get("compared", 0) == expected, what=f"{expected} copies compared")
    told = "https" if tls else None
    assert {head.get("x-forwarded-proto") for head in production.heads[len(REQUESTS) :]} == {told}
    assert {head.get("x-forwarded-proto") for head in dark.heads} == {told}
    assert {head["host"] for head in (*production.heads, *dark.heads)} == {"site.example"}


def test_what_a_client_says_of_how_it_came_is_not_believed(
    make_split: Callable, origin: Callable, authority: Authority, pair: tuple[Path, Path]
) -> None:
    production, dark = origin(), origin()
    spelt = ("X-Forwarded-Proto", "X_Forwarded_Proto", "X-Forwarded_Proto", "X_Forwarded-Proto")  # one, to WSGI
    split = make_split(production.address, front=front_for(find_nginx().path, pair), allow_headers=spelt)
    split.start_relay(dark.address)
    split.start()
    with H2Client(split.address, trusting(authority, "h2")) as client:
        for name in spelt:
            client.ask("/page", SAMPLED, (name.lower(), "http"))
        client.ask("/page", ("x_forwarded_proto", "http"))  # of somebody who is not sampled
    wait_until(lambda: len(dark.heads) == len(spelt), what="the copies")
    assert len(production.heads) == len(spelt) + 1
    for head in (*production.heads, *dark.heads):
        told = {name.replace("_", "-"): value for name, value in head.items() if "proto" in name}
        assert (told, sum("proto" in name for name in head)) == ({"x-forwarded-proto": "https"}, 1)


def test_a_user_whose_browser_cuts_its_cookies_up_is_the_same_user(
    make_split: Callable, origin: Callable, authority: Authority, pair: tuple[Path, Path]
) -> None:
    """HTTP/2 may send each cookie in a field of its own (RFC 9113, 8.2.3)."""
    production, dark = origin(), origin()
    split = make_split(production.address, front=front_for(find_nginx().path, pair))
    split.start_relay(dark.address)
    split.start()
    with H2Client(split.address, trusting(authority, "h2")) as client:
        assert client.ask("/page", ("cookie", "a=1"), SAMPLED, ("cookie", "b=2")).status == 200
    wait_until(lambda: split.state().get("compared") == 1, what="the copy")
    assert production.heads[0]["cookie"] == "a=1; uid=u1; b=2"


@pytest.mark.parametrize("nginx", binaries().values(), ids=binaries().keys())
def test_no_stream_of_an_http_2_client_is_refused_or_slower_while_the_dark_instance_hangs_and_a_naive_mirror_refuses(
    make_split: Callable, origin: Callable, quick: Quick, authority: Authority, pair: tuple[Path, Path], *, nginx: Path
) -> None:
    """A stream counts until its mirror has ended. Production answers faster than the relay: there must be room for both."""
    dark = origin()
    dark.hang_s = LONG_HANG_S
    cookies = [("cookie", f"uid=u{number}") for number in range(REQUESTS_BY_2)]

    def asked(naive: str | None, percent: float) -> list[Answer]:
        split = make_split(quick.address, front=front_for(nginx, pair))
        if naive is None:
            split.start_relay(dark.address)
        split.start(nginx=nginx, naive=naive, percent=percent)
        with H2Client(split.address, trusting(authority, "h2")) as client:
            assert client.limit > 2 * PARALLEL
            answers = client.many("/page", cookies, parallel=PARALLEL)
        if naive is None and percent:
            wait_until(lambda: split.state().get("offered") == REQUESTS_BY_2, what="a copy of each, or its reason")
            assert split.state()["received"]
        split.nginx.stop()
        if naive is None:
            split.relay.stop()
        return answers

    baseline, ours, naive = asked(None, 0.0), asked(None, 100.0), asked(dark.address, 100.0)
    assert not any(one.reset for one in (*baseline, *ours))
    assert {one.status for one in ours} == {200}
    slowest = max(one.seconds or 0 for one in ours)
    assert slowest < max(one.seconds or 0 for one in baseline) + LONG_HANG_S / 2
    assert any(one.refused for one in naive), "or this could not fail"


@pytest.mark.parametrize("nginx", binaries().values(), ids=binaries().keys())
def test_the_second_answer_and_the_end_of_the_first_come_at_once_while_the_dark_instance_hangs(
    make_split: Callable, origin: Callable, authority: Authority, pair: tuple[Path, Path], nginx: Path
) -> None:
    """A kept HTTP/1.1 connection, and an HTTP/1.0 client who reads to the end; both wait at a naive mirror."""
    production, dark = origin(), origin()
    dark.hang_s = HANG_S
    took = {}
    for naive in (None, dark.address):
        split = make_split(production.address, front=front_for(nginx, pair))
        if naive is None:
            split.start_relay(dark.address)
        split.start(nginx=nginx, naive=naive)
        client = Http1(split.address, trusting(authority, "http/1.1"))
        with client.kept() as kept:
            kept.timed("/page", CANDIDATE)
            second = kept.timed("/page", CANDIDATE)
        began = time.perf_counter()
        head, _, body = client.whole("/chunked", CANDIDATE).partition(b"\r\n\r\n")
        took[naive] = second, time.perf_counter() - began
        assert not re.search(rb"(?i)content-length|transfer-encoding", head)
        assert body == BINARY
        split.nginx.stop()
    assert max(took[None]) < min(took[dark.address]) - HANG_S / 2
    assert min(took[dark.address]) > HANG_S * 0.9, "or this could not fail"


@pytest.mark.parametrize("nginx", binaries().values(), ids=binaries().keys())
def test_events_come_at_once_by_http_2_beside_other_requests_and_the_copy_ends_with_the_stream(
    make_split: Callable, origin: Callable, authority: Authority, pair: tuple[Path, Path], nginx: Path
) -> None:
    production, dark = origin(), origin()
    production.events, dark.events = [b"one"], [b"one"]
    split = make_split(production.address, front=front_for(nginx, pair))
    split.start_relay(dark.address)
    split.start(nginx=nginx)
    with H2Client(split.address, trusting(authority, "h2")) as client:
        held = client.stream("/ev/news", SAMPLED, until=b"data: one\n\n")
        assert dict(held.headers)["content-type"] == "text/event-stream"
        assert client.ask("/page", SAMPLED).status == 200
        wait_until(lambda: dark.streams == 1, what="the copy of the stream")
        assert held.seconds is None
    wait_until(lambda: production.streams == 0 and dark.streams == 0, what="the end of both")


def test_a_dark_name_that_leads_back_by_tls_to_productions_front_is_refused(
    make_split: Callable, authority: Authority, pair: tuple[Path, Path]
) -> None:
    split = make_split("127.0.0.1:1", front=front_for(find_nginx().path, pair))
    split.start()
    with pytest.raises(UsageError, match="leads back"):
        refuse_our_own_front(split.settings.secret, [parse_instance(f"https://{split.address}")], front="here")


def test_an_older_nginx_takes_http_2_without_tls_only_in_place_of_http_1_so_it_is_refused() -> None:
    with pytest.raises(UsageError, match=r"1\.25\.1 or newer"):
        Front(http2=True, http2_by_listen=True)
    with pytest.raises(UsageError, match="--certificate-key goes with --certificate"):
        Front(certificate_key=find_nginx().path)


def test_a_certificate_that_would_serve_is_taken_and_says_until_when(authority: Authority, pair: tuple) -> None:
    certificate, key = pair
    assert 86_400 < check_certificate(certificate, key) - time.time() < 3 * 86_400
    chain = certificate.with_name("chain.pem")
    chain.write_text(f"Subject: words before\n{certificate.read_text()}{authority.cacert.read_text()}")
    check_certificate(chain, key)


@pytest.mark.parametrize(
    ("certificate", "key", "says"),
    [
        ("none.pem", "good.key", "--certificate .*none.pem: No such file"),
        ("good.pem", "none.key", "--certificate-key .*none.key: No such file"),
        (".", "good.key", "--certificate .*Is a directory"),
        ("good.key", "good.key", "no certificate in PEM"),
        ("good.pem", "good.pem", "no private key in PEM"),
        ("der.pem", "good.key", "from DER"),
        ("good.pem", "other.key", "is not the key of the first certificate"),
        ("ca first.pem", "good.key", "the server's own certificate first"),
        ("good.pem", "locked.key", "locked by a passphrase"),
        ("broken.pem", "good.key", "not readable as PEM"),
        ("expired.pem", "expired.key", "it has expired; renew it"),
        ("later.pem", "later.key", "it is not valid yet"),
        ("client.pem", "client.key", "no client would take it"),
        ("old issuer.pem", "good.key", "an issuer's in the same file has expired"),
    ],
)
def test_a_certificate_that_cannot_serve_is_refused_with_its_file_and_the_remedy(
    files: Path, certificate: str, key: str, says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        check_certificate(files / certificate, files / key)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, authority: Authority, pair: tuple[Path, Path]) -> Path:
    folder = tmp_path_factory.mktemp("files")

    def keep(name: str, made: tuple[Path, Path]) -> None:
        for path, kind in zip(made, ("pem", "key"), strict=True):
            (folder / f"{name}.{kind}").write_bytes(path.read_bytes())

    keep("good", pair)
    keep("other", authority.issue("DNS:other.example"))
    keep("expired", authority.issue("DNS:site.example", days=-1))
    keep("later", authority.issue_for_later("DNS:site.example"))
    keep("client", authority.issue("DNS:site.example", usage="clientAuth"))
    good = (folder / "good.pem").read_text()
    old, _ = authority.issue("DNS:issuer.example", days=-1, issuer=True)
    (folder / "old issuer.pem").write_text(good + old.read_text())
    (folder / "ca first.pem").write_text(authority.cacert.read_text() + good)
    (folder / "broken.pem").write_text(good[:200] + good[220:])
    openssl("x509 -outform der", "-in", folder / "good.pem", "-out", folder / "der.pem")
    openssl("ec -aes128 -passout pass:secret", "-in", folder / "good.key", "-out", folder / "locked.key")
    return folder
