"""Two held streams of one request: which events both brought, and which only one of them. Pure; the caller supplies time.

Both sides see the same events only while both are held. What one brings within a second of where that begins or ends may be
on its way to the other, and is compared only if the other brought it too, or something on both sides of it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

WINDOW: Final = 1_024  # events a side that are remembered
EDGE_S: Final = 1.0
LATE_S: Final = 5.0  # what one side has not brought so long before the end is not merely late there
MOST_EXAMPLES: Final = 3
_MAX_NAME: Final = 80


@dataclass(slots=True, kw_only=True)
class StreamCounts:
    """What was seen of pairs of streams. ``missing``: the other side did not bring them; ``extra``: only it did.

    ``doubled``: the other side brought them again, ``doubled_today``: today's code did.
    ``outside``: events at the edges of the common span, which nobody can be blamed for. ``struck``: in how many pairs there
    was one that is surely missing, extra, doubled or out of order on the other side, and not only late at the end.
    """

    pairs: int = 0
    common: int = 0
    missing: int = 0
    extra: int = 0
    doubled: int = 0
    doubled_today: int = 0
    out_of_order: int = 0
    outside: int = 0
    examples: list[str] = field(default_factory=list)
    struck: Counter[str] = field(default_factory=Counter)

    def add(self, more: StreamCounts) -> None:
        """Take another's counts too."""
        for one in fields(self):
            if one.name == "examples":
                self.examples = [*self.examples, *more.examples][:MOST_EXAMPLES]
            elif one.name == "struck":
                self.struck.update(more.struck)
            else:
                setattr(self, one.name, getattr(self, one.name) + getattr(more, one.name))

    def to_dict(self) -> dict[str, Any]:
        """The counts as files hold them; ``struck`` has a place of its own there."""
        return {name: value for name, value in asdict(self).items() if name != "struck"}


def stream_record(endpoint: str, noise: StreamCounts, raw: StreamCounts, *, ignored: bool) -> dict[str, Any]:
    """An endpoint's pairs of streams as files hold them. ``noise``: today's two; ``raw``: today's and the dark one.

    ``ignored``: a rule leaves its events out.
    """
    return {
        "endpoint": endpoint,
        "noise": noise.to_dict(),
        "raw": raw.to_dict(),
        "struck": {"noise": dict(noise.struck), "raw": dict(raw.struck)},
        "ignored": ignored,
    }


class EventNames:
    """What the events of one stream are called: by their id, or by what they say where they have none of their own."""

    __slots__ = ("_last", "_said")

    def __init__(self) -> None:
        self._last = ""
        self._said = 0

    def name(self, event_id: str, kind: str, text: str) -> str:
        """The event's name. The same id and text again is the same event again; a new text under an old id is another."""
        if event_id and event_id != self._last:
            self._last, self._said = event_id, hash(text)
            return event_id
        if event_id and hash(text) == self._said:
            return event_id
        digest = hashlib.blake2b(f"{kind}\n{text}".encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        return f"{event_id}#{digest}"


@dataclass(slots=True)
class _Seen:
    place: int  # in the order in which its side brought it
    at: float
    matched: bool = False


class _Side:
    """One stream: its newest events, and between which of them the other side had some too."""

    __slots__ = ("brought", "first", "last", "seen")

    def __init__(self) -> None:
        self.seen: dict[str, _Seen] = {}
        self.brought = 0
        self.first = self.last = -1  # places of events that both have


class StreamPair:
    """Today's stream and the other one. ``opened``: when both were there; earlier events are nobody's."""

    def __init__(self, opened: float) -> None:
        self._opened = opened
        self._sides = (_Side(), _Side())
        self.counts = StreamCounts(pairs=1)

    def today(self, names: Iterable[str], now: float) -> None:
        """Events that today's code brought."""
        for name in names:
            self._event(name, now, 0)

    def other(self, names: Iterable[str], now: float) -> None:
        """Events that the other side brought."""
        for name in names:
            self._event(name, now, 1)

    def close(self, now: float) -> StreamCounts:
        """One of them ends: what has not been matched is missing, extra, or outside; the counts."""
        for number, side in enumerate(self._sides):
            for name, seen in side.seen.items():
                self._settle(name, seen, number, now - EDGE_S, self.counts)
            side.seen.clear()
        return self.counts

    def so_far(self, now: float) -> StreamCounts:
        """The counts while both go on; what one side has not brought for some seconds counts as at the end."""
        counts = replace(self.counts, examples=list(self.counts.examples), struck=Counter(self.counts.struck))
        for number, side in enumerate(self._sides):
            for name, seen in side.seen.items():
                self._settle(name, seen, number, now - LATE_S, counts)
        return counts

    def _event(self, name: str, now: float, number: int) -> None:
        mine, theirs = self._sides[number], self._sides[1 - number]
        if name in mine.seen:
            if number:
                self.counts.doubled += 1
                self.counts.struck["doubled"] = 1
            else:
                self.counts.doubled_today += 1
            return
        seen = mine.seen[name] = _Seen(mine.brought, now)
        mine.brought += 1
        match = theirs.seen.get(name)
        if match is not None:
            seen.matched = match.matched = True
            self.counts.common += 1
            if match.place < theirs.last:
                self.counts.out_of_order += 1
                self.counts.struck["out_of_order"] = 1
            for side, one in ((mine, seen), (theirs, match)):
                side.first = one.place if side.first < 0 else min(side.first, one.place)
                side.last = max(side.last, one.place)
        if len(mine.seen) > WINDOW:
            oldest = next(iter(mine.seen))
            self._settle(oldest, mine.seen.pop(oldest), number, now - EDGE_S, self.counts)

    def _settle(self, name: str, seen: _Seen, number: int, end: float, counts: StreamCounts) -> None:
        if seen.matched:
            return
        side = self._sides[number]
        between = side.first <= seen.place <= side.last and side.first >= 0
        if not between and not self._opened + EDGE_S <= seen.at <= end:
            counts.outside += 1
            return
        word = "extra" if number else "missing"
        if number:
            counts.extra += 1
        else:
            counts.missing += 1
        if between or seen.at <= end + EDGE_S - LATE_S:
            counts.struck[word] = 1
        if len(counts.examples) < MOST_EXAMPLES:
            kept = "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in name[:_MAX_NAME])
            counts.examples.append(f"{word} {kept}")
