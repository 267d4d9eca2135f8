"""One settlement: the verdicts on a batch and the counts that go with them, carried out once however often it is tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_core.queue import Settled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime_core.pipeline.accounts import Accounts
    from realtime_core.pipeline.message import Message
    from realtime_core.queue import Claim, Queue, Verdict


class Settlement:
    """For who holds the worker's lock on settlements."""

    def __init__(
        self,
        queue: Queue,
        accounts: Accounts,
        verdicts: Sequence[Verdict],
        ending: Sequence[tuple[Claim, Message | None]],
    ) -> None:
        """Take it down; nothing is sent or counted.

        Args:
            queue: whose jobs.
            accounts: written in the same transaction.
            verdicts: all of them.
            ending: the jobs that leave the queue for good with these.
        """
        self._queue = queue
        self._accounts = accounts
        self._verdicts = verdicts
        self._ending = ending
        self._told = False

    def carry_out(self) -> Settled:
        """One try, or the answer to an earlier one that was lost.

        Raises redis-py's error if Redis fails: then nobody knows whether it was carried out, and it is to be tried again.
        """
        if not self._told:
            self._accounts.ended(self._ending)
            self._told = True
        elif self._accounts.carried_out():
            return Settled(done=len(self._verdicts), stale=())
        return self._accounts.settle(self._queue, self._verdicts)
