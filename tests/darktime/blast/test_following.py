"""``--follow``, as it is run: what a real server that redirects was asked, and what the run says of it."""

import http.server
import threading
from collections import Counter

import pytest

from darktime.blast.redirects import MAX_HOPS
from tests.darktime.blast.runs import blast

pytestmark = pytest.mark.quiet

WAYS = {"/a": (301, "/b"), "/b": (302, "c?x=1"), "/round": (307, "/round"), "/away": (302, "http://other.example/")}


class Redirecting(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65_536  # a reply in one piece

    def do_GET(self):
        self.server.asked[self.path] += 1
        status, to = WAYS.get(self.path, (200, ""))
        self.send_response(status)
        if to:
            self.send_header("Location", to)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


@pytest.fixture
def redirecting():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Redirecting) as server:
        server.daemon_threads = True
        server.asked = Counter()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(5)


@pytest.mark.parametrize(
    ("path", "words", "asked", "statuses"),
    [
        ("/a", ["--follow"], {"/a": 40, "/b": 40, "/c?x=1": 40}, {"200": 40}),
        ("/a", [], {"/a": 40}, {"301": 40}),
        ("/round", ["--follow"], {"/round": 40 * (MAX_HOPS + 1)}, {"307": 40}),
        ("/away", ["--follow"], {"/away": 40}, {"302": 40}),
    ],
    ids=["followed", "not asked for", "in circles", "elsewhere"],
)
def test_a_redirect_is_followed_where_it_was_asked_for_and_leads_somewhere_here(
    redirecting, path, words, asked, statuses
):
    address = f"127.0.0.1:{redirecting.server_port}"
    words = ["--rate", "40", "--duration", "1", "--connections", "4", "--slo", "p99<9s,errors<0.1%", *words]
    run = blast(address, "--path", path, *words)
    assert run.code == 0, run.found["sentence"]
    assert redirecting.asked == asked
    assert run.found["statuses"] == statuses
    assert run.found["totals"]["requests"] == 40
    assert run.found["totals"]["redirects"] == sum(asked.values()) - 40
