"""What became of one event at one box. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from realtime_core.quick_values import quickly_made

# Reasons why a box did not take an event: the closed list that the ledger's hops to the boxes use.
REFUSED: Final = "refused"  # no connection: refused, unreachable, a name that does not resolve
TIMEOUT: Final = "timeout"  # no answer in time; the box may have taken it all the same
RESET: Final = "reset"  # the connection ended, or what came was no HTTP; it may have been taken all the same
TOO_BIG: Final = "too_big"  # longer than this box takes; never sent
BREAKER_OPEN: Final = "breaker_open"  # not tried: the box failed again and again a moment ago
SHED: Final = "shed"  # not tried: the bounded line before a best-effort box was full, or the worker ended
UNSEEN: Final = "unseen"  # a box took it, and the canary did not see it in time
_CLIENT_ERROR: Final = 4


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Accepted, or the reason why not.

    Attributes:
        reason: one of the words above, or ``status_4xx``, ``status_5xx`` and so on; None when accepted.
        subscribers: how many the box said it had, None where it did not say.
        status: the HTTP status, None where there was no reply.
        explain: what the box said about it, in its ``X-Nginx-PushStream-Explain``; or by how much it is too big.
    """

    accepted: bool
    reason: str | None = None
    subscribers: int | None = None
    status: int | None = None
    explain: str | None = None

    @property
    def temporary(self) -> bool:
        """Whether another attempt may succeed: not after an answer other than 5xx, nor for what is too big."""
        if self.accepted or self.reason == TOO_BIG:
            return False
        return self.status is None or self.status // 100 > _CLIENT_ERROR

    def __str__(self) -> str:
        if self.accepted:
            return "accepted"
        detail = " ".join(str(part) for part in (self.status, self.explain) if part is not None)
        return f"{self.reason} ({detail})" if detail else str(self.reason)


def failed(reason: str) -> Outcome:
    """Not accepted, for a reason of ours."""
    return Outcome(accepted=False, reason=reason)
