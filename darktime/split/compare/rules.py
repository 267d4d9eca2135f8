"""Rules of what is not compared, and of lists whose order counts for nothing. Pure.

A rule is ``[METHOD] ENDPOINT FIELD``, in words with spaces between them:

- METHOD: ``GET`` or ``HEAD``; left out, both.
- ENDPOINT: as reports name it, ``/thread/{id}``; with a ``*`` at its end, all that begin so; ``*`` alone, all.
- FIELD: a path as reports name it, ``posts[].at``, and all that lies below it. ``*`` stands for one step of a path, ``**`` for
  any number of them. ``(body)``, ``(status)``, ``(type)`` and a stream's ``(events)`` are fields too. Of a list whose order does
  not count it is the path of the elements: ``posts[]``.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from darktime.errors import UsageError
from darktime.split.compare.difference import PSEUDO
from darktime.split.compare.endpoint import ID
from darktime.split.compare.field_path import ELEMENT, step

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MOST_RULES: Final = 200
ANY: Final = "*"
DEEP: Final = "**"
_METHODS: Final = ("GET", "HEAD")
_STEP: Final = re.compile(r'\{id\}|\*\*?|[A-Za-z_$@][A-Za-z0-9_$@:-]*|"(?:[^"\\]|\\.)*"')
_ENDPOINT: Final = re.compile(r"\*|other|/[^\s*]*\*?")
_HOW: Final = "write [METHOD] ENDPOINT FIELD, as in 'GET /thread/{id} posts[].at' or '* request_id'"
Steps = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. ``text``: as it was written. ``endpoint``: exact, or a beginning that ends in ``*``."""

    text: str
    method: str
    endpoint: str
    field: Steps

    def holds_for(self, method: str, endpoint: str) -> bool:
        """Whether it is about this endpoint."""
        if self.method not in ("", method):
            return False
        if self.endpoint.endswith(ANY):
            return endpoint.startswith(self.endpoint[:-1])
        return endpoint == self.endpoint


def read_rule(text: str) -> Rule:
    """Read one rule. Raises UsageError naming it."""
    first, _, rest = text.strip().partition(" ")
    method = first if first in _METHODS else ""
    endpoint, _, field = (rest if method else text).strip().partition(" ")
    if not _ENDPOINT.fullmatch(endpoint):
        raise UsageError(f"rule {text!r}: the endpoint {endpoint!r} is neither * nor a path; {_HOW}")
    return Rule(text=text, method=method, endpoint=endpoint, field=_steps(field.strip(), text))


def read_rules(texts: Iterable[str]) -> tuple[Rule, ...]:
    """Read the rules. Raises UsageError naming the first that cannot be read."""
    rules = tuple(read_rule(text) for text in texts)
    if len(rules) > MOST_RULES:
        raise UsageError(f"{len(rules):,} rules: {MOST_RULES} at the most, please; * and ** make one of many")
    return rules


def _steps(field: str, text: str) -> Steps:
    if field in PSEUDO:
        return (field,)
    found: list[str] = []
    at = 0
    while at < len(field):
        if field.startswith(ELEMENT, at):
            found.append(ELEMENT)
            at += len(ELEMENT)
            continue
        if found:
            if field[at] != ".":
                raise UsageError(f"rule {text!r}: the field {field!r} cannot be read from {field[at:]!r} on; {_HOW}")
            at += 1
        match = _STEP.match(field, at)
        if match is None:
            raise UsageError(f"rule {text!r}: the field {field!r} cannot be read from {field[at:]!r} on; {_HOW}")
        found.append(_written(match[0], text))
        at = match.end()
    if not found or found == [DEEP]:
        raise UsageError(f"rule {text!r}: the field {field!r} names none; {_HOW}")
    return tuple(found)


def _written(word: str, text: str) -> str:
    """The step as paths have it, however the rule quotes it."""
    if word in (ID, ANY, DEEP):
        return word
    if not word.startswith('"'):
        return step(word)
    try:
        return step(json.loads(word))
    except ValueError as error:
        raise UsageError(f"rule {text!r}: {word} is no text in JSON's quotes; {_HOW}") from error


class Rules:
    """The rules of a run. ``used`` counts, by rule, the bodies in which it left something out."""

    def __init__(self, ignore: Sequence[Rule] = (), unordered: Sequence[Rule] = ()) -> None:
        self.used: Counter[str] = Counter({rule.text: 0 for rule in ignore})
        self._ignore = ignore
        self._unordered = unordered

    def about(self, method: str, endpoint: str) -> About:
        """Those of one endpoint."""
        return About(
            ignore=tuple((rule.field, rule.text) for rule in self._ignore if rule.holds_for(method, endpoint)),
            unordered=tuple(rule.field for rule in self._unordered if rule.holds_for(method, endpoint)),
            used=self.used,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What holds for one endpoint."""

    ignore: tuple[tuple[Steps, str], ...] = ()
    unordered: tuple[Steps, ...] = ()
    used: Counter[str]

    def ignores(self, pseudo: str) -> bool:
        """Whether a field that stands in no body is left out."""
        for field, text in self.ignore:
            if field == (pseudo,):
                self.used[text] += 1
                return True
        return False

    def without_ignored(self, value: Any) -> Any:
        """The body without the fields that are left out; the value itself where there are none."""
        if not self.ignore:
            return value
        applied: set[str] = set()
        kept = _without(value, self.ignore, applied)
        for text in applied:
            self.used[text] += 1
        return kept

    def is_unordered(self, path: str) -> bool:
        """Whether the order of a list's elements counts for nothing; ``path``: that of the elements."""
        if not self.unordered:
            return False
        steps = _steps(path, path)
        return any(_fits(field, steps) for field in self.unordered)


def _without(value: Any, patterns: tuple[tuple[Steps, str], ...], applied: set[str]) -> Any:
    if isinstance(value, dict):
        kept = {}
        for key, part in value.items():
            left = _after(patterns, step(key))
            done = [text for steps, text in left if not steps]
            if done:
                applied.update(done)
            else:
                kept[key] = _without(part, left, applied) if left else part
        return kept
    if isinstance(value, list):
        left = _after(patterns, ELEMENT)
        done = [text for steps, text in left if not steps]
        if done:
            applied.update(done)
            return []
        return [_without(part, left, applied) for part in value] if left else value
    return value


def _after(patterns: tuple[tuple[Steps, str], ...], one: str) -> tuple[tuple[Steps, str], ...]:
    """What is still to be matched of each pattern below a step; an empty one has been matched whole."""
    left = []
    for steps, text in patterns:
        first, rest = steps[0], steps[1:]
        if first == DEEP:
            left.append((steps, text))
            left += _after(((rest, text),), one) if rest else [((), text)]
        elif first in (one, ANY):
            left.append((rest, text))
    return tuple(left)


def _fits(pattern: Steps, steps: Steps) -> bool:
    if not pattern or not steps:
        return not pattern and not steps
    if pattern[0] == DEEP:
        return _fits(pattern[1:], steps) or _fits(pattern, steps[1:])
    return pattern[0] in (steps[0], ANY) and _fits(pattern[1:], steps[1:])
