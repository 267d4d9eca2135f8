"""What the streams of a cohort counted: events in order, lost, doubled, out of order, late, and their times."""

from __future__ import annotations

from dataclasses import dataclass, field

from darktime.blast.histogram import Histogram
from darktime.blast.sums import Sums


@dataclass(slots=True)
class Deliveries(Sums):
    """Grows while events are read. ``latency`` runs from the planned time of the publish to the reading."""

    delivered: int = 0  # each event once a subscriber that reads as fast as it can
    duplicated: int = 0
    reordered: int = 0  # arrived after one that was published later; delivered all the same
    from_others: int = 0  # of the delivered: published by another process, whose clock may be another machine's
    replayed: int = 0  # arrived after a reconnect, having been published before it
    lost: int = 0
    unreplayed: int = 0  # of the lost: published between the end of a stream and its reconnect
    late: int = 0  # arrived after it had been counted as lost
    misrouted: int = 0  # of another channel than was asked for
    clock_skew: int = 0  # arrived before they were planned, by the two clocks; their latency counts as 0
    comments: int = 0  # keep-alive lines
    bytes: int = 0
    reads: int = 0
    backlog_reads: int = 0  # reads that filled the buffer: more lay waiting in the kernel
    streams_opened: int = 0
    streams_ended: int = 0  # streams that the instance ended or refused
    streams_cut: int = 0  # streams that were closed from here, to see them come back
    slow_delivered: int = 0  # to subscribers that read slowly on purpose
    slow_behind: int = 0  # what those had not read when the account was closed
    completed: int = 0  # streams that end by themselves and did so whole
    cut_off: int = 0  # ... that ended in the middle
    streams_refused: int = 0  # ... that were answered with something else
    good: int = 0  # ... that completed with every event in time
    errors_of_ours: int = 0
    checked: int = 0  # events that the exact parser read too
    differed: int = 0  # ... and that the two readers did not agree on: the run is void
    reasons: dict[str, int] = field(default_factory=dict)  # why streams ended
    turned_away: dict[str, int] = field(default_factory=dict)  # why those that never were served did; statuses apart
    latency: Histogram = field(default_factory=Histogram)  # of what was delivered and not replayed
    slow_latency: Histogram = field(default_factory=Histogram)  # of what was delivered to slow readers
    spread: Histogram = field(default_factory=Histogram)  # of one event: first to last subscriber
    connect: Histogram = field(default_factory=Histogram)  # until the stream's head had arrived
    reconnect: Histogram = field(default_factory=Histogram)  # from the cut until it was served again
    first_event: Histogram = field(default_factory=Histogram)  # from the planned time of the stream's request
    between: Histogram = field(default_factory=Histogram)  # from one event of a stream to the next
    events_a_stream: Histogram = field(default_factory=Histogram)  # of those that completed; events, not µs
