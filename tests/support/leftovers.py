"""The safety net below all tests: a process that outlives the session fails it, is named, and is ended."""

from __future__ import annotations

import pytest

from tests.support.processes import adopt_orphans, descendants, describe, kill
from tests.support.waiting import wait_until

GRACE_S = 3.0
_left = pytest.StashKey[list[str]]()


def pytest_configure() -> None:
    """See orphans too."""
    adopt_orphans()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Look for processes that still run, once every fixture has been torn down."""
    try:
        # Twice: a process that forked and ended during the first look shows its child in the second.
        wait_until(lambda: not descendants() and not descendants(), timeout_s=GRACE_S)
    except AssertionError:
        left = descendants()
        session.config.stash[_left] = [describe(pid) for pid in left]
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        kill(left)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name them."""
    left = config.stash.get(_left, [])
    if left:
        terminalreporter.section("FAILED: processes left behind by the tests", red=True, bold=True)
        for words in left:
            terminalreporter.line(words)
