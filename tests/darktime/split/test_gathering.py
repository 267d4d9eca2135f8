"""What several relays write, put together into the files of one: nothing twice, nothing half, nothing lost at the end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from darktime.split.gathering import Gathering, RelayFiles
from darktime.split.lookout import read_population
from darktime.split.population import Population
from darktime.split.record.file import RecordingFile
from darktime.split.record.lines import Answer, Header, Recorded, answer_line, request_line
from darktime.split.relay.files import write_whole
from darktime.split.running import RunningSplit
from darktime.split.vigil import read_state

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("relay-1", "relay-2")


class Made:
    """Two relays' files, and what puts them together."""

    def __init__(self, folder: Path, recording: Path | None = None) -> None:
        self.dead: set[str] = set()
        self.whole = RelayFiles.below(folder, "relay", recording)
        self.parts = {name: RelayFiles.below(folder, name, recording) for name in NAMES}
        self.gathering = Gathering(self.parts, self.whole, lambda name: name not in self.dead)

    def write(self, name: str, **counted: Any) -> None:
        write_whole(self.parts[name].state, {"v": 1, "pid": 7, "reasons": {}, **counted})

    def pair(self, name: str, text: str) -> None:
        with self.parts[name].pairs.open("a") as file:
            file.write(text)

    def pairs(self) -> list[str]:
        return self.whole.pairs.read_text().splitlines() if self.whole.pairs.exists() else []


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def test_pairs_come_once_each_and_only_when_their_line_is_whole(made: Made) -> None:
    made.pair("relay-1", '{"a":1}\n{"a":')
    made.gathering.look()
    assert made.pairs() == ['{"a":1}']
    made.pair("relay-1", "2}\n")
    made.pair("relay-2", '{"b":1}\n')
    made.gathering.look()
    made.gathering.look()
    assert made.pairs() == ['{"a":1}', '{"a":2}', '{"b":1}']


def test_pairs_that_could_not_be_taken_are_taken_when_there_is_room_again(made: Made) -> None:
    made.whole.pairs.mkdir()  # nothing can be written there
    made.pair("relay-1", '{"a":1}\n')
    with pytest.raises(OSError, match=r"pairs\.jsonl"):
        made.gathering.look()
    made.whole.pairs.rmdir()
    made.gathering.look()
    assert made.pairs() == ['{"a":1}']


def test_a_split_that_cannot_put_them_together_says_so_and_goes_on(made: Made) -> None:
    made.whole.pairs.mkdir()
    made.pair("relay-1", '{"a":1}\n')
    files = made.whole
    running = RunningSplit(
        settings=None,  # type: ignore[arg-type] - nobody asks
        folder=files.state.parent,
        state=files.state,
        pairs=files.pairs,
        population=files.population,
        states=(),
        exporters={},
        processes={},
        gathering=made.gathering,
    )
    assert (running.gather() or "").startswith("what the relays write cannot be put together: ")


def test_the_state_is_of_all_and_says_who_is_dead(made: Made) -> None:
    made.write("relay-1", received=3, compared=2, waiting=1, streams=2)
    made.gathering.look()
    assert read_state(made.whole.state)["received"] == 3, "of one that has not written yet nothing is known"
    made.write("relay-2", received=4, compared=4, waiting=0, streams=1)
    made.gathering.look()
    assert read_state(made.whole.state)["streams"] == 3
    made.dead.add("relay-1")
    made.gathering.look()
    state = read_state(made.whole.state)
    assert (state["received"], state["compared"], state["waiting"], state["streams"]) == (7, 6, 1, 1)
    assert [one["alive"] for one in state["relays"]] == [False, True]


def test_what_has_not_changed_is_not_written_again(made: Made) -> None:
    made.write("relay-1", received=3)
    made.gathering.look()
    made.whole.state.unlink()
    made.gathering.look()
    assert not made.whole.state.exists()


def test_of_a_state_that_cannot_be_read_the_last_one_stands(made: Made) -> None:
    made.write("relay-1", received=3)
    made.write("relay-2", received=4)
    made.gathering.look()
    made.parts["relay-1"].state.write_text("{")
    made.gathering.look()
    assert read_state(made.whole.state)["received"] == 7


def test_the_population_is_the_sum(made: Made) -> None:
    people = Population()
    people.keyed["valid"] = 5
    for files in made.parts.values():
        write_whole(files.population, people.to_dict())
    made.gathering.look()
    found = read_population(made.whole.population)
    assert found is not None
    assert dict(found.keyed) == {"valid": 10, "unusable": 0, "none": 0}


