"""What a command would do to its whole process, and so to the tests that come after it, is left out."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _lives_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay in the tests' own process marks nothing: all that is started later would have the mark too."""
    monkeypatch.setattr("darktime.split.relay.expendable.dies_first", lambda: None)
