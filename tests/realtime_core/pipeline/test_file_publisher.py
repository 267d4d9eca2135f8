"""The file as a target: private, whole lines, and what becomes of a write that fails or is cut short."""

from __future__ import annotations

import json
import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from realtime_core.errors import ConfigurationError
from realtime_core.pipeline import FilePublisher, JSONParser
from realtime_core.publish import Event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from realtime_core.publish import Outcome


class ToFile(JSONParser, FilePublisher):
    """Nothing but that."""


def events(first: int, count: int) -> list[Event]:
    return [
        Event(id=f"1-{n}", channel="c", at=1.5, line=json.dumps({"n": n, "text": "x" * 50}).encode())
        for n in range(first, first + count)
    ]


def whole(path: Path) -> list[int]:
    """The numbers of the lines that can be read."""
    found = []
    for line in path.read_bytes().split(b"\n"):
        try:
            found.append(json.loads(line)["n"])
        except ValueError:
            continue
    return found


@contextmanager
def room_for(path: Path, more: int) -> Iterator[None]:
    """No file of this process may grow beyond that one's size and so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def publisher(path: Path) -> Iterator[ToFile]:
    publisher = ToFile(settings={"file": str(path)})
    yield publisher
    publisher.close(1.0)


def said(outcomes: dict[str, list[Outcome]]) -> set[tuple[bool, str | None, bool]]:
    return {(outcome.accepted, outcome.reason, outcome.temporary) for outcome in outcomes["file"]}


def test_after_a_write_that_was_cut_short_nothing_of_it_is_accepted_and_the_next_begins_on_a_line_of_its_own(
    publisher: ToFile, path: Path
) -> None:
    assert said(publisher.publish(events(0, 3))) == {(True, None, False)}
    with room_for(path, 100):  # a line and a part of one
        cut = publisher.publish(events(3, 5))
    assert len(cut["file"]) == 5
    assert said(cut) == {(False, "reset", True)}, "another attempt may succeed"
    assert said(publisher.publish(events(3, 5))) == {(True, None, False)}
    assert said(publisher.publish(events(8, 2))) == {(True, None, False)}
    # What was whole of the cut one stands there twice; the part of a line spoils no other.
    assert whole(path) == [0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9]
    lines = path.read_bytes().split(b"\n")
    assert len(lines) == 11 + 1 + 1, "one torn line, and nothing after the last"
    assert lines[-1] == b""


def test_where_nothing_can_be_written_after_a_cut_the_next_still_begins_on_a_line_of_its_own(
    publisher: ToFile, path: Path
) -> None:
    with room_for(path, 30):
        assert said(publisher.publish(events(0, 1))) == {(False, "reset", True)}
        assert said(publisher.publish(events(0, 1))) == {(False, "refused", True)}
    assert said(publisher.publish(events(0, 2))) == {(True, None, False)}
    assert whole(path) == [0, 1]


def test_a_full_disk_is_a_refusal_and_the_events_may_come_again() -> None:
    publisher = ToFile(settings={"file": "/dev/full"})
    assert said(publisher.publish(events(0, 2))) == {(False, "refused", True)}
    publisher.close(1.0)
    publisher.close(1.0)  # and once more does nothing


def test_a_new_file_is_private_and_one_that_cannot_be_written_is_refused(publisher: ToFile, path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    publisher.publish(events(0, 1))
    with pytest.raises(ConfigurationError, match="name one that can be written"):
        ToFile(settings={"file": str(path / "below")})
    with pytest.raises(ConfigurationError, match="file=PATH"):
        ToFile()
