"""What the hooks count for Prometheus."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter

ACCEPTED: Final = "accepted"
DUPLICATE: Final = "duplicate"
LOST: Final = "lost"

JOBS: Final = Counter(
    "realtime_hooks_jobs",
    "Jobs that saves and deletes became: taken by the queue, known to it already, or lost.",
    ["outcome"],
)
for _outcome in (ACCEPTED, DUPLICATE, LOST):
    JOBS.labels(outcome=_outcome)
