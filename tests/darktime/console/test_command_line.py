"""What both command lines promise whatever the command: lazy imports, suggestions, settings, exit codes."""

import os
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


def test_doctor_and_report_import_no_swarm_no_greenlets_and_no_numbers(tmp_path):
    """ADR 0004: offline commands start at once."""
    sample = Path(__file__).parents[1] / "report" / "samples" / "demo.json"
    (tmp_path / "results.json").write_text(sample.read_text())
    for words in (["doctor"], ["report", str(tmp_path)]):
        code = (
            "import sys\nfrom darktime.console.main import DARKTIME, run\n"
            f"assert run(DARKTIME, {words!r}) == 0\n"
            "print([name for name in ('locust', 'gevent', 'numpy') if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
        assert done.stdout.strip().endswith("[]"), done.stdout + done.stderr


NOBODY = 65534


def as_nobody(folder, *words, cwd=None):
    """Run darktime as a user whom folders can be closed to, also where the tests run as root."""
    code = f"import sys, os; os.chdir({str(cwd or folder)!r}); sys.argv = ['darktime', *{list(words)!r}]\n"
    code += "import darktime.console.main as main, darktime.console.configuration\n"
    code += "[main.DARKTIME.get_command(None, name) for name in main.DARKTIME.list_commands(None)]\n"
    # Imported first: this interpreter's own folders may be closed to nobody.
    code += "import darktime.report, darktime.split.experiment, darktime.split.running, darktime.split.steering\n"
    if os.geteuid() == 0:
        code += f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
    code += "main.darktime()"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)


def one_clear_line(done, *words):
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "traceback" not in done.stderr.lower()
    for word in words:
        assert word in done.stderr


@pytest.fixture
def closed(tmp_path):
    """A folder that nobody may look into or write."""
    folder = tmp_path / "closed"
    folder.mkdir()
    (folder / "darktime.toml").write_text("[demo]\nvisitors = 20\n")
    above = [folder, *folder.parents]
    for one in above[1:4]:
        one.chmod(0o711)
    folder.chmod(0o000)
    yield folder
    folder.chmod(0o700)


@pytest.mark.parametrize(
    "words",
    [
        ["init"],
        ["demo"],
        ["smoke"],
        ["split", "--percent", "5"],
        ["report"],
        ["ramp", "5"],
        ["kill"],
        ["who", "somebody"],
    ],
    ids=" ".join,
)
def test_a_current_folder_that_may_not_be_used_is_one_clear_line(closed, words):
    one_clear_line(as_nobody(closed, *words))


@pytest.mark.parametrize(
    "words",
    [
        ["--config", "CLOSED/darktime.toml", "demo"],
        ["demo", "--out", "CLOSED/run"],
        ["smoke", "--junit", "CLOSED/junit.xml"],
        ["report", "CLOSED"],
        ["report", "CLOSED/run"],
        ["ramp", "5", "--run", "CLOSED"],
        ["kill", "--run", "CLOSED/run"],
        ["who", "somebody", "--run", "CLOSED"],
    ],
    ids=" ".join,
)
def test_a_folder_or_file_that_may_not_be_read_is_one_clear_line_that_names_it(closed, words):
    one_clear_line(as_nobody("/", *(word.replace("CLOSED", str(closed)) for word in words)), str(closed))


def test_init_in_a_folder_that_may_not_be_written_is_one_clear_line(tmp_path):
    tmp_path.chmod(0o755)
    for above in list(tmp_path.parents)[:2]:
        above.chmod(0o711)
    if os.geteuid() != 0:
        tmp_path.chmod(0o555)
    one_clear_line(as_nobody(tmp_path, "init"), "darktime.toml", "may write")
    assert not (tmp_path / "darktime.toml").exists()


@pytest.mark.parametrize(
    "words", [["split"], ["split", "--percent", "x"], ["ramp"], ["nonsense"], ["demo", "--nosuch"]]
)
def test_a_wrong_command_line_is_one_line_that_says_where_help_is(words, capsys):
    assert run(DARKTIME, words) == ExitCode.USAGE
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1
    assert "--help' says more" in said


def test_every_option_of_the_relay_can_stand_in_the_settings_file():
    from darktime.console.configuration import FLAG, KEYS, ONE_OR_TEXTS, TEXTS
    from darktime.console.relay import command

    options = {one.name: one for one in command.params if one.name not in {"out", "as_json"}}
    assert options.keys() == KEYS["relay"].keys()
    for name, kind in KEYS["relay"].items():
        assert options[name].multiple == (kind in {TEXTS, ONE_OR_TEXTS}), name
        assert options[name].is_flag == (kind == FLAG), name


def test_one_dark_instance_or_several_can_stand_in_the_settings_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for written, told in (
        ('"ftp://a:1"', "dark ftp://a:1:"),
        ('["http://a:1", "http://a:1"]', "each instance once"),
        ("7", "a list of texts"),
    ):
        (tmp_path / "darktime.toml").write_text(
            f'[relay]\ndark = {written}\nlisten = "127.0.0.1:9"\nkey = "cookie:uid"\npercent = 5\ndark_state = "isolated"\n'
        )
        assert run(DARKTIME, ["relay"]) == ExitCode.USAGE
        assert told in capsys.readouterr().err
