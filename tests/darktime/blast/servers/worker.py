"""One worker with a queue: what it does follows a schedule, not how late the process wakes up."""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.darktime.blast.servers.loop import Loop

Job = TypeVar("Job")


class Worker(Generic[Job]):
    """Does jobs one at a time in their order.

    Each job's time is asked for when it begins, with the length of the queue behind it. It ends at its planned time:
    the next begins then, however late this process noticed, so the capacity is exactly what the times say.

    Attributes:
        queue: (when it came, job) of those that wait.
        busy: whether a job is being done.
    """

    def __init__(
        self, loop: Loop, *, time_of: Callable[[Job, int], float], done: Callable[[Job, float, float], None]
    ) -> None:
        """``time_of``: seconds for a job; ``done``: told of the job, when it came and when it began."""
        self.queue: deque[tuple[float, Job]] = deque()
        self.busy = False
        self.longest = 0
        self._loop = loop
        self._time_of = time_of
        self._done = done

    def add(self, job: Job) -> None:
        """Queue a job."""
        now = monotonic()
        if self.busy:
            self.queue.append((now, job))
            self.longest = max(self.longest, len(self.queue))
        else:
            self._begin(now, now, job)

    def _begin(self, at: float, came: float, job: Job) -> None:
        self.busy = True
        end = at + self._time_of(job, len(self.queue))
        self._loop.at(end, self._ended, end, came, at, job)

    def _ended(self, end: float, came: float, began: float, job: Job) -> None:
        if self.queue:
            next_came, following = self.queue.popleft()
            self._begin(end, next_came, following)
        else:
            self.busy = False
        self._done(job, came, began)
