"""How a claim ends, and what came of saying so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from realtime_core.errors import ConfigurationError, QueueError
from realtime_core.quick_values import quickly_made

if TYPE_CHECKING:
    from realtime_core.queue.job import Claim


MAX_RESULT_BYTES: Final = 16_384


@quickly_made
@dataclass(frozen=True, slots=True)
class Finish:
    """The job is done.

    Attributes:
        result: what ``Queue.result`` answers who waits for it, for a while; 16 KiB at most.
    """

    claim: Claim
    result: bytes | None = None


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


@dataclass(frozen=True, slots=True)
class GiveBack:
    """The worker ends before it could try: the job goes back to where it was, and the attempt is not charged.

    With a key that is the place of its put; without one the head of the line, those of a settlement in their order.
    """

    claim: Claim


Verdict: TypeAlias = Finish | Cancel | Stall | GiveBack


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What a settlement did.

    Attributes:
        done: verdicts that were carried out.
        stale: ids whose token was no longer theirs; nothing of them changed.
    """

    done: int
    stale: tuple[str, ...]


class SettledAlone(QueueError):  # noqa: N818
    """Jobs were settled, and a command that was to be carried out with that was not. ``settled`` says what was."""

    def __init__(self, message: str, *, settled: Settled) -> None:
        super().__init__(message)
        self.settled = settled


def check_result(id_: str, result: object) -> None:
    """Refuse a result that no script could keep. Not when the verdict is made: that would cost every one of them.

    Raises:
        ConfigurationError: it is too long, or no bytes.
    """
    if not isinstance(result, bytes):
        raise ConfigurationError(f"result of {id_}: it is {type(result).__name__}, encode it to bytes")
    if len(result) > MAX_RESULT_BYTES:
        raise ConfigurationError(
            f"result of {id_}: {len(result):,} bytes, the limit is {MAX_RESULT_BYTES:,}: "
            "store it elsewhere and leave a reference"
        )
