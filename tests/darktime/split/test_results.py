"""What a split's results are made of, on constructed truths."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from darktime.split.relay.files import append_whole
from darktime.split.results import harmed, pair_lines, settled, tempered
from darktime.split.verdict import Verdict

if TYPE_CHECKING:
    from pathlib import Path

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
        ({"offered": 4, "received": 3, "compared": 3, "reasons": {}, "mirror_reasons": {"shed_sink": 1}}, True),
        ({"offered": 4, "received": 3, "compared": 3, "reasons": {}, "mirror_reasons": {}}, False),
    ],
)
def test_copies_are_settled_when_each_was_compared_or_has_a_reason(relay: dict[str, object], *, yes: bool) -> None:
    assert settled(relay) is yes


def test_a_line_that_is_still_being_written_is_left_for_later() -> None:
    assert pair_lines('{"a": 1}\n{"b"') == [{"a": 1}]
    assert pair_lines('{"a"') == []


def test_half_a_line_that_a_full_disk_left_costs_that_line_and_no_more() -> None:
    assert pair_lines('{"a": 1}\n{"b": "…{"c": 3}\n{"d": 4}\n') == [{"a": 1}, {"d": 4}]


FULL = """
import resource, signal, sys
from pathlib import Path
from darktime.split.relay.files import append_whole
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
append_whole(Path(sys.argv[1]), b"x" * 60)
try:
    append_whole(Path(sys.argv[1]), b"y" * 60)
except OSError:
    sys.exit(7)
"""


def test_of_lines_that_a_full_disk_does_not_take_none_is_left_in_half(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, timeout=20, check=False)
    assert done.returncode == 7, done.stderr
    assert path.read_bytes() == b"x" * 60
    append_whole(path, b"z")
    assert path.read_bytes() == b"x" * 60 + b"z"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_run_that_harmed_production_is_no_go_and_says_so_first() -> None:
    go = Verdict(outcome="GO", reasons=("all is well",))
    watched = {"harmed": True, "sentence": "they are served worse"}
    assert harmed(go, None) is go
    assert harmed(go, {**watched, "harmed": None}) is go
    judged = harmed(go, watched)
    assert (judged.outcome, judged.reasons) == ("NO-GO", ("they are served worse", "all is well"))
