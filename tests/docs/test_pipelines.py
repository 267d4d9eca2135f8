"""docs/pipelines.md holds what the code does: its classes run, and its settings are the mixins' own."""

import inspect
import json
import re
import tomllib
from pathlib import Path

import pytest

from realtime_core.pipeline.composing import OURS
from realtime_core.pipeline.dry import claim_of, dry, through

PAGE = (Path(__file__).parents[2] / "docs" / "pipelines.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
ROW = re.compile(r"^\| `(\w+)` \|[^|]*\|(.*)\|$", re.MULTILINE)
BODY = {"v": 1, "job": "j", "channels": ["c"], "kind": "post_save", "model": "m", "key": 1, "at": 1}


def test_its_classes_run_as_written_and_its_test_in_the_middle_passes():
    names = {"json": json}
    for block in PYTHON:
        exec(block, names)
    names["Comments"].anonymize = {"data.email": "drop"}
    body = json.dumps(BODY | {"data": {"text": "hi", "email": "a"}}).encode()
    fate, message, why = through(dry(names["Comments"], {}), claim_of("j", body))
    assert (fate, why) == ("published", "")
    assert message.data == {"text": "HI"}
    assert through(dry(names["Tested"], {"anonymize": "data.email:drop"}), claim_of("j", body))[0] == "published"
    assert through(dry(names["Tested"], {}), claim_of("j", body))[0] == "error"


def test_its_table_has_every_mixin_with_exactly_the_settings_that_it_asks_for():
    rows = {name: cell for name, cell in ROW.findall(PAGE) if name in OURS}
    assert rows.keys() == OURS.keys()
    for name, cell in rows.items():
        source = inspect.getsource(inspect.getmodule(OURS[name]))
        asked = set(re.findall(r'self\.(?:setting|_number)\("(\w+)"', source))
        assert set(re.findall(r"`(\w+)[`=]", cell)) == asked, name


def test_its_settings_file_has_known_keys_only():
    from darktime.console.configuration import KEYS

    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert tomllib.loads(block)["pipeline"].keys() <= KEYS["pipeline"].keys()


@pytest.mark.parametrize("option", sorted(set(re.findall(r"`(--[a-z-]+)", PAGE))))
def test_an_option_it_names_is_one_of_the_commands_or_of_the_bench(option):
    from darktime.console.pipeline import command

    known = {flag for one in command.commands.values() for param in one.params for flag in param.opts}
    assert option in known | {"--prices", "--rates", "--seconds"}
