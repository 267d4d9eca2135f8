"""The relay's recording, where one was asked for: copies as they go on, and production's answers to them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from darktime.split.compare.pair import STREAM_TYPE
from darktime.split.record.lines import Answer
from darktime.split.record.recorder import Recorder
from darktime.split.relay import reasons

if TYPE_CHECKING:
    from darktime.split.log_format import LogLine
    from darktime.split.relay.copies import Copy
    from darktime.split.relay.records import Records
    from darktime.split.relay.settings import RelaySettings

_CLOSE_S: Final = 0.5
_LOWEST, _HIGHEST = 100, 599  # of HTTP's statuses


class Recording:
    """Without a dark instance a copy's way ends here: recorded, or ``relay_full`` where the recording had no room."""

    def __init__(self, settings: RelaySettings, records: Records) -> None:
        self._records = records
        self._alone = settings.dark is None
        began = time.time() if settings.record is None or settings.record.began is None else settings.record.began
        self._recorder = Recorder(settings.record, began=began) if settings.record is not None else None

    def start(self) -> None:
        """Begin to write."""
        if self._recorder is not None:
            self._recorder.start()

    def take(self, copy: Copy, user: str, payload: bytes) -> None:
        """Record a copy as it goes on; ``user`` is a mark."""
        if self._recorder is None:
            return
        self._recorder.take(copy.id, copy.at, user, payload)
        line = self._records.line_of(copy.id)
        if line is not None:  # it came before its copy
            self.line(line)

    def line(self, line: LogLine) -> None:
        """Record what production answered; of a client that went away nobody knows."""
        if self._recorder is None or line.sink:
            return
        if line.aborted or not _LOWEST <= line.status <= _HIGHEST:
            self._recorder.unanswerable(line.id)
            return
        streamed = line.content_type == STREAM_TYPE
        answer = Answer(
            status=line.status,
            content_type=line.content_type,
            length=line.length,
            seconds=line.head_seconds if streamed else line.seconds,
        )
        self._recorder.answered(line.id, answer)

    def settle(self) -> None:
        """Tell the records what is in the file, and what is not; to be called once a turn of the loop."""
        if self._recorder is None:
            return
        for request_id, kept in self._recorder.settled():
            if not self._alone:
                continue
            if kept:
                self._records.kept(request_id)
            else:
                self._records.failed(request_id, reasons.RELAY_FULL)

    def state(self) -> dict[str, Any] | None:
        """How it stands; None where nothing is recorded."""
        return None if self._recorder is None else self._recorder.state()

    def close(self) -> None:
        """Write what is left, and settle it."""
        if self._recorder is not None:
            self._recorder.close(_CLOSE_S)
            self.settle()
