"""Job ids and bodies."""

from __future__ import annotations

import json
import time
from decimal import Decimal

import pytest

from realtime_core.errors import ConfigurationError
from realtime_core.hooks.event import MAX_CHANNELS, event_job, new_job_id
from realtime_core.queue.job import IDENTIFIER, MAX_BODY_BYTES


def make(**changes: object) -> bytes:
    settings: dict[str, object] = {
        "job_id": "a",
        "channels": ["t"],
        "kind": "post_save",
        "model": "app.Model",
        "key": 1,
        "at": 1.5,
        "fields": {},
    }
    return event_job(**{**settings, **changes}).body  # type: ignore[arg-type]


def test_ids_are_unique_fit_the_queue_and_sort_by_time() -> None:
    ids = [new_job_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(len(id_) == 26 and IDENTIFIER.fullmatch(id_) for id_ in ids)
    earlier = new_job_id()
    stop = time.time_ns() + 2_000
    while time.time_ns() < stop:
        pass
    assert earlier < new_job_id()


def test_the_first_channel_is_the_jobs_key() -> None:
    job = event_job(job_id="a", channels=["t:1", "u:2"], kind="post_save", model="m", key=1, at=1.0, fields={})
    assert job.key == "t:1"


def test_what_json_does_not_know_becomes_text() -> None:
    body = json.loads(make(fields={"price": Decimal("1.10"), "tags": {"a"}, "none": None}, key="k"))
    assert body["data"] == {"price": "1.10", "tags": "{'a'}", "none": None}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"channels": []}, "0 channels"),
        ({"channels": [f"c{n}" for n in range(MAX_CHANNELS + 1)]}, "65 channels"),
        ({"channels": ["a/b"]}, "a/b"),
        ({"fields": {"n": 2**70}}, "JSON"),
        ({"fields": {"text": "x" * MAX_BODY_BYTES}}, "store it elsewhere"),
    ],
)
def test_an_event_out_of_its_limits_is_refused_with_its_name(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        make(**changes)


@pytest.mark.parametrize("value", [b"\x00\xff", bytearray(b"\x00\xff"), memoryview(b"\x00\xff")])
def test_bytes_are_published_in_base64_as_django_serializes_them(value: object) -> None:
    assert json.loads(make(fields={"blob": value}))["data"] == {"blob": "AP8="}
