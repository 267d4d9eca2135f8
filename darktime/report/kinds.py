"""The kinds and versions of results that this release can read."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar

from darktime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SCHEMA_VERSION = 1
KINDS = ("demo", "blast", "split", "compare", "record", "replay", "relay")
Results = dict[str, Any]
"""A run's results as they were read from JSON; its shape is the committed schema of its kind."""

_Made = TypeVar("_Made")


def validate(results: Mapping[str, Any]) -> str:
    """Return the results' kind, or raise UsageError where the kind or its version is not one that can be read here."""
    if not isinstance(results, dict):
        raise UsageError(
            f"results are {type(results).__name__}, not a JSON object: give a results.json that a run wrote"
        )
    kind, version = results.get("kind"), results.get("schema_version")
    if kind not in KINDS:
        raise UsageError(f"results are of kind {kind!r}: this release reads {', '.join(KINDS)}")
    # `True == 1` in Python, and a JSON true is no version.
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise UsageError(
            f"results of kind {kind} have schema_version {version!r} and this release reads {SCHEMA_VERSION}: "
            "report on them with the release that made them"
        )
    return str(kind)


def reads_results(render: Callable[[Results], _Made]) -> Callable[[Results], _Made]:
    """Make ``render`` check kind and version first, and say what is missing or cannot be instead of failing by it."""

    @functools.wraps(render)
    def checked(results: Results) -> _Made:
        kind = validate(results)
        try:
            return render(results)
        except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
            raise UsageError(
                f"results of kind {kind} do not have the shape of {kind}.v{SCHEMA_VERSION}.json ({error!r}): "
                "the file was cut short or edited; run again, or give another folder"
            ) from error

    return checked
