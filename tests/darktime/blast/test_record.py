"""A run of hours needs no more memory than one of minutes, and says the same of all its seconds."""

import pytest

from darktime.blast.counts import Counts
from darktime.blast.offered import Second
from darktime.blast.record import FIRST_S, RECENT_S, Record


def second(at_s, mean_ms):
    counts = Counts(requests=10)
    counts.latency.add(mean_ms * 1000, 10)
    return Second(at_s=at_s, planned=10, counts=counts)


def test_of_a_long_run_only_the_first_and_the_last_seconds_are_kept_whole_and_all_are_counted():
    record = Record()
    for at in range(1000, 1300):
        record.add(second(at, 1 + at % 5))
    assert (len(record.recent), len(record.first)) == (RECENT_S, FIRST_S)
    assert record.recent[-1].at_s == 1299
    assert (record.planned, record.counts.requests, record.counts.latency.count) == (3000, 3000, 3000)
    assert len(record.means) == len(record.rows) == 300
    assert record.means[7] == (1007, pytest.approx(3000))
