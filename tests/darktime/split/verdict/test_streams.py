"""A dark side that loses, adds, doubles or turns round the events of streams is no GO; what today's code does itself is noise."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from darktime.split.compare.pair import STREAM_TYPE
from darktime.split.compare.stream_pair import StreamCounts, StreamPair, stream_record
from darktime.split.merging import merge_stream_pairs
from darktime.split.saved import judge_again
from darktime.split.snapshot import Snapshots
from darktime.split.stage import Stage
from darktime.split.verdict import VerdictSettings, judge
from darktime.split.verdict.looks import alpha
from darktime.split.verdict.outcome import Findings
from darktime.split.verdict.streams import judge_streams
from tests.darktime.split.verdict.made import pairs

if TYPE_CHECKING:
    from pathlib import Path

    from darktime.split.compare import Side

KINDS = {
    "missing": "lost events",
    "extra": "brought events that today's code did not",
    "doubled": "brought events twice",
    "out_of_order": "brought events in another order",
}
NAMES = [f"1-{number}" for number in range(12)]


def spoilt(kind: str) -> list[str]:
    """The events of one stream, with one fault in their middle."""
    return {
        "": NAMES,
        "missing": NAMES[:5] + NAMES[6:],
        "extra": [*NAMES[:5], "new", *NAMES[5:]],
        "doubled": [*NAMES[:6], NAMES[5], *NAMES[6:]],
        "out_of_order": [*NAMES[:5], NAMES[6], NAMES[5], *NAMES[7:]],
    }[kind]


def brought(pair: StreamPair, today: list[str], other: list[str]) -> StreamCounts:
    for at in range(max(len(today), len(other))):
        pair.today(today[at : at + 1], 2 + at / 10)
        pair.other(other[at : at + 1], 2 + at / 10)
    return pair.close(30.0)


def streams(count: int, *, dark: dict[int, str], again: dict[int, str] | None = None, ignored: bool = False) -> Any:
    """So many streams of one endpoint; of some, by their number, what goes wrong on the dark side, and on today's other one."""
    noise, raw = StreamCounts(), StreamCounts()
    for number in range(count):
        noise.add(brought(StreamPair(0.0), NAMES, spoilt((again or {}).get(number, ""))))
        raw.add(brought(StreamPair(0.0), NAMES, spoilt(dark.get(number, ""))))
    return stream_record("/ev/{id}", noise, raw, ignored=ignored)


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_dark_side_does_to_events_beyond_noise_is_no_go_and_says_where_and_how_often(kind: str) -> None:
    found = streams(40, dark=dict.fromkeys(range(0, 40, 2), kind))
    verdict = judge(pairs(), (), streams=[found])
    assert verdict.outcome == "NO-GO"
    assert (
        f"/ev/{{id}}: the dark side {KINDS[kind]} in 20 of 40 streams, today's code against itself in 0"
        in (verdict.reasons[0])
    )


@pytest.mark.parametrize("kind", KINDS)
def test_what_todays_code_does_as_often_is_noise(kind: str) -> None:
    found = streams(40, dark=dict.fromkeys(range(0, 40, 2), kind), again=dict.fromkeys(range(1, 40, 2), kind))
    assert judge(pairs(), (), streams=[found]).outcome == "GO"


def test_a_fault_in_too_few_streams_is_no_evidence() -> None:
    assert judge(pairs(), (), streams=[streams(4, dark=dict.fromkeys(range(4), "missing"))]).outcome == "GO"
    assert judge(pairs(), (), streams=[streams(200, dark={3: "missing"})]).outcome == "GO"


def test_a_dark_side_that_brings_nothing_at_all_loses_events() -> None:
    raw, noise = StreamCounts(), StreamCounts()
    for _ in range(30):
        raw.add(brought(StreamPair(0.0), NAMES, []))
        noise.add(brought(StreamPair(0.0), NAMES, NAMES))
    verdict = judge(pairs(), (), streams=[stream_record("/ev", noise, raw, ignored=False)])
    assert "the dark side lost events in 30 of 30 streams" in verdict.reasons[0]


