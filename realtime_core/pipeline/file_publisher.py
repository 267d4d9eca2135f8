"""The publishing mixin that appends events to a file, one line each: for records, and for trying a pipeline out."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any, Final

from realtime_core.errors import ConfigurationError
from realtime_core.pipeline.pipeline import Pipeline
from realtime_core.publish import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime_core.publish import Event

log = logging.getLogger(__name__)
TARGET: Final = "file"


class FilePublisher(Pipeline):
    """Appends to the file that the setting ``file=PATH`` names, private (0600) where it is new.

    A batch is one write. After one that failed half-way the next begins on a line of its own. What was written is the
    kernel's; a machine that loses power may lose the last seconds of it.
    """

    def __init__(self, **given: Any) -> None:
        """Open the file.

        Raises:
            ConfigurationError: no file was named, or it cannot be written.
        """
        super().__init__(**given)
        path = self.setting("file")
        if not path:
            raise ConfigurationError(f"{type(self).__name__} writes to no file: name one with file=PATH")
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(f"file {path}: {error.strerror}: name one that can be written") from error
        self._torn = False

    def publish(self, events: Sequence[Event]) -> dict[str, list[Outcome]]:
        """Append a batch; all of it was written, or none counts as accepted."""
        outcomes = super().publish(events)
        block = b"".join([event.line + b"\n" for event in events])
        if self._torn:
            block = b"\n" + block
        try:
            self._torn = os.write(self._file, block) < len(block)
        except OSError as error:
            log.warning("%d events were not written: %s", len(events), error)
            return outcomes | {TARGET: [Outcome(accepted=False, reason="refused")] * len(events)}
        reason = "reset" if self._torn else None
        return outcomes | {TARGET: [Outcome(accepted=not self._torn, reason=reason)] * len(events)}

    def close(self, timeout_s: float) -> None:
        """Close the file."""
        super().close(timeout_s)
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
