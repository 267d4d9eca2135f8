"""Writes the times of a run into its folder as HdrHistogram logs, an interval a second, while it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darktime.blast.hdr import Interval, line, opening
from darktime.blast.record import latency_of

if TYPE_CHECKING:
    from pathlib import Path

    from darktime.blast.offered import Second

LATENCY, SERVICE = "latency.hlog", "service.hlog"


class TimeLog:
    """``add`` every second in order; a run that is killed leaves whole seconds behind.

    ``latency.hlog`` holds what the run is about, from the planned time: of deliveries where there are streams that
    listen, else of replies. ``service.hlog`` holds replies from the moment they were sent for. Writing raises OSError.
    """

    def __init__(self, folder: Path) -> None:
        self._latency, self._service = ((folder / name).open("w", encoding="ascii") for name in (LATENCY, SERVICE))
        self._began_s: int | None = None

    def add(self, second: Second) -> None:
        """Take one second of all workers."""
        if self._began_s is None:
            self._began_s = second.at_s
            for file in (self._latency, self._service):
                file.write(opening(second.at_s))
        for file, histogram in ((self._latency, latency_of(second)), (self._service, second.counts.service)):
            file.write(line(Interval(histogram=histogram, start_s=second.at_s - self._began_s, length_s=1.0)))
            file.flush()

    def close(self) -> None:
        """End both files."""
        self._latency.close()
        self._service.close()
