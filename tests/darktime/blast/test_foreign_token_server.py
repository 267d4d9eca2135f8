"""Streams of a server that is not ours, the official MCP SDK's: our figures are an independent client's, on the same streams."""

import json
import math
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import h11
import pytest
from sseclient import SSEClient

from realtime_core.free_ports import free_port
from tests.darktime.blast.recording_proxy import recording
from tests.support.ports import refuses

ROOT = Path(__file__).parents[3]
EVENTS, FIRST_MS, BETWEEN_MS = 8, 120, 40
ASKED = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {
        "name": "words",
        "arguments": {"count": EVENTS, "first_ms": FIRST_MS, "between_ms": BETWEEN_MS},
        "_meta": {"progressToken": 1},
    },
}


@pytest.fixture
def mcp_port(stack):
    port = free_port()
    argv = [sys.executable, str(Path(__file__).with_name("mcp_server.py")), str(port)]
    stack.start("mcp", argv, ready=lambda: not refuses(port), timeout_s=25, cwd=ROOT)
    return port


def streams_of(connection):
    """(when it was asked, when each of its events was whole) of every stream, by h11 and sseclient-py."""
    asked = [at for at, piece in connection.asked if piece.startswith(b"POST ")]
    link, streams, now = h11.Connection(h11.CLIENT), [], 0.0
    pieces = iter(connection.replied)

    def bodies():
        nonlocal now
        while True:
            event = link.next_event()
            if event is h11.NEED_DATA:
                now, piece = next(pieces)
                link.receive_data(piece)
            elif isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return

    for began in asked:
        if streams:
            link.start_next_cycle()
        link.send(h11.Request(method="POST", target="/mcp", headers=[("Host", "x")]))
        link.send(h11.EndOfMessage())
        streams.append((began, [now for _ in SSEClient(bodies()).events()]))
    return streams


def percentile_ms(seconds, percent):
    ordered = sorted(seconds)
    return 1000 * ordered[max(math.ceil(percent / 100 * len(ordered)), 1) - 1]


def test_streams_of_the_mcp_sdk_are_measured_as_an_independent_client_measures_them(
    mcp_port, tmp_path, record_property
):
    body = tmp_path / "call.json"
    body.write_text(json.dumps(ASKED))
    numbers = {"rate": 10, "duration": 4, "path": "/mcp", "file": body, "end_marker": "", "between_limit_ms": 2000}
    words = [word for name, value in numbers.items() for word in ("--number", f"{name}={value}")]
    with recording("127.0.0.1", mcp_port) as (address, connections):
        done = subprocess.run(
            [sys.executable, "-m", "darktime.blast", "--instance", address, "--scenario", "token_stream", *words],
            capture_output=True,
            text=True,
            timeout=28,
            check=False,
            cwd=ROOT,
        )
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    seen = {finding["name"]: finding["value"] for finding in found["findings"]}
    streams = [stream for connection in connections for stream in streams_of(connection)]
    assert [len(events) for _, events in streams] == [EVENTS + 1] * 40  # and the result
    assert found["totals"]["requests"] == found["streams"]["completed"] == 40, done.stderr
    assert found["totals"]["deliveries"] == 40 * (EVENTS + 1)
    assert seen["events a stream"] == EVENTS + 1
    theirs = {
        "first event": [events[0] - began for began, events in streams],
        "between events": [after - before for _, at in streams for before, after in pairwise(at)],
    }
    for name, times in theirs.items():
        for percent, apart_ms in ((50, 5), (99, 30)):
            ours_ms, their_ms = seen[f"{name} p{percent}"], percentile_ms(times, percent)
            record_property(f"{name} p{percent}", f"{ours_ms:.1f} ms, theirs {their_ms:.1f} ms")
            assert abs(ours_ms - their_ms) < apart_ms, (name, percent, ours_ms, their_ms)
    assert seen["first event p50"] >= FIRST_MS, "the head came before, and is no event"
