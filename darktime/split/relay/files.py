"""The relay's files, written by a thread of its own: pairs as JSON lines, and the state for whoever watches.

A disk that hangs holds up that thread; pairs then wait up to a bound, and what falls out is counted.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import orjson

from darktime.split.calibration import beside

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from darktime.split.compare import Pair
    from darktime.split.relay.settings import RelaySettings

_PAIRS_EVERY_S: Final = 0.1
_STATE_EVERY: Final = 5  # rounds
log = logging.getLogger(__name__)


class Files:
    """``pair`` takes pairs; ``state`` is asked for the state twice a second."""

    def __init__(self, settings: RelaySettings, state: Callable[[], dict[str, Any]]) -> None:
        self._settings = settings
        self._state = state
        self._waiting: deque[Pair] = deque()
        self._calibrating: deque[Pair] = deque()  # pairs of the same code, for a file of their own
        self._written_bytes = 0  # of pairs
        self.population: dict[str, Any] = {}  # as it was last handed over, to be written beside the state
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_writing, name="files", daemon=True)
        self.pairs_dropped = 0
        self.failures = 0

    def start(self) -> None:
        """Write the first state, then keep writing."""
        write_whole(self._settings.state, self._state())
        self._thread.start()

    def pair(self, pair: Pair, *, calibrates: bool = False) -> None:
        """Take a pair; it will be in its file within a quarter of a second."""
        if self._settings.pairs is None:
            return
        if len(self._waiting) + len(self._calibrating) >= self._settings.limits.pairs_waiting:
            self.pairs_dropped += 1
            return
        (self._calibrating if calibrates else self._waiting).append(pair)

    def room(self) -> dict[str, int] | None:
        """How much of the room for pairs is taken; None where none are written."""
        if self._settings.pairs is None or self._settings.dark is None:
            return None
        return {"written": self._written_bytes, "limit": self._settings.limits.pairs_bytes}

    def close(self, timeout_s: float) -> None:
        """Write what is left."""
        self._stop.set()
        self._thread.join(timeout_s)

    def _keep_writing(self) -> None:
        round_number = 0
        stopping = False
        while not stopping:
            stopping = self._stop.wait(_PAIRS_EVERY_S)
            round_number += 1
            try:
                path = self._settings.pairs
                if path is not None:
                    self._write_pairs(path, self._waiting)
                    self._write_pairs(beside(path), self._calibrating)
                if stopping or round_number % _STATE_EVERY == 0:
                    write_whole(self._settings.state, self._state())
                    if self._settings.population is not None and self.population:
                        write_whole(self._settings.population, self.population)
            except Exception as error:  # noqa: BLE001 - whatever it was, the next round goes on
                self.failures += 1
                if self.failures == 1:
                    log.warning("the relay's files cannot be written: %s", error)

    def _write_pairs(self, path: Path, waiting: deque[Pair]) -> None:
        if not waiting:
            return
        pairs = [waiting.popleft() for _ in range(len(waiting))]
        lines = b"".join(orjson.dumps(pair.record()) + b"\n" for pair in pairs)
        if self._written_bytes + len(lines) > self._settings.limits.pairs_bytes:
            self.pairs_dropped += len(pairs)
            return
        try:
            append_whole(path, lines)
        except OSError:
            self.pairs_dropped += len(pairs)
            raise
        self._written_bytes += len(lines)


def append_whole(path: Path, lines: bytes) -> None:
    """Write whole lines or none: of a full disk no half of one stays."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        before = os.fstat(file).st_size
        try:
            left = memoryview(lines)
            while left:
                left = left[os.write(file, left) :]
        except OSError:
            os.ftruncate(file, before)
            raise
    finally:
        os.close(file)


def write_whole(path: Path, state: dict[str, Any]) -> None:
    """Write a JSON file whole or not at all."""
    draft = path.with_name(path.name + ".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_TRUNC | os.O_CREAT, 0o600), "wb") as file:
        file.write(orjson.dumps(state, option=orjson.OPT_NON_STR_KEYS))
    draft.replace(path)
