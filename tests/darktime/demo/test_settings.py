"""What the demo refuses before it starts anything."""

from pathlib import Path

import pytest

from darktime.demo.settings import DemoSettings
from darktime.errors import UsageError


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"visitors": 9}, "--visitors 9"),
        ({"visitors": 4001}, "--visitors 4001"),
        ({"percent": 0}, "--percent 0"),
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