def test_events_that_the_end_overtook_are_late_and_not_lost() -> None:
    """Two seconds after it today's side had them; the dark side, which is slower, was not let."""
    raw, noise = StreamCounts(), StreamCounts()
    for _ in range(30):
        pair = StreamPair(0.0)
        pair.today(NAMES, 5.0)
        pair.other(NAMES[:8], 5.0)
        raw.add(pair.close(7.0))
        noise.add(brought(StreamPair(0.0), NAMES, NAMES))
    assert raw.missing == 30 * 4
    assert judge(pairs(), (), streams=[stream_record("/ev", noise, raw, ignored=False)]).outcome == "GO"


def test_events_that_a_rule_leaves_out_are_not_judged_and_those_of_an_earlier_release_neither() -> None:
    everywhere = dict.fromkeys(range(40), "missing")
    assert judge(pairs(), (), streams=[streams(40, dark=everywhere, ignored=True)]).outcome == "GO"
    old = {name: part for name, part in streams(40, dark=everywhere).items() if name in ("endpoint", "noise", "raw")}
    assert judge(pairs(), (), streams=[old]).outcome == "GO"


def test_of_several_relays_streams_are_judged_together() -> None:
    parts = [[streams(20, dark=dict.fromkeys(range(10), "doubled"))] for _ in range(2)]
    (merged,) = merge_stream_pairs(parts)
    assert merged["struck"] == {"noise": {}, "raw": {"doubled": 20}}
    assert judge(pairs(), (), streams=[merged]).outcome == "NO-GO"


def test_a_go_says_of_how_many_streams_nobody_knows_the_events() -> None:
    def streamed(side: Side) -> Side:
        return replace(side, content_type=STREAM_TYPE)

    some = [replace(one, production=streamed(one.production), dark=streamed(one.dark)) for one in pairs()]
    alone = judge(some, ())
    assert alone.outcome == "GO"
    assert "events were compared in 0 of 8,000 streams" in " ".join(alone.reasons)
    assert "events were compared in 40 of 8,000" in " ".join(judge(some, (), streams=[streams(40, dark={})]).reasons)
    assert "events were compared" not in " ".join(judge(pairs(), ()).reasons)


@pytest.mark.parametrize("rate", [0.02, 0.3])
def test_the_same_code_is_reported_in_at_most_one_run_of_twenty_over_all_looks(rate: float) -> None:
    """400 runs of the same code on both sides, looked at five times while streams come in, two endpoints."""
    draw, alarms, runs = random.Random(7), 0, 400
    for _ in range(runs):
        ends = [{side: dict.fromkeys(KINDS, 0) for side in ("noise", "raw")} for _ in range(2)]
        for look in range(1, 6):
            for struck in ends:
                for side in struck.values():
                    for kind in KINDS:
                        side[kind] += sum(draw.random() < rate for _ in range(20))
            sides = {"pairs": 20 * look, "examples": [], **dict.fromkeys(KINDS, 0)}
            seen = [
                {"endpoint": "/ev", "noise": sides, "raw": sides, "struck": struck, "ignored": False} for struck in ends
            ]
            findings = Findings()
            judge_streams(seen, settings=VerdictSettings(), look=look, findings=findings)
            if findings.against:
                alarms += 1
                break
    assert alarms <= runs * 0.05
    assert sum(alpha(0.95, look) for look in range(1, 1000)) < 0.05


def test_every_verdict_of_a_split_judges_them(tmp_path: Path) -> None:
    """So far, of a ramp's percentage, and again from the saved results."""
    found = streams(40, dark=dict.fromkeys(range(40), "missing"))
    some = tmp_path / "pairs.jsonl"
    some.write_text("".join(json.dumps(one.record()) + "\n" for one in pairs()))
    state = tmp_path / "relay.json"
    state.write_text(json.dumps({"open": True, "stream_pairs": [found]}))
    (tmp_path / "level").mkdir()
    about = {"folder": str(tmp_path), "salt": "s", "max_percent": 5.0}
    said = [
        Snapshots(about, tmp_path, None).take()["verdict"]["reasons"],
        Stage(some, state).judge(look=1).reasons,
        judge_again({"ledger": [], "stream_pairs": [found]}, pairs(), settings=VerdictSettings()).reasons,
    ]
    assert all("the dark side lost events in 40 of 40 streams" in " ".join(reasons) for reasons in said)
