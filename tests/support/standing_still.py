"""A quiet test that failed while the machine stood still is made again, once all others are through; its own failures stay.

Such tests measure, and on a machine that gives nobody its time for a quarter of a second they measure that. Whether it did
is measured beside each of them; ``@pytest.mark.quiet(bears_s=0.03)`` says what one bears, if less than others. What fails
without a pause, or in the last of so many tries, has failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from _pytest.runner import runtestprotocol

from tests.support.pauses import Pauses

if TYPE_CHECKING:
    from collections.abc import Generator

# Beyond what a busy process waits for its turn on two cores.
BEARS_S: Final = 0.1
TRIES: Final = 3


class StandingStill:
    """Holds back what failed so, and says at the end what was made again."""

    def __init__(self) -> None:
        self._tries: dict[str, int] = {}
        self._again: list[pytest.Item] = []
        self._said: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """Run a quiet one beside a look at the machine."""
        marker = item.get_closest_marker("quiet")
        if marker is None:
            return None
        tries = self._tries[item.nodeid] = self._tries.get(item.nodeid, 0) + 1
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        with Pauses() as pauses:
            reports = runtestprotocol(item, nextitem=nextitem, log=False)
        longest_s = pauses.longest()
        if (
            any(report.failed for report in reports)
            and longest_s >= marker.kwargs.get("bears_s", BEARS_S)
            and tries < TRIES
        ):
            self._again.append(item)
            self._said.append(f"{item.nodeid}: it stood still for {longest_s * 1000:.0f} ms")
        else:
            for report in reports:
                item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, bool, bool]:
        """Those again that were held back."""
        done = yield
        while self._again and not session.shouldstop and not session.shouldfail:
            item = self._again.pop(0)
            following = self._again[0] if self._again else None
            session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        return done

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Which, and why."""
        if self._said:
            terminalreporter.section("made again, for the machine stood still")
            for line in self._said:
                terminalreporter.line(line)


def pytest_configure(config: pytest.Config) -> None:
    """Only where a quiet test runs by itself: beside others a pause says nothing."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(StandingStill(), "standing-still")