def test_at_the_end_there_is_one_file_of_each_kind_and_what_each_relay_counted(made: Made) -> None:
    for number, name in enumerate(NAMES, 1):
        made.write(name, received=number)
        made.pair(name, f'{{"a":{number}}}\n')
        write_whole(made.parts[name].population, Population().to_dict())
    assert made.gathering.close() is None
    left = sorted(path.name for path in made.whole.state.parent.iterdir())
    assert left == ["pairs.jsonl", "population.json", "relay-1.json", "relay-2.json", "relay.json"]
    assert made.pairs() == ['{"a":1}', '{"a":2}']


def test_each_relay_has_a_calibration_of_its_own_and_they_are_put_together(made: Made) -> None:
    """One file of several writers would lose a line of one where another's disk is full."""
    parts = [files.calibration for files in made.parts.values()]
    assert len({made.whole.calibration, *parts}) == 3
    parts[0].write_text('{"a":1}\n{"a":')
    parts[1].write_text('{"b":1}\n')
    made.gathering.look()
    made.gathering.look()
    assert made.whole.calibration.read_text() == '{"a":1}\n{"b":1}\n'
    parts[0].write_text('{"a":1}\n{"a":2}\n')
    assert made.gathering.close() is None
    assert made.whole.calibration.read_text() == '{"a":1}\n{"b":1}\n{"a":2}\n'
    assert not any(path.exists() for path in parts)
    assert not made.whole.pairs.exists()


def test_relays_that_ended_as_they_were_told_to_are_not_called_dead(made: Made) -> None:
    for name in NAMES:
        made.write(name, received=3, compared=2, waiting=1, streams=2)
    made.dead.add("relay-1")
    made.gathering.look()
    made.dead.add("relay-2")  # it was told to end, and has
    made.write("relay-2", received=4, compared=4, waiting=0, streams=2)
    assert made.gathering.close() is None
    state = read_state(made.whole.state)
    assert [one["alive"] for one in state["relays"]] == [False, True]
    assert (state["received"], state["streams"]) == (7, 2), "its last word counts as it is"


def test_what_cannot_be_put_together_at_the_end_stays_in_parts_and_is_said(made: Made) -> None:
    made.pair("relay-1", '{"a":1}\n')
    made.whole.pairs.mkdir()
    said = made.gathering.close()
    assert said is not None
    assert "in parts" in said
    assert made.parts["relay-1"].pairs.read_text() == '{"a":1}\n'


@pytest.mark.parametrize("name", ["kept.jsonl", "kept.jsonl.gz"])
def test_the_recording_is_one_file_in_order_of_time_with_each_answer_behind_its_request(
    tmp_path: Path, name: str
) -> None:
    from darktime.split.record.reader import read

    made = Made(tmp_path, tmp_path / name)
    header = Header(experiment="e", key="ip", began=1000.0)
    for relay, (word, files) in enumerate(made.parts.items()):
        assert files.recording is not None
        made.write(word, recording={"file": str(files.recording), "requests": 2, "bytes": 9, "stopped": None})
        file = RecordingFile(files.recording, header, max_bytes=10**6)
        for turn in range(3):
            one = f"{relay}{turn}".rjust(32, "0")
            at = relay + 10.0 * turn
            file.write([request_line(Recorded(at=at, id=one, user="0" * 16, method="GET", target=f"/{at:g}"))])
            file.write([answer_line(one, Answer(status=200))])
        file.close()
        if relay and not name.endswith(".gz"):
            with files.recording.open("ab") as cut:
                cut.write(b'{"at":99.0,"id":')  # it was killed
    made.gathering.look()
    assert read_state(made.whole.state)["recording"]["file"] == str(tmp_path / name)
    assert made.gathering.close() is None
    assert sorted(path.name for path in tmp_path.glob("kept*")) == [name]
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    with (tmp_path / name).open("rb") as kept:
        found = read(iter(lambda: kept.read(100), b""))
    assert [one.target for one in found.requests] == ["/0", "/1", "/10", "/11", "/20", "/21"]
    assert (len(found.answers), found.garbage, found.cut, found.header) == (6, 0, False, header)


def test_a_recording_never_takes_the_place_of_a_file_that_has_come_up_meanwhile(tmp_path: Path) -> None:
    made = Made(tmp_path, tmp_path / "kept.jsonl")
    files = made.parts["relay-1"]
    assert files.recording is not None
    RecordingFile(files.recording, Header(experiment="e", key="ip", began=1.0), max_bytes=1000).close()
    (tmp_path / "kept.jsonl").write_text("somebody's\n")
    assert "in parts" in (made.gathering.close() or "")
    assert (tmp_path / "kept.jsonl").read_text() == "somebody's\n"
    assert files.recording.exists()
    assert json.loads(files.recording.read_text())["darktime_recording"] == 1
