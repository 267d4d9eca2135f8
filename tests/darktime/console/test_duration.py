"""A time is written as people write it, and the same in a flag, a variable and the settings file."""

import click
import pytest

from darktime.console.duration import seconds_of
from darktime.console.main import DARKTIME, run
from darktime.errors import ExitCode

TIMES = [
    ("split", "hold"),
    ("split", "ttl"),
    ("split", "calibrate"),
    ("record", "ttl"),
    ("relay", "ttl"),
    ("relay", "stream_life"),
]
FLAGS = [*TIMES, ("split", "duration"), ("record", "duration")]


def params(tmp_path, command, *words, toml=""):
    """What the command is given, as click reads it."""
    (tmp_path / "darktime.toml").write_text(toml)
    above = DARKTIME.make_context(
        "darktime", ["--config", str(tmp_path / "darktime.toml"), command], resilient_parsing=False
    )
    found = DARKTIME.get_command(above, command)
    assert found is not None
    needed = {"record": ("--percent", "5"), "relay": ("--listen", "127.0.0.1:1", "--percent", "5")}.get(command, ())
    with above:
        return found.make_context(command, [*needed, *words], parent=above).params


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("90", 90), ("90s", 90), ("10m", 600), ("1h", 3600), ("1d", 86_400), ("1.5m", 90), (".5", 0.5), ("0", 0), ("1e3", 1000),
        (" 2m ", 120), ("10x", None), ("", None), ("m", None), ("-1", None), ("inf", None), ("nan", None),
        ("10 m", None), ("1h30m", None), ("1e999", None), ("10M", None),
    ],
)  # fmt: skip
def test_seconds_minutes_hours_and_days_are_read(told, seconds):
    assert seconds_of(told) == seconds


def test_a_number_is_seconds():
    assert (seconds_of(90), seconds_of(0.5), seconds_of(0)) == (90, 0.5, 0)
    assert [seconds_of(one) for one in (-1, float("inf"), float("nan"))] == [None, None, None]


@pytest.mark.parametrize(("command", "option"), FLAGS)
def test_a_flag_and_a_variable_take_a_time(tmp_path, monkeypatch, command, option):
    flag = f"--{option.replace('_', '-')}"
    assert params(tmp_path, command, flag, "10m")[option] == params(tmp_path, command, flag, "600")[option] == 600.0
    monkeypatch.setenv(f"DARKTIME_{command.upper()}_{option.upper()}", "1h")
    assert params(tmp_path, command)[option] == 3600.0
    with pytest.raises(click.BadParameter, match="'10x' is no time: seconds, or a number with s, m, h or d"):
        params(tmp_path, command, flag, "10x")


@pytest.mark.parametrize(("command", "option"), TIMES)
def test_the_settings_file_takes_a_time(tmp_path, command, option):
    table = "relay" if command == "relay" else "split"
    for told in ('"10m"', "600", "600.0"):
        assert params(tmp_path, command, toml=f"[{table}]\n{option} = {told}\n")[option] == 600.0
    for told in ('"10x"', "true", "-1", "inf", '["10m"]'):
        with pytest.raises(click.UsageError, match=rf"{option} in \[{table}\] is .*: it takes seconds, or"):
            params(tmp_path, command, toml=f"[{table}]\n{option} = {told}\n")


def test_what_is_no_time_ends_the_command_with_the_option_and_what_it_takes(capsys):
    assert run(DARKTIME, ["split", "--hold", "ten"]) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert "--hold" in said
    assert "'ten' is no time: seconds, or a number with s, m, h or d, as in 90, 10m, 1h" in said
