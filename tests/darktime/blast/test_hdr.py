from __future__ import annotations

import base64
import random
import struct
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darktime.blast.hdr import Interval, encoded, hlog
from darktime.blast.histogram import Histogram

if TYPE_CHECKING:
    from pathlib import Path

TIMES = st.lists(st.tuples(st.integers(0, 2**34), st.integers(1, 10**9)), max_size=60)


def histogram_of(times: list[tuple[int, int]]) -> Histogram:
    histogram = Histogram()
    for value_us, how_often in times:
        histogram.add(value_us, how_often)
    return histogram


def decoded(text: str) -> list[int]:
    """The counts in a V2 payload, read as its specification says and by nothing that wrote it."""
    raw = base64.b64decode(text)
    cookie, length = struct.unpack(">ii", raw[:8])
    assert cookie == 0x1C849314
    assert length == len(raw) - 8
    body = zlib.decompress(raw[8:])
    cookie, length, offset, digits, lowest, _, ratio = struct.unpack(">iiiiqqd", body[:40])
    assert (cookie, length, offset, digits, lowest, ratio) == (0x1C849313, len(body) - 40, 0, 3, 1, 1.0)
    counts: list[int] = []
    at = 40
    while at < len(body):
        value = shift = 0
        while True:
            byte = body[at]
            at += 1
            value |= (byte if shift == 56 else byte & 0x7F) << shift
            if shift == 56 or not byte & 0x80:
                break
            shift += 7
        number = (value >> 1) ^ -(value & 1)
        counts += [0] * -number if number < 0 else [number]
    return counts


@settings(deadline=None)
@given(TIMES)
def test_every_count_stands_in_the_bucket_that_an_hdrhistogram_of_three_digits_has_for_it(
    times: list[tuple[int, int]],
) -> None:
    counts = decoded(encoded(histogram_of(times)))
    expected = [0] * len(counts)
    longest = max((value for value, _ in times), default=0)
    for value, how_often in times:
        of = longest if value >= 2**32 else value  # what overflowed is known by its maximum only
        bucket = max(of.bit_length() - 11, 0)
        expected[(bucket << 10) + (of >> bucket)] += how_often
    assert counts == expected


def test_the_program_of_others_reads_equal_counts_and_percentiles(tmp_path: Path) -> None:
    log = pytest.importorskip("hdrh.log")
    histogram = pytest.importorskip("hdrh.histogram")
    rng, latency = random.Random(7), Histogram()
    for _ in range(20_000):
        latency.add(int(rng.lognormvariate(8, 2)), rng.choice([1, 1, 3, 200_000]))
    latency.add(0, 7)
    latency.add(2**32 - 1)
    second = histogram_of([(1_500, 3)])
    path = tmp_path / "run.hlog"
    intervals = [
        Interval(histogram=latency, start_s=0, length_s=10.5, tag="latency"),
        Interval(histogram=second, start_s=10.5, length_s=1),
    ]
    path.write_text(hlog(intervals, started_s=1_764_000_000.25), encoding="ascii")
    reader = log.HistogramLogReader(str(path), histogram.HdrHistogram(1, 2**33, 3))
    read = reader.get_next_interval_histogram()
    assert (read.get_tag(), read.get_total_count()) == ("latency", latency.count)
    for percent in (0.001, 1, 10, 50, 75, 90, 99, 99.9, 99.99, 99.999):
        ours = latency.percentile(percent)
        assert ours is not None
        assert read.get_value_at_percentile(percent) == pytest.approx(ours, rel=0.001)
    assert read.get_max_value() == pytest.approx(latency.max_us, rel=0.001)
    assert read.get_start_time_stamp() == 1_764_000_000_250
    again = reader.get_next_interval_histogram()
    assert (again.get_total_count(), again.get_value_at_percentile(50)) == (3, 1_500)
    assert reader.get_next_interval_histogram() is None
    reader.close()


def test_a_log_names_its_start_its_units_and_each_interval() -> None:
    intervals = [
        Interval(histogram=histogram_of([(12_500, 2)]), start_s=0, length_s=1, tag="service"),
        Interval(histogram=Histogram(), start_s=1, length_s=0.5),
    ]
    lines = hlog(intervals, started_s=1_764_000_000).splitlines()
    assert lines[0] == "#[darkesttime blast: values are microseconds, Interval_Max is milliseconds]"
    assert lines[1] == "#[Histogram log format version 1.3]"
    assert lines[2].startswith("#[StartTime: 1764000000.000 (seconds since epoch), Mon Nov 24 16:00:00 UTC 2025")
    assert lines[4].startswith("Tag=service,0.000,1.000,12.500,HISTF")
    assert lines[5].startswith("1.000,0.500,0.000,HISTF")


@pytest.mark.parametrize("tag", ["a b", "a,b", "a\nb"])
def test_a_tag_that_the_format_cannot_hold_is_refused(tag: str) -> None:
    with pytest.raises(ValueError, match="tag"):
        Interval(histogram=Histogram(), start_s=0, length_s=1, tag=tag)
