"""Another pipeline beside the one that runs: what differs is named, and nothing it does is felt by the first."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.errors import ConfigurationError
from realtime_core.pipeline import PipelineMetrics, composed
from realtime_core.pipeline.batch import Batch
from realtime_core.pipeline.beside import FIRST_PAUSE_S, WITHIN_S, Beside, pause_s
from realtime_core.pipeline.difference import ABSENT, MAX_FIELDS, MORE, Tally, differences
from realtime_core.pipeline.dry import claim_of, dry
from realtime_core.pipeline.reports import merge_reports, report_of, write_private
from realtime_core.stack import ready_line
from tests.realtime_core.pipeline.conftest import ODD, ROOT, body
from tests.realtime_core.pipeline.test_worker import exported
from tests.support.processes import descendants, describe, running
from tests.support.schemas import require_schema
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from realtime_core.queue import Queue
    from realtime_core.stack import Service

    Run = Callable[..., Service]
    Put = Callable[..., list[str]]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(0, 2, width=16) | st.text("ab", max_size=2),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text("ab", max_size=2), below, max_size=3),
    max_leaves=8,
)


def same(one: Any, other: Any) -> bool:
    """The oracle: JSON says them alike."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@given(JSON, JSON)
def test_two_values_have_no_difference_exactly_when_json_says_them_alike(one: Any, other: Any) -> None:
    assert (not differences(one, other)) == same(one, other)
    assert not differences(one, one)
    assert len(differences(one, other)) == len(differences(other, one))


def test_a_difference_is_named_by_its_path_with_both_values() -> None:
    first = {"data": {"a": 1, "list": [{"x": 1}, {"x": 2}], "gone": 3}}
    beside = {"data": {"a": 1.0, "list": [{"x": 1}, {"x": 9}], "new": 4}}
    assert sorted(differences(first, beside), key=lambda one: one[0]) == [
        ("data.a", 1, 1.0),
        ("data.gone", 3, ABSENT),
        ("data.list[].x", 2, 9),
        ("data.new", ABSENT, 4),
    ]


def test_a_tally_is_bounded_in_fields_examples_and_the_length_of_a_value() -> None:
    tally = Tally()
    for number in range(MAX_FIELDS * 2):
        tally.job(f"j{number}", [(f"f{number}", "x" * 10_000, number), ("always", 1, 2)])
    fields = {field["path"]: field for field in tally.as_json()["fields"]}
    assert len(fields) == MAX_FIELDS + 1
    assert fields["always"]["times"] == MAX_FIELDS * 2
    assert len(fields["always"]["examples"]) == 3
    assert fields[MORE]["times"] == MAX_FIELDS + 1
    assert len(json.dumps(tally.as_json())) < MAX_FIELDS * 1_000


