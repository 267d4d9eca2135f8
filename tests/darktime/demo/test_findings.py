"""The judgement of a demo run, on constructed truths."""

from dataclasses import dataclass, field

import pytest

from darktime.demo.findings import check_copies, check_opening, check_phase, check_users, named, unbalanced
from darktime.split.verdict import Verdict

GO, WAIT, NO_GO = (Verdict(outcome=outcome, reasons=("why",)) for outcome in ("GO", "WAIT", "NO-GO"))


@dataclass
class Item:
    id: str | None
    times: int = 1
    key: int = 7


@dataclass
class Hop:
    hop: str
    missing: tuple[Item, ...] = ()
    extra: tuple[Item, ...] = ()
    undecoded: int = 0
    sent: int = 5
    explained: dict = field(default_factory=dict)

    @property
    def balanced(self):
        return not (self.missing or self.extra or self.undecoded)


DEEDS = {"lost": ["thread:1 e-1", "user:2 e-9"], "doubled": ["thread:1 e-4"]}


def faulty(missing=("thread:1 e-1", "user:2 e-9"), extra=("thread:1 e-4",), undecoded=0):
    return Hop(
        "pipeline>dark", tuple(Item(one) for one in missing), tuple(Item(one) for one in extra), undecoded=undecoded
    )


def test_exactly_the_injected_ids_are_exact():
    found = named([Hop("queue>pipeline"), faulty()], DEEDS)
    assert found.exact
    assert found.missing == ("thread:1 e-1", "user:2 e-9")
    assert found.extra == ("thread:1 e-4",)


@pytest.mark.parametrize(
    "hop",
    [
        faulty(missing=("thread:1 e-1",)),
        faulty(missing=("thread:1 e-1", "user:2 e-9", "user:3 e-3")),
        faulty(extra=()),
        faulty(extra=("thread:1 e-4", "thread:1 e-4")),
        faulty(missing=("thread:1 e-1", None)),
        faulty(undecoded=3),
    ],
)
def test_one_id_too_few_too_many_or_unnamed_is_not_exact(hop):
    assert not named([hop], DEEDS).exact


def test_a_fault_at_any_other_hop_fails_the_faulty_phase():
    checks = check_phase(
        "fault", [faulty(), Hop("dark>relay", missing=(Item("x"),))], NO_GO, named([faulty()], DEEDS), []
    )
    assert [check.ok for check in checks] == [True, False, True]
    assert unbalanced([faulty()], besides=["pipeline>dark"]) == []


def test_a_faulty_phase_in_which_nothing_was_injected_shows_nothing():
    found = named([Hop("pipeline>dark")], {"lost": [], "doubled": []})
    assert not check_phase("fault", [Hop("pipeline>dark")], NO_GO, found, [])[0].ok


def test_a_clean_phase_must_balance_and_not_be_refused():
    assert all(check.ok for check in check_phase("clean", [Hop("a")], WAIT, None, ["a"]))
    assert not all(check.ok for check in check_phase("clean", [Hop("a")], NO_GO, None, ["a"]))
    assert not all(check.ok for check in check_phase("clean", [faulty()], GO, None, []))


@pytest.mark.parametrize("balances", [[], [Hop("a")], [Hop("a"), Hop("b", sent=0)]])
def test_a_hop_on_which_nothing_was_counted_does_not_balance(balances):
    clean, _ = check_phase("clean", balances, GO, None, ["a", "b"])
    assert not clean.ok
    assert "b: nothing was sent" in clean.detail


def test_nobody_and_no_copy_show_nothing():
    assert not check_users(["a"], [], []).ok
    assert not check_copies({"offered": 0, "received": 0, "compared": 0, "reasons": {}}).ok


def test_the_opening_must_show_a_difference():
    assert check_opening(5006, 1.1).ok
    assert not check_opening(5006, 5003).ok


def test_a_user_sampled_by_one_side_only_is_found():
    assert check_users(["a", "b"], ["a"], ["a"]).ok
    assert not check_users(["a", "b"], ["a", "b"], ["a"]).ok
    assert not check_users(["a", "b"], [], ["a"]).ok


def test_a_copy_without_an_outcome_or_with_an_unknown_one_is_found():
    assert check_copies({"offered": 5, "received": 5, "compared": 3, "reasons": {"in_flight": 2}}).ok
    assert not check_copies({"offered": 5, "received": 4, "compared": 4, "reasons": {}}).ok
    assert not check_copies({"offered": 5, "received": 5, "compared": 4, "reasons": {}}).ok
    assert not check_copies({"offered": 5, "received": 5, "compared": 4, "reasons": {"unknown": 1}}).ok
