"""How a claim ends, and what came of saying so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from realtime_core.queue.job import Claim


@dataclass(frozen=True, slots=True)
class Finish:
    """The job is done."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class Cancel:
    """The attempt failed: another one later, or stalled if it was the last.

    Attributes:
        delay_s: seconds until then; without it the queue backs off, longer each attempt.
    """

    claim: Claim
    reason: str
    delay_s: float | None = None


@dataclass(frozen=True, slots=True)
class Stall:
    """No attempt can succeed: kept aside with its reason until somebody retries or retracts it."""

    claim: Claim
    reason: str


Verdict: TypeAlias = Finish | Cancel | Stall


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What a settlement did.

    Attributes:
        done: verdicts that were carried out.
        stale: ids whose token was no longer theirs; nothing of them changed.
    """

    done: int
    stale: tuple[str, ...]
