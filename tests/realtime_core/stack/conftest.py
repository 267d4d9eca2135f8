"""Small children that the stack's tests start."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Python = Callable[[str], list[str]]


@pytest.fixture
def python() -> Python:
    """The command that runs a piece of Python."""
    return lambda code: [sys.executable, "-c", code]
