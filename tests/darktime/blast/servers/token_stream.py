"""Chat completions that stream as OpenAI's interface does: known times to the first event and between events."""

from __future__ import annotations

import json
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from tests.darktime.blast.servers.replies import EVENT_STREAM, LAST_CHUNK, NOT_FOUND, chunk, reply
from tests.darktime.blast.servers.service import Service
from tests.darktime.blast.servers.shares import Share
from tests.darktime.blast.servers.token_times import token_times

if TYPE_CHECKING:
    import argparse

    from tests.darktime.blast.servers.links import Link
    from tests.darktime.blast.servers.loop import Loop
    from tests.darktime.blast.servers.requests import Head

_JSON = "Content-Type: application/json"
_DONE = chunk(b"data: [DONE]\n\n") + LAST_CHUNK
MODEL = "tokens"


@dataclass(slots=True, kw_only=True)
class _Stream:
    link: Link
    number: int
    began: float
    times: list[float]
    end: int  # events until it is cut off, or all
    sent: int = 0


class TokenStream(Service):
    """``POST /v1/chat/completions``: ``--events`` deltas and ``[DONE]``; without ``"stream": true`` all at once.

    The nth stream follows ``token_times(SEED, n)``, from 0. ``--cut`` is the share that ends in the middle, with
    neither ``[DONE]`` nor a last chunk. ``--slots``: how many may stream at a time, the others wait for their turn in
    a queue (0: all). Counts ``streams``, ``completed``, ``cut``, ``left`` (hung up before the end), ``events``.
    """

    @staticmethod
    def add_options(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--events", type=int, default=20)
        parser.add_argument("--first-ms", type=float, default=50.0)
        parser.add_argument("--between-ms", type=float, default=10.0)
        parser.add_argument("--jitter", type=float, default=0.0, help="share of each wait")
        parser.add_argument("--cut", type=float, default=0.0, metavar="SHARE")
        parser.add_argument("--slots", type=int, default=0)

    def __init__(self, loop: Loop, options: argparse.Namespace) -> None:
        super().__init__(loop, options)
        if options.events < 2:
            raise ValueError(f"--events {options.events}: at least 2 are needed")
        self._cuts = Share(options.cut)
        self._number = 0
        self._streaming = 0
        self._queue: list[tuple[Link, bool]] = []

    def serve(self, link: Link, head: Head, body: bytes) -> None:
        if head.path == b"/v1/models":
            models = {"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "tests"}]}
            link.answer(200, reply(200, json.dumps(models).encode(), _JSON))
        elif (head.method, head.path) != (b"POST", b"/v1/chat/completions"):
            link.answer(404, NOT_FOUND)
        else:
            asked = _asked(body)
            if asked is None:
                link.answer(400, reply(400, b'{"error": {"message": "messages are needed, as JSON"}}', _JSON))
            elif self.options.slots and self._streaming >= self.options.slots:
                self._queue.append((link, bool(asked.get("stream"))))
            else:
                self._begin(link, streams=bool(asked.get("stream")))

    def gauges(self) -> dict[str, float]:
        return {"streaming": self._streaming, "queue": len(self._queue)}

    def _begin(self, link: Link, *, streams: bool) -> None:
        options = self.options
        self._streaming += 1
        number = self._number
        self._number += 1
        self.counts["streams"] += 1
        times = token_times(
            options.seed,
            number,
            events=options.events,
            first_ms=options.first_ms,
            between_ms=options.between_ms,
            jitter=options.jitter,
        )
        began = monotonic()
        if not streams:
            self.loop.at(began + times[-1], self._whole, link, number)
            return
        end = len(times) // 2 if self._cuts.hits() else len(times)
        self._later(_Stream(link=link, number=number, began=began, times=times, end=end))

    def _later(self, stream: _Stream) -> None:
        self.loop.at(stream.began + stream.times[stream.sent], self._event, stream)

    def _event(self, stream: _Stream) -> None:
        link, events = stream.link, len(stream.times)
        if link.closed:
            self.counts["left"] += 1
            self._ended()
            return
        self.counts["events"] += 1
        payload = chunk(b"data: %b\n\n" % json.dumps(_delta(stream.number, stream.sent, events)).encode())
        if stream.sent == 0:
            link.begin(200, EVENT_STREAM + payload)
            payload = b""
        stream.sent += 1
        if stream.sent == events:
            self.counts["completed"] += 1
            link.finish(payload + _DONE)
            self._ended()
            return
        link.send(payload)
        if stream.sent == stream.end:
            self.counts["cut"] += 1
            link.end()
            self._ended()
        else:
            self._later(stream)

    def _whole(self, link: Link, number: int) -> None:
        words = "".join(_word(event) for event in range(self.options.events))
        choice = {"index": 0, "message": {"role": "assistant", "content": words}, "finish_reason": "stop"}
        told = {"id": f"chat-{number}", "object": "chat.completion", "model": MODEL, "choices": [choice]}
        link.answer(200, reply(200, json.dumps(told).encode(), _JSON))
        self.counts["completed"] += not link.closed
        self._ended()

    def _ended(self) -> None:
        self._streaming -= 1
        while self._queue and self._streaming < self.options.slots:
            link, streams = self._queue.pop(0)
            if link.closed:
                self.counts["abandoned"] += 1
            else:
                self._begin(link, streams=streams)


def _asked(body: bytes) -> dict[str, Any] | None:
    try:
        asked = json.loads(body)
    except ValueError:
        return None
    return asked if isinstance(asked, dict) and isinstance(asked.get("messages"), list) else None


def _word(event: int) -> str:
    return f"word{event} "


def _delta(number: int, event: int, events: int) -> dict[str, Any]:
    delta = {"role": "assistant", "content": _word(event)} if event == 0 else {"content": _word(event)}
    reason = "stop" if event + 1 == events else None
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {"id": f"chat-{number}", "object": "chat.completion.chunk", "model": MODEL, "choices": [choice]}
