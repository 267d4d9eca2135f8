"""The core's bench sees what it is there to see: everything delivered once, or what was not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.bench import core
from tests.bench.core import Shape, hold
from tests.bench.forgetful import FORGOTTEN

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

SHAPE = Shape(subscribers=40, channels=20)
PER_S, SECONDS = 200.0, 2.0
A_DAY_MS = 86_400_000.0


def test_a_core_that_delivers_everything_once_is_held_and_a_slower_or_later_one_is_not() -> None:
    step = hold(PER_S, SECONDS, "published", SHAPE)
    assert (step.lost, step.duplicated, step.residual) == (0, 0, 0)
    assert step.put >= PER_S * SECONDS
    assert step.delivered == 2 * step.put
    assert step.held(A_DAY_MS)
    assert not step.held(step.p99_ms / 2)
    assert not replace(step, duplicated=1).held(A_DAY_MS)
    assert not replace(step, late_s=core.PRODUCER_LATE_S + 0.1).held(A_DAY_MS)
    assert step.told(A_DAY_MS).startswith("- 200 messages/s, 20 channels x 2 subscribers, ack published: held; ")
    assert set(step.cpu_us) == {"worker", "push", "valkey", "swarm", "producers"}


def test_a_message_that_a_pipeline_forgets_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    words = core._worker_words

    def forgetful(redis: str, push: str, ack: str, keep: str) -> Sequence[str]:
        told = words(redis, push, ack, keep)
        at = told.index("run") + 1
        return [*told[:at], "tests.bench.forgetful:Forgetful", *told[at:]]

    monkeypatch.setattr(core, "_worker_words", forgetful)
    monkeypatch.setenv("PYTHONPATH", str(core.ROOT))
    step = hold(PER_S, SECONDS, "published", SHAPE)
    assert step.put > SHAPE.channels * FORGOTTEN
    assert step.delivered == 2 * (step.put - 1)
    assert step.lost == 2
    assert step.residual
    assert not step.held(A_DAY_MS)
