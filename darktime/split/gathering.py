"""Puts together what the relays of one split write, each into files of its own: state, pairs, population, recording.

Whoever watches a split reads the same files as of one relay. They are written by who started the relays, each time that he
looks; what has not changed is not read again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from darktime.split.calibration import beside
from darktime.split.lookout import read_population
from darktime.split.merging import merge_comparisons, merge_populations, merge_states
from darktime.split.record.merged import merge_recordings, part_of
from darktime.split.relay.files import append_whole, write_whole
from darktime.split.vigil import read_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from darktime.split.population import Population

_FIELDS_EVERY_S: Final = 2.0
_FIELDS_SHARE: Final = 20  # what takes long is done that much more rarely
_MOST_AT_ONCE: Final = 16_777_216  # bytes of one relay's pairs, a look


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayFiles:
    """What one relay writes, or all of them together. ``recording``: None where nothing is recorded."""

    state: Path
    pairs: Path
    population: Path
    recording: Path | None = None

    @property
    def calibration(self) -> Path:
        """The pairs of a relay that calibrates; often there is no such file."""
        return beside(self.pairs)

    @classmethod
    def below(cls, results: Path, name: str, recording: Path | None) -> RelayFiles:
        """The files of the relay of that name, in the results folder."""
        tail = name.removeprefix("relay")
        return cls(
            state=results / f"relay{tail}.json",
            pairs=results / f"pairs{tail}.jsonl",
            population=results / f"population{tail}.json",
            recording=part_of(recording, name) if recording is not None and tail else recording,
        )


class _Kept:
    """A file's content as it was read last, read again once it has been written again."""

    def __init__(self, path: Path, read: Callable[[Path], Any]) -> None:
        self._path = path
        self._read = read
        self._written = 0
        self.content: Any = None

    def look(self) -> bool:
        """Whether it is another than it was."""
        try:
            written = self._path.stat().st_mtime_ns
        except OSError:
            return False
        if written == self._written:
            return False
        self._written = written
        found = self._read(self._path)
        if found:  # of what cannot be read the last stands
            self.content = found
        return True


class Gathering:
    """The files ``parts``, by the relays' names, put together into ``whole``. ``alive``: whether that relay is."""

    def __init__(self, parts: dict[str, RelayFiles], whole: RelayFiles, alive: Callable[[str], bool]) -> None:
        self._parts = parts
        self._whole = whole
        self._alive = alive
        self._states = {name: _Kept(files.state, read_state) for name, files in parts.items()}
        self._populations = {name: _Kept(files.population, read_population) for name, files in parts.items()}
        self._taken: dict[Path, int] = {}
        self._dead: frozenset[str] = frozenset()
        self._closing = False
        self._fields: dict[str, Any] = {}
        self._fields_at = 0.0

    def look(self, *, last: bool = False) -> None:
        """Put together what there is now. ``last``: nothing is left for later. Raises OSError for a disk that takes nothing."""
        self._take_pairs(last=last)
        # At the end none is alive: dead are those that were when all were still meant to be.
        dead = self._dead if self._closing else frozenset(name for name in self._parts if not self._alive(name))
        changed = [kept.look() for kept in self._states.values()]
        if any(changed) or dead != self._dead or last:
            self._dead = dead
            states = {name: kept.content or {} for name, kept in self._states.items()}
            self._compare(states.values(), last=last)
            merged = merge_states(states, dead=dead) | self._fields
            if self._whole.recording is not None and merged["recording"] is not None:
                merged["recording"]["file"] = str(self._whole.recording)
            write_whole(self._whole.state, merged)
        changed = [kept.look() for kept in self._populations.values()]
        if any(changed):
            told: list[Population] = [kept.content for kept in self._populations.values() if kept.content is not None]
            write_whole(self._whole.population, merge_populations(told).to_dict())

    def close(self) -> str | None:
        """The relays have ended: take what they wrote last, and leave one file of each kind; what could not be done, or None."""
        self._closing = True
        try:
            self.look(last=True)
            if self._whole.recording is not None:
                merge_recordings(self._recordings(), self._whole.recording)
        except Exception as error:  # noqa: BLE001 - whatever it was, everything is there, in parts
            return f"what the relays wrote could not be put together, it is in {self._whole.state.parent} in parts: {error}"
        for files in self._parts.values():
            for taken in (files.pairs, files.calibration):
                taken.unlink(missing_ok=True)
            files.population.unlink(missing_ok=True)
        return None

    def _recordings(self) -> Sequence[Path]:
        return [files.recording for files in self._parts.values() if files.recording is not None]

    def _take_pairs(self, *, last: bool) -> None:
        for files in self._parts.values():
            self._take(files.pairs, self._whole.pairs, last=last)
            self._take(files.calibration, self._whole.calibration, last=last)

    def _take(self, part: Path, whole: Path, *, last: bool) -> None:
        while True:
            lines = _whole_lines(part, self._taken.get(part, 0))
            if lines:
                append_whole(whole, lines)
                self._taken[part] = self._taken.get(part, 0) + len(lines)
            if not last or not lines:
                break

    def _compare(self, states: Iterable[dict[str, Any]], *, last: bool) -> None:
        now = time.monotonic()
        if now < self._fields_at and not last:
            return
        self._fields = merge_comparisons(states)
        ended = time.monotonic()
        self._fields_at = ended + max(_FIELDS_EVERY_S, _FIELDS_SHARE * (ended - now))


def _whole_lines(path: Path, start: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(start)
            text = file.read(_MOST_AT_ONCE)
    except FileNotFoundError:
        return b""
    return text[: text.rfind(b"\n") + 1]
