"""What tests of pipelines share: ``darktime pipeline run`` as a process, jobs in its queue, and a sink."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from realtime_core.queue import Job, Queue
from tests.realtime_core.pipeline.sink import Sink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redis import Redis

    from realtime_core.stack import Service, Stack, Valkey

ROOT = Path(__file__).parents[3]
ODD = "tests.realtime_core.pipeline.odd"
DARKTIME = (sys.executable, "-P", "-c", "from darktime.console.main import darktime; darktime()")


def body(id_: str, **data: Any) -> bytes:
    channel = data.pop("channel", "thread:1")
    fields = {"v": 1, "job": id_, "channels": [channel], "kind": "post_save", "model": "m", "key": 1, "at": 1.5}
    return json.dumps(fields | {"data": {"text": "hi", "price": 3, **data}}).encode()


@pytest.fixture
def queue(redis_client: Redis, redis_name: str) -> Queue:
    return Queue(redis_client, redis_name)


@pytest.fixture
def put(queue: Queue) -> Callable[..., list[str]]:
    def put(count: int, first: int = 0, **data: Any) -> list[str]:
        ids = [f"j{number}" for number in range(first, first + count)]
        assert all(queue.put([Job(id=id_, body=body(id_, **data)) for id_ in ids]))
        return ids

    return put


@pytest.fixture
def run(stack: Stack, valkey: Valkey, redis_name: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Service]:
    """Start ``darktime pipeline run`` on the test's queue."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(stack.folder)

    def run(pipeline: str, *words: str, name: str = "run") -> Service:
        argv = [*DARKTIME, "pipeline", "run", pipeline, "--redis", valkey.url, "--queue", redis_name, *words]
        return stack.start(name, argv, ready="working on queue")

    return run


@pytest.fixture
def sink() -> Iterator[Sink]:
    sink = Sink()
    yield sink
    sink.close()


def lines_of(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}
