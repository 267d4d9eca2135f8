"""One run's results of each kind, as the commands write them, and what a hostile side could put into them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

SAMPLES = Path(__file__).parent / "samples"
Results = dict[str, Any]


def _sample(kind: str) -> Results:
    results: Results = json.loads((SAMPLES / f"{kind}.json").read_text("utf-8"))
    return results


@pytest.fixture
def demo() -> Results:
    return _sample("demo")


@pytest.fixture
def blast() -> Results:
    return _sample("blast")


@pytest.fixture
def split() -> Results:
    return _sample("split")


@pytest.fixture(params=["demo", "blast", "split"])
def results(request: pytest.FixtureRequest) -> Results:
    return _sample(request.param)


HOSTILE = (
    '</style></svg><script>document.title="owned"</script><img src=x onerror=alert(1)>"\'&\x00\x1b[2J\u202e\ud800\n'
)


def made_hostile(value: Any, text: str = HOSTILE) -> Any:
    """The same results with every text that comes from outside replaced by ``text``."""
    ours = {"kind", "name", "outcome", "endpoint", "limit"}
    if isinstance(value, dict):
        # Reasons are words that came over the wire too; the keys of everything else are the format's own.
        return {
            key: {text: 3}
            if key in {"explained", "reasons"} and isinstance(part, dict)
            else part
            if key in ours
            else made_hostile(part, text)
            for key, part in value.items()
        }
    if isinstance(value, list):
        return [made_hostile(part, text) for part in value]
    return text if isinstance(value, str) else value


@pytest.fixture
def hostile(results: Results) -> Results:
    made: Results = made_hostile(results)
    return made
