"""The judgement of a demo run, on constructed truths."""

from dataclasses import dataclass, field

import pytest

from darktime.demo.findings import (
    check_copies,
    check_copies_way,
    check_opening,
    check_phase,
    check_production,
    check_users,
    named,
    unbalanced,
)
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
    sent: int = 5
    missing: tuple[Item, ...] = ()
    extra: tuple[Item, ...] = ()
    undecoded: int = 0
    explained: dict = field(default_factory=dict)

    @property
    def balanced(self):
        return not (self.missing or self.extra or self.undecoded)


DEEDS = {"lost": ["thread:1 e-1", "user:2 e-9"], "doubled": ["thread:1 e-4"]}


def faulty(missing=("thread:1 e-1", "user:2 e-9"), extra=("thread:1 e-4",), undecoded=0):
    return Hop(
        "pipeline>dark",
        missing=tuple(Item(one) for one in missing),
        extra=tuple(Item(one) for one in extra),
        undecoded=undecoded,
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
    hops = [faulty(), Hop("dark>relay", missing=(Item("x"),))]
    checks = check_phase("fault", hops, NO_GO, named([faulty()], DEEDS), hops=["dark>relay"])
    assert [check.ok for check in checks] == [True, False, True]
    assert unbalanced([faulty()], besides=["pipeline>dark"]) == []


def test_a_faulty_phase_in_which_nothing_was_injected_shows_nothing():
    found = named([Hop("pipeline>dark")], {"lost": [], "doubled": []})
    assert not check_phase("fault", [Hop("pipeline>dark")], NO_GO, found, hops=[])[0].ok


def test_a_clean_phase_must_balance_and_not_be_refused():
    assert all(check.ok for check in check_phase("clean", [Hop("a")], WAIT, None, hops=["a"]))
    assert not all(check.ok for check in check_phase("clean", [Hop("a")], NO_GO, None, hops=["a"]))
    assert not all(check.ok for check in check_phase("clean", [faulty()], GO, None, hops=[]))


@pytest.mark.parametrize("hops", [[], [Hop("b")], [Hop("a", sent=0), Hop("b")]], ids=["none", "one too few", "idle"])
def test_a_phase_in_which_nothing_went_over_a_hop_shows_nothing(hops):
    assert not check_phase("clean", hops, WAIT, None, hops=["a", "b"])[0].ok
    found = named([faulty()], DEEDS)
    assert not check_phase("fault", [*hops, faulty()], NO_GO, found, hops=["a", "b"])[1].ok


def test_the_copies_way_needs_copies_and_a_relay_that_lived():
    assert check_copies_way([Hop("a"), Hop("b")], ["a", "b"], relay_lost=False).ok
    assert not check_copies_way([], ["a", "b"], relay_lost=False).ok
    lost = check_copies_way([Hop("a"), Hop("b")], ["a", "b"], relay_lost=True)
    assert not lost.ok
    assert "a: the relay died" in lost.detail


def test_production_that_was_asked_nothing_shows_nothing():
    assert check_production(1, 0, 0, []).ok
    assert not check_production(0, 0, 0, []).ok
    assert not check_production(9, 1, 0, ["why"]).ok
    assert not check_production(9, 0, 1, ["why"]).ok


def test_the_opening_must_show_a_difference():
    assert check_opening(5006, 1.1).ok
    assert not check_opening(5006, 5003).ok


def test_a_user_sampled_by_one_side_only_is_found():
    assert check_users(["a", "b"], ["a"], ["a"]).ok
    assert not check_users(["a", "b"], ["a", "b"], ["a"]).ok
    assert not check_users(["a", "b"], [], ["a"]).ok
    assert not check_users([], [], []).ok
    assert not check_users(["a"], [], []).ok


def test_a_copy_without_an_outcome_or_with_an_unknown_one_is_found():
    assert check_copies({"offered": 5, "received": 5, "compared": 3, "reasons": {"in_flight": 2}}).ok
    assert not check_copies({"offered": 0, "received": 0, "compared": 0, "reasons": {}}).ok
    assert not check_copies({"offered": 5, "received": 4, "compared": 4, "reasons": {}}).ok
    assert not check_copies({"offered": 5, "received": 5, "compared": 4, "reasons": {}}).ok
    assert not check_copies({"offered": 5, "received": 5, "compared": 4, "reasons": {"unknown": 1}}).ok
