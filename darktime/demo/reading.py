"""Reading an EventSource stream to its end: one socket, one callback an event. Used by visitors and canaries."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from darktime.wire.stream import StreamReader

if TYPE_CHECKING:
    from collections.abc import Callable

RECEIVE_BYTES = 65536
CONNECT_TIMEOUT_S = 5.0
OK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One event as a reader got it. ``name`` is what the ledger calls it; ``at`` is when it was saved (seconds UTC)."""

    name: str
    at: float


class StreamBroken(Exception):  # noqa: N818 - a finding about the peer
    """The stream was refused, or ended though nobody asked it to."""


def arrival(payload: str) -> Arrival | None:
    """The event in a message's payload; None when the message is not one of the core's events."""
    try:
        event: dict[str, Any] = json.loads(payload)
        return Arrival(name=f"{event['channel']} {event['id']}", at=float(event["at"]))
    except (ValueError, KeyError, TypeError):
        return None


class Stream:
    """An open EventSource stream. ``read`` returns when it ends; ``close`` from another greenlet ends it."""

    def __init__(self, address: tuple[str, int], path: str, *, cookie: str | None = None) -> None:
        self._socket = socket.create_connection(address, timeout=CONNECT_TIMEOUT_S)
        self._closing = False
        cookies = f"Cookie: {cookie}\r\n" if cookie else ""
        self._socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nAccept: text/event-stream\r\n{cookies}\r\n".encode()
        )

    def read(self, on_open: Callable[[], None], on_event: Callable[[Arrival], None]) -> None:
        """Hand on every event until the stream ends. Raises StreamBroken unless it was ``close`` that ended it."""
        reader = StreamReader()
        opened = False
        try:
            while data := self._socket.recv(RECEIVE_BYTES):
                events = reader.feed(data)
                if not opened and reader.head is not None:
                    if reader.head.status != OK:
                        raise StreamBroken(f"the stream was answered with {reader.head.status}")
                    opened = True
                    self._socket.settimeout(None)  # quiet channels are silent for as long as they like
                    on_open()
                for event in events:
                    found = arrival(event.data)
                    if found:
                        on_event(found)
        except OSError as error:
            if not self._closing:
                raise StreamBroken(f"the stream broke: {error}") from error
        finally:
            self._socket.close()
        if not self._closing:
            raise StreamBroken("the stream ended")

    def close(self) -> None:
        """Leave: the reader returns."""
        self._closing = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
