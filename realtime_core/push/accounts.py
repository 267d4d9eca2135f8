"""What this server tells the ledger: counts are noted by the loop, carried and written by a thread of its own.

A Redis that hangs holds up that thread and nothing else. Notes are carried a piece at a time, because meanwhile the
interpreter is the thread's and the loop waits. What cannot be noted because too much waits is lost, and counted.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict, deque
from functools import partial
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from realtime_core.push.wire_format import Event

log = logging.getLogger(__name__)

EVERY_S: Final = 0.25  # between two flushes
PIECE: Final = 256  # notes carried at a time: less than a millisecond
BREATH_S: Final = 0.001  # between two pieces
MOST_WAITING: Final = 200_000
DROPPED: Final = "subscriber_dropped"
_IN: Final = "in"
_OUT: Final = "out"


class Book(Protocol):
    """The part of the ledger that is used here."""

    def sent(self, hop: str, ids: Sequence[str], at: float | Sequence[float], times: int | Sequence[int] = 1) -> None:
        """Count what was sent on a hop."""

    def received(
        self, hop: str, ids: Sequence[str], at: float | Sequence[float], times: int | Sequence[int] = 1
    ) -> None:
        """Count what was received on a hop."""

    def explained(
        self, hop: str, ids: Sequence[str], at: float | Sequence[float], reason: str, times: int | Sequence[int] = 1
    ) -> None:
        """Count what left a hop for a named reason."""

    def name(self, ids: Sequence[str]) -> None:
        """Remember ids in full."""

    def flush(self) -> None:
        """Write everything that changed."""

    def close(self) -> None:
        """Flush, and mark the account as complete."""


class Accounts:
    """Notes counts without ever waiting; hand it None and nothing is counted.

    Attributes:
        lost: counts that did not reach the ledger.
        failed_flushes: flushes that failed; the next one makes up for them.
    """

    def __init__(
        self, book: Book | None, hop_in: str = "", hop_out: str = "", *, most_waiting: int = MOST_WAITING
    ) -> None:
        self._book = book
        self._hop_in = hop_in
        self._hop_out = hop_out
        self._most_waiting = most_waiting
        # Appending to and taking from a deque are each one step for the interpreter: no lock between loop and thread.
        self._notes: deque[tuple[str, str, float, int]] = deque()
        self._ending = False
        self._look = threading.Event()  # a piece is together, or the server ends
        self._closed = False
        self._thread: threading.Thread | None = None
        self.lost = 0
        self.failed_flushes = 0

    @property
    def counting(self) -> bool:
        """Whether there is a ledger to count into."""
        return self._book is not None

    def start(self) -> None:
        """Begin to carry notes into the ledger."""
        if self._book is not None:
            self._thread = threading.Thread(target=self._run, args=(self._book,), name="ledger", daemon=True)
            self._thread.start()

    def received(self, event: Event) -> None:
        """An event came in."""
        if event.name is not None and self._book is not None:
            self._note(_IN, event.name, event.at, 1)

    def sent(self, events: Sequence[Event], subscribers: int) -> None:
        """Each of these events was written, or queued, to that many subscribers."""
        if self._book is not None and subscribers:
            for event in events:
                if event.name is not None:
                    self._note(_OUT, event.name, event.at, subscribers)

    def dropped(self, events: Sequence[Event]) -> None:
        """These events were counted as sent, and then their subscriber was dropped before they were."""
        if self._book is not None:
            for event in events:
                if event.name is not None:
                    self._note(DROPPED, event.name, event.at, 1)

    def close(self, timeout_s: float) -> bool:
        """Carry and write everything, close the account; whether that was done within ``timeout_s``."""
        if self._thread is None:
            return True
        self._ending = True
        self._look.set()
        self._thread.join(timeout_s)
        if not self._closed:
            self.lost += len(self._notes)
            log.warning("the ledger did not answer in %.1f s: this account stays open", timeout_s)
        return self._closed

    def _note(self, kind: str, name: str, at: float, times: int) -> None:
        if len(self._notes) < self._most_waiting:
            self._notes.append((kind, name, at, times))
            if len(self._notes) == PIECE:
                self._look.set()
        else:
            self.lost += times

    def _run(self, book: Book) -> None:
        due = monotonic()
        written = True
        while not self._ending:
            self._look.wait(max(0.0, due - monotonic()))
            self._look.clear()
            noted = bool(self._notes)
            self._carry(book)
            if noted or not written:
                written = False
            if monotonic() >= due:
                due = monotonic() + EVERY_S
                written = written or self._attempt(book.flush)
        self._carry(book)
        self._closed = self._attempt(book.close) or self._attempt(book.close)

    def _attempt(self, step: Callable[[], None]) -> bool:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - whatever ails the ledger, the server and the next flush go on
            self.failed_flushes += 1
            log.warning("the ledger was not written: %s", error)
            return False
        return True

    def _carry(self, book: Book) -> None:
        """What waits now, into the ledger's memory; what is noted meanwhile waits for the next time."""
        left = len(self._notes)
        while left > 0:
            self._carry_piece(book, min(left, PIECE))
            left -= PIECE
            if left > 0 and not self._ending:
                sleep(BREATH_S)

    def _carry_piece(self, book: Book, size: int) -> None:
        """All of a kind in one call: that is what costs least."""
        kinds: defaultdict[str, tuple[list[str], list[float], list[int]]] = defaultdict(lambda: ([], [], []))
        for _ in range(size):
            kind, name, at, times = self._notes.popleft()
            ids, ats, all_times = kinds[kind]
            ids.append(name)
            ats.append(at)
            all_times.append(times)
        for kind, columns in kinds.items():
            if not self._attempt(partial(self._enter, book, kind, *columns)):
                self.lost += sum(columns[2])

    def _enter(self, book: Book, kind: str, ids: list[str], ats: list[float], times: list[int]) -> None:
        if kind == _IN:
            book.received(self._hop_in, ids, ats, times)
            book.name(ids)
        elif kind == _OUT:
            book.sent(self._hop_out, ids, ats, times)
        else:
            book.explained(self._hop_out, ids, ats, kind, times)
