"""Triples: of each copy that is compared by content, which of its three answers are there. Pure; the caller supplies time.

Every triple that was begun ends once: handed over with all three answers, or left for a reason of its own; the copy's way to
the dark instance and its own reasons know nothing of it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from darktime.split.compare.pair import NOT_MODIFIED
from darktime.split.compare.stream_pair import EventNames, StreamCounts, StreamPair

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from darktime.split.compare.answer import Answer
    from darktime.split.relay.copies import Copy
    from darktime.wire.eventsource import ServerEvent

TODAY, AGAIN, DARK = "today", "again", "dark"
LEGS: Final = (TODAY, AGAIN, DARK)
# Why a copy that was chosen is not compared by content.
PER_SECOND: Final = "per_second"
FULL: Final = "compare_full"
SECONDARY: Final = "secondary_failed"
DARK_FAILED: Final = "dark_failed"
ABORTED: Final = "client_abort"
UNCHANGED: Final = "not_modified"
STRIPPED: Final = "credential_stripped"
LATE: Final = "too_late"
STOPPED: Final = "in_flight"
_DENIED: Final = (401, 403)
_MOST_STREAM_ENDPOINTS: Final = 50
_TELL_EVERY_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Three answers to one request: two of today's code, and the dark one."""

    request_id: str
    method: str
    endpoint: str
    today: Answer
    again: Answer
    dark: Answer

    @property
    def label(self) -> str:
        """The endpoint as findings name it: other methods than GET are endpoints of their own."""
        return self.endpoint if self.method == "GET" else f"{self.method} {self.endpoint}"


@dataclass(slots=True)
class Triple:
    """One copy. ``streams``: the pairs of streams, noise first, once all three are held."""

    copy: Copy
    endpoint: str
    began: float
    answers: dict[str, Answer] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)  # legs that turned out to be streams
    names: dict[str, EventNames] = field(default_factory=dict)
    streams: tuple[StreamPair, StreamPair] | None = None
    ended: float | None = None  # production's stream has: the events that are on their way are still taken
    so_far: tuple[StreamCounts, StreamCounts] | None = None  # of streams that go on, as it was lately
    told: float = 0.0


class Triples:
    """All that are not through. ``hand_over`` takes what is to be compared; ``release`` is told what is no longer wanted."""

    def __init__(self, *, wait_s: float, hand_over: Callable[[Work], None], release: Callable[[str], None]) -> None:
        self._wait_s = wait_s
        self._hand_over = hand_over
        self._release = release
        self._open: dict[str, Triple] = {}
        self.held = 0  # triples of streams
        self.left: Counter[str] = Counter()
        self.streams: dict[str, tuple[StreamCounts, StreamCounts]] = {}

    def __len__(self) -> int:
        """Triples that wait for answers; those of streams are not among them."""
        return len(self._open) - self.held

    def get(self, request_id: str) -> Triple | None:
        """The triple of a copy, if there is one."""
        return self._open.get(request_id)

    def begin(self, copy: Copy, endpoint: str, now: float) -> None:
        """A copy is to be compared."""
        self._open[copy.id] = Triple(copy=copy, endpoint=endpoint, began=now)

    def answered(self, request_id: str, leg: str, answer: Answer, now: float, *, held: bool = False) -> None:
        """One of the three answers is there; of a stream that is held, its head."""
        triple = self._open.get(request_id)
        if triple is None or triple.streams is not None:
            return
        triple.answers[leg] = answer
        if held:
            triple.held.add(leg)
        if len(triple.answers) == len(LEGS):
            self._through(triple, now)

    def events(self, request_id: str, leg: str, events: Sequence[ServerEvent], now: float) -> None:
        """A held stream brought events; what comes before all three are held is nobody's."""
        triple = self._open.get(request_id)
        if triple is None:
            return
        naming = triple.names.setdefault(leg, EventNames())
        names = [naming.name(one.id, one.type, one.data) for one in events]
        if triple.streams is None:
            return
        noise, raw = triple.streams
        if leg == TODAY:
            noise.today(names, now)
            raw.today(names, now)
        else:
            (noise if leg == AGAIN else raw).other(names, now)

    def leave(self, request_id: str, reason: str) -> None:
        """A triple goes no further. One of streams has been counted: it ends by ``end_streams``."""
        triple = self._open.get(request_id)
        if triple is not None and triple.streams is None:
            del self._open[request_id]
            self.left[reason] += 1
            self._release(request_id)

    def production_ended(self, request_id: str, now: float) -> None:
        """Production's stream has ended, and so do the others."""
        triple = self._open.get(request_id)
        if triple is not None and triple.streams is not None and triple.ended is None:
            triple.ended = now

    def sweep(self, now: float, *, held: Callable[[str], bool], farewell_s: float) -> None:
        """End what has taken too long, and the streams of which one is held no more."""
        for request_id, triple in list(self._open.items()):
            if triple.streams is None:
                if now - triple.began > self._wait_s:
                    self.leave(request_id, LATE)
            elif triple.ended is None:
                if not held(request_id):
                    self.end_streams(request_id, now)
                elif now - triple.told > _TELL_EVERY_S:
                    noise, raw = triple.streams
                    triple.so_far, triple.told = (noise.so_far(now), raw.so_far(now)), now
            elif now - triple.ended > farewell_s:
                self.end_streams(request_id, triple.ended)

    def end_streams(self, request_id: str, now: float) -> None:
        """The span that all three have in common ends."""
        triple = self._open.pop(request_id)
        assert triple.streams is not None
        self.held -= 1
        noise, raw = triple.streams
        _add(self.streams, triple.endpoint, (noise.close(now), raw.close(now)))
        self._release(request_id)

    def streams_so_far(self) -> dict[str, tuple[StreamCounts, StreamCounts]]:
        """By endpoint the streams that have ended, and those that go on as they were some seconds ago; from any thread."""
        found: dict[str, tuple[StreamCounts, StreamCounts]] = {}
        for endpoint, counts in list(self.streams.items()):
            _add(found, endpoint, counts)
        for triple in list(self._open.values()):
            if triple.so_far is not None:
                _add(found, triple.endpoint, triple.so_far)
        return found

    def close(self, now: float) -> None:
        """The relay stops."""
        for request_id, triple in list(self._open.items()):
            if triple.streams is None:
                self.leave(request_id, STOPPED)
            else:
                self.end_streams(request_id, now if triple.ended is None else triple.ended)

    def _through(self, triple: Triple, now: float) -> None:
        copy, answers = triple.copy, triple.answers
        statuses = {answer.status for answer in answers.values()}
        if NOT_MODIFIED in statuses:  # which one comes depends on what caches know
            self.leave(copy.id, UNCHANGED)
            return
        if copy.stripped and answers[TODAY].status in _DENIED:
            self.leave(copy.id, STRIPPED)
            return
        work = Work(request_id=copy.id, method=copy.method, endpoint=triple.endpoint, **answers)
        if len(triple.held) == len(LEGS):
            triple.streams, triple.told = (StreamPair(now), StreamPair(now)), now
            self.held += 1
        else:
            del self._open[copy.id]
            self._release(copy.id)
        self._hand_over(work)


def _add(
    streams: dict[str, tuple[StreamCounts, StreamCounts]], endpoint: str, counts: tuple[StreamCounts, StreamCounts]
) -> None:
    full = len(streams) >= _MOST_STREAM_ENDPOINTS and endpoint not in streams
    for whole, part in zip(
        streams.setdefault("other" if full else endpoint, (StreamCounts(), StreamCounts())), counts, strict=True
    ):
        whole.add(part)
