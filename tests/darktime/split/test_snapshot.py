"""The verdict so far is the one that the split would give if it ended now: over the whole run, by the split's own margins."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from darktime.split import levels
from darktime.split.experiment import client_of
from darktime.split.ledger_now import LedgerNow
from darktime.split.pairs_file import PairsFile
from darktime.split.saved import Judged
from darktime.split.snapshot import Snapshots
from darktime.split.verdict import VerdictSettings, judge
from realtime_core.free_ports import free_port
from realtime_core.ledger import Ledger
from tests.darktime.split.verdict.made import pairs
from tests.support.schemas import require_schema

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from redis import Redis

    from darktime.split.compare import Pair


@pytest.fixture(scope="module")
def many() -> Sequence[Pair]:
    """More than any picture of the newest would hold."""
    return pairs(50_000, 20_000)


def written(path: Path, some: Sequence[Pair]) -> None:
    with path.open("ab") as file:
        file.writelines(orjson.dumps(pair.record()) + b"\n" for pair in some)


def running(tmp_path: Path, some: Sequence[Pair], **about: Any) -> dict[str, Any]:
    """What describes a split that has written these pairs."""
    folder = tmp_path / "folder"
    (folder / "level").mkdir(parents=True)
    (folder / "lease").mkdir()
    levels.set_percent(folder, 5.0, 25.0)
    written(tmp_path / "pairs.jsonl", some)
    told = {"folder": str(folder), "salt": "new-feed", "max_percent": 25.0, **about}
    (tmp_path / "split.json").write_text(json.dumps(told))
    return told


def verdict_so_far(tmp_path: Path, about: dict[str, Any], **state: Any) -> dict[str, Any]:
    (tmp_path / "relay.json").write_text(json.dumps({"open": True, **state}))
    taken = Snapshots(about, tmp_path, None).take()
    require_schema(taken)
    found: dict[str, Any] = taken["verdict"]
    return found


def test_a_long_run_is_judged_as_a_whole_by_all_that_failed_in_it(tmp_path: Path, many: Sequence[Pair]) -> None:
    """25 of 50,000 are within the margin; 25 of the newest 20,000 would be beyond it."""
    found = verdict_so_far(tmp_path, running(tmp_path, many), reasons={"dark_timeout": 25})
    assert (found["outcome"], found["pairs"]) == ("GO", 50_000), found
    whole = judge(many, Judged(reasons={"dark_timeout": 25}).reasons_alone())
    assert (found["outcome"], found["reasons"]) == (whole.outcome, list(whole.reasons))


def test_a_long_run_has_the_coverage_of_all_its_pairs(tmp_path: Path, many: Sequence[Pair]) -> None:
    reasons = {"relay_full": 4_000}
    found = verdict_so_far(tmp_path, running(tmp_path, many), reasons=reasons, left={"/p": reasons})
    assert found["outcome"] == "GO", found
    found = verdict_so_far(tmp_path, json.loads((tmp_path / "split.json").read_text()), reasons={"relay_full": 20_000})
    assert found["outcome"] == "WAIT", found


def test_it_is_judged_by_the_margins_of_the_split(tmp_path: Path) -> None:
    slow = pairs(8_000, 800, slower=1.3)
    about = running(tmp_path, slow)
    assert verdict_so_far(tmp_path, about)["outcome"] == "NO-GO"
    about |= {"margins": asdict(VerdictSettings(latency_ratio=2.0))}
    assert verdict_so_far(tmp_path, about)["outcome"] == "GO"


def test_what_the_same_code_measured_is_taken_off(tmp_path: Path) -> None:
    late = pairs(8_000, 800, later_s=0.02)
    about = running(tmp_path, late)
    written(tmp_path / "calibration.jsonl", pairs(8_000, 800, later_s=0.02, seed=2))
    assert verdict_so_far(tmp_path, about)["outcome"] == "NO-GO"
    found = verdict_so_far(tmp_path, about, calibration={"pairs": 8_000, "seconds": 60})
    assert found["outcome"] == "GO"
    assert "taken off" in " ".join(found["reasons"])


def test_it_says_the_how_many_th_verdict_of_the_run_it_would_be(tmp_path: Path) -> None:
    about = running(tmp_path, pairs(300, 50), looks=3)
    assert verdict_so_far(tmp_path, about)["look"] == 4


def test_what_keeps_the_run_from_a_go_keeps_it_so_far(tmp_path: Path) -> None:
    found = verdict_so_far(tmp_path, running(tmp_path, pairs()), pairs_dropped=7)
    assert found["outcome"] == "WAIT"
    assert "7 pairs had no room" in found["reasons"][0]


def test_pairs_are_read_once_each_whatever_is_still_being_written(tmp_path: Path) -> None:
    path, some = tmp_path / "pairs.jsonl", pairs(50, 10)
    file = PairsFile(path)
    assert file.read() == []
    text = b"".join(orjson.dumps(pair.record()) + b"\n" for pair in some)
    for end in (0, 700, 701, len(text) // 2, len(text) - 1, len(text)):
        path.write_bytes(text[:end])
        assert file.read() == some[: text[:end].count(b"\n")]


def test_what_the_ledger_cannot_explain_stands_beside_it(tmp_path: Path, redis_client: Redis, redis_name: str) -> None:
    """And what has only just begun is no loss yet."""
    began = time.time() - 60
    counted = Ledger(redis_client, redis_name, "relay")
    counted.sent("mirror>relay", ["a", "b", "c", "d"], began)
    counted.received("mirror>relay", ["a", "a", "d"], began)
    counted.explained("mirror>relay", ["b"], began, "shed_sink")
    counted.sent("relay>compared", ["a", "d"], began)
    counted.received("relay>compared", ["a", "d"], began)
    counted.sent("relay>compared", ["young"], time.time())
    counted.received("dark>relay", ["event"], began)
    counted.flush()
    about = running(tmp_path, pairs(10, 5))
    (tmp_path / "relay.json").write_text(json.dumps({"open": True, "streams": 2, "lasting": 1}))
    taken = Snapshots(about, tmp_path, None, LedgerNow(redis_client, redis_name)).take()
    require_schema(taken)
    mirror, compared = taken["ledger"]["hops"]
    assert mirror == {
        "hop": "mirror>relay", "sent": 4, "received": 3, "explained": 1, "missing": 1, "extra": 1, "undecoded": 0,
        "residual": 2, "balanced": False,
    }  # fmt: skip
    assert (compared["hop"], compared["sent"], compared["balanced"]) == ("relay>compared", 2, True)
    assert taken["ledger"]["held"] == 3


def test_a_ledger_that_does_not_answer_is_said_to_be_unknown(tmp_path: Path) -> None:
    about = running(tmp_path, pairs(10, 5))
    (tmp_path / "relay.json").write_text("{}")
    nowhere = client_of(f"redis://127.0.0.1:{free_port()}/0")
    taken = Snapshots(about, tmp_path, None, LedgerNow(nowhere, "split-1")).take()
    require_schema(taken)
    assert taken["ledger"] is None
