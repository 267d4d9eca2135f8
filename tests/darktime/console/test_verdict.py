"""``darktime verdict RUN``: a saved split judged again, offline."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import click
import pytest

from darktime.console.configuration import KEYS, TEMPLATE, read
from darktime.console.main import DARKTIME, run
from darktime.console.margins import MARGINS
from darktime.console.verdict import command
from darktime.split.verdict import VerdictSettings
from tests.darktime.split.verdict.made import pairs
from tests.support.schemas import require_schema

SAMPLE = Path(__file__).parent.parent / "report" / "samples" / "split.json"


def hop(name, **changes):
    whole = {"sent": 9, "received": 9, "explained": {}, "missing": [], "extra": [], "undecoded": 0, "open_owners": []}
    return {"hop": name, **whole, "balanced": True, **changes}


@pytest.fixture
def saved(tmp_path):
    """``saved(PAIRS, ...)``: the folder of a finished split."""

    def make(some, *, ledger=(), judged=None, name="run", **more):
        folder = tmp_path / name
        folder.mkdir()
        results = json.loads(SAMPLE.read_text()) | {"ledger": list(ledger), "judged": judged, **more}
        if judged is None:
            del results["judged"]
        (folder / "results.json").write_text(json.dumps(results))
        (folder / "pairs.jsonl").write_text("".join(json.dumps(one.record()) + "\n" for one in some))
        return folder

    return make


def some_pairs(count=2500, users=500, **changes):
    return pairs(count, users, **changes)


def asked(capsys, *words):
    """The exit code, stdout and stderr, by margins that so few pairs are enough for."""
    code = run(DARKTIME, ["verdict", "--error-margin", "0.01", "--difference-margin", "0.01", *map(str, words)])
    said = capsys.readouterr()
    return code, said.out, said.err


def judged(**changes):
    return {"hops": ["relay>compared"], "left": {}, "fields": [], "incidents": [], "look": 1, **changes}


def test_a_split_that_is_good_ends_in_0_and_the_outcome_stands_first(saved, capsys):
    some = [*some_pairs(), *pairs(9, 9, endpoint="/rare\x1b[31m", first=2500)]
    code, out, _ = asked(capsys, saved(some))
    lines = out.splitlines()
    assert code == 0
    assert lines[0].startswith("VERDICT    GO")
    assert max(map(len, lines)) <= 96
    assert "\x1b" not in out
    head = next(line for line in lines if line.startswith("ENDPOINTS"))
    row = next(line for line in lines if line.strip().startswith("/p "))
    assert len(head) == len(row)  # the columns stand below their titles
    assert row.split()[:5] == ["/p", "2,500", "500", "100%", "0/0"]
    assert any(line.startswith("NOT JUDGED") and "/rare" in line for line in lines)


def test_json_has_the_committed_shape_whatever_the_outcome(saved, capsys):
    """Also where a bound is infinite, or nothing was compared at all."""
    for number, (some, outcome) in enumerate(
        [(some_pairs(), "GO"), (some_pairs(slower=2.0), "NO-GO"), (pairs(25, 12), "WAIT"), ([], "WAIT")]
    ):
        code, out, _ = asked(capsys, saved(some, name=f"run-{number}"), "--json")
        told = json.loads(out)
        require_schema(told)
        assert told["outcome"] == outcome
        assert code == told["exit_code"] == {"GO": 0, "NO-GO": 3, "WAIT": 5}[outcome]


def test_the_schema_refuses_a_verdict_without_any_one_of_its_fields(saved, capsys):
    from jsonschema import ValidationError

    told = json.loads(asked(capsys, saved(pairs(300, 30)), "--json")[1])
    for name in told:
        with pytest.raises((ValidationError, KeyError)):
            require_schema({key: value for key, value in told.items() if key != name})


def test_margins_of_the_command_line_and_of_the_file_decide(saved, capsys, tmp_path, monkeypatch):
    folder = saved(some_pairs(slower=1.3))
    monkeypatch.chdir(tmp_path)
    assert asked(capsys, folder)[0] == 3
    assert asked(capsys, folder, "--latency-ratio", "1.5")[0] == 0
    Path("darktime.toml").write_text("[verdict]\nlatency_ratio = 1.5\n")
    assert asked(capsys, folder)[0] == 0
    assert asked(capsys, folder, "--latency-ratio", "1.1")[0] == 3
    Path("darktime.toml").write_text("[verdict]\nlatency_ration = 1.5\n")
    code, _, err = asked(capsys, folder)
    assert code == 2
    assert "did you mean latency_ratio?" in err
    code, _, err = asked(capsys, folder, "--config", "none.toml")
    assert code == 2


def test_a_margin_out_of_its_range_ends_in_2_and_says_the_range(saved, capsys):
    code, _, err = asked(capsys, saved(pairs(50, 5)), "--coverage", "1.5")
    assert code == 2
    assert "coverage 1.5: give one between 0 and 1" in err


def test_a_wait_becomes_what_ci_asks_for_and_nothing_else_does(saved, capsys):
    wait, bad = saved(pairs(50, 5), name="wait"), saved(some_pairs(slower=2.0), name="bad")
    assert [
        asked(capsys, wait, *words)[0] for words in ([], ["--inconclusive", "pass"], ["--inconclusive", "fail"])
    ] == [
        5,
        0,
        3,
    ]
    assert asked(capsys, bad, "--inconclusive", "pass")[0] == 3


def test_what_the_split_took_into_account_is_taken_again(saved, capsys):
    missing = {"missing": [{"id": "req-7", "times": 1}], "balanced": False}
    code, out, _ = asked(capsys, saved(some_pairs(), ledger=[hop("mirror>relay", **missing)], name="old"))
    assert code == 3
    assert "mirror>relay: 1 went missing with no reason: req-7" in out
    # A hop whose balance did not count at the end, as where streams were open, does not now either.
    where = {"ledger": [hop("mirror>relay", **missing), hop("relay>compared")]}
    assert asked(capsys, saved(some_pairs(), **where, judged=judged(), name="open"))[0] == 0
    died = judged(incidents=["relay died: who knows"])
    code, out, _ = asked(capsys, saved(some_pairs(), judged=died, name="died"))
    assert code == 5
    assert "relay died" in out
    field = {
        "endpoint": "/p",
        "path": "price",
        "kind": "value",
        "raw": 80,
        "noise": 0,
        "total": 8000,
        "example": "1 for 2",
    }
    code, out, _ = asked(capsys, saved(some_pairs(), judged=judged(fields=[{**field, "reported": True}]), name="field"))
    assert code == 3
    assert "price differs" in out
    few = judged(left={"/p": {"relay_full": 1250}})
    code, out, _ = asked(capsys, saved(some_pairs(), judged=few, name="few"))
    assert code == 5
    assert "/p 66.7% (1,250 relay_full)" in out


def test_a_later_look_and_a_calibration_are_taken(saved, capsys):
    folder = saved(pairs(700, 140))
    assert asked(capsys, folder)[0] == 0
    assert asked(capsys, folder, "--look", "5")[0] == 5
    assert asked(capsys, folder, "--look", "0")[0] == 2
    late = saved(some_pairs(later_s=0.012), name="late")
    same = saved(some_pairs(later_s=0.012, seed=2), name="same")
    assert asked(capsys, late)[0] == 3
    assert asked(capsys, late, "--calibration", same)[0] == 0


def test_copies_that_never_came_count_where_no_balance_did(saved, capsys):
    folder = saved(some_pairs(), judged=judged(hops=[], never_came={"shed_sink": 9_000}))
    code, out, _ = asked(capsys, folder)
    assert code == 5
    assert "(9,000 shed_sink)" in " ".join(out.split())


def test_a_split_that_calibrated_is_judged_with_its_own_calibration_unless_another_is_named(saved, capsys):
    late, same = saved(some_pairs(later_s=0.012), calibration={"pairs": 2500}), saved(some_pairs(seed=2), name="same")
    lines = "".join(json.dumps(one.record()) + "\n" for one in some_pairs(later_s=0.012, seed=2))
    (late / "calibration.jsonl").write_text(lines)
    assert asked(capsys, late)[0] == 0
    without = saved(some_pairs(later_s=0.012), name="without")
    (without / "calibration.jsonl").write_text(lines)
    assert asked(capsys, without)[0] == 3, "it did not calibrate: an earlier run left that there"
    code, out, _ = asked(capsys, late, "--calibration", same)
    assert code == 3
    assert "slower than 1.10 times" in out


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "results.json").unlink(), "no results of a run"),
        (lambda folder: (folder / "results.json").write_text("[1]"), "a JSON list"),
        (lambda folder: (folder / "results.json").write_text('{"kind": "blast"}'), "results of kind 'blast'"),
        (lambda folder: (folder / "results.json").write_text('{"kind": "split", "schema_version": 1}'), "the ledger"),
        (lambda folder: (folder / "pairs.jsonl").write_text('{"v": 1}\n{"v": 1}\n'), "line 1 of the pairs"),
        (lambda folder: (folder / "pairs.jsonl").write_bytes(b"\xff\xfe\n"), "pairs.jsonl"),
    ],
    ids=["none", "a-list", "blast", "no-ledger", "no-pair", "no-text"],
)
def test_what_is_no_saved_split_ends_in_2_and_says_what_it_is(saved, capsys, spoil, words):
    folder = saved(pairs(50, 5))
    spoil(folder)
    code, _, err = asked(capsys, folder)
    assert code == 2
    assert words in err


def test_a_last_line_that_was_cut_short_is_left_out(saved, capsys):
    folder = saved(pairs(50, 5))
    whole = (folder / "pairs.jsonl").read_text()
    (folder / "pairs.jsonl").write_text(whole + whole[:40])
    assert json.loads(asked(capsys, folder, "--json")[1])["pairs"] == 50


def test_it_imports_neither_locust_nor_gevent(saved):
    code = (
        "import sys; from darktime.console.main import DARKTIME, run; run(DARKTIME, ['verdict', sys.argv[1]]);"
        "print([name for name in ('locust', 'gevent', 'redis', 'altair') if name in sys.modules])"
    )
    folder = saved(pairs(50, 5))
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_every_margin_is_a_flag_and_a_key_with_the_default_that_it_says():
    made = VerdictSettings()
    names = {one.name for one in fields(VerdictSettings)} - {"compared_hop", "latency_slack_s"} | {"latency_slack_ms"}
    assert set(MARGINS) == names == set(KEYS["verdict"]) - {"inconclusive"}
    for option in command.params:
        if option.name in MARGINS:
            assert isinstance(option, click.Option)
            value = made.latency_slack_s * 1000 if option.name == "latency_slack_ms" else getattr(made, option.name)
            assert option.help.endswith(f"[default: {value:g}]")


def test_the_settings_file_that_init_writes_names_every_margin_with_its_default(tmp_path):
    lines = TEMPLATE.partition("[verdict]")[2].partition("[compare]")[0].splitlines()[1:]
    path = tmp_path / "darktime.toml"
    path.write_text("[verdict]\n" + "\n".join(line.removeprefix("# ") for line in lines))
    told = read(path)["verdict"]
    assert set(told) == set(KEYS["verdict"])
    made = VerdictSettings()
    for name in MARGINS:
        assert told[name] == (made.latency_slack_s * 1000 if name == "latency_slack_ms" else getattr(made, name))


def test_what_the_dark_side_failed_counts_though_a_stream_was_held_and_no_balance_could(saved, capsys):
    """The ledger of a run whose streams production still holds proves no loss; a timeout is one all the same."""
    whole = saved(some_pairs(), judged=judged(hops=[]), name="whole")
    assert asked(capsys, whole)[0] == 0
    failed = saved(some_pairs(), judged=judged(hops=[], reasons={"dark_timeout": 1000}), name="failed")
    code, out, _ = asked(capsys, failed)
    assert code == 3, out
