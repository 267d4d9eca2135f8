"""What it costs to read EventSource: the cohort beside one gevent greenlet with sseclient-py a stream.

The peer is measured twice: with requests, as sseclient-py's own page shows it, and with the least that Python has.

One process writes the same events to every stream; the reader, in a process of its own, is measured: its CPU an event
where events come one by one and where eight come in a read, and its memory a stream. In turns, so that what else the
machine does hits both. ``python -m tests.bench.streams`` prints the figures.
"""

from __future__ import annotations

import json
import resource
import select
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RUN = "bench"
TURNS = 3
STREAMS = 1000
PEER_STREAMS = 200
EVENTS = 60_000  # of the cohort, in all its streams together
PEER_EVENTS = 10_000
COALESCED = 8
ONE_BY_ONE_PER_S = 40_000
PEER_PER_S = 5_000
MEMORY_STREAMS = (1000, 10_000)
PEER_MEMORY_STREAMS = (200, 1000)
READERS = ("cohort", "peer", "lean", "bare")
PEERS = ("peer", "lean")
NAMES = {
    "peer": "one greenlet, requests and sseclient-py a stream",
    "lean": "one greenlet, http.client and sseclient-py a stream",
}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n: \n\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Microseconds of CPU an event of each turn (one by one, coalesced), and bytes a stream, by reader."""

    single_us: dict[str, list[float]]
    coalesced_us: dict[str, list[float]]
    stream_bytes: dict[str, float]

    def lines(self) -> list[str]:
        """For docs/benchmarks.md."""
        ours = self.stream_bytes["cohort"]
        kilobytes = ", ".join(
            f"{NAMES[peer]} {self.stream_bytes[peer] / 1024:.0f} KB (**{self.stream_bytes[peer] / ours:.0f}** times as much)"
            for peer in PEERS
        )
        return [
            _line("EventSource, events read one by one", self.single_us),
            _line(f"EventSource, {COALESCED} events a read", self.coalesced_us),
            f"- memory of the process a stream, 10,000 of them: **{ours / 1024:.2f} KB**; {kilobytes}",
        ]


def _line(what: str, by_reader: dict[str, list[float]]) -> str:
    ours = by_reader["cohort"]
    told = []
    for peer in PEERS:
        ratios = sorted(their / our for our, their in zip(ours, by_reader[peer], strict=True))
        told.append(
            f"{NAMES[peer]} takes **{statistics.median(ratios):.1f}** times as much ({ratios[0]:.1f} to {ratios[-1]:.1f})"
        )
    bare = statistics.median(by_reader["bare"])
    told.append(
        f"a bare loop of epoll and recv, which looks at nothing, takes {bare:.1f} µs: no reader could be more than "
        f"{statistics.median(by_reader['peer']) / bare:.1f} times as fast as the first of these"
    )
    return (
        f"- {what}, with latency, gaps and duplicates: {statistics.median(ours):.1f} µs of CPU an event; "
        f"{'; '.join(told)}; {len(ours)} turns"
    )


def measure() -> Reading:
    """Everything, in about a minute."""
    single: dict[str, list[float]] = {reader: [] for reader in READERS}
    coalesced: dict[str, list[float]] = {reader: [] for reader in READERS}
    for _ in range(TURNS):
        for reader in READERS:
            ours = reader in ("cohort", "bare")
            streams = STREAMS if ours else PEER_STREAMS
            per_s = ONE_BY_ONE_PER_S if ours else PEER_PER_S
            single[reader].append(_run(reader, streams, 1, EVENTS if ours else PEER_EVENTS, per_s)["us"])
            events = EVENTS * 4 if ours else PEER_EVENTS
            coalesced[reader].append(_run(reader, streams, COALESCED, events, per_s * 2)["us"])
    return Reading(
        single_us=single,
        coalesced_us=coalesced,
        stream_bytes={
            reader: _slope(reader, MEMORY_STREAMS if reader == "cohort" else PEER_MEMORY_STREAMS)
            for reader in ("cohort", *PEERS)
        },
    )


def _slope(role: str, sizes: tuple[int, int]) -> float:
    few, many = (_run(role, streams, 1, streams * 2, 20_000)["rss"] for streams in sizes)
    return float(many - few) / (sizes[1] - sizes[0])


def _run(role: str, streams: int, together: int, events: int, per_s: int) -> dict[str, float]:
    """One reader and one writer; what the reader measured."""
    each = events // streams
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        words = [str(word) for word in (streams, together, each, per_s)]
        writer = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.streams", "writer", str(listening.fileno()), *words],
            pass_fds=[listening.fileno()],
            cwd=ROOT,
        )
        port = listening.getsockname()[1]
        try:
            said = subprocess.run(
                [sys.executable, "-m", "tests.bench.streams", role, str(port), str(streams), str(each)],
                capture_output=True,
                text=True,
                check=True,
                timeout=120,
                cwd=ROOT,
            ).stdout
        finally:
            writer.kill()
            writer.wait()
    figures: dict[str, float] = json.loads(said)
    return figures


def write(listening_fd: int, streams: int, together: int, each: int, per_s: int) -> None:
    """Serve ``streams`` connections, and write each of them ``each`` events, ``together`` at a time."""
    from darktime.blast.marks import body

    _allow_files()
    listening = socket.socket(fileno=listening_fd)
    poller = select.epoll()
    sends: list[Any] = []
    links = []
    while len(links) < streams:
        link, _ = listening.accept()
        links.append(link)
        poller.register(link.fileno(), select.EPOLLIN)
        by_fd = {link.fileno(): link for link in links[-1:]}
        while link.fileno() in by_fd:  # its request, before the next is taken
            for fd, _mask in poller.poll():
                by_fd.pop(fd).recv(65_536)
        poller.unregister(link.fileno())
        link.sendall(HEAD)
        sends.append(link.sendall)
    time.sleep(0.3)  # all are read
    begin = time.monotonic()
    for number in range(1, each + 1, together):
        wait = begin + (number - 1) * streams / per_s - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        at_us = int(time.monotonic() * 1e6)
        pieces = []
        for one in range(number, min(number + together, each + 1)):
            event = b"id: %d-%d\ndata: %s\n\n" % (1700000000, one, body(RUN.encode(), 0, 0, at_us, one))
            pieces.append(b"%x\r\n%s\r\n" % (len(event), event))
        payload = b"".join(pieces)
        for send in sends:
            send(payload)
    time.sleep(60)


def read_as_cohort(port: int, streams: int, each: int) -> dict[str, float]:
    """All streams in one cohort."""
    from gevent import monkey

    monkey.patch_all()
    from darktime.blast.cohort import Cohort
    from darktime.blast.deliveries import Deliveries
    from darktime.blast.settings import resolve
    from darktime.blast.streams import Publisher, Streams

    _allow_files()
    address = resolve(f"127.0.0.1:{port}")
    cohort = Cohort()
    publisher = Publisher(address, 1, RUN)
    reader = Streams(cohort, address, publisher, count=streams, run=RUN)
    counted = Deliveries()
    cohort.each_second.append(lambda: counted.merge(reader.take()))
    while not reader.standing:
        cohort.turn(0.05)
    publisher.published[0] = each
    began = time.process_time()
    while counted.delivered + reader.deliveries.delivered < streams * each:
        cohort.turn(0.05)
    cohort.flush()
    spent = time.process_time() - began
    if counted.delivered != each * streams or counted.differed or counted.duplicated:
        raise SystemExit(f"the cohort read {counted.delivered} of {each * streams} events: {counted.reasons}")
    return {"us": spent / counted.delivered * 1e6, "rss": _rss(), "p99_ms": counted.latency.percentile_ms(99) or 0.0}


def read_bare(port: int, streams: int, each: int) -> dict[str, float]:
    """Nothing but the calls of the system: what the kernel and the interpreter's way into it cost."""
    _allow_files()
    poller, links = select.epoll(), {}
    for _ in range(streams):
        link = socket.create_connection(("127.0.0.1", port))
        link.sendall(b"GET /ev/bench HTTP/1.1\r\n\r\n")
        while not link.recv(65_536).endswith(b": \n\n\r\n"):
            pass
        link.setblocking(False)
        links[link.fileno()] = link.recv
        poller.register(link.fileno(), select.EPOLLIN)
    began, received = time.process_time(), 0
    while ready := poller.poll(1.0):
        for fd, _mask in ready:
            received += len(links[fd](65_536))
    spent = time.process_time() - began
    return {"us": spent / (streams * each) * 1e6, "rss": _rss(), "bytes": received}


