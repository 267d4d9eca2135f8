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


# Of each sample how many charts its page holds.
CHARTS = {
    "demo": 5,
    "blast": 6,
    "blast-http": 7,
    "blast-push": 5,
    "blast-generator": 6,
    "blast-tokens": 6,
    "blast-scenario": 5,
    "split": 2,
    "compare": 1,
    "compare-ab": 1,
}
BLASTS = tuple(name for name in CHARTS if name.startswith("blast"))
# What results had before they said how their figures came about.
OLD_BLAST = (
    *("schema_version", "kind", "instance", "endpoint", "model", "started", "duration_s", "slo", "probes", "capacity"),
    *("limit", "sentence", "totals", "latency", "health", "locust", "exit_code"),
)
OLD_PROBE = (
    *("rate_per_s", "achieved_per_s", "p50_ms", "p90_ms", "p99_ms", "max_ms", "errors", "requests"),
    *("deliveries_per_s", "lost", "passed", "why"),
)
OLD_TOTALS = ("requests", "failures", "bytes", "deliveries", "lost", "duplicated")


@pytest.fixture(params=list(CHARTS))
def sample(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def results(sample: str) -> Results:
    return _sample(sample)


@pytest.fixture
def charts(sample: str) -> int:
    return CHARTS[sample]


@pytest.fixture(params=BLASTS)
def any_blast(request: pytest.FixtureRequest) -> Results:
    return _sample(request.param)


@pytest.fixture
def http() -> Results:
    return _sample("blast-http")


@pytest.fixture
def push() -> Results:
    return _sample("blast-push")


@pytest.fixture
def generator() -> Results:
    return _sample("blast-generator")


@pytest.fixture
def tokens() -> Results:
    return _sample("blast-tokens")


@pytest.fixture
def scenario() -> Results:
    return _sample("blast-scenario")


@pytest.fixture
def compare() -> Results:
    return _sample("compare")


def of_before(results: Results) -> Results:
    """The same results as a release wrote them that had none of the later fields."""
    old = {key: results[key] for key in OLD_BLAST}
    old["probes"] = [{key: probe[key] for key in OLD_PROBE} for probe in results["probes"]]
    return old | {"totals": {key: results["totals"][key] for key in OLD_TOTALS}}


HOSTILE = (
    '</style></svg><script>document.title="owned"</script><img src=x onerror=alert(1)>"\'&\x00\x1b[2J\u202e\ud800\n'
)


def made_hostile(value: Any, text: str = HOSTILE) -> Any:
    """The same results with every text that comes from outside replaced by ``text``."""
    ours = {"kind", "name", "outcome", "endpoint", "limit", "stage", "state", "unit", "verdict"}
    if isinstance(value, dict):
        # Reasons are words that came over the wire too; the keys of everything else are the format's own.
        return {
            key: {text: 3}
            if key in {"explained", "reasons", "statuses"} and isinstance(part, dict)
            else part
            if key in ours and not isinstance(part, dict)
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
