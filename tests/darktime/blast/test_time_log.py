"""The .hlog files of a run: a second each, held against the reader of others and against the run's own JSON."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

DARKESTTIME = Path(sys.executable).parent / "darkesttime"


def test_its_folder_has_the_times_of_every_second_as_the_programs_of_others_read_them(tmp_path, instance):
    log = pytest.importorskip("hdrh.log")
    histogram = pytest.importorskip("hdrh.histogram")
    server = instance("delay", delay="uniform:2:40")
    words = ["--path", "/", "--rate", "300", "--duration", "4", "--out", "run"]
    done = subprocess.run(
        [DARKESTTIME, "blast", "--instance", server.address, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=28,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "run" / "latency.hlog") in done.stdout
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    for name in ("latency", "service"):
        reader = log.HistogramLogReader(str(tmp_path / "run" / f"{name}.hlog"), histogram.HdrHistogram(1, 2**33, 3))
        whole, counted = histogram.HdrHistogram(1, 2**33, 3), {}
        while (second := reader.get_next_interval_histogram()) is not None:
            assert second.get_end_time_stamp() - second.get_start_time_stamp() == 1000
            whole.add(second)
            counted[second.get_start_time_stamp() / 1000] = second.get_total_count()
        reader.close()
        assert whole.get_total_count() == results["totals"]["requests"] == 1200
        since = min(counted)
        assert {at - since: count for at, count in counted.items()} == {
            row["t"]: row["requests"] for row in results["series"]
        }
        whole_ranks = [(percent, ms) for percent, ms in results["spectrum"][name] if (percent * 12).is_integer()]
        assert len(whole_ranks) >= 9, "where the rank is none, the two round it to either side"
        for percent, ms in whole_ranks:
            assert whole.get_value_at_percentile(percent) / 1000 == pytest.approx(ms, rel=0.001), (name, percent)
