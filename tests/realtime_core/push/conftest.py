"""A push server of the test's own, or one that tests share which leave nothing in it."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest

from realtime_core.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from realtime_core.stack import Push


@pytest.fixture
def start(stack: Stack) -> Callable[..., Push]:
    """Start one with options; keywords as for ``Stack.push``."""
    numbers = count()

    def start_push(*options: str, **named: str) -> Push:
        return stack.push(f"push{next(numbers)}", options=options, **named)

    return start_push


@pytest.fixture
def push(start: Callable[..., Push]) -> Push:
    """One that stores a few messages."""
    return start("--store", "100")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Push]:
    """One for all tests of a module that are refused, and so change nothing."""
    with Stack(tmp_path_factory.mktemp("shared") / "stack") as stack:
        yield stack.push("push")
