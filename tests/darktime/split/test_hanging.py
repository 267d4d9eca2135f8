"""A relay whose loop stands still is noticed, named and ended, whatever else of it goes on."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from darktime.errors import ExitCode
from darktime.split.conclusion import marred
from darktime.split.pulse import SILENT_S, silence
from darktime.split.vigil import Vigil, read_state
from tests.darktime.split.test_comparison import Nginx, ids
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("lock = threading.Lock(); lock.acquire(); lock.acquire()", id="waits-for-a-lock"),
        pytest.param("while True: pass", id="spins", marks=pytest.mark.long),
    ],
)
def test_a_relay_in_a_function_that_never_returns_says_since_when_and_ends_when_told(
    make_split: Callable[..., Any],
    origin: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    body: str,
) -> None:
    (tmp_path / "hanging.py").write_text(f"import threading\ndef transform(copy):\n    {body}\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    dark = origin()
    split = make_split(dark.address)
    split.start_relay(dark.address, None, "--transform", "hanging:transform")
    vigil = Vigil({"relay": split.relay}, {"relay": split.state_path})
    assert wait_until(lambda: vigil.heard_since(0.0), what="a first turn")
    with Nginx(split) as nginx:
        nginx.ask(ids(1))
        calling = wait_until(lambda: (split.state().get("loop") or {}).get("calling"), what="a call")
    before = time.monotonic()
    assert 0 <= before - calling < SILENT_S
    written = split.state_path.stat().st_mtime_ns
    wait_until(lambda: split.state_path.stat().st_mtime_ns > written, what="the state, which goes on")
    assert not vigil.heard_since(before)
    assert silence("relay", split.state(), calling + 9) == (
        "relay hangs: its loop has not turned for 9 s, as long in a call of hanging:transform"
    )
    began = time.monotonic()
    assert split.relay.stop(timeout_s=10) == ExitCode.ERROR, "neither killed nor as if nothing had been"
    assert time.monotonic() - began < 8
    assert "did not end within 3 s of being told to" in split.relay.tail()
    assert vigil.ended({"relay": 1})[0].startswith("relay did not end by itself")


class Running:
    """A process that runs."""

    def alive(self) -> bool:
        return True

    def tail(self, lines: int = 20) -> str:
        return ""


def test_one_of_two_whose_heartbeat_is_old_is_an_incident_once_and_the_other_is_none(tmp_path: Path) -> None:
    states = {name: tmp_path / f"{name}.json" for name in ("relay-1", "relay-2")}
    now = time.monotonic()
    for path, ago in zip(states.values(), (0.0, SILENT_S + 1), strict=True):
        path.write_text(json.dumps({"loop": {"turned": now - ago, "calling": None}}))
    vigil = Vigil(dict.fromkeys(states, Running()), states)
    assert not vigil.heard_since(now - 1)
    assert vigil.look(now) == [], "a machine that was held up as a whole goes on with all at once"
    (incident,) = vigil.look(now + 1)
    assert incident.startswith("relay-2 hangs: its loop has not turned for 7 s; what it took since then")
    assert vigil.look(now + 2) == []
    assert vigil.heard_since(now - 1), "of one that is known to hang nobody waits to hear"
    assert not vigil.lost_relay
    assert [one["what"] for one in vigil.record()] == [incident]
    assert vigil.ended({"relay-1": 0, "relay-2": -9}) == vigil.ended({"relay-1": -15}) == [], "that is said already"
    (killed,) = vigil.ended({"relay-1": -9})
    assert killed.startswith("relay-1 did not end by itself")


def test_one_that_turns_again_before_it_is_sure_is_no_incident(tmp_path: Path) -> None:
    path, now = tmp_path / "relay.json", time.monotonic()
    vigil = Vigil({"relay": Running()}, {"relay": path})
    for late in (0.0, 20.0):
        path.write_text(json.dumps({"loop": {"turned": now + late - 9, "calling": None}}))
        assert vigil.look(now + late) == []
        path.write_text(json.dumps({"loop": {"turned": now + late, "calling": None}}))
        assert vigil.look(now + late + 1) == []


def test_of_a_state_that_says_nothing_of_a_loop_nothing_is_concluded(tmp_path: Path) -> None:
    path = tmp_path / "relay.json"
    vigil = Vigil({"relay": Running()}, {"relay": path})
    for text in ("", "{", "{}", '{"loop": null}'):
        path.write_text(text)
        assert (vigil.look(), vigil.look(time.monotonic() + 99), vigil.heard_since(time.monotonic())) == ([], [], True)
    assert silence("relay", read_state(path), 1e9) == ""


def test_a_relay_that_was_stopped_by_a_signal_is_silent_too(
    make_split: Callable[..., Any], origin: Callable[..., Any]
) -> None:
    dark = origin()
    split = make_split(dark.address)
    split.start_relay(dark.address)
    turned = wait_until(lambda: split.state().get("loop"), what="a state")["turned"]
    wait_until(lambda: split.state()["loop"]["turned"] > turned, what="a turn with nothing to do")
    split.signal(signal.SIGSTOP)
    time.sleep(0.01)
    last = split.state()["loop"]["turned"]
    assert silence("relay", split.state(), last + 6) == "relay hangs: its loop has not turned for 6 s"
    assert split.relay.stop() == 0


def test_what_failed_at_the_very_end_is_no_go() -> None:
    results = {
        "incidents": [],
        "judged": {"incidents": []},
        "verdict": {"outcome": "GO", "reasons": ["fine"], "needs": None},
        "exit_code": 0,
    }
    after = marred(results, "relay did not end")
    assert (after["verdict"]["outcome"], after["exit_code"]) == ("WAIT", 5)
    assert after["verdict"]["reasons"] == ["relay did not end", "fine"]
    assert after["incidents"] == [{"at": None, "what": "relay did not end"}]
    assert after["judged"]["incidents"] == ["relay did not end"]
    worse = marred({**results, "verdict": {**results["verdict"], "outcome": "NO-GO"}, "exit_code": 1}, "x")
    assert (worse["verdict"]["outcome"], worse["exit_code"]) == ("NO-GO", 1), "nginx died: that stands"
    kept = marred({"incidents": [], "outcome": "whole", "reasons": [], "exit_code": 0}, "x")
    assert (kept["outcome"], kept["reasons"], kept["exit_code"]) == ("partial", ["x"], 3)
