"""What keeps a whole run from a GO keeps its ramp where it stands."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from darktime.console.watching import Watching
from darktime.errors import UsageError
from darktime.split import levels
from darktime.split.folder import prepare
from darktime.split.schedule import Pilot, Schedule
from darktime.split.verdict import Verdict
from darktime.split.vigil import Vigil
from tests.darktime.split.conftest import split_settings

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short: sockets are named in it."""
    with tempfile.TemporaryDirectory(prefix="dt-") as path:
        yield Path(path)


class Gone:
    """A process that has died."""

    def alive(self) -> bool:
        return False

    def tail(self, lines: int = 20) -> str:
        return ""


class Steering:
    """Which percentages were asked for."""

    def __init__(self) -> None:
        self.ramps: list[float] = []

    def ramp(self, percent: float, **_: Any) -> None:
        self.ramps.append(percent)

    def stop(self, why: str) -> None:
        raise AssertionError(why)

    def notice(self, **_: Any) -> None:
        pass


def watched(
    folder: Path, *, died: str = "", ungathered: str = "", looks: list[int] | None = None, **state: int
) -> list[float]:
    """One look at a ramp whose pairs say GO after its hold; the percentages it asks for. ``looks`` gets what it told of them."""
    prepare(folder, split_settings(folder, "127.0.0.1:9"), {})
    levels.set_percent(folder, 1.0, 100.0)
    path = folder / "relay.json"
    path.write_text(json.dumps(state))
    running: Any = SimpleNamespace(
        folder=folder, state=path, pairs=folder / "pairs.jsonl", gather=lambda: ungathered or None
    )
    lookout: Any = SimpleNamespace(look=lambda _now: None, keyless="", harmed=False, harm=None, ramped=lambda: None)
    stage: Any = SimpleNamespace(judge=lambda **_: Verdict(outcome="GO", reasons=("all is well",)), begin=lambda: None)
    steering: Any = Steering()
    pilot = Pilot(Schedule(percents=(1.0, 50.0), hold_s=10), time.monotonic() - 100)
    vigil = Vigil({died: Gone()} if died else {})
    watching = Watching(
        running, vigil, lookout, steering, plan=(pilot, stage), on_look=[].append if looks is None else looks.append
    )
    watching.until_over(seconds=0.1, ttl_s=1000, ended=lambda: False)
    return steering.ramps


def test_at_go_a_ramp_goes_on(folder: Path) -> None:
    assert watched(folder) == [50.0]


def test_each_verdict_that_a_plan_asks_for_is_told_to_whoever_shows_the_next(folder: Path) -> None:
    looks: list[int] = []
    watched(folder, looks=looks)
    assert looks == [1]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"died": "relay-2"}, "relay-2 died"),
        ({"died": "agent"}, "agent died"),
        ({"pairs_dropped": 3}, "3 pairs had no room"),
        ({"ungathered": "what the relays write cannot be put together: full"}, "cannot be put together"),
    ],
    ids=["a-relay-died", "the-agent-died", "pairs-are-missing", "parts-are-missing"],
)
def test_what_keeps_the_run_from_a_go_holds_the_ramp(
    folder: Path, capsys: pytest.CaptureFixture[str], wrong: dict[str, Any], said: str
) -> None:
    assert watched(folder, **wrong) == []
    told = capsys.readouterr().err
    assert "WAIT at 1 %, so it stays there" in told
    assert said in told


@pytest.mark.parametrize("arrives", [True, False])
def test_after_a_ramp_from_nobody_a_copy_is_looked_for_and_one_that_does_not_arrive_is_an_incident(
    folder: Path, *, arrives: bool
) -> None:
    prepare(folder, split_settings(folder, "127.0.0.1:9"), {})
    levels.set_percent(folder, 0.0, 100.0)
    looked: list[float] = []

    def proof() -> None:
        looked.append(levels.percent_of(folder))
        if not arrives:
            raise UsageError("no copy has arrived")

    running: Any = SimpleNamespace(folder=folder, state=folder / "relay.json", gather=lambda: None)
    vigil = Vigil({})
    lookout: Any = SimpleNamespace(look=lambda _now: None, ramped=lambda: None, keyless="", harmed=False)
    steering: Any = Steering()
    watching = Watching(running, vigil, lookout, steering, proof=proof)
    for percent in (0.0, 5.0, 10.0, 0.0, 1.0):
        levels.set_percent(folder, percent, 100.0)
        assert watching._look(time.monotonic()) == ""
    assert looked == [5.0, 1.0]
    assert vigil.incidents == ([] if arrives else [
        "after the ramp from 0 to 5 %: no copy has arrived", "after the ramp from 0 to 1 %: no copy has arrived",
    ])  # fmt: skip
    assert all(one["at"] for one in vigil.record())
