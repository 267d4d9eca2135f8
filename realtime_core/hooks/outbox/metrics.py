"""What a relay shows Prometheus."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge

PUT: Final = "put"
DUPLICATE: Final = "duplicate"
REFUSED: Final = "refused"
DATABASE: Final = "database"
REDIS: Final = "redis"
QUEUE_FULL: Final = "queue_full"
OTHER: Final = "other"

ROWS: Final = Counter(
    "realtime_outbox_rows",
    "Rows that left the outbox: put into the queue, known to it already, or set aside because they are no job.",
    ["outcome"],
)
FAILURES: Final = Counter(
    "realtime_outbox_failures", "Turns of the relay that ended in an error, by its reason.", ["reason"]
)
WAITING: Final = Gauge("realtime_outbox_waiting_rows", "Rows that wait to be put, counted up to 100,000.")
OLDEST: Final = Gauge("realtime_outbox_oldest_seconds", "Age of the oldest event that waits, by the relay's clock.")
BUSY: Final = Counter("realtime_outbox_busy", "Partitions that another relay held when this one came.")
for _outcome in (PUT, DUPLICATE, REFUSED):
    ROWS.labels(outcome=_outcome)
for _reason in (DATABASE, REDIS, QUEUE_FULL, OTHER):
    FAILURES.labels(reason=_reason)
