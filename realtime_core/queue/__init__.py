"""The job queue on Redis: claims with leases and tokens, settled in batches, each job accounted for. No gevent."""

from realtime_core.queue.job import MAX_BODY_BYTES, Claim, Job
from realtime_core.queue.listener import Listener, Notice
from realtime_core.queue.queue import MAX_BATCH, Queue
from realtime_core.queue.renewal import Renewal
from realtime_core.queue.state import Audit, Counts, Failure, SeenJob, StalledJob
from realtime_core.queue.verdict import Cancel, Finish, GiveBack, Settled, SettledAlone, Stall, Verdict

__all__ = [
    "MAX_BATCH",
    "MAX_BODY_BYTES",
    "Audit",
    "Cancel",
    "Claim",
    "Counts",
    "Failure",
    "Finish",
    "GiveBack",
    "Job",
    "Listener",
    "Notice",
    "Queue",
    "Renewal",
    "SeenJob",
    "Settled",
    "SettledAlone",
    "Stall",
    "StalledJob",
    "Verdict",
]
