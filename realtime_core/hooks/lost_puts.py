"""Puts that were acknowledged and are gone, as after a failover: told by the ledger, since the queue itself has no memory of them.

Producers count what the queue took, workers what they settled, and both write their accounts again where Redis lost them.
What was taken, is not settled, and is not in the queue either has been lost with a server's last writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from realtime_core.hooks.books import HOP_OUT
from realtime_core.ledger import balance, read

if TYPE_CHECKING:
    from redis import Redis

    from realtime_core.ledger import HopBalance
    from realtime_core.queue import Queue


@dataclass(frozen=True, slots=True, kw_only=True)
class LostPuts:
    """What a look found.

    Attributes:
        ids: jobs that a producer was told the queue had taken, and that are nowhere. Those retracted by hand are among them.
        unnamed: jobs that nobody has settled and whose ids nobody kept: they may be in the queue.
        open_producers: producers and workers whose accounts are open, with when they last wrote: what those did since is
            not known.
    """

    ids: tuple[str, ...]
    unnamed: int
    open_producers: tuple[str, ...]


def lost_puts(queue: Queue, ledger: Redis, name: str) -> LostPuts:
    """Look for them; ``ledger`` and ``name`` are where producers and workers of this queue count.

    It looks at the ledger twice, and at the queue in between: a job that is settled meanwhile is none of them.
    """
    before = _owed(ledger, name)
    ids = [item.id for item in before.missing if item.id is not None] if before else []
    gone = {id_ for id_, there in zip(ids, queue.holds(ids), strict=True) if not there}
    after = _owed(ledger, name) if gone else before
    if after is None:
        return LostPuts(ids=(), unnamed=0, open_producers=())
    return LostPuts(
        ids=tuple(sorted(item.id for item in after.missing if item.id in gone)),
        unnamed=after.undecoded + sum(1 for item in after.missing if item.id is None),
        open_producers=after.open_owners,
    )


def _owed(ledger: Redis, name: str) -> HopBalance | None:
    return next((hop for hop in balance(read(ledger, name)) if hop.hop == HOP_OUT), None)
