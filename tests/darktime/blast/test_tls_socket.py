"""Raw sockets that speak TLS, against servers that misbehave below it: pieces, stalls, cuts and ends."""

import errno
import os
import shutil
import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest

from darktime.blast.cohort import Cohort
from darktime.blast.counts import Counts
from darktime.blast.requests import RequestPool
from darktime.blast.settings import resolve
from darktime.blast.sources import Fixed, get, request
from darktime.blast.streams import Publisher, Streams
from darktime.blast.tls_socket import TlsSocket
from tests.darktime.blast.servers.tls import make_certificate, server_context

LIMIT_S = 10.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl program")
    return make_certificate(tmp_path_factory.mktemp("tls"))


@contextmanager
def listening(answer, certificate):
    """The address of a server that gives every bare connection, in a thread of its own, to ``answer``."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listen:

        def guarded(link):
            with link, suppress(OSError):
                link.settimeout(LIMIT_S)
                answer(link)

        def serve():
            while True:
                try:
                    link, _ = listen.accept()
                except OSError:
                    return
                threading.Thread(target=guarded, args=(link,), daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield resolve(f"https://127.0.0.1:{listen.getsockname()[1]}", cacert=str(certificate[0]))
        finally:
            listen.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@contextmanager
def serving(answer, certificate):
    """As ``listening``, its handshake done."""
    context = server_context(*certificate)

    def shaken(link):
        with context.wrap_socket(link, server_side=True) as secure, suppress(OSError):
            answer(secure)

    with listening(shaken, certificate) as address:
        yield address


class Rig:
    def __init__(self, address, *, size=1, timeout_s=5.0, asked=None, **options):
        self.cohort = Cohort()
        source = Fixed(asked or get(address, "/"))
        self.pool = RequestPool(self.cohort, address, source, size=size, timeout_s=timeout_s, **options)
        self.pool.open()
        self.total = Counts()

    def until(self, condition):
        end = time.monotonic() + LIMIT_S
        while not condition(self.counted()):
            assert time.monotonic() < end, self.total.to_dict()
            self.cohort.turn(0.02)
        return self.total

    def counted(self):
        self.total.merge(self.pool.take())
        return self.total

    def ask(self, many=1):
        for _ in range(many):
            self.pool.submit(time.monotonic())
        return self.until(lambda counts: counts.requests >= many)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.pool.close()
        self.cohort.close()


def test_records_that_come_in_pieces_of_a_byte_are_whole_on_every_connection(certificate):
    """Between the server and the client somebody passes on one byte at a time: all connections share their buffers."""

    def answering(link):
        while link.recv(65_536):
            link.sendall(OK)

    with serving(answering, certificate) as server:

        def passing(link):
            with socket.create_connection((server.ip, server.port)) as there:
                there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

                def back():
                    with suppress(OSError):
                        while data := there.recv(65_536):
                            for at in range(len(data)):
                                link.sendall(data[at : at + 1])

                thread = threading.Thread(target=back, daemon=True)
                thread.start()
                while data := link.recv(65_536):
                    there.sendall(data)
                there.shutdown(socket.SHUT_RDWR)
                thread.join(5)

        with listening(passing, certificate) as address, Rig(address, size=8) as rig:
            counts = rig.ask(40)
            assert counts.statuses == {"200": 40}
            assert counts.failures == counts.connect_errors == 0


def test_a_large_request_goes_out_whole_though_the_server_reads_slowly(certificate):
    body = bytes(range(256)) * 16_384
    got = []

    def slow(link):
        received = link.recv(65_536)
        head, _, begun = received.partition(b"\r\n\r\n")
        assert head
        parts, size = [begun], len(begun)
        time.sleep(0.2)  # until every buffer between the two is full
        while size < len(body):
            part = link.recv(65_536)
            parts.append(part)
            size += len(part)
        got.append(b"".join(parts))
        link.sendall(OK)

    with serving(slow, certificate) as address, Rig(address, asked=request(address, "POST", "/", body=body)) as rig:
        counts = rig.ask()
    assert counts.statuses == {"200": 1}
    assert counts.sends_blocked > 0, "it never filled a buffer, so nothing was shown"
    assert got == [body]


def test_a_long_reply_of_many_records_is_read_to_its_end(certificate):
    body = b"x" * 3_000_000

    def long(link):
        while link.recv(65_536):
            link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with serving(long, certificate) as address, Rig(address, size=2) as rig:
        counts = rig.ask(6)
    assert counts.statuses == {"200": 6}
    assert counts.bytes > 6 * len(body)


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda link: link.close(), "reset"),
        (lambda link: (link.unwrap(), link.close()), "closed"),
        (lambda link: (link.sendall(OK[:-1]), link.close()), "reset"),
        (lambda link: (link.sendall(OK[:-1]), link.unwrap()), "closed"),
        (lambda link: (os.write(link.fileno(), b"\x17\x03\x03\x00\x20" + b"x" * 32), link.recv(1)), "tls"),
    ],
    ids=["cut", "ended", "cut-within", "ended-within", "no-record"],
)
def test_how_a_connection_ends_is_counted_by_its_name(certificate, end, reason):
    def ending(link):
        link.recv(65_536)
        end(link)

    with serving(ending, certificate) as address, Rig(address) as rig:
        counts = rig.ask()
        assert counts.reasons == {reason: 1}
        assert rig.pool.in_flight == 0


def test_an_end_of_tls_is_seen_though_the_connection_stays_open(certificate):
    released = threading.Event()

    def half(link):
        link.recv(65_536)
        link.settimeout(0)
        with suppress(OSError):
            link.unwrap()  # says its end, and does not wait for ours
        released.wait(LIMIT_S)

    with serving(half, certificate) as address, Rig(address, timeout_s=LIMIT_S) as rig:
        began = time.monotonic()
        assert rig.ask().reasons == {"closed": 1}
        assert time.monotonic() - began < 5
        released.set()


def test_a_reply_until_close_is_whole_only_with_an_end_of_tls(certificate):
    reply = b"HTTP/1.1 200 OK\r\n\r\nok"

    def whole(link):
        link.recv(65_536)
        link.sendall(reply)
        link.unwrap()

    def cut(link):
        link.recv(65_536)
        link.sendall(reply)

    with serving(whole, certificate) as address, Rig(address) as rig:
        assert rig.ask().statuses == {"200": 1}
    with serving(cut, certificate) as address, Rig(address) as rig:
        assert rig.ask().reasons == {"reset": 1}


def test_a_handshake_that_stalls_is_a_timeout_of_tls_and_holds_nothing_up(certificate):
    released = threading.Event()
    with (
        listening(lambda link: released.wait(LIMIT_S), certificate) as address,
        Rig(address, size=3, timeout_s=0.3, fresh=True) as rig,
    ):
        for _ in range(3):
            rig.pool.submit(time.monotonic())
        counts = rig.until(lambda counts: counts.connect_errors >= 3)
        released.set()
    assert counts.requests == counts.failures == 3
    assert set(counts.reasons) <= {"tls_timeout", "timeout"}, "the one for the connection, the other for who waited"
    assert "tls_timeout" in counts.reasons
    assert rig.pool.in_flight == 0


@pytest.mark.parametrize(
    "answer",
    [
        lambda link: link.recv(65_536),
        lambda link: (link.recv(65_536), link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
        lambda link: (link.recv(65_536), link.sendall(b"\x15\x03\x03\x00\x02\x02\x28"), time.sleep(0.2)),
    ],
    ids=["hangs-up", "plain", "alert"],
)
def test_a_handshake_that_fails_is_counted_as_tls(certificate, answer):
    with listening(answer, certificate) as address, Rig(address, fresh=True) as rig:
        counts = rig.ask()
    assert counts.reasons == {"tls": 1}
    assert counts.connect_errors == 1
    assert counts.connects == 0


def test_an_older_tls_is_spoken_too(certificate):
    context = server_context(*certificate)
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    def answering(link):
        with context.wrap_socket(link, server_side=True) as secure:
            while secure.recv(65_536):
                secure.sendall(OK)

    with listening(answering, certificate) as address, Rig(address, size=4) as rig:
        assert rig.ask(20).statuses == {"200": 20}


def test_who_speaks_before_he_is_asked_is_not_listened_to_and_troubles_nobody_else(certificate):
    """His reply comes in one piece with the end of his handshake: nothing of it may stay in what all share."""
    context = server_context(*certificate)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    early = [True]

    def hasty(link):
        into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        engine = context.wrap_bio(into, out, server_side=True)
        while True:
            try:
                engine.do_handshake()
                break
            except ssl.SSLWantReadError:
                if out.pending:
                    link.sendall(out.read())
                into.write(link.recv(65_536))
        if early.pop() if early else False:
            engine.write(OK)
            link.sendall(out.read())
            link.recv(65_536)
            return
        link.sendall(out.read())
        while True:
            into.write(link.recv(65_536))
            engine.read(65_536)
            engine.write(OK)
            link.sendall(out.read())

    with listening(hasty, certificate) as address:
        with Rig(address, fresh=True) as rig:
            assert rig.ask().reasons == {"tls": 1}
        with Rig(address) as rig:
            assert rig.ask(5).statuses == {"200": 5}


def test_a_certificate_of_another_name_is_not_trusted(certificate):
    with serving(lambda link: link.recv(1), certificate) as address:
        with Rig(replace(address, host="example.com"), fresh=True) as rig:
            assert rig.ask().reasons == {"tls": 1}
        with Rig(replace(address, host="example.com", cacert=None, insecure=True)) as rig:
            rig.until(lambda counts: counts.connects == 1)


def test_the_server_is_told_which_host_and_which_protocol_is_wanted(certificate):
    seen = []
    context = server_context(*certificate)
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.sni_callback = lambda link, name, _: seen.append(name)

    def answering(link):
        with context.wrap_socket(link, server_side=True) as secure:
            seen.append(secure.selected_alpn_protocol())
            while secure.recv(65_536):
                secure.sendall(OK)

    with listening(answering, certificate) as address, Rig(replace(address, host="localhost")) as rig:
        rig.ask()
    assert seen == ["localhost", "http/1.1"]


def test_a_connection_says_its_end_when_it_is_closed(certificate):
    ended = threading.Event()

    def answering(link):
        while link.recv(65_536):  # an end without TLS's own would raise here
            link.sendall(OK)
        ended.set()

    with serving(answering, certificate) as address:
        with Rig(address) as rig:
            rig.ask()
        assert ended.wait(5)


def test_one_byte_is_left_over_while_the_kernel_has_no_room(certificate):
    """What the pool relies on: a send is either taken whole, or all but a byte of it."""
    read, whole = threading.Event(), threading.Event()
    data = b"abc" * 3_000_000
    got = []

    def late(link):
        read.wait(LIMIT_S)
        while part := link.recv(65_536):
            got.append(part)
            if sum(map(len, got)) == len(data):
                whole.set()

    with serving(late, certificate) as address:
        raw = TlsSocket(address.family, socket.SOCK_STREAM, address)
        raw.settimeout(LIMIT_S)
        raw.connect((address.ip, address.port))
        while not raw.shake():
            pass
        raw.settimeout(0)
        assert raw.send(data) == len(data) - 1
        with pytest.raises(BlockingIOError):
            raw.send(data[-1:])
        with pytest.raises(OSError, match="not through") as refused:
            raw.send(data)
        assert refused.value.errno == errno.EPIPE
        read.set()
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            with suppress(BlockingIOError):
                assert raw.send(data[-1:]) == 1
                break
        assert whole.wait(LIMIT_S)
        raw.close()
    assert b"".join(got) == data


def test_a_stream_over_tls_that_is_cut_is_a_reset_and_comes_back(certificate):
    asked = []

    def cutting(link):
        asked.append(link.recv(65_536))
        link.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nretry: 10\n\n")
        if len(asked) == 1:
            link.close()
            return
        link.recv(1)

    with serving(cutting, certificate) as address:
        cohort = Cohort()
        streams = Streams(cohort, address, Publisher(address, 1, "test"), count=1, run="test")
        end = time.monotonic() + LIMIT_S
        while not (len(asked) == 2 and streams.open == 1) and time.monotonic() < end:
            cohort.turn(0.02)
        found = streams.take()
        streams.close()
        cohort.close()
    assert found.reasons == {"reset": 1}
    assert found.streams_opened == 2
