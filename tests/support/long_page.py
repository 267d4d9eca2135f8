"""``--long-page FILE``: what the long tests found, a line each with its figures (``record_property``), file by file."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

OPTION = "--long-page"
HEAD = """\
# Long tests

Written by `make long`: kills, holds, repeats and latency bounds at full size. A file that was not run keeps its lines.

"""
SECTION = re.compile(r"^## (\S+)\n\n(.*?)(?=\n## |\Z)", re.DOTALL | re.MULTILINE)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the page is."""
    parser.addoption(OPTION, metavar="FILE", help="Write outcomes and figures of the tests that run to this page.")


def pytest_configure(config: pytest.Config) -> None:
    """Only where a page is asked for."""
    if config.getoption(OPTION):
        config.pluginmanager.register(LongPage(Path(config.getoption(OPTION))))


class LongPage:
    """Collects reports, and writes the page at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: dict[str, list[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test's own part, or the part before it that failed or left it out."""
        if report.when == "call" or (report.when == "setup" and report.outcome != "passed"):
            file, _, name = report.nodeid.partition("::")
            self._rows.setdefault(file, []).append(row_of(name, report))

    def pytest_sessionfinish(self) -> None:
        """Put the files that ran in the place of their old lines."""
        found = dict(SECTION.findall(self._path.read_text(encoding="utf-8"))) if self._path.exists() else {}
        machine = f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"
        for file, rows in self._rows.items():
            found[file] = f"{machine}, Python {platform.python_version()}:\n\n" + "\n".join(rows) + "\n"
        if found:
            sections = "\n".join(f"## {name}\n\n{text}" for name, text in sorted(found.items()))
            self._path.write_text(HEAD + sections, encoding="utf-8")


def row_of(name: str, report: pytest.TestReport) -> str:
    """One line: the promise, how it went, how long it took, what was measured."""
    figures = "".join(f" · {key} {value}" for key, value in report.user_properties)
    return f"- {name.removeprefix('test_').replace('_', ' ')}: **{report.outcome}** ({report.duration:.0f} s){figures}"
