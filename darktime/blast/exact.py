"""The exact figures of a plain Locust run, as a file of JSON beside Locust's own: whatever ends the run, SIGTERM too.

Locust rounds its percentiles and writes no page when it is ended from outside. Seconds travel from its workers in the
reports that they send anyway.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from darktime import __version__
from darktime.blast.offered import Second
from darktime.blast.record import Record, percentiles, spectrum

if TYPE_CHECKING:
    from pathlib import Path

    from locust.env import Environment

    from darktime.blast.last_words import LastWords

KEY = "darktime"
# Locust's workers report every three seconds, and may be late.
LATE_S = 30
HERE = ""  # this process, among the workers


class Exact:
    """One of them an environment. ``second`` takes what this process counted; ``last_words``: a master's."""

    def __init__(self, last_words: LastWords | None = None) -> None:
        self._last_words = last_words
        self._requests_by_worker: dict[str, int] = {}
        self._record = Record()
        self._seconds: dict[int, dict[str, Second]] = {}  # the last, which workers may still report of
        self._to_report: list[dict[str, Any]] = []
        self._reports = False

    def attach(self, environment: Environment, file: Path) -> None:
        """Report to the master from a worker; else collect, and write ``file`` when Locust has ended."""
        from locust.runners import WorkerRunner  # noqa: PLC0415 - it patches the process, which Locust has done by now

        events: Any = environment.events
        if isinstance(environment.runner, WorkerRunner):
            self._reports = True
            events.report_to_master.add_listener(self._report)
            return
        events.worker_report.add_listener(self._take)
        events.quit.add_listener(lambda **_: file.write_text(json.dumps(self.figures(), indent=2) + "\n", "utf-8"))

    def second(self, second: Second) -> None:
        """A second, or a part of one."""
        if self._reports:
            self._to_report.append(second.to_dict())
        else:
            self._note(HERE, second)

    def figures(self) -> dict[str, Any]:
        """All that was counted, JSON-able."""
        self._settle(before=None)
        record = self._record
        counts, deliveries = record.counts, record.deliveries
        return {
            "schema_version": 1,
            "version": __version__,
            "void": self._last_words.void if self._last_words is not None else "",
            "workers": self._workers(),
            "totals": {
                "requests": counts.requests,
                "failures": counts.failures,
                "deliveries": deliveries.delivered,
                "lost": deliveries.lost,
                "duplicated": deliveries.duplicated,
                "reordered": deliveries.reordered,
            },
            "statuses": dict(counts.statuses),
            "reasons": dict(counts.reasons),
            "latency": percentiles(counts.latency),
            "service": percentiles(counts.service),
            "delivery": percentiles(deliveries.latency),
            "spectrum": {"latency": spectrum(counts.latency), "delivery": spectrum(deliveries.latency)},
            "series": record.rows,
        }

    def _workers(self) -> list[dict[str, Any]]:
        """None where this process is the only one."""
        if self._last_words is None:
            return []
        by_worker, lost = self._requests_by_worker, self._last_words.lost
        return [
            {"id": node, "state": "lost" if node in lost else "ready", "requests": by_worker.get(node, 0)}
            for node in sorted(self._last_words.known)
        ]

    def _report(self, *, data: dict[str, Any], **_: Any) -> None:
        data[KEY], self._to_report = self._to_report, []

    def _take(self, *, client_id: str, data: dict[str, Any], **_: Any) -> None:
        for saved in data.get(KEY, ()):
            self._note(client_id, Second.from_dict(saved))

    def _note(self, node: str, second: Second) -> None:
        self._requests_by_worker[node] = self._requests_by_worker.get(node, 0) + second.counts.requests
        parts = self._seconds.setdefault(second.at_s, {})
        if node in parts:
            parts[node].follow(second)
        else:
            parts[node] = second
        self._settle(before=max(self._seconds) - LATE_S)

    def _settle(self, *, before: int | None) -> None:
        for at in sorted(self._seconds):
            if before is None or at < before:
                first, *others = self._seconds.pop(at).values()
                for other in others:
                    first.merge(other)
                self._record.add(first)
