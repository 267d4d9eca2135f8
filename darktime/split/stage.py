"""One percentage of a ramp: what was compared since it began, judged on its own.

What breaks only under more load shows there, and is not hidden behind what went well with less.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from darktime.split.calibration import calibration_of
from darktime.split.pairs_file import PairsFile
from darktime.split.results import findings_of
from darktime.split.saved import fields_of
from darktime.split.verdict import judge
from darktime.split.verdict.coverage import FIRST_HOP
from darktime.split.vigil import read_state

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from darktime.split.verdict import Verdict, VerdictSettings
    from darktime.split.verdict.inputs import Item

COMPARED = "relay>compared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A hop of which only the reasons are known: what is still on its way is no loss."""

    hop: str
    explained: Mapping[str, int]
    missing: Sequence[Item] = field(default=())
    extra: Sequence[Item] = field(default=())
    undecoded: int = 0


class Stage:
    """``pairs`` and ``state`` are the relay's files; ``begin`` when another percentage is mirrored."""

    def __init__(self, pairs: Path, state: Path, settings: VerdictSettings | None = None) -> None:
        self._pairs = pairs
        self._state = state
        self._settings = settings
        self._from = 0
        self._left: Counter[str] = Counter()
        self._never_came: Counter[str] = Counter()
        self._by_endpoint: dict[str, Counter[str]] = {}

    def begin(self) -> None:
        """From here on."""
        self._from = self._pairs.stat().st_size if self._pairs.exists() else 0
        state = read_state(self._state)
        self._left = Counter(state.get("reasons", {}))
        self._never_came = Counter(state.get("mirror_reasons", {}))
        self._by_endpoint = {name: Counter(left) for name, left in state.get("left", {}).items()}

    def judge(self, *, look: int) -> Verdict:
        """The verdict over what came since; ``look``: the how many-th it is of this run."""
        pairs = PairsFile(self._pairs, start=self._from).read()
        state = read_state(self._state)
        explained = Counter(state.get("reasons", {})) - self._left
        left = {
            name: Counter(reasons) - self._by_endpoint.get(name, Counter())
            for name, reasons in state.get("left", {}).items()
        }
        never_came = Counter(state.get("mirror_reasons", {})) - self._never_came
        hops = [Left(hop=COMPARED, explained=explained), Left(hop=FIRST_HOP, explained=never_came)]
        # What differs in the answers is counted over the whole run, and each look may err less.
        fields = fields_of(findings_of(state, look))
        same = calibration_of(self._pairs, state)
        return judge(
            pairs,
            hops,
            self._settings,
            left=left,
            fields=fields,
            streams=state.get("stream_pairs", ()),
            calibration=same,
            look=look,
        )
