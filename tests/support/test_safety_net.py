"""The safety nets of the test-suite itself, each run in a pytest of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.engines import ENGINES
from tests.support.processes import running
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
PLUGINS = ["-p", "tests.support.engines", "-p", "tests.support.skips", "-p", "tests.support.leftovers"]
INI = "[pytest]\nmarkers =\n    engine(name): an engine\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text(INI)
    (tmp_path / "tests").mkdir()
    return tmp_path


def run(project: Path, code: str, *, ci: bool, path: str = "/bin") -> subprocess.CompletedProcess[str]:
    (project / "tests" / "test_it.py").write_text(code)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *PLUGINS, "tests"],
        cwd=project,
        env={"PATH": path, "PYTHONPATH": str(ROOT), "CI": "true" if ci else "false"},
        capture_output=True,
        text=True,
        timeout=25.0,
        check=False,
    )


SKIPS = "import pytest\ndef test_it(): pytest.skip('no mood')\n"
FILE_SKIPS = "import pytest\npytest.skip('no mood', allow_module_level=True)\n"
NO_ENGINE = (
    "import pytest\nfrom tests.support.engines import ENGINES, Engine\n"
    "ENGINES['ghost'] = Engine(package='ghost-package', program='no-such-ghost')\n"
    "@pytest.mark.engine('ghost')\ndef test_it(): pass\n"
)


@pytest.mark.parametrize("code", [SKIPS, FILE_SKIPS])
def test_a_skip_fails_in_ci_only(project: Path, code: str) -> None:
    failed = run(project, code, ci=True)
    assert failed.returncode != 0
    assert "Nothing may be left out in CI" in failed.stdout
    assert "no mood" in failed.stdout
    assert "1 skipped" in run(project, code, ci=False).stdout


def test_a_skip_that_is_listed_with_its_reason_is_allowed_in_ci(project: Path) -> None:
    listed = project / "tests" / "ALLOWED_SKIPS"
    listed.write_text("# why\n\ntests/test_it.py::test_it -- the moon is full\n")
    assert run(project, SKIPS, ci=True).returncode == 0
    listed.write_text("tests/test_it.py::test_it\n")
    refused = run(project, SKIPS, ci=True)
    assert refused.returncode == pytest.ExitCode.USAGE_ERROR
    assert "a skip needs its reason" in refused.stderr


def test_an_expected_failure_is_no_skip(project: Path) -> None:
    code = "import pytest\n@pytest.mark.xfail\ndef test_it(): assert False\n"
    assert "1 xfailed" in run(project, code, ci=True).stdout


def test_a_missing_engine_is_named_and_fails_in_ci(project: Path) -> None:
    out = run(project, NO_ENGINE, ci=False)
    assert out.returncode == 0
    assert "engine tests left out" in out.stdout
    assert "1 for want of ghost: apt-get install ghost-package" in out.stdout
    failed = run(project, NO_ENGINE, ci=True)
    assert failed.returncode != 0
    assert "needs the engine ghost: apt-get install ghost-package" in failed.stdout


@pytest.mark.parametrize(
    "argv",
    [
        ["sleep", "60"],
        ["sh", "-c", "setsid sleep 60 >/dev/null 2>&1 &"],  # its parent ends at once: an orphan in a session of its own
    ],
)
def test_a_process_left_behind_fails_the_session_is_named_and_ended(project: Path, argv: list[str]) -> None:
    code = f"import subprocess\nkept = []\ndef test_it(): kept.append(subprocess.Popen({argv!r}))\n"
    failed = run(project, code, ci=False)
    assert failed.returncode == pytest.ExitCode.TESTS_FAILED
    named = [line for line in failed.stdout.splitlines() if line.endswith("sleep 60")]
    assert len(named) == 1
    wait_until(lambda: not running(int(named[0].split()[0])), what="the end of what was left behind")


def test_every_engine_that_is_installed_by_the_script_is_known() -> None:
    script = Path(__file__).with_name("install_engines.sh").read_text()
    for name, wheel in (("packages", False), ("wheels", True)):
        listed = script.split(f'{name}="')[1].split('"')[0].split()
        assert {engine.package for engine in ENGINES.values() if engine.wheel is wheel} == {
            one.partition("==")[0] for one in listed
        }


def test_waiting_ends_at_its_limit_and_says_what_for() -> None:
    assert wait_until(lambda: 3) == 3
    with pytest.raises(AssertionError, match=r"the moon did not come about within 0\.05 s; the last answer was 0"):
        wait_until(lambda: 0, timeout_s=0.05, what="the moon")
