"""A saved split, judged again: what its results and pairs hold, as the verdict takes it. Pure; no file is read here."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from darktime.errors import UsageError
from darktime.split.compare.pair_lines import PairLines
from darktime.split.results import findings_of, harmed, tempered
from darktime.split.verdict import judge
from darktime.split.verdict.coverage import FIRST_HOP

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from darktime.split.compare import Pair
    from darktime.split.verdict import FieldFinding, Hop, Verdict, VerdictSettings

JUDGED_HOPS: Final = frozenset({"mirror>relay", "relay>compared"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedItem:
    """An id of a hop that did not come to zero; one whose name nobody knew has been saved as ``#KEY``."""

    id: str | None
    key: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedHop:
    """A ledger's hop as it was saved."""

    hop: str
    explained: Mapping[str, int]
    missing: Sequence[SavedItem]
    extra: Sequence[SavedItem]
    undecoded: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedField:
    """A field's finding as it was saved."""

    endpoint: str
    path: str
    kind: str
    raw: int
    noise: int
    total: int
    reported: bool
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a verdict took into account besides the pairs: kept in the results, so that it can be made again."""

    hops: Sequence[str] = tuple(sorted(JUDGED_HOPS))  # whose balance counted
    left: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    fields: Sequence[SavedField] = ()
    incidents: Sequence[str] = ()
    look: int = 1
    reasons: Mapping[str, int] = field(default_factory=dict)  # of the compared hop, where no balance counted
    never_came: Mapping[str, int] = field(default_factory=dict)  # of the first hop, alike

    def record(self) -> dict[str, Any]:
        """As the results hold it."""
        return {
            "hops": list(self.hops),
            "left": {endpoint: dict(reasons) for endpoint, reasons in self.left.items()},
            "fields": [asdict(one) for one in self.fields],
            "incidents": list(self.incidents),
            "look": self.look,
            "reasons": dict(self.reasons),
            "never_came": dict(self.never_came),
        }

    def reasons_alone(self) -> list[SavedHop]:
        """Hops of which only the reasons are known: what is still on its way is no loss, what failed has failed."""
        known = (("relay>compared", self.reasons), (FIRST_HOP, self.never_came))
        return [SavedHop(hop=hop, explained=why, missing=(), extra=(), undecoded=0) for hop, why in known if why]


def fields_of(fields: Iterable[FieldFinding]) -> tuple[SavedField, ...]:
    """Findings as they are saved."""
    return tuple(
        SavedField(
            endpoint=one.endpoint,
            path=one.path,
            kind=one.kind,
            raw=one.raw,
            noise=one.noise,
            total=one.total,
            reported=one.reported,
            example=one.example,
        )
        for one in fields
    )


def judged_of(results: Mapping[str, Any]) -> Judged:
    """What was taken into account; of results that do not say, both hops. Raises UsageError for another shape."""
    saved = results.get("judged")
    try:
        if saved is None:
            return Judged()
        return Judged(
            hops=tuple(saved["hops"]),
            left={str(name): dict(reasons) for name, reasons in saved["left"].items()},
            fields=tuple(SavedField(**one) for one in saved["fields"]),
            incidents=tuple(saved["incidents"]),
            look=int(saved["look"]),
            reasons={str(name): int(count) for name, count in saved.get("reasons", {}).items()},
            never_came={str(name): int(count) for name, count in saved.get("never_came", {}).items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f'"judged" in the results is not what a split saves ({error!r}): run it again') from error


def hops_of(results: Mapping[str, Any], judged: Judged) -> list[Hop]:
    """The hops that count. Raises UsageError for a ledger of another shape."""
    try:
        return [
            SavedHop(
                hop=str(one["hop"]),
                explained=dict(one["explained"]),
                missing=[SavedItem(id=item["id"]) for item in one["missing"]],
                extra=[SavedItem(id=item["id"]) for item in one["extra"]],
                undecoded=int(one["undecoded"]),
            )
            for one in results["ledger"]
            if one["hop"] in judged.hops
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"the ledger in the results is not what a split saves ({error!r}): run it again") from error


def read_pairs(lines: Iterable[str]) -> list[Pair]:
    """The pairs of a file's lines. Raises UsageError that names a line that is none, but for a last one that was cut short."""
    pairs: list[Pair] = []
    decoded = PairLines()
    for number, line in enumerate(lines, 1):
        try:
            pairs.append(decoded.pair(line))
        except (ValueError, KeyError, TypeError) as error:
            if line.endswith("\n"):
                raise UsageError(
                    f"line {number} of the pairs is none ({error!r}): give the file as the split wrote it"
                ) from error
    return pairs


def judge_again(
    results: Mapping[str, Any],
    pairs: Sequence[Pair],
    *,
    settings: VerdictSettings,
    look: int | None = None,
    calibration: Sequence[Pair] = (),
) -> Verdict:
    """The verdict of a saved split, by other margins if need be. ``look``: as saved when left out."""
    judged = judged_of(results)
    look = judged.look if look is None else look
    # A finding as it was saved says nothing of another look; the counts beside it do.
    again = judged.fields and look != judged.look and results.get("comparison")
    verdict = judge(
        pairs,
        [*hops_of(results, judged), *judged.reasons_alone()],
        settings,
        left=judged.left,
        fields=findings_of(results, look) if again else judged.fields,
        streams=results.get("stream_pairs", ()),
        calibration=calibration,
        look=look,
    )
    return harmed(tempered(verdict, judged.incidents), results.get("production_watched"))
