"""Slow readers read as many bytes a second as they may, however few, and make nothing up in a burst."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.blast.deliveries import Deliveries
from darktime.blast.harm import harm
from darktime.blast.slow_readers import ALLOWANCE_S, SlowReaders

pytestmark = pytest.mark.quiet

SAMPLE = Path(__file__).parents[1] / "report" / "samples" / "blast-scenario.json"


def reader(bytes_per_s):
    slow = SlowReaders()
    slow.choose([], 0, bytes_per_s, 0.0, rather_not=())
    return slow


@pytest.mark.parametrize("bytes_per_s", [0.5, 1.0, 4.0, 19.0, 400.0])
def test_fractions_of_a_byte_are_kept(bytes_per_s):
    slow = reader(bytes_per_s)
    read = sum(slow.allowance(at / 10) for at in range(1, 601))
    assert read == pytest.approx(60 * bytes_per_s, abs=1)


@given(st.floats(0.1, 1e6), st.lists(st.floats(0, 30), min_size=1, max_size=50))
def test_no_more_is_ever_read_at_once_than_the_allowance(bytes_per_s, waits):
    slow, now, read = reader(bytes_per_s), 0.0, 0
    for wait in waits:
        now += wait
        part = slow.allowance(now)
        assert part <= bytes_per_s * ALLOWANCE_S + 1
        read += part
    assert read <= now * bytes_per_s + 1


def heard(*seconds, lost=0):
    deliveries = Deliveries(lost=lost)
    deliveries.latency.add_seconds(list(seconds))
    return deliveries


FAST = [0.01] * 1000


@pytest.mark.parametrize(
    ("before", "after", "ok"),
    [
        (heard(*FAST), heard(*FAST), True),
        (heard(*FAST), heard(*[0.018] * 1000), True),
        (heard(*FAST), heard(*[0.01] * 900, *[0.2] * 100), False),
        (heard(*FAST), heard(*FAST, lost=1), False),
        (heard(*FAST, lost=2), heard(*FAST, lost=2), True),
        (heard(*FAST), heard(*[0.01] * 990, *[0.2] * 10), None),
        (heard(*[0.01] * 20), heard(*FAST), None),
    ],
    ids=["the same", "within the limit", "slower", "lost", "lost as before", "as many as chance may be", "too few"],
)
def test_harm_is_told_from_chance(before, after, ok):
    assert harm([before, after], limit_ms=10.0)[0].ok is ok


def test_the_reports_are_tested_with_the_findings_that_are_made():
    sample = json.loads(SAMPLE.read_text(encoding="utf-8"))
    made = harm([heard(*FAST), heard(*FAST)], limit_ms=10.0)
    assert [finding["name"] for finding in sample["findings"]] == [finding.name for finding in made]
