"""Who is told what became of each copy that went out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from darktime.split.compare import Side
    from darktime.wire.eventsource import ServerEvent
    from darktime.wire.http1 import Reply


class Outcomes(Protocol):
    """Told by ``Dark``, of each copy by its id."""

    def wanted(self, request_id: str) -> bool: ...  # noqa: D102
    def ended(self, request_id: str) -> bool: ...  # noqa: D102
    def streaming(self, request_id: str) -> None: ...  # noqa: D102
    def lasting(self, request_id: str) -> None: ...  # noqa: D102
    def replied(self, request_id: str, dark: Side, now: float) -> None: ...  # noqa: D102
    def failed(self, request_id: str, reason: str) -> None: ...  # noqa: D102
    def events(self, request_id: str, events: list[ServerEvent]) -> None: ...  # noqa: D102
    def body_bytes(self, request_id: str) -> int: ...  # noqa: D102 - how much of the body is kept; 0: nothing
    def answered(self, request_id: str, reply: Reply) -> None: ...  # noqa: D102 - only where something is kept
