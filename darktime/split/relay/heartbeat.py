"""The relay's heartbeat: when its loop turned last. The state is written by another thread, so it says nothing of the loop."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Heartbeat:
    """``turned``: the last turn; ``calling``: since when the loop waits for the user's own function, None: it does not.

    Both by the monotonic clock, which all processes of a machine share.
    """

    def __init__(self) -> None:
        self.turned = time.monotonic()
        self.calling: float | None = None

    @contextmanager
    def call(self) -> Iterator[None]:
        """Something that is not ours is called, and may never return."""
        self.calling = time.monotonic()
        try:
            yield
        finally:
            self.calling = None

    def told(self) -> dict[str, Any]:
        """For the state."""
        return {"turned": self.turned, "calling": self.calling}
