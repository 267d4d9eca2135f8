"""The recorder: private and bounded in bytes, requests and time; a disk that is full or hangs costs the recording only."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from darktime.errors import UsageError
from darktime.split.dark_side import dark_side
from darktime.split.log_format import LogLine
from darktime.split.record import recorder as module
from darktime.split.record.file import RecordLimits
from darktime.split.record.lines import Answer
from darktime.split.record.reader import read
from darktime.split.record.recorder import Recorder, RecordSettings
from darktime.split.relay.copies import Copy
from darktime.split.relay.recording import Recording
from darktime.split.relay.records import Records
from darktime.split.relay.settings import RelaySettings
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

USER = "fedcba9876543210"
BEGAN = 1_764_000_000.0


def payload(number: int) -> bytes:
    return b"GET /page/%d HTTP/1.1\r\nHost: site.example\r\nX-Darktime: 1\r\n\r\n" % number


def recording(path: Path, *, began: float | None = None, **limits: Any) -> Recorder:
    settings = RecordSettings(path=path, experiment="e", key="cookie:uid", limits=RecordLimits(**limits))
    return Recorder(settings, began=time.time() if began is None else began)


def fill(recorder: Recorder, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        recorder.take(f"{number:032x}", time.time(), USER, payload(number))
        recorder.answered(f"{number:032x}", Answer(status=200))


@pytest.mark.parametrize("name", ["r.jsonl", "r.jsonl.gz"])
def test_what_was_taken_is_in_the_file_and_the_file_is_private(tmp_path: Path, name: str) -> None:
    path = tmp_path / "kept" / name
    recorder = recording(path)
    recorder.start()
    fill(recorder, 600)
    recorder.answered("f" * 32, Answer(status=500))  # of a copy that was never taken
    recorder.close(5)
    found = read([path.read_bytes()])
    assert [one.target for one in found.requests] == [f"/page/{number}" for number in range(600)]
    assert len(found.answers) == 600
    assert (found.garbage, found.cut, found.damage) == (0, False, "")
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    state = recorder.state()
    assert (state["requests"], state["answers"], state["left_out"], state["stopped"]) == (600, 600, 0, None)
    assert state["bytes"] == path.stat().st_size
    assert sorted(recorder.settled()) == [(f"{number:032x}", True) for number in range(600)]


@pytest.mark.parametrize("what", ["file", "link", "folder"])
def test_what_is_there_already_is_never_written_to(tmp_path: Path, what: str) -> None:
    path, other = tmp_path / "r.jsonl", tmp_path / "other"
    if what == "file":
        path.write_text("mine")
    elif what == "link":
        path.symlink_to(other)
    else:
        path.mkdir()
    with pytest.raises(UsageError, match="is there already: name another file"):
        recording(path)
    assert not other.exists()
    assert what != "file" or path.read_text() == "mine"


@pytest.mark.parametrize(("name", "limit"), [("r.jsonl", 20_000), ("r.jsonl.gz", 5_000)])
def test_it_ends_at_its_bytes_with_whole_lines_and_counts_what_comes_after(
    tmp_path: Path, name: str, limit: int
) -> None:
    path = tmp_path / name
    recorder = recording(path, bytes=limit)
    recorder.start()
    taken = 0
    while recorder.state()["stopped"] is None:
        fill(recorder, 50, taken)
        taken += 50
        wait_until(lambda all_of=taken: recorder.state()["stopped"] or recorder.requests == all_of)
    fill(recorder, 50, taken)
    taken += 50
    recorder.close(5)
    state = recorder.state()
    assert state["stopped"] == f"it has its {limit:,} bytes"
    assert limit / 4 < path.stat().st_size == state["bytes"] <= limit
    found = read([path.read_bytes()])
    assert (len(found.requests), found.garbage, found.cut, found.damage) == (state["requests"], 0, False, "")
    assert state["requests"] + state["left_out"] == taken
    settled = recorder.settled()
    assert len(settled) == taken
    assert sum(kept for _, kept in settled) == state["requests"]


def test_it_ends_at_its_requests_and_at_its_time(tmp_path: Path) -> None:
    recorder = recording(tmp_path / "a.jsonl", requests=3)
    recorder.start()
    fill(recorder, 5)
    recorder.close(5)
    assert (recorder.requests, recorder.state()["left_out"]) == (3, 2)
    assert recorder.state()["stopped"] == "it has its 3 requests"
    recorder = recording(tmp_path / "b.jsonl", began=time.time() - 10, seconds=5.0)
    recorder.start()
    fill(recorder, 2)
    recorder.close(5)
    assert (recorder.requests, recorder.state()["stopped"]) == (0, "it has had its 5 seconds")


CHILD = """\
import json, resource, sys, time
from pathlib import Path
from tests.darktime.split.record.test_recorder import fill, recording
from darktime.split.relay.copies import Copy
from darktime.split.relay.recording import Recording
from darktime.split.relay.records import Records
from darktime.split.relay.settings import RelaySettings
from tests.support.waiting import wait_until

limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
recorder = recording(Path(sys.argv[1]))
recorder.start()
taken = 0
while not recorder.state()["stopped"]:
    fill(recorder, 50, taken)
    taken += 50
    wait_until(lambda: recorder.state()["stopped"] or recorder.requests == taken)
fill(recorder, 10, taken)
recorder.close(5)
print(json.dumps({**recorder.state(), "settled": len(recorder.settled()), "taken": taken + 10}))
"""


@pytest.mark.parametrize(("name", "limit"), [("r.jsonl", 20_000), ("r.jsonl.gz", 5_000)])
def test_with_the_disk_full_it_ends_is_counted_and_what_was_written_can_be_read(
    tmp_path: Path, name: str, limit: int
) -> None:
    path = tmp_path / name
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), str(limit)], capture_output=True, text=True, timeout=20, check=True
    )
    state = json.loads(done.stdout)
    assert state["stopped"] == "it cannot be written (File too large)"
    assert state["requests"] + state["left_out"] == state["settled"] == state["taken"]
    assert 0 < state["requests"] < state["taken"] - 10
    found = read([path.read_bytes()])
    assert (len(found.requests), found.garbage, found.cut, found.damage) == (state["requests"], 0, False, "")


def test_a_disk_that_hangs_holds_up_nobody_and_what_falls_out_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WAITING", 100)
    recorder = recording(tmp_path / "r.jsonl")
    hangs, goes_on, write = threading.Event(), threading.Event(), recorder._file.write

    def slow(lines: list[bytes]) -> int:
        hangs.set()
        goes_on.wait(10)
        return write(lines)

    monkeypatch.setattr(recorder._file, "write", slow)
    recorder.start()
    fill(recorder, 1)
    assert hangs.wait(5)
    for number in range(1, 500):
        recorder.take(f"{number:032x}", time.time(), USER, payload(number))
    assert recorder.state()["left_out"] == 399
    goes_on.set()
    recorder.close(5)
    assert recorder.requests == 101
    assert len(recorder.settled()) == 500


class Uncounted:
    """Takes what the records count."""

    def sent(self, *_: object) -> None: ...
    def received(self, *_: object) -> None: ...
    def explained(self, *_: object) -> None: ...
    def paired(self, *_: object) -> None: ...


def test_an_answer_that_comes_before_its_copy_is_recorded_behind_it_and_an_aborted_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    records = Records(Uncounted(), wait_s=60, stream_wait_s=60, limit=10)
    settings = RelaySettings(
        socket=tmp_path / "s", log_port=0, dark=None, secret="s" * 24, state=tmp_path / "state",
        record=RecordSettings(path=path, experiment="e", key="ip"),
    )  # fmt: skip
    kept = Recording(settings, records)
    for number, status in ((1, 200), (2, 499), (3, 204), (4, 499)):
        copy = Copy(
            id=f"{number:032x}",
            at=time.time(),
            user="u",
            method="GET",
            target="/",
            headers=(),
            stripped=False,
            unfit=None,
        )
        line = LogLine(
            id=copy.id, at=copy.at, status=status, content_type="text/event-stream", length=7, head_seconds=0.25, seconds=9.0,
            aborted=status == 499,
        )  # fmt: skip
        early = number < 3
        if early:
            records.line(line, 0.0)
            kept.line(line)
        if records.arrived(copy, USER, 0.0):
            kept.take(copy, USER, payload(number))
        if not early:
            records.line(line, 0.0)
            kept.line(line)
    kept.start()
    kept.close()
    found = read([path.read_bytes()])
    assert [int(one.id, 16) for one in found.requests] == [1, 3, 4], "2 was gone before its copy came"
    told = Answer(status=200, content_type="text/event-stream", length=7, seconds=0.25)
    assert found.answers[f"{1:032x}"] == told, "of a stream its head"
    assert found.answers.keys() == {f"{1:032x}", f"{3:032x}"}, "of a client that went away nobody knows"
    assert (records.recorded, records.reasons) == (2, {"client_abort": 2})
    assert len(records) == 0


def line_of(number: int, status: int = 200) -> LogLine:
    return LogLine(
        id=f"{number:032x}", at=BEGAN, status=status, content_type="text/plain", length=1, head_seconds=0.1, seconds=0.1,
        aborted=status == 499,
    )  # fmt: skip


def copy_of(number: int) -> Copy:
    return Copy(
        id=f"{number:032x}", at=BEGAN, user="u", method="GET", target="/", headers=(), stripped=False, unfit=None
    )


def kept_beside_a_dark_instance(tmp_path: Path) -> Recording:
    settings = RelaySettings(
        dark=dark_side(["http://127.0.0.1:9"]), secret="s" * 24, state=tmp_path / "state",
        record=RecordSettings(path=tmp_path / "r.jsonl", experiment="e", key="ip"),
    )  # fmt: skip
    return Recording(settings, Records(Uncounted(), wait_s=60, stream_wait_s=60, limit=10))


def test_however_many_requests_were_aborted_or_lost_their_line_the_next_answers_are_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_UNANSWERED", 50)
    kept = kept_beside_a_dark_instance(tmp_path)
    for number in range(200):
        kept.take(copy_of(number), USER, payload(number))
        if number % 2:
            kept.line(line_of(number, 499))  # of the others no line ever comes
    for number in range(200, 210):
        kept.take(copy_of(number), USER, payload(number))
        kept.line(line_of(number))
    kept.start()
    kept.close()
    found = read([(tmp_path / "r.jsonl").read_bytes()])
    assert found.answers.keys() == {f"{number:032x}" for number in range(200, 210)}
    state = kept.state() or {}
    assert (state["requests"], state["answers"]) == (210, 10)
    assert state["answers_waiting"] <= 50
    assert state["answers_waiting"] + state["answers_given_up"] == 100, "who was aborted waits for none"


def test_an_answer_is_waited_for_as_long_as_a_stream_may_last_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now, time=time.time))
    recorder = recording(tmp_path / "r.jsonl")
    recorder.take(f"{1:032x}", time.time(), USER, payload(1))
    now += module.ANSWER_WAIT_S
    recorder.take(f"{2:032x}", time.time(), USER, payload(2))
    assert (recorder.state()["answers_waiting"], recorder.state()["answers_given_up"]) == (2, 0)
    now += 1
    recorder.take(f"{3:032x}", time.time(), USER, payload(3))
    assert (recorder.state()["answers_waiting"], recorder.state()["answers_given_up"]) == (2, 1)
    recorder.start()
    recorder.close(5)


def test_what_cannot_be_kept_is_remembered_no_longer_than_its_answer_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_UNANSWERED", 50)
    recorder = recording(tmp_path / "r.jsonl")
    for number in range(200):
        recorder.take(f"{number:032x}", time.time(), USER, b"nonsense\r\n\r\n")
    recorder.answered(f"{199:032x}", Answer(status=200))
    recorder.start()
    recorder.close(5)
    assert (recorder.state()["left_out"], recorder.state()["answers"]) == (200, 0)
    assert len(recorder._never) <= 50


def test_a_file_that_cannot_even_begin_is_refused_and_not_left(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot begin: it has its 5 bytes"):
        recording(tmp_path / "r.jsonl", bytes=5)
    assert not (tmp_path / "r.jsonl").exists()
    with pytest.raises(UsageError, match="name a file in a folder you may write"):
        recording(tmp_path / "f" / ("x" * 300))
    soft, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    assert soft == resource.RLIM_INFINITY, "the limit was the child's alone"
