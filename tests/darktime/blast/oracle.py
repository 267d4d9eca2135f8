"""Measures streams and latencies by other means than what is tested: threads with sseclient-py, asyncio for requests."""

from __future__ import annotations

import asyncio
import http.client
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sseclient import SSEClient

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

READ_BYTES = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What begins a stream."""

    path: str
    method: str = "GET"
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Heard:
    """One stream as it was read; times in monotonic seconds, of the bytes that completed an event.

    Attributes:
        asked_at: when the request was sent; the connection stood already.
        status: None if there was no reply.
        at: of each event.
        data: of each event.
        ids: of each event.
        complete: whether the reply ended as its framing says; False for one that was cut off or left by the reader.
    """

    asked_at: float = 0.0
    status: int | None = None
    at: list[float] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    ids: list[str | None] = field(default_factory=list)
    complete: bool = False

    @property
    def first_event_s(self) -> float | None:
        """From the request to the first event; None if there was none."""
        return self.at[0] - self.asked_at if self.at else None

    @property
    def between_s(self) -> list[float]:
        """From each event to the next."""
        return [after - before for before, after in zip(self.at, self.at[1:], strict=False)]


def read_stream(address: str, ask: Ask, *, events: int | None = None, limit_s: float = 10.0) -> Heard:
    """One stream until its end, its ``events``-th event, ``limit_s`` of silence, or ``limit_s`` altogether."""
    heard = Heard()
    connection = http.client.HTTPConnection(address, timeout=limit_s)
    try:
        connection.connect()
        heard.asked_at = time.monotonic()
        connection.request(ask.method, ask.path, ask.body, dict(ask.headers))
        response = connection.getresponse()
        heard.status = response.status
        arrived = [0.0]
        for event in SSEClient(_pieces(response, arrived)).events():
            heard.at.append(arrived[0])
            heard.data.append(event.data)
            heard.ids.append(event.id)
            if len(heard.at) == events or arrived[0] > heard.asked_at + limit_s:
                return heard
        heard.complete = True
    except (OSError, http.client.HTTPException):  # cut off, or silent
        pass
    finally:
        connection.close()
    return heard


def read_streams(address: str, asks: Sequence[Ask], *, events: int | None = None, limit_s: float = 10.0) -> list[Heard]:
    """All of them at once, a thread each, in the order of ``asks``."""
    with ThreadPoolExecutor(len(asks)) as pool:
        return list(pool.map(lambda ask: read_stream(address, ask, events=events, limit_s=limit_s), asks))


def _pieces(response: http.client.HTTPResponse, arrived: list[float]) -> Iterator[bytes]:
    """The body as it arrives; sseclient-py gives out what a piece completes before it asks for the next."""
    while piece := response.read1(READ_BYTES):
        arrived[0] = time.monotonic()
        yield piece


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One request of an open model; ``latency_s`` runs from the planned time; status 0: there was no reply."""

    planned: float
    latency_s: float
    status: int


def offer(
    address: str, *, rate: float, duration_s: float, path: str = "/", connections: int = 100, limit_s: float = 5.0
) -> list[Answer]:
    """Constant arrivals, ``rate`` a second, over kept connections; up to about 1,000 a second it is on time."""
    return asyncio.run(_offer(address, round(rate * duration_s), rate, path, connections=connections, limit_s=limit_s))


async def _offer(address: str, count: int, rate: float, path: str, *, connections: int, limit_s: float) -> list[Answer]:
    host, _, port = address.rpartition(":")
    request = f"GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode()
    idle: asyncio.LifoQueue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.LifoQueue()
    for _ in range(connections):
        idle.put_nowait(await asyncio.open_connection(host, int(port)))

    async def one(planned: float) -> Answer:
        reader, writer = await idle.get()
        try:
            writer.write(request)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), limit_s)
            lines = head.lower().split(b"\r\n")
            length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
            await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            writer.close()
            idle.put_nowait(await asyncio.open_connection(host, int(port)))
            return Answer(planned=planned, latency_s=time.monotonic() - planned, status=0)
        idle.put_nowait((reader, writer))
        return Answer(planned=planned, latency_s=time.monotonic() - planned, status=int(lines[0][9:12]))

    tasks = []
    began = time.monotonic()
    for number in range(count):
        planned = began + number / rate
        wait = planned - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(one(planned)))
    answers = list(await asyncio.gather(*tasks))
    while not idle.empty():
        idle.get_nowait()[1].close()
    return answers
