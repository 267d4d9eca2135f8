"""How a recording ends: whole, or a part of what was sampled is missing, and why."""

from __future__ import annotations

from typing import Any

import pytest

from darktime.report.summaries import record as summary
from darktime.split.record.conclusion import conclude
from realtime_core.ledger import HopBalance
from realtime_core.ledger.balance import Item

STATE = {
    "offered": 9,
    "received": 10,
    "recorded": 8,
    "reasons": {"relay_full": 2, "in_flight": 0},
    "mirror_reasons": {},
}
RECORDING = {
    "file": "/kept/r.jsonl", "requests": 8, "answers": 7, "bytes": 3000, "left_out": 2, "headers_left_out": 0, "stopped": None
}  # fmt: skip


def hop(name: str = "mirror>relay", sent: int = 10, received: int = 10, **more: Any) -> HopBalance:
    told = {"explained": {}, "missing": (), "extra": (), "undecoded": 0, "open_owners": ()}
    return HopBalance(hop=name, sent=sent, received=received, **{**told, **more})


ITEM = Item(key=1, times=1, id="a" * 32)


@pytest.mark.parametrize(
    ("changes", "balances", "incidents", "reason"),
    [
        ({}, [hop()], [], ""),
        ({"recording": {**RECORDING, "stopped": "it has its 20 requests"}}, [hop()], [], ""),
        (
            {"recording": {**RECORDING, "stopped": "it cannot be written (No space left on device)"}},
            [hop()],
            [],
            "No space",
        ),
        ({}, [hop(received=9, missing=(ITEM,))], [], "mirror>relay: 1 missing"),
        ({"waiting": 1}, [hop(sent=9, extra=(ITEM,))], [], ""),
        ({"waiting": 0}, [hop(sent=9, extra=(ITEM,))], [], "1 too many"),
        ({"waiting": 2}, [hop(sent=9, extra=(ITEM,))], [], "1 too many"),
        ({"waiting": 500}, [hop(sent=9, received=509, undecoded=500)], [], ""),
        ({"waiting": 1}, [hop(sent=10, received=10, missing=(ITEM,), extra=(ITEM, ITEM))], [], "1 missing, 2 too many"),
        ({}, [hop("dark>relay", received=9, missing=(ITEM,))], [], ""),
        ({}, [hop()], ["relay died: …"], "relay died"),
    ],
    ids=range(11),
)
def test_it_is_whole_unless_something_is_missing_that_nobody_asked_to_leave_out(
    changes: dict[str, Any], balances: list[HopBalance], incidents: list[str], reason: str
) -> None:
    state = {**STATE, "recording": RECORDING, **changes}
    results = conclude(state, balances, incidents, nginx_died=False)
    assert (results["outcome"], results["exit_code"]) == (("partial", 3) if reason else ("whole", 0))
    assert reason in " ".join(results["reasons"])
    assert bool(reason) == bool(results["reasons"])
    assert conclude(state, balances, incidents, nginx_died=True)["exit_code"] == 1
    lines = summary.tell(results)
    assert max(map(len, lines)) <= 96
    assert ("a part of" in lines[0]) == bool(reason)
