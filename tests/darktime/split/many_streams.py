"""``python -m tests.darktime.split.many_streams``: a dark instance of one process that serves as many streams as it may have open.

Every request gets a stream and one event. ``GET /count`` is answered by how many are open, ``GET /say`` sends each an event,
``GET /end`` ends them all; these are answered, and are none.
"""

from __future__ import annotations

import asyncio
import resource
from contextlib import suppress

EVENT = b'data: {"id":"1-%d","channel":"thread:1","at":1764000000.0}\n\n'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
BACKLOG = 4096


class Streams:
    def __init__(self) -> None:
        self._open: set[asyncio.StreamWriter] = set()
        self._said = 1

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ", 2)[1]
            if path in {b"/count", b"/say", b"/end"}:
                self._told(path, writer)
            else:
                self._open.add(writer)
                writer.write(HEAD + EVENT % 1)
                await reader.read()  # until its reader ends
        self._open.discard(writer)
        writer.close()

    def _told(self, path: bytes, writer: asyncio.StreamWriter) -> None:
        if path == b"/say":
            self._said += 1
            for one in self._open:
                one.write(EVENT % self._said)
        elif path == b"/end":
            for one in self._open:
                one.close()
        body = b"%d" % len(self._open)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body))


async def main() -> None:
    server = await asyncio.start_server(Streams().serve, "127.0.0.1", 0, backlog=BACKLOG)
    print(f"streams on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)  # noqa: T201 - a program
    await server.serve_forever()


if __name__ == "__main__":
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
