"""One simulated visitor: a cookie, a stream that stays open, and page requests on one kept connection."""

from __future__ import annotations

import json
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore

from darktime.demo.reading import Stream, StreamBroken

if TYPE_CHECKING:
    import random

    from darktime.demo.tally import Tally

REQUEST_TIMEOUT_S = 10.0
RECONNECT_S = 1.0
ERROR_FROM = 400


class Visitor:
    """``uid`` in a cookie, watching one thread. ``tally`` counts what all visitors did."""

    def __init__(self, uid: str, thread: int, address: tuple[str, int], tally: Tally, draw: random.Random) -> None:
        self.uid = uid
        self._thread = thread
        self._address = address
        self._tally = tally
        self._draw = draw
        self._link = HTTPConnection(*address, timeout=REQUEST_TIMEOUT_S)
        self._one_at_a_time = BoundedSemaphore()  # browsing and writing share the connection
        self._comments: list[int] = []
        self._stream: Stream | None = None
        self._arrived = Event()
        self._gone = Event()

    def watch(self) -> None:
        """Hold the stream until the visitor leaves; a broken one is counted and opened again, as a browser does."""
        path = f"/ev/thread:{self._thread}/user:{self.uid}"
        while not self._gone.is_set():
            opened = False

            def on_open() -> None:
                nonlocal opened
                opened = True
                self._tally.streams += 1
                self._tally.asked["ev"] += 1
                self._arrived.set()

            try:
                self._stream = Stream(self._address, path, cookie=f"uid={self.uid}")
                self._stream.read(on_open, self._tally.delivered)
            except (StreamBroken, OSError) as error:
                if not self._gone.is_set():
                    self._tally.stream_failed(str(error))
                    gevent.sleep(RECONNECT_S)
            finally:
                if opened:
                    self._tally.streams -= 1

    def leave(self) -> None:
        """Close the stream at once; a question that is under way is still heard out, so that both sides count it."""
        self._gone.set()
        self._arrived.set()
        if self._stream:
            self._stream.close()

    def browse(self, mean_pause_s: float) -> None:
        """Once the stream stands, ask now and then how many watch the thread, and read its page."""
        self._arrived.wait()
        while not self._gone.wait(timeout=self._draw.expovariate(1 / mean_pause_s)):
            if self._draw.random() < 0.75:  # noqa: PLR2004 - three questions to one page
                if self._request("GET", f"/channels-stats?id=thread:{self._thread}") is not None:
                    self._tally.asked["channels-stats"] += 1
            else:
                self._request("GET", f"/thread/{self._thread}")
        with self._one_at_a_time:
            self._link.close()

    def write(self) -> None:
        """Write a comment, or now and then edit or delete one of the own."""
        choice = self._draw.random()
        if self._comments and choice < 0.2:  # noqa: PLR2004 - a fifth of the writes are edits
            text = {"text": f"edited by {self.uid}"}
            if self._request("POST", f"/comments/{self._draw.choice(self._comments)}/edit", text) is not None:
                self._tally.edited += 1
        elif self._comments and choice < 0.3:  # noqa: PLR2004 - a tenth are deletions
            comment = self._comments.pop(self._draw.randrange(len(self._comments)))
            if self._request("POST", f"/comments/{comment}/delete", {}) is not None:
                self._tally.deleted += 1
        else:
            text = {"text": f"words of {self.uid}, number {self._draw.randrange(1_000_000)}"}
            body = self._request("POST", f"/thread/{self._thread}/comments", text)
            if body is not None:
                self._tally.created += 1
                self._comments.append(json.loads(body)["id"])

    def _request(self, method: str, path: str, form: dict[str, str] | None = None) -> bytes | None:
        headers = {"Cookie": f"uid={self.uid}"}
        body = None
        if form is not None:
            body = urlencode(form)
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        with self._one_at_a_time:
            try:
                self._link.request(method, path, body=body, headers=headers)
                reply = self._link.getresponse()
                content = reply.read()
            except (HTTPException, OSError) as error:
                self._link.close()
                self._tally.request_failed(f"{method} {path}: {type(error).__name__} {error}")
                return None
        self._tally.requests += 1
        if reply.status >= ERROR_FROM:
            self._tally.request_failed(f"{method} {path}: {reply.status}")
            return None
        return content
