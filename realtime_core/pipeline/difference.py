"""Where two pipelines' outputs differ: by the path of the field, with both values. Pure; JSON types in, values out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from realtime_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_FIELDS: Final = 200
MAX_EXAMPLES: Final = 3
MAX_VALUE: Final = 200
MAX_DIFFERENCES: Final = 50  # of one job
ABSENT: Final = "(absent)"
MORE: Final = "(more fields)"
COUNTS: Final = ("offered", "compared", "same", "different", "shed", "lost", "skipped")


def differences(first: Any, beside: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """``(path, first's value, the other's)``, 50 at the most; items of lists are compared in their order, as ``path[]``."""
    found: list[tuple[str, Any, Any]] = []
    _collect(first, beside, path, found)
    return found


def _collect(first: Any, beside: Any, path: str, found: list[tuple[str, Any, Any]]) -> None:
    if len(found) >= MAX_DIFFERENCES:
        return
    if isinstance(first, dict) and isinstance(beside, dict):
        for name in sorted(first.keys() | beside.keys()):
            below = f"{path}.{name}" if path else str(name)
            if name not in first or name not in beside:
                found.append((below, first.get(name, ABSENT), beside.get(name, ABSENT)))
            else:
                _collect(first[name], beside[name], below, found)
    elif isinstance(first, list) and isinstance(beside, list) and len(first) == len(beside):
        for one, other in zip(first, beside, strict=True):
            _collect(one, other, f"{path}[]", found)
    elif type(first) is not type(beside) or first != beside:  # 1, 1.0 and true are three values of JSON
        found.append((path, first, beside))


class Tally:
    """What came of all comparisons: counts, and by field how often it differed, with examples. Bounded."""

    def __init__(self) -> None:
        self.jobs = dict.fromkeys(COUNTS, 0)
        self.fields: dict[str, dict[str, Any]] = {}

    def count(self, what: str, times: int = 1) -> None:
        """So many jobs more."""
        self.jobs[what] += times

    def job(self, id_: str, found: list[tuple[str, Any, Any]]) -> None:
        """One job was compared."""
        self.count("compared")
        self.count("different" if found else "same")
        told = set()
        for path, first, beside in found:
            if path not in told:  # of a list's items one is enough
                told.add(path)
                self.field(path, 1, [{"job": id_[:128], "first": _shown(first), "beside": _shown(beside)}])

    def field(self, path: str, times: int, examples: list[dict[str, str]]) -> None:
        """A field differed in so many jobs."""
        name = path[:MAX_VALUE]
        if name not in self.fields and len(self.fields) >= MAX_FIELDS:
            name = MORE
        kept = self.fields.setdefault(name, {"times": 0, "examples": []})
        kept["times"] += times
        kept["examples"] += examples[: MAX_EXAMPLES - len(kept["examples"])]

    def merge(self, other: Mapping[str, Any]) -> None:
        """Add what another one's ``as_json`` said.

        Raises:
            ConfigurationError: it is none.
        """
        try:
            for what in COUNTS:
                self.count(what, int(other["jobs"][what]))
            for field in other["fields"]:
                self.field(str(field["path"]), int(field["times"]), list(field["examples"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(f"a report of pipelines side by side cannot be read: {error!r}") from error

    def as_json(self) -> dict[str, Any]:
        """Counts, and fields by how often they differed."""
        fields = sorted(self.fields.items(), key=lambda item: (-item[1]["times"], item[0]))
        return {"jobs": dict(self.jobs), "fields": [{"path": path, **kept} for path, kept in fields]}


def _shown(value: Any) -> str:
    text = value if value is ABSENT else json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= MAX_VALUE else text[: MAX_VALUE - 1] + "…"
