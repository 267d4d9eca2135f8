"""Replies that a client must get right: errors, redirects, odd framings and lies, each for an exact share."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from tests.darktime.blast.servers.replies import LAST_CHUNK, OK, chunk, reply
from tests.darktime.blast.servers.service import Service
from tests.darktime.blast.servers.shares import Mix

if TYPE_CHECKING:
    import argparse

    from tests.darktime.blast.servers.links import Link
    from tests.darktime.blast.servers.loop import Loop
    from tests.darktime.blast.servers.requests import Head

_BODY = b"all is well, and this is a body of some length"
_PLAIN = reply(200, _BODY)
_ERROR = reply(500, b"no")
_CHUNKED = reply(200, b"", "Transfer-Encoding: chunked", length=-1) + chunk(_BODY[:9]) + chunk(_BODY[9:]) + LAST_CHUNK
_OLD = reply(200, _BODY, version="1.0", length=-1)
_CLOSING = reply(200, _BODY, "Connection: close")
_SHORT = reply(200, _BODY, length=len(_BODY) + 10)  # says more than it sends, then closes
_LONG = reply(200, _BODY, length=len(_BODY) - 10)  # sends more than it says
_FAULTS = ("error", "redirect", "chunked", "old", "closing", "pieces", "short", "long", "silent", "nonsense")


class Erring(Service):
    """``--FAULT SHARE`` for each, exactly: of 1,000 requests a share of 0.001 is one. Counts each fault by its name.

    error: 500. redirect: 302 to /hop/N on the same host, ``--hops`` of them, the last is a 200. chunked. old: HTTP/1.0,
    ended by closing. closing: ``Connection: close``. pieces: in ``--pieces-bytes`` with ``--pause-ms`` between.
    short, long: Content-Length 10 more (then it closes) or less than what is sent. silent: closes with no reply.
    nonsense: no HTTP. ``--requests-a-connection``: then it closes unannounced, its last reply sent.
    """

    @staticmethod
    def add_options(parser: argparse.ArgumentParser) -> None:
        for fault in _FAULTS:
            parser.add_argument(f"--{fault}", type=float, default=0.0, metavar="SHARE")
        parser.add_argument("--hops", type=int, default=1)
        parser.add_argument("--pieces-bytes", type=int, default=10)
        parser.add_argument("--pause-ms", type=float, default=2.0)
        parser.add_argument("--requests-a-connection", type=int, default=0)

    def __init__(self, loop: Loop, options: argparse.Namespace) -> None:
        super().__init__(loop, options)
        self._mix = Mix({fault: getattr(options, fault) for fault in _FAULTS}, "plain")

    def serve(self, link: Link, head: Head, body: bytes) -> None:
        if head.path.startswith(b"/hop/"):
            self._hop(link, int(head.path[5:] or b"0"))
            return
        fault = self._mix.next()
        self.counts[fault] += 1
        keep = link.served != self.options.requests_a_connection
        if fault == "redirect":
            self._hop(link, self.options.hops)
        elif fault == "pieces":
            self._piece(link, _PLAIN, keep)
        elif fault == "silent":
            link.close()
        elif fault == "nonsense":
            link.answer(200, b"HTTP/7 who knows\r\n\r\n", keep=False)
        else:
            status, payload, keeps = {
                "error": (500, _ERROR, True),
                "chunked": (200, _CHUNKED, True),
                "old": (200, _OLD, False),
                "closing": (200, _CLOSING, False),
                "short": (200, _SHORT, False),
                "long": (200, _LONG, True),
            }.get(fault, (200, _PLAIN, True))
            link.answer(status, payload, keep=keep and keeps)

    def _hop(self, link: Link, left: int) -> None:
        keep = link.served != self.options.requests_a_connection
        if left <= 0:
            self.counts["arrived"] += 1
            link.answer(200, OK, keep=keep)
            return
        self.counts["hops"] += 1
        where = f"Location: /hop/{left - 1}"
        link.answer(302, reply(302, b"", where), keep=keep)

    def _piece(self, link: Link, rest: bytes, keep: bool) -> None:  # noqa: FBT001
        size: int = self.options.pieces_bytes
        if len(rest) <= size:
            link.answer(200, rest, keep=keep)
        elif not link.closed:
            link.send(rest[:size])
            self.loop.at(monotonic() + self.options.pause_ms / 1000, self._piece, link, rest[size:], keep)
        else:
            self.counts["abandoned"] += 1
