"""Side by side: the jobs that a worker has computed go to another pipeline too, in a process of its own, and are compared.

The worker hands over bytes and never waits: what does not fit into the line is shed, and counted. The other process may
hang, die or use up its core; the worker's jobs do not notice. What it was told and did not answer is counted as lost.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import gevent
import orjson
from gevent import subprocess
from gevent.event import Event as Flag
from prometheus_client import Counter

from realtime_core.pipeline.difference import MORE, Tally
from realtime_core.pipeline.dry import PUBLISHED, told
from realtime_core.pipeline.reports import report_of, write_private

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from prometheus_client import CollectorRegistry

    from realtime_core.pipeline.batch import Item

log = logging.getLogger(__name__)
MODULE: Final = "realtime_core.pipeline.shadow"
LINE_BYTES: Final = 8_388_608
UNANSWERED: Final = 4_096  # jobs that the other process may have at a time
STARTS: Final = 5
WITHIN_S: Final = 300.0
FIRST_PAUSE_S: Final = 0.5
ANSWER_S: Final = 10.0
WRITE_EVERY_S: Final = 5.0
MAX_LABELS: Final = 50


class Beside:
    """One worker's comparison with another pipeline; ``close`` it at the end.

    Attributes:
        tally: what came of it so far.
    """

    def __init__(
        self,
        first: str,
        beside: str,
        *,
        settings: Sequence[str] = (),
        report: Path | None = None,
        registry: CollectorRegistry | None = None,
        line_bytes: int = LINE_BYTES,
        answer_s: float = ANSWER_S,
    ) -> None:
        """Start the other process.

        Args:
            first: what runs, for the report.
            beside: what is compared with it, as ``pipeline_class`` takes it.
            settings: ``NAME=VALUE`` of the other one.
            report: where the JSON report goes, every five seconds and at the end.
            registry: where counts are exported.
            line_bytes: most bytes that wait for the other process.
            answer_s: a process that does not answer for so long is ended, and started again.
        """
        self.tally = Tally()
        self._first = first
        self._beside = beside
        self._argv = [
            sys.executable,
            "-P",
            "-m",
            MODULE,
            beside,
            *(word for one in settings for word in ("--set", one)),
        ]
        self._report = report
        self._limit = line_bytes
        self._answer_s = answer_s
        self._line: deque[tuple[int, bytes]] = deque()
        self._waiting_bytes = 0
        self._unanswered: deque[int] = deque()
        self._filled = Flag()
        self._answered = Flag()
        self._ending = False
        self._starts: deque[float] = deque(maxlen=STARTS)
        self._process: Any = None
        self._jobs = self._fields = None
        if registry is not None:
            self._jobs = Counter(
                "realtime_pipeline_beside_jobs", "Jobs by what their comparison came to.", ["result"], registry=registry
            )
            self._fields = Counter(
                "realtime_pipeline_beside_differences", "Jobs in which a field differed.", ["field"], registry=registry
            )
        self._labels: set[str] = set()
        self._greenlets = [gevent.spawn(self._run), gevent.spawn(self._write_now_and_then)]

    def offer(self, items: Sequence[Item]) -> None:
        """Give a batch that has been computed. Never waits, never raises."""
        self._count("offered", len(items))
        if self._waiting_bytes >= self._limit or self._ending:
            self._count("shed", len(items))
            return
        try:
            line = orjson.dumps([_said(item) for item in items]) + b"\n"
        except Exception as error:  # noqa: BLE001 - the first pipeline's jobs go on whatever is in them
            log.warning("a batch could not be given to %s: %s", self._beside, error)
            self._count("skipped", len(items))
            return
        self._line.append((len(items), line))
        self._waiting_bytes += len(line)
        self._filled.set()

    def close(self, timeout_s: float) -> None:
        """Wait for the answers ``timeout_s`` at the most, end the process, write the report."""
        until = time.monotonic() + timeout_s
        self._ending = True
        while (self._line or self._unanswered) and time.monotonic() < until and not self._greenlets[0].dead:
            gevent.sleep(0.01)
        gevent.killall(self._greenlets)
        self._end_process()
        self._count("shed", sum(jobs for jobs, _ in self._line))
        self._line.clear()
        self.write()

    def write(self) -> None:
        """Write the report, whole or not at all, private."""
        if self._report is None:
            return
        try:
            write_private(self._report, report_of(self._first, self._beside, self.tally))
        except OSError as error:
            log.warning("the report %s was not written: %s", self._report, error)

    def _count(self, what: str, times: int) -> None:
        self.tally.count(what, times)
        if self._jobs is not None and times:
            self._jobs.labels(what).inc(times)

    def _run(self) -> None:
        while True:
            if len(self._starts) == STARTS and time.monotonic() - self._starts[0] < WITHIN_S:
                log.error("%s ended %d times: it is compared with no longer", self._beside, STARTS)
                self._ending = True
                return
            self._starts.append(time.monotonic())
            try:
                self._feed()
            except OSError as error:
                log.warning("%s: %s", self._beside, error)
            self._end_process()
            wait_s = pause_s(self._starts, time.monotonic())
            log.warning("%s has ended, and starts again in %.2f s", self._beside, wait_s)
            gevent.sleep(wait_s)

    def _feed(self) -> None:
        """Feed one life of the process, until it dies or does not answer."""
        self._process = subprocess.Popen(self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        reading = gevent.spawn(self._read, self._process.stdout)
        reading.link(lambda _: self._answered.set())  # a process that has died answers nothing more
        try:
            while not reading.dead:
                if not self._line or sum(self._unanswered) >= UNANSWERED:
                    self._filled.clear()
                    self._answered.clear()
                    if self._unanswered and not self._answered.wait(self._answer_s):
                        log.warning("%s does not answer", self._beside)
                        return
                    if not self._unanswered:
                        self._filled.wait(1.0)
                    continue
                jobs, line = self._line.popleft()
                self._waiting_bytes -= len(line)
                self._unanswered.append(jobs)
                with gevent.Timeout(self._answer_s, TimeoutError(f"it does not read within {self._answer_s:g} s")):
                    self._process.stdin.write(line)
                    self._process.stdin.flush()
        finally:
            reading.kill()

    def _read(self, lines: Any) -> None:
        for line in lines:
            answer = orjson.loads(line)
            if not self._unanswered:
                return
            self._unanswered.popleft()
            self.tally.merge(answer)
            for what in ("compared", "same", "different"):
                if self._jobs is not None:
                    self._jobs.labels(what).inc(answer["jobs"][what])
            for field in answer["fields"]:
                self._count_field(field["path"], field["times"])
            self._answered.set()

    def _count_field(self, path: str, times: int) -> None:
        if self._fields is None:
            return
        if path not in self._labels and len(self._labels) >= MAX_LABELS:
            path = MORE
        self._labels.add(path)
        self._fields.labels(path).inc(times)

    def _end_process(self) -> None:
        self._count("lost", sum(self._unanswered))
        self._unanswered.clear()
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            try:
                pipe.close()
            except OSError:  # what it had not read
                log.debug("%s left something unread", self._beside)

    def _write_now_and_then(self) -> None:
        while True:
            gevent.sleep(WRITE_EVERY_S)
            self.write()


def pause_s(starts: Iterable[float], now: float) -> float:
    """How long to wait before another start: it doubles with each of the last minutes. Pure."""
    return FIRST_PAUSE_S * 2.0 ** max(0, sum(now - start < WITHIN_S for start in starts) - 1)


def _said(item: Item) -> list[Any]:
    """A job and what the first pipeline made of it; bytes travel as Latin-1, one character each."""
    claim = item.claim
    fate = item.fate or PUBLISHED
    made = told(item.message) if fate == PUBLISHED and item.message is not None else None
    return [claim.id, claim.key, claim.body.decode("latin-1"), fate, made]
