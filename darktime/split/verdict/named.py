"""What was worse, in words: the endpoint, what came instead of what, how often, and the ids of up to three such requests. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from darktime.split.verdict.table import differences, is_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from darktime.split.compare import Pair

_MOST_KINDS: Final = 3
_MOST_IDS: Final = 3


def errors(pairs: Iterable[Pair], failures: Mapping[str, int]) -> str:
    """The status pairs of requests that only the dark side failed, and for which reasons it gave no answer."""
    kinds = [
        (f"{pair.endpoint}: {pair.production.status} -> {pair.dark.status or 'no answer'}", pair.id)
        for pair in pairs
        if is_error(pair.dark.status) and not is_error(pair.production.status)
    ]
    silent = [f"no answer ({reason}), {times(number)}" for reason, number in failures.items()]
    return "; ".join([*silent, *_told(kinds)])


def unlike(pairs: Iterable[Pair]) -> str:
    """The differences of answers that are no errors."""
    kinds = [
        (f"{pair.endpoint}: {one.what} {one.production or 'none'} -> {one.dark or 'none'}", pair.id)
        for pair in pairs
        for one in differences(pair)
    ]
    return "; ".join(_told(kinds))


def _told(kinds: Sequence[tuple[str, str]]) -> list[str]:
    found = Counter(words for words, _ in kinds)
    told = [f"{words}, {times(number)} ({ids_of(kinds, words)})" for words, number in found.most_common(_MOST_KINDS)]
    return [*told, f"and {len(found) - _MOST_KINDS} kinds more"] if len(found) > _MOST_KINDS else told


def ids_of(kinds: Iterable[tuple[str, str]], words: str) -> str:
    """The first ids of a kind."""
    ids = [name for kind, name in kinds if kind == words]
    return ", ".join(ids[:_MOST_IDS]) + (", …" if len(ids) > _MOST_IDS else "")


def times(number: int) -> str:
    """How often."""
    return "once" if number == 1 else f"{number:,} times"
