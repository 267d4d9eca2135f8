"""``darktime split`` before real sites, asked by visitors: what the acceptance of the verdict is made of."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

from realtime_core.free_ports import free_port
from realtime_core.stack import ready_line
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime_core.stack import Stack

DARKTIME = Path(sys.executable).parent / "darktime"
ROOT = Path(__file__).parents[3]
THREADS = 5
COMMENTS = 6
STAY = 5  # questions a visitor
API = "/api/thread/{id}"
PAGE = "/thread/{id}"
VOLATILE = {"request_id", "at", "csrf"}  # what differs between any two answers


def start_site(stack: Stack, name: str, redis: str, *, fault: str = "", waits_ms: float = 0.0) -> str:
    """One more instance of the site, on data of its own that are like those of the others; its address."""
    argv = [
        *(sys.executable, "-m", "darktime.demo.site", "--settings", "tests.darktime.demo.changed_site.settings"),
        *("--database", str(stack.folder / f"{name}.sqlite3"), "--redis", redis, "--queue", f"acceptance-{name}"),
        *("--threads", str(THREADS)),
    ]
    env = {"PYTHONPATH": str(ROOT), "SITE_FAULT": fault, "SITE_WAITS_MS": str(waits_ms)}
    service = stack.start(name, argv, ready="listening on ", timeout_s=20, env=env)
    address = ready_line(service, "listening on ")
    link = HTTPConnection(address, timeout=10)
    for number in range(THREADS * COMMENTS):
        form = urlencode({"text": f"words number {number}"})
        headers = {"Cookie": f"uid=writer-{number % 4}", "Content-Type": "application/x-www-form-urlencoded"}
        link.request("POST", f"/thread/{number % THREADS + 1}/comments", body=form, headers=headers)
        reply = link.getresponse()
        reply.read()
        assert reply.status == 201
    link.close()
    return address


@dataclass(frozen=True)
class Ended:
    """A split that has ended. ``asked``: what its visitors asked, and how much of it failed."""

    results: dict[str, Any]
    asked: int
    failed: int

    @property
    def outcome(self) -> str:
        return str(self.results["verdict"]["outcome"])

    @property
    def reasons(self) -> list[str]:
        return list(self.results["verdict"]["reasons"])

    def fields(self, *, masked: bool) -> set[str]:
        return {one["path"] for one in self.results["fields"] if bool(one["masked"]) == masked}


class Visitors:
    """Who asks. ``here`` people are there at any time, each with a cookie and a connection that is kept; after ``STAY``
    questions another one comes. Together they ask ``per_s`` times a second.
    """

    def __init__(self, address: str, *, here: int, per_s: float, pages: int) -> None:
        self._address = address
        self._pause_s = here / per_s
        self._pages = pages
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._names = itertools.count()
        self._turns = itertools.count()
        self.asked = self.failed = 0
        self._threads = [threading.Thread(target=self._visit, args=(number / per_s,)) for number in range(here)]

    def __enter__(self) -> Self:
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for one in self._threads:
            one.join()

    def _visit(self, later_s: float) -> None:
        due = time.monotonic() + later_s
        while not self._over.is_set():
            link, cookie = HTTPConnection(self._address, timeout=10), f"uid=visitor-{next(self._names):05d}"
            for _ in range(STAY):
                if self._over.wait(max(0.0, due - time.monotonic())):
                    break
                due = max(due + self._pause_s, time.monotonic())
                self._ask(link, cookie)
            link.close()

    def _ask(self, link: HTTPConnection, cookie: str) -> None:
        turn = next(self._turns)
        thread = turn % THREADS + 1
        # Every so many-th question is for the page, the others for the JSON that such a page would load.
        path = f"/thread/{thread}" if self._pages and turn % self._pages == 0 else f"/api/thread/{thread}"
        good = False
        try:
            link.request("GET", path, headers={"Cookie": cookie})
            reply = link.getresponse()
            reply.read()
            good = reply.status == 200
        except (OSError, HTTPException):
            link.close()
        with self._lock:
            self.asked += 1
            self.failed += not good


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """How much is asked: until so many pairs were compared, or so many seconds are over."""

    pairs: int
    per_s: float
    here: int = 20
    pages: int = 4
    limit_s: float = 60.0


def split(
    folder: Path, production: str, dark: str, secondary: str, traffic: Traffic, *words: str, margins: str = ""
) -> Ended:
    """Run the command on everybody's requests until enough pairs are there. ``margins``: its settings file."""
    port = free_port()
    command = [
        *(DARKTIME, "split", "--percent", "100", "--key", "cookie:uid", "--dark-state", "isolated", "--json"),
        *("--production", f"http://{production}", "--dark", f"http://{dark}"),
        *("--listen", f"127.0.0.1:{port}", "--out", str(folder / "run")),
        *("--secondary", f"http://{secondary}", "--compare-per-s", "1000"),
        *words,
    ]
    folder.mkdir(exist_ok=True)
    (folder / "darktime.toml").write_text(margins)
    with _running(command, folder) as running:
        wait_until((folder / "run" / "split.json").exists, timeout_s=30, what="a split that runs")
        state = folder / "run" / "relay.json"

        def compared() -> int:
            told = json.loads(state.read_text()) if state.exists() else {"compared": 0}
            return int(told["compared"]) - int(told.get("calibration", {"pairs": 0})["pairs"])

        with Visitors(f"127.0.0.1:{port}", here=traffic.here, per_s=traffic.per_s, pages=traffic.pages) as visitors:
            wait_until(lambda: compared() >= traffic.pairs, timeout_s=traffic.limit_s, what=f"{traffic.pairs} pairs")
        running.terminate()
        out, said = running.communicate(timeout=40)
    assert out, said
    return Ended(results=json.loads(out), asked=visitors.asked, failed=visitors.failed)


@contextmanager
def _running(command: list[Any], folder: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
