"""No test is left out in CI unnoticed: a skip that tests/ALLOWED_SKIPS does not list fails there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.engines import in_ci

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

ALLOWED = "ALLOWED_SKIPS"
SEPARATOR = " -- "
_allowed = pytest.StashKey[frozenset[str]]()


def read_allowed(path: Path) -> frozenset[str]:
    """The test ids of a file with lines ``TEST ID -- REASON``; empty lines and lines that begin with # are skipped."""
    if not path.is_file():
        return frozenset()
    found = set()
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        test, separator, reason = line.partition(SEPARATOR)
        if not separator or not reason.strip():
            raise pytest.UsageError(f"{path}:{number}: write TEST ID{SEPARATOR}REASON, a skip needs its reason")
        found.add(test.strip())
    return frozenset(found)


def pytest_configure(config: pytest.Config) -> None:
    """Read the list once."""
    config.stash[_allowed] = read_allowed(config.rootpath / "tests" / ALLOWED)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Judge a test that was skipped."""
    report = yield
    if not hasattr(report, "wasxfail"):
        _judge(report, item.config)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Judge a whole file that was skipped."""
    report = yield
    _judge(report, collector.config)
    return report


def _judge(report: pytest.TestReport | pytest.CollectReport, config: pytest.Config) -> None:
    if report.skipped and in_ci() and report.nodeid not in config.stash[_allowed]:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = (
            f"{reason}\nNothing may be left out in CI: make it run, or list it with its reason in tests/{ALLOWED}."
        )
