"""Looks, while a split runs, at who asks production: whether enough carry the key, and whether the copied are harmed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from darktime.split.census import too_few
from darktime.split.harm import Watch
from darktime.split.population import Population

if TYPE_CHECKING:
    from pathlib import Path

    from darktime.split.harm import Harm

EVERY_S: Final = 2.0


class Lookout:
    """``look`` at what the relay wrote down. ``keyless`` and ``harm`` are what was found, None while nothing was.

    ``lists``: listed users are in, or are not: no other users are like those that are, so that there is no control group.
    """

    def __init__(self, path: Path, key: str, *, lists: bool = False) -> None:
        self.keyless: str | None = None
        self.harm: Harm | None = None
        self.seen = Population()
        self._path = path
        self._key = key
        self._lists = lists
        self._watch = Watch()
        self._next_s = 0.0

    def look(self, now: float) -> None:
        """Every two seconds (``now`` is monotonic), a look."""
        if now < self._next_s:
            return
        self._next_s = now + EVERY_S
        self.seen = read_population(self._path) or self.seen
        self.keyless = too_few(self.seen.keyed, self._key)
        if not self._lists:
            self.harm = self._watch.look(self.seen) or self.harm

    def ramped(self) -> None:
        """Another percentage is mirrored from now on."""
        self.seen = read_population(self._path) or self.seen
        self._watch.begin(self.seen)

    @property
    def harmed(self) -> bool:
        """Whether those whose requests are copied are served worse."""
        return self.harm is not None and self.harm.harmed is True

    def record(self) -> dict[str, Any]:
        """As the results hold it."""
        harm = self.harm
        unseen = (
            "not watched: a list says who is in, so that nobody is like them"
            if self._lists
            else "too little was seen to tell"
        )
        return {
            "keyed": dict(self.seen.keyed),
            "harmed": None if harm is None else harm.harmed,
            "sentence": unseen if harm is None else harm.sentence,
            "groups": None if harm is None else harm.figures,
        }


def read_population(path: Path) -> Population | None:
    """What the relay wrote last; None until it has."""
    try:
        return Population.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
