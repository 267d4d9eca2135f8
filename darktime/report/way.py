"""The way of a run's copies or requests as a ledger: what set out, what left at each hop and why, what arrived. Pure.

Every row that is no total is taken off what stands above it; what then differs from the next total is not explained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from darktime.report import figures as fig

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_REASONS: Final = 14  # rows a hop
NOT_EXPLAINED: Final = "not explained"
# What a reason means, for people who have not read the relay.
MEANINGS: Final = {
    "shed_sink": "nginx gave it to its own sink: the relay was away, or slow",
    "relay_full": "the relay, or the recording, had no room",
    "too_big": "its body was longer than may be copied",
    "unsafe_method": "its method is not to be copied",
    "upgrade": "it wanted another protocol",
    "expired": "it had waited too long to be of use, or its stream lasted longer than one may be held",
    "dark_refused": "the dark instance took no connection, or was left alone after failures",
    "dark_timeout": "the dark instance did not answer in time",
    "dark_reset": "the dark instance broke the connection off",
    "client_abort": "production's client went away",
    "credential_stripped": "refused for a credential that a copy does not carry: no difference",
    "log_lost": "lines of nginx's log were lost, and what it needed was among them",
    "in_flight": "the relay was told to stop before it was through",
    "calibration_failed": "the second instance of today's code did not answer while the split calibrated",
    "transformed_away": "the function that copies go through dropped it",
    "transform_failed": "that function raised, or gave back what cannot be sent",
    "method": "its method was not named by --methods",
    "unsafe_path": "its path looks as if it changed something",
    "limit": "beyond --limit",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A row. ``look``: total, left (for a reason), open (still on its way), off (not explained). ``begins``: where it is drawn.

    ``count`` is what is taken off; below zero, what comes to it: more arrived than had set out, or before that was told.
    """

    word: str
    count: int
    look: str
    begins: int
    note: str = ""

    @property
    def ends(self) -> int:
        """Where its bar ends."""
        return self.begins + abs(self.count)


class _Walk:
    def __init__(self, word: str, count: int) -> None:
        self.steps = [Step(word=word, count=count, look="total", begins=0)]
        self.level = count

    def left(self, reasons: Mapping[str, int]) -> None:
        """These went no further, each for a reason."""
        ordered = most_first(reasons)
        for reason, times in ordered[:MOST_REASONS]:
            self._take(reason, times, "left", MEANINGS.get(reason, ""))
        more = ordered[MOST_REASONS:]
        if more:
            self._take(f"{len(more)} more reasons", sum(times for _, times in more), "left", "all are in results.json")

    def open(self, word: str, count: int, note: str = "") -> None:
        """These are on their way. Below zero: they came before it was told that they had set out."""
        if count > 0:
            self._take(word, count, "open", note)
        elif count < 0:
            self.steps.append(Step(word=word, count=count, look="open", begins=self.level, note=note))
            self.level -= count

    def arrive(self, word: str, count: int) -> None:
        """What nobody explains, then the next total."""
        self.unexplained(self.level - count)
        self.steps.append(Step(word=word, count=count, look="total", begins=0))
        self.level = count

    def unexplained(self, count: int) -> None:
        """What is missing, or too much, without a reason; 0 is worth a row."""
        begins = self.level - count if count > 0 else self.level
        self.steps.append(Step(word=NOT_EXPLAINED, count=count, look="off", begins=max(begins, 0)))

    def _take(self, word: str, count: int, look: str, note: str) -> None:
        self.level -= count
        self.steps.append(Step(word=word, count=count, look=look, begins=max(self.level, 0), note=note))


def steps(results: Mapping[str, Any]) -> list[Step]:
    """The rows of a run's results, of any kind that has a way."""
    made = {"split": _split, "record": _record, "relay": _relay, "replay": _replay}[results["kind"]](results)
    return made.steps


def most_first(reasons: Mapping[str, int]) -> list[tuple[str, int]]:
    """Reasons that were given, the most frequent first."""
    return sorted(((reason, times) for reason, times in reasons.items() if times), key=lambda one: -one[1])


def in_words(rows: list[Step]) -> str:
    """The way in one sentence, for who cannot see it."""
    told = [f"{fig.count(abs(row.count))} {row.word}" for row in rows if row.look == "total" or row.count]
    return "; ".join(told)


def unexplained(rows: list[Step]) -> int:
    """How many nobody explains, missing or too many."""
    return sum(abs(row.count) for row in rows if row.look == "off")


def way_of(results: Mapping[str, Any]) -> Mapping[str, Any]:
    """The counts of a split's or a recording's way; of results of before, what they have of it."""
    if results.get("way"):
        found: Mapping[str, Any] = results["way"]
        return found
    copies = results["copies"]
    first = next((hop for hop in results["ledger"] if hop["hop"] == "mirror>relay"), None)
    usual = {"compared": 0, "recorded": 0, "open": 0, "streams": 0, "duplicates": 0, "instances": []}
    return {**usual, "never_came": {} if first is None else first["explained"], **copies}


def _split(results: Mapping[str, Any]) -> _Walk:
    way = way_of(results)
    walk = _Walk("sampled at production", way["offered"])
    walk.left(way["never_came"])
    apart = walk.level - way["received"]
    early = min(abs(apart), way["open"]) * (1 if apart > 0 else -1)
    note = "a stream, mostly: its log line comes when it ends" if early < 0 else ""
    walk.open("production has not ended yet" if early < 0 else "not here yet", early, note)
    walk.arrive("came to the relay", way["received"])
    walk.left(way["reasons"])
    through = way["compared"] + way["recorded"]
    waiting = max(min(walk.level - through, way["open"]), 0)
    held = f"{fig.count(min(way['streams'], waiting))} of them streams that are held" if way["streams"] else ""
    walk.open("on their way when this was read", waiting, held)
    if results["kind"] == "record":
        walk.arrive("written into the recording", way["recorded"])
    else:
        walk.arrive("compared with production's answer", through)
    return walk


_record = _split


def _relay(results: Mapping[str, Any]) -> _Walk:
    requests, copies = results["requests"], results["copies"]
    walk = _Walk("sent by the mirror", requests["seen"])
    walk.left({"not sampled, or not to be copied": requests["outside"], "copies themselves": requests["marked"]})
    walk.arrive("copies of sampled users", copies["received"])
    walk.left(copies["reasons"])
    walk.arrive("answered by the dark side", copies["answered"])
    return walk


def _replay(results: Mapping[str, Any]) -> _Walk:
    unanswered = {name: times for name, times in results["unanswered"].items() if name != "not sent"}
    walk = _Walk("in the recording", results["recording"]["requests"])
    walk.left(results["left_out"])
    walk.arrive("to be sent", results["requests"])
    walk.left({"no connection was free in time, or it ended": results["unsent"]})
    walk.arrive("sent", results["sent"])
    walk.left(unanswered)
    walk.arrive("answered", results["answered"])
    walk.left({"no recorded answer to compare with": results["answered"] - results["compared"]})
    walk.arrive("compared with the recorded answer", results["compared"])
    return walk
