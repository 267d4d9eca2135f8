"""The units for systemd: limits that make copies what a machine loses first, and command lines that the commands take."""

from __future__ import annotations

import shlex
from collections import defaultdict
from pathlib import Path

import click
import pytest

from darktime.console.main import DARKTIME
from darktime.split.relay.expendable import OOM_SCORE

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted(path.name for path in DEPLOY.iterdir())


def settings(unit: str) -> dict[str, list[str]]:
    """What a unit says, by name; a name may stand several times."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for line in (DEPLOY / unit).read_text(encoding="utf-8").splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found[name].append(value)
    return found


def test_there_is_a_unit_for_relay_and_agent_and_one_for_a_relay_alone() -> None:
    assert UNITS == ["darktime-relay.service", "darktime-split.service"]


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_has_limits_of_memory_and_cores_and_is_ended_before_anything_of_productions(unit: str) -> None:
    said = settings(unit)
    assert said["MemoryMax"] == ["1G"]
    assert said["MemorySwapMax"] == ["0"]
    assert int(said["CPUQuota"][0].removesuffix("%")) in {100, 200}
    assert int(said["CPUWeight"][0]) < 100, "what others have"
    assert int(said["OOMScoreAdjust"][0]) >= OOM_SCORE


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_that_has_ended_is_not_started_again_by_itself(unit: str) -> None:
    assert settings(unit)["Restart"] == ["no"]


@pytest.mark.parametrize("unit", UNITS)
def test_a_units_command_line_is_one_that_the_command_takes(unit: str) -> None:
    (line,) = settings(unit)["ExecStart"]
    program, config, _, name, *options = shlex.split(line)
    assert (Path(program).name, config) == ("darktime", "--config")
    command = DARKTIME.get_command(click.Context(DARKTIME), name)
    assert command is not None
    _, left, _ = command.make_parser(click.Context(command)).parse_args(args=options)
    assert not left
