"""One run's results of each kind, as the commands write them, and what a hostile side could put into them."""

from __future__ import annotations

import functools
import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from darktime.report import html_page

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    "split": 7,
    "record": 2,
    "replay": 4,
    "relay": 3,
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
    """The run of a scenario, as if all had been met and one of its workers had been lost."""
    run = _sample("blast-scenario")
    run["thresholds"] = [one | {"ok": True} for one in run["thresholds"][:2]]
    run["findings"] = run["findings"][:3]
    for number, worker in enumerate(run["workers"], 1):
        worker |= {"id": f"w{number}", "state": "ready" if number == 1 else "lost"}
    return run


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


# One for each place that text of others is written to: markup, attributes, styles, a chart's own language, a terminal.
CORPUS = (
    HOSTILE,
    "</title></style></svg></desc></textarea></script><script>alert(document.domain)</script>",
    "<svg/onload=alert(1)><foreignObject><iframe src=javascript:alert(2)></iframe></foreignObject>",
    '" onmouseover="alert(3)" style="background:url(http://127.0.0.1:9/leak)" x="',
    "' autofocus onfocus='alert(4)",
    "<!--<a href=javascript:alert(5)>-->]]><![CDATA[<x>",
    "&lt;script&gt;alert(6)&lt;/script&gt;&#60;img src=http://127.0.0.1:9/a&#62;",
    "<link rel=stylesheet href=//127.0.0.1:9/a.css><base href=//127.0.0.1:9/><meta http-equiv=refresh content=0>",
    "@import 'http://127.0.0.1:9/b.css'; } * { background: url(http://127.0.0.1:9/c) }",
    "{{datum.x}} ${alert(7)} datum['a'] [](){};alert(8)//",
    "\x1b]8;;http://127.0.0.1:9/\x07link\x1b]8;;\x07 \x1b]52;c;aGk=\x07 \x9b31m\x1b[2J\x1b[1;1H\r\x08\x7f",
    "\u202egnp.exe\u2066\u200f\u200b\ufeff\u2028\u2029\x85 a\u0300\u0301\u0302\u0303",
    "\udcff\ud800 \U000e0041 \x00",
    "/" + "very-long-path-without-a-space/" * 40,
    "字" * 200,
    "",
)
# Keys of counts that are words of others.
_COUNTS = frozenset(
    {"explained", "reasons", "statuses", "never_came", "left_out", "left", "unanswered", "rules", "unread", "totals"}
    | {"secondary_failures", "failures", "recorded", "replayed"}
)
_OURS = frozenset({"kind", "name", "outcome", "endpoint", "limit", "stage", "state", "unit", "verdict"})


def made_hostile(value: Any, text: str | Iterator[str] = HOSTILE) -> Any:
    """The same results with every text that comes from outside replaced by ``text``, or by one after the other of them."""
    if isinstance(value, dict):
        # Reasons are words that came over the wire too; the keys of everything else are the format's own.
        return {
            key: {_next(text): 3}
            if key in _COUNTS and isinstance(part, dict) and _is_counts(part)
            else part
            if key in _OURS and not isinstance(part, dict) and isinstance(text, str)
            else part
            if key in {"kind", "outcome"} and isinstance(part, str)
            else made_hostile(part, text)
            for key, part in value.items()
        }
    if isinstance(value, list):
        return [made_hostile(part, text) for part in value]
    return _next(text) if isinstance(value, str) else value


def _is_counts(part: dict[str, Any]) -> bool:
    """Numbers by words, and no figures that the format names."""
    return "requests" not in part and all(type(number) is int for number in part.values())


def _next(text: str | Iterator[str]) -> str:
    return text if isinstance(text, str) else next(text)


# Charts take their time: a page that several tests look at is made once.
@functools.cache
def _page(sample: str) -> str:
    return html_page(_sample(sample))


@functools.cache
def _hostile_page(sample: str) -> str:
    return html_page(made_hostile(_sample(sample)))


def _attacked(sample: str) -> Results:
    made: Results = made_hostile(_sample(sample), itertools.cycle(CORPUS))
    return made


@functools.cache
def _attacked_page(sample: str) -> str:
    return html_page(_attacked(sample))


@pytest.fixture
def page(sample: str) -> str:
    return _page(sample)


@pytest.fixture
def hostile_page(sample: str) -> str:
    return _hostile_page(sample)


@pytest.fixture(params=("split", "record", "replay", "relay"))
def kin(request: pytest.FixtureRequest) -> str:
    """A split, and what is run in its place."""
    name: str = request.param
    return name


@pytest.fixture
def attacked(kin: str) -> Results:
    """Results with the whole corpus in them, endpoints and hops included."""
    return _attacked(kin)


@pytest.fixture
def attacked_page(kin: str) -> str:
    return _attacked_page(kin)


@pytest.fixture
def hostile(results: Results) -> Results:
    made: Results = made_hostile(results)
    return made


@pytest.fixture
def plain(kin: str) -> Results:
    return _sample(kin)