def read_as_peer(port: int, streams: int, each: int) -> dict[str, float]:
    """One greenlet, one sseclient-py and one connection of requests a stream."""
    return _read_as_peer(port, streams, each, lean=False)


def read_as_lean_peer(port: int, streams: int, each: int) -> dict[str, float]:
    """One greenlet, one sseclient-py and one connection of http.client a stream."""
    return _read_as_peer(port, streams, each, lean=True)


def _read_as_peer(port: int, streams: int, each: int, *, lean: bool) -> dict[str, float]:
    from gevent import monkey

    monkey.patch_all()
    import http.client

    import gevent
    import requests
    import sseclient

    _allow_files()
    latencies: list[float] = []
    gaps = 0

    def pieces() -> Any:
        if not lean:
            yield from requests.get(f"http://127.0.0.1:{port}/ev/bench", stream=True, timeout=60)
            return
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/ev/bench")
        response = connection.getresponse()
        while piece := response.read1(65_536):
            yield piece

    def one() -> None:
        nonlocal gaps
        expected = 1
        for event in sseclient.SSEClient(pieces()).events():
            said = json.loads(event.data)
            gaps += said["n"] != expected
            expected = said["n"] + 1
            latencies.append(time.monotonic() - said["at"] / 1e6)
            if said["n"] == each:
                return

    began = time.process_time()
    greenlets = []
    for _ in range(streams):
        greenlets.append(gevent.spawn(one))
        gevent.sleep(0)
    opened = time.process_time() - began
    gevent.sleep(0.2)
    began = time.process_time()
    while len(latencies) < streams * each // 2:
        gevent.sleep(0.01)
    rss = _rss()
    gevent.joinall(greenlets)
    spent = time.process_time() - began
    if gaps or len(latencies) != each * streams:
        raise SystemExit(f"the peer read {len(latencies)} of {each * streams} events with {gaps} gaps")
    return {"us": spent / len(latencies) * 1e6, "rss": rss, "opened_s": opened}


def _rss() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _allow_files() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(words: list[str]) -> int:
    """Without words: measure and print."""
    if not words:
        sys.stdout.write("\n".join([*measure().lines(), ""]))
    elif words[0] == "writer":
        write(*(int(word) for word in words[1:]))
    else:
        reader = {"cohort": read_as_cohort, "peer": read_as_peer, "lean": read_as_lean_peer, "bare": read_bare}[
            words[0]
        ]
        sys.stdout.write(json.dumps(reader(*(int(word) for word in words[1:]))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
