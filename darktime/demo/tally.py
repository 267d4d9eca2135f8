"""What the visitors did and saw, counted in one place and shown to whoever reads the state file."""

from __future__ import annotations

import json
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from darktime.demo.reading import Arrival
    from realtime_core.ledger import Ledger

KEPT_ERRORS = 5
KEPT_LATENCIES = 20_000


class Tally:
    """Counters of one process of visitors; each delivery is also a -1 in the ledger."""

    def __init__(self, ledger: Ledger, hop: str | None) -> None:
        self._ledger = ledger
        self._hop = hop
        self.streams = 0
        self.requests = 0
        self.asked: Counter[str] = Counter()  # by route: what production must have seen, once each
        self.errors = 0
        self.broken_streams = 0
        self.created = self.edited = self.deleted = 0
        self.deliveries = 0
        self.samples: deque[str] = deque(maxlen=KEPT_ERRORS)
        self._latencies_ms: deque[float] = deque(maxlen=KEPT_LATENCIES)

    def delivered(self, event: Arrival) -> None:
        """One event reached one visitor."""
        self.deliveries += 1
        self._latencies_ms.append((time.time() - event.at) * 1000)
        if self._hop:
            self._ledger.received(self._hop, [event.name], event.at)

    def request_failed(self, what: str) -> None:
        """A production request that a visitor did not get answered."""
        self.errors += 1
        self.samples.append(what)

    def stream_failed(self, what: str) -> None:
        """A production stream that broke off."""
        self.broken_streams += 1
        self.samples.append(what)

    def snapshot(self) -> dict[str, Any]:
        """The counters as they stand. Latency is from the save to the visitor, in milliseconds."""
        ordered = sorted(self._latencies_ms)
        return {
            "streams": self.streams,
            "requests": self.requests,
            "asked": dict(self.asked),
            "errors": self.errors,
            "broken_streams": self.broken_streams,
            "comments": {"created": self.created, "edited": self.edited, "deleted": self.deleted},
            "deliveries": self.deliveries,
            "samples": list(self.samples),
            "latency_ms": {f"p{share}": ordered[len(ordered) * share // 100] for share in (50, 95, 99)}
            if ordered
            else {},
        }


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write the state whole or not at all."""
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(state))
    draft.replace(path)
