"""In place of the way to a dark instance where there is none: copies are recorded, and nothing is sent anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from darktime.split.relay.copies import Copy


class Nowhere:
    """As ``Dark`` is spoken to. A copy waits in the records until the recorder says what became of it."""

    def submit(self, copy: Copy, payload: bytes, user: str, now: float) -> None:
        """Send nothing."""

    def end(self, request_id: str, now: float, *, aborted: bool) -> None:
        """Nothing was begun."""

    def ready(self, fd: int, mask: int, now: float) -> bool:  # noqa: ARG002 - as of the other way
        """No descriptor is ours."""
        return False

    def holds(self, request_id: str) -> bool:  # noqa: ARG002
        """No stream is held."""
        return False

    def sweep(self, now: float) -> None:
        """Nothing takes too long."""

    def let_all_go(self, now: float) -> bool:  # noqa: ARG002
        """Nothing is held."""
        return True

    def told(self) -> dict[str, Any]:
        """What an empty dark side tells."""
        sums = ("queued", "in_flight", "lasting", "streams", "streams_cut", "breaker_trips")
        return {**dict.fromkeys(sums, 0), "breaker": None, "instances": []}

    def close(self) -> None:
        """Nothing is open."""
