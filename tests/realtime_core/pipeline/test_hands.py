"""The pool sizes itself: as many hands as there is work for, and one again when there is none."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import pytest
from gevent.event import Event as Flag

from realtime_core.pipeline import JSONParser, Pipeline, PipelineMetrics
from realtime_core.pipeline.accounts import Accounts
from realtime_core.pipeline.crew import IDLE_S, Crew
from realtime_core.pipeline.hand import Shop
from realtime_core.queue import Job, Queue
from realtime_core.stack import ready_line
from tests.realtime_core.pipeline.conftest import ODD, ROOT, body, lines_of
from tests.realtime_core.pipeline.test_worker import exported
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from realtime_core.stack import Stack, Valkey

# A worker whose hands are let go of sooner than after ten seconds.
HASTY = """
from gevent import monkey
monkey.patch_all()
import sys
import realtime_core.pipeline.__main__ as worker
import realtime_core.pipeline.crew as crew

crew.IDLE_S = 0.5
sys.exit(worker.main())
"""


def test_hands_are_made_while_batches_take_long_and_let_go_of_when_there_is_nothing_to_do(
    stack: Stack, valkey: Valkey, queue: Queue, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = [f"{ODD}:Odd", "--redis", valkey.url, "--queue", queue.name, "--set", f"file={out}", "--metrics", "0"]
    argv = [sys.executable, "-c", HASTY, *words, "--batch", "5", "--hands", "3"]
    worker = stack.start("worker", argv, ready="working on queue", env={"PYTHONPATH": str(ROOT)})
    address = ready_line(worker, "metrics on ")
    most = 0

    def figure(name: str) -> float:
        nonlocal most
        figures = exported(address)
        most = max(most, int(figures["realtime_pipeline_hands", ""]))
        return figures.get((name, ""), 0.0)

    def put(first: int) -> None:
        queue.put(
            [Job(id=f"j{n}", body=body(f"j{n}", nap_s=0.05), key=f"k{n % 20}") for n in range(first, first + 100)]
        )

    assert figure("realtime_pipeline_hands") == 1
    for life in (1, 2):  # and once more: what was let go of is made again
        put(100 * (life - 1))
        wait_until(lambda: figure("realtime_pipeline_hands") == 3, timeout_s=10)
        wait_until(lambda life=life: queue.counts().finished_total == 100 * life, timeout_s=15)
        wait_until(lambda: figure("realtime_pipeline_hands") == 1, timeout_s=10)
        counted = figure("realtime_pipeline_mixin")
        assert counted == 100 * life, "what the hands that went had counted is kept"
    assert most == 3, "never more than it may have"
    assert len(lines_of(out)) == 200
    assert worker.stop(10) == 0
    assert "Traceback" not in worker.log.read_text()


class Closes(JSONParser, Pipeline):
    """Notes that it was closed; breaks over it where it is told to."""

    closed = 0
    breaks = False

    def close(self, timeout_s: float) -> None:
        Closes.closed += 1
        super().close(timeout_s)
        if self.breaks:
            raise RuntimeError("cannot be closed")


@pytest.mark.parametrize("breaks", [False, True], ids=["well", "breaking"])
def test_of_hands_that_idle_for_long_all_but_one_are_closed_and_those_that_work_or_idle_for_less_stay(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, *, breaks: bool
) -> None:
    metrics = PipelineMetrics()
    shop = Shop(queue=queue, accounts=Accounts(None, metrics), metrics=metrics, draining=Flag())
    monkeypatch.setattr(Closes, "breaks", breaks)
    monkeypatch.setattr(Closes, "closed", 0)
    crew = Crew(Closes, shop, most=4, progress_timeout_s=None)
    working, lately, long_ago, longer_ago = crew.hands[0], crew._hire(), crew._hire(), crew._hire()
    now = time.monotonic()
    working.greenlet = Busy()  # type: ignore[assignment]
    crew._idle_since = {
        working: now - 9 * IDLE_S,  # left from its last batch
        lately: now - IDLE_S / 2,
        long_ago: now - 2 * IDLE_S,
        longer_ago: now - 3 * IDLE_S,
    }
    crew.keep()
    assert crew.hands == [working, lately]
    assert Closes.closed == 2
    working.greenlet = None
    crew._idle_since[working] = crew._idle_since[lately] = now - 2 * IDLE_S
    crew.keep()
    crew.keep()
    assert len(crew.hands) == 1, "one stays, however long there is nothing to do"
    assert Closes.closed == 3
    crew.end(0.0)


class Busy:
    """A greenlet that has not ended."""

    dead = False
