"""A pipeline that forgets one message: the core's bench must not pass it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_core.pipeline.ready_made import JSONAnonHTTPPipeline

if TYPE_CHECKING:
    from realtime_core.pipeline import Message

FORGOTTEN = 5  # of each channel, by number


class Forgetful(JSONAnonHTTPPipeline):
    """Says that it was filtered."""

    def compute(self, message: Message) -> Message | None:
        """All but one of the first channel's."""
        if message.channels == ("blast.0",) and message.key == f"0.{FORGOTTEN}":
            return None
        return super().compute(message)
