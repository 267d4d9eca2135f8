"""A ramp's percentage is judged by what came, and by what did not come, since it began."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from darktime.split.stage import Stage
from tests.darktime.split.verdict.made import pairs

if TYPE_CHECKING:
    from pathlib import Path


def told(path: Path, **reasons: int) -> None:
    path.write_text(json.dumps({"reasons": {}, "left": {}, "mirror_reasons": reasons}))


def test_copies_that_never_came_count_in_the_percentage_in_which_they_did_not(tmp_path: Path) -> None:
    state = tmp_path / "relay.json"
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(one.record()) + "\n" for one in pairs()))
    stage = Stage(tmp_path / "pairs.jsonl", state)
    told(state, shed_sink=20_000, client_abort=20_000)
    verdict = stage.judge(look=1)
    assert verdict.outcome == "WAIT"
    assert "all endpoints together 28.6% (20,000 shed_sink)" in verdict.reasons[0]
    stage.begin()
    stage._from = 0  # as many pairs again
    told(state, shed_sink=20_100, client_abort=50_000)
    assert stage.judge(look=1).outcome == "GO"
