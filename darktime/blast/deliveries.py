"""What the streams of a cohort counted: events in order, lost, doubled, out of order, late, and their times."""

from __future__ import annotations

from dataclasses import dataclass, field

from darktime.blast.histogram import Histogram
from darktime.blast.sums import Sums


@dataclass(slots=True)
class Deliveries(Sums):
    """Grows while events are read. ``latency`` runs from the planned time of the publish to the reading."""

    delivered: int = 0  # each event once a subscriber
    duplicated: int = 0
    reordered: int = 0  # arrived after one that was published later; delivered all the same
    replayed: int = 0  # arrived after a reconnect, having been published before it
    lost: int = 0
    late: int = 0  # arrived after it had been counted as lost
    comments: int = 0  # keep-alive lines
    bytes: int = 0
    streams_opened: int = 0
    streams_ended: int = 0  # streams that the instance ended or refused
    completed: int = 0  # streams that end by themselves and did so whole
    errors_of_ours: int = 0
    checked: int = 0  # events that the exact parser read too
    differed: int = 0  # ... and that the two readers did not agree on: the run is void
    reasons: dict[str, int] = field(default_factory=dict)  # why streams ended
    latency: Histogram = field(default_factory=Histogram)
    spread: Histogram = field(default_factory=Histogram)  # of one event: first to last subscriber
    connect: Histogram = field(default_factory=Histogram)  # until the stream's head had arrived
    reconnect: Histogram = field(default_factory=Histogram)  # from the cut until it was served again
    first_event: Histogram = field(default_factory=Histogram)  # from the planned time of the stream's request
    between: Histogram = field(default_factory=Histogram)  # from one event of a stream to the next
