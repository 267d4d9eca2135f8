"""What a split's results are made of, on constructed truths."""

from __future__ import annotations

import pytest

from darktime.split.results import pair_lines, settled, tempered
from darktime.split.verdict import Verdict

DIED = ("the relay died",)


def test_a_run_in_which_something_died_never_ends_in_go_and_says_so_first() -> None:
    go = Verdict(outcome="GO", reasons=("all is well",))
    assert tempered(go, ()) is go
    judged = tempered(go, DIED)
    assert judged.outcome == "WAIT"
    assert judged.exit_code == 5
    assert judged.reasons == ("the relay died", "all is well")
    assert judged.needs


@pytest.mark.parametrize("outcome", ["WAIT", "NO-GO"])
def test_what_died_makes_no_other_verdict_better_or_worse(outcome: str) -> None:
    verdict = Verdict(outcome=outcome, reasons=("why",), needs="more")  # type: ignore[arg-type]
    judged = tempered(verdict, DIED)
    assert (judged.outcome, judged.needs, judged.reasons) == (outcome, "more", ("the relay died", "why"))


@pytest.mark.parametrize(
    ("relay", "yes"),
    [
        ({}, True),
        ({"offered": 3, "received": 3, "compared": 2, "reasons": {"in_flight": 1}}, True),
        ({"offered": 3, "received": 2, "compared": 2, "reasons": {}}, False),
        ({"offered": 3, "received": 3, "compared": 2, "reasons": {}}, False),
    ],
)
def test_copies_are_settled_when_each_was_compared_or_has_a_reason(relay: dict[str, object], *, yes: bool) -> None:
    assert settled(relay) is yes


def test_a_line_that_is_still_being_written_is_left_for_later() -> None:
    assert pair_lines('{"a": 1}\n{"b"') == [{"a": 1}]
    assert pair_lines('{"a"') == []
