"""A run ends before its file of pairs is full, so that what was compared is judged whole; how long that is, it says in time."""

from __future__ import annotations

from typing import Any

import pytest

from darktime.split.merging import merge_states
from darktime.split.pairs_room import MB, PairsRoom, PairsWatch
from tests.darktime.split.verdict.made import pairs


def state(written: int, limit: int = 600 * MB) -> dict[str, Any]:
    return {"v": 1, "reasons": {}, "pairs_file": {"written": written, "limit": limit}}


def looked(watch: PairsWatch, *, rate: float, until_s: float, from_s: float = 0.0) -> list[str]:
    """What is said of a file that grows by so many bytes a second."""
    told = []
    for tick in range(int(from_s * 2), int(until_s * 2)):
        if watch.over:
            break
        told.append(watch.look(PairsRoom.of(state(int(tick / 2 * rate))), tick / 2))
    return [one for one in told if one]


def test_how_long_the_file_lasts_is_said_early_and_once() -> None:
    watch = PairsWatch(ends_at=3_600)
    assert looked(watch, rate=150_000, until_s=60) == [
        "the file of pairs (600 MB, --pairs-mb) lasts about 66 minutes at this rate"
    ]
    assert not watch.over


def test_that_the_run_will_end_before_its_time_is_said_and_again_when_it_will_be_sooner() -> None:
    watch = PairsWatch(ends_at=7 * 86_400)
    (first,) = looked(watch, rate=10_000, until_s=60)
    assert first.endswith("lasts about 17 hours at this rate; then the run ends, before its time")
    (second, *_) = looked(watch, rate=150_000, from_s=60, until_s=120)
    assert second.endswith("then the run ends, before its time")


@pytest.mark.parametrize("rate", [3_000, 150_000, 3_000_000])
def test_a_run_ends_while_there_is_room_for_what_still_comes(rate: int) -> None:
    watch = PairsWatch(ends_at=7 * 86_400)
    looked(watch, rate=rate, until_s=300_000)
    assert "the file of pairs is full" in watch.over
    assert "--pairs-mb" in watch.over
    left = 600 * MB - int(watch._seen[-1][0] * rate)
    assert 29 * rate <= left <= max(30 * rate, 0.02 * 600 * MB)


def test_of_several_relays_the_first_that_is_full_counts() -> None:
    merged = merge_states({"relay-1": state(90, 100), "relay-2": state(10, 100)})
    room = PairsRoom.of(merged)
    assert room == PairsRoom(written=90, limit=100, all_written=100, all_limit=200)
    assert room.lasts_s(10.0) == pytest.approx(10 / 9)


def test_a_relay_that_says_nothing_of_it_ends_no_run() -> None:
    watch = PairsWatch(ends_at=60)
    assert watch.look(PairsRoom.of({}), 1.0) == watch.over == ""
    assert PairsRoom.of(merge_states({"relay-1": {}, "relay-2": {}})) is None
    silent = {"v": 1, "reasons": {}, "pairs_file": None}  # one that only records
    assert PairsRoom.of(merge_states({"relay-1": silent, "relay-2": silent})) is None


def test_how_long_it_lasts_is_told_from_the_newest_pairs() -> None:
    from dataclasses import replace

    some = [replace(pair, at=number / 100) for number, pair in enumerate(pairs(1_000, 50))]
    room = PairsRoom.of(state(300_000, 900_000))
    assert room is not None
    assert room.lasts_by(some, 200) == pytest.approx(20.0, rel=0.02)  # 300 bytes a pair, 100 pairs a second
    assert room.lasts_by(some[:1], 200) is None
