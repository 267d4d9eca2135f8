"""Where a run's connections come from, and how fast: as the instance saw them."""

import http.server
import threading
import time
from collections import Counter

import pytest

from darktime.blast.pace import Pace
from darktime.blast.settings import resolve
from darktime.blast.source_addresses import named_sources
from darktime.errors import UsageError
from tests.darktime.blast.runs import blast

pytestmark = pytest.mark.quiet

FIXED = ("--rate", "60", "--duration", "1", "--slo", "p99<9s,errors<1%")


class Noting(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65_536

    def setup(self):
        super().setup()
        self.server.came.append((self.client_address[0], time.monotonic()))

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


@pytest.fixture
def noting():
    with Server(("127.0.0.1", 0), Noting) as server:
        server.came = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(5)


def run(server, *words):
    done = blast(f"127.0.0.1:{server.server_port}", "--path", "/", *FIXED, *words)
    assert done.code == 0, done.said
    return done.found


@pytest.mark.parametrize("processes", ["1", "2"])
def test_connections_come_in_turn_from_the_addresses_that_were_named(noting, processes):
    words = ["--source", "127.0.5.1", "--source", "127.0.6.0/30", "--connections", "12"]
    result = run(noting, *words, "--processes", processes)
    assert result["totals"]["requests"] == 60
    assert Counter(address for address, _ in noting.came if address != "127.0.0.1") == {
        "127.0.5.1": 4,
        "127.0.6.1": 4,
        "127.0.6.2": 4,
    }


def test_connections_come_no_faster_than_their_pace(noting):
    run(noting, "--connections", "30", "--connects-per-s", "20", "--source", "127.0.5.1")
    times = sorted(at for address, at in noting.came if address == "127.0.5.1")
    assert len(times) == 30
    # The burst is two, and the server's thread may have been late with the first ones.
    assert times[-1] - times[0] >= (30 - 2) / 20 / 2


def test_streams_come_from_the_addresses_that_were_named_too(instance):
    server = instance("sse")
    words = ["--streams", "8", "--channels", "2", "--source", "127.0.5.0/29", "--connects-per-s", "50", *FIXED]
    done = blast(server.address, *words)
    assert done.code == 0, done.said
    assert (done.found["streams"]["open"], done.found["totals"]["lost"]) == (8, 0)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["127.0.5.300"], "--source '127.0.5.300'"),
        (["10.255.3.4"], "loopback is reached from another address"),
        (["::1"], "is reached by IPv4"),
        (["127.0.0.0/8"], "at most 4,096 in all"),
    ],
)
def test_what_cannot_be_a_source_is_refused_before_anything_is_opened(noting, words, named):
    with pytest.raises(UsageError) as refused:
        named_sources(words, resolve(f"127.0.0.1:{noting.server_port}"))
    assert named in str(refused.value)
    assert not noting.came


def test_an_address_that_is_not_this_machines_is_refused():
    with pytest.raises(UsageError, match="name addresses of this machine"):
        named_sources(["192.0.2.77"], resolve("192.0.2.1:80"))


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--connects-per-s", "0"], "--connects-per-s 0: it must be a number above 0"),
        (["--connects-per-s", "5", "--fresh"], "--connects-per-s with --fresh"),
        (["--source", "127.0.5.1", "--master"], "--source with --master"),
    ],
)
def test_what_does_not_go_together_is_refused(words, named):
    done = blast("127.0.0.1:9", "--path", "/", "--rate", "5", *words)
    assert done.code == 2
    assert named in done.said


def test_a_pace_lets_a_tenth_of_a_second_come_at_once_and_makes_no_more_up():
    pace, began = Pace(100.0, 0.0), 0
    for step in range(1, 101):
        room = pace.room(50, step / 20)
        pace.began(room)
        began += room
        assert room <= 10
    assert began == pytest.approx(500, abs=2)
    assert pace.room(50, 1000.0) == 10
    assert Pace(None, 0.0).room(7, 0.0) == 7