def test_reports_of_several_workers_are_added_up_into_one_that_is_private(tmp_path: Path) -> None:
    parts = []
    for number in range(2):
        tally = Tally()
        tally.job("j", [("data.a", 1, 2)])
        tally.count("offered", 5)
        parts.append(tmp_path / f"r.worker-{number}")
        write_private(parts[-1], report_of("a", "b", tally))
    merge_reports(parts, tmp_path / "r")
    report = json.loads((tmp_path / "r").read_text())
    require_schema(report)
    assert (report["jobs"]["offered"], report["fields"][0]["times"]) == (10, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["r"]
    assert (tmp_path / "r").stat().st_mode & 0o777 == 0o600
    parts[0].write_text("{}")
    with pytest.raises(ConfigurationError):
        merge_reports(parts[:1], tmp_path / "r")


def test_what_the_other_pipeline_makes_otherwise_is_counted_and_named_with_examples(
    run: Run, put: Put, queue: Queue, tmp_path: Path
) -> None:
    report = tmp_path / "beside.json"
    words = ["--beside", f"{ODD}:Renamed", "--report", str(report), "--metrics", "0"]
    worker = run("JSONParser+FilePublisher", "--set", f"file={tmp_path / 'out'}", *words)
    address = ready_line(worker, "metrics on ")
    put(10)
    wait_until(lambda: queue.counts().finished_total == 10, timeout_s=10)

    def counted() -> float:
        with_result = exported_by(address, "realtime_pipeline_beside_jobs_total", "result")
        return with_result.get("compared", 0)

    wait_until(lambda: counted() == 10, timeout_s=10)
    assert exported_by(address, "realtime_pipeline_beside_differences_total", "field")["data.body"] == 8
    assert exported(address)["realtime_pipeline_messages_total", "done"] == 50
    assert worker.stop(10) == 0
    found = json.loads(report.read_text())
    require_schema(found)
    assert found["jobs"] == {"offered": 10, "compared": 10, "different": 10} | dict.fromkeys(
        ("same", "shed", "lost", "skipped"), 0
    )
    fields = {field["path"]: field for field in found["fields"]}
    assert {path: field["times"] for path, field in fields.items()} == {
        "data.body": 8,
        "data.text": 8,
        "data.price": 8,
        "(fate)": 2,
    }
    assert fields["data.price"]["examples"][0] == {"job": "j0", "first": "3", "beside": "3.0"}
    assert [one["beside"] for one in fields["(fate)"]["examples"]] == [
        '"filtered"',
        '"error: RuntimeError: new code breaks here"',
    ]
    assert len((tmp_path / "out").read_text().splitlines()) == 10, "published once, by the first alone"


def exported_by(address: str, metric: str, label: str) -> dict[str, float]:
    import urllib.request

    from prometheus_client.parser import text_string_to_metric_families

    with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as reply:
        families = text_string_to_metric_families(reply.read().decode())
        return {one.labels[label]: one.value for family in families for one in family.samples if one.name == metric}


def test_the_line_before_the_other_process_is_bounded_and_what_does_not_fit_is_counted() -> None:
    batch = Batch([claim_of("j", body("j"))], max_attempts=1, backoff_base_s=0.0, chance=0.0)
    pipeline = dry(composed(["JSONParser"]), {})
    batch.parse(pipeline, PipelineMetrics().stage)
    beside = Beside("a", "b", line_bytes=100)
    for _ in range(10):  # nothing here lets another greenlet run
        beside.offer(batch.items)
    assert (beside.tally.jobs["offered"], beside.tally.jobs["shed"]) == (10, 9)
    beside.close(0.0)
    assert beside.tally.jobs["shed"] == 10


@pytest.mark.parametrize("other", ["Endless", pytest.param("Deadly", marks=pytest.mark.long)])
def test_another_pipeline_that_dies_or_never_answers_is_not_felt_and_what_it_did_not_answer_is_counted(
    run: Run, put: Put, queue: Queue, tmp_path: Path, other: str
) -> None:
    report = tmp_path / "beside.json"
    words = ["--set", f"file={tmp_path / 'out'}", "--batch", "50"]
    worker = run("JSONParser+FilePublisher", *words, "--beside", f"{ODD}:{other}", "--report", str(report))
    put(500)
    started = time.monotonic()
    wait_until(lambda: queue.counts().finished_total == 500, timeout_s=10)
    assert time.monotonic() - started < 5
    children = descendants(worker.pid)
    assert worker.stop(10) == 0
    jobs = json.loads(report.read_text())["jobs"]
    assert jobs["compared"] == 0
    assert jobs["offered"] == jobs["lost"] + jobs["shed"] == 500
    assert not [describe(pid) for pid in children if running(pid)]


def test_the_pause_before_another_start_begins_anew_once_the_other_pipeline_lived_long_enough(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr("realtime_core.pipeline.beside.WITHIN_S", 0.01)  # any life is longer
    monkeypatch.setattr("realtime_core.pipeline.beside.FIRST_PAUSE_S", 0.125)
    batch = Batch([claim_of("j", body("j"))], max_attempts=1, backoff_base_s=0.0, chance=0.0)
    batch.parse(dry(composed(["JSONParser"]), {}), PipelineMetrics().stage)
    beside = Beside("a", f"{ODD}:Deadly")

    def said() -> list[str]:
        gevent.sleep(0.01)
        return [record.getMessage() for record in caplog.records if "starts again" in record.getMessage()]

    for life in range(1, 4):
        beside.offer(batch.items)
        wait_until(lambda life=life: len(said()) >= life, timeout_s=10)
    assert [line[-6:] for line in said()] == ["0.12 s"] * 3
    beside.close(0.0)


def test_the_pause_before_another_start_doubles_with_the_starts_of_the_last_minutes() -> None:
    assert [pause_s([0.0, 1.0, 2.0], now) for now in (2.0, WITHIN_S, WITHIN_S + 1.5)] == [
        FIRST_PAUSE_S * 4,
        FIRST_PAUSE_S * 2,
        FIRST_PAUSE_S,
    ]


@pytest.mark.long
def test_another_pipeline_that_never_comes_back_ends_with_a_worker_that_is_killed(
    run: Run, put: Put, queue: Queue, tmp_path: Path
) -> None:
    worker = run("JSONParser+FilePublisher", "--set", f"file={tmp_path / 'out'}", "--beside", f"{ODD}:Endless")
    put(5)
    wait_until(lambda: queue.counts().finished_total == 5, timeout_s=10)
    shadow = wait_until(lambda: [pid for pid in descendants(worker.pid) if "shadow" in describe(pid)], timeout_s=10)
    os.kill(worker.pid, signal.SIGKILL)
    wait_until(lambda: not [pid for pid in shadow if running(pid)], timeout_s=10)
