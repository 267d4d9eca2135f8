"""``darktime report``: of whatever kind the newest run is, its page, its text, its JSON and its JUnit file are made again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from darktime.console.main import DARKTIME, run
from darktime.report import junit_xml

if TYPE_CHECKING:
    from collections.abc import Callable

SAMPLES = Path(__file__).parents[1] / "report" / "samples"
FIRST = {"record": "RECORDED", "replay": "REPLAY", "relay": "RELAYED", "split": "VERDICT"}


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Keeps a sample's results as a run of this hour."""
    monkeypatch.chdir(tmp_path)

    def keep(kind: str, hour: int, changes: dict[str, Any] | None = None) -> Path:
        folder = tmp_path / "runs" / f"2026-11-24T{hour:02}-00-00Z-{kind}"
        folder.mkdir(parents=True)
        shutil.copy(SAMPLES / f"{kind}.json", folder / "results.json")
        if changes:
            results = json.loads((folder / "results.json").read_text()) | changes
            (folder / "results.json").write_text(json.dumps(results))
        return folder

    return keep


@pytest.mark.parametrize("kind", list(FIRST))
def test_the_newest_run_of_any_kind_has_a_page_a_text_and_a_junit_file(
    kind: str, kept: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept("compare", 1)
    folder = kept(kind, 2)
    assert run(DARKTIME, ["report", "--junit", "junit.xml"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(FIRST[kind])
    page = (folder / "report.html").read_text("utf-8")
    assert f"<title>darktime {kind}" in page
    assert ET.fromstring((tmp_path / "junit.xml").read_text()).get("tests") != "0"


def test_json_are_the_results_as_they_are(kept: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    folder = kept("replay", 2)
    assert run(DARKTIME, ["report", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((folder / "results.json").read_text())


@pytest.mark.parametrize(
    ("kind", "changes", "failed"),
    [
        ("record", {}, ["push-rewrite: everything sampled was recorded"]),
        ("record", {"outcome": "whole"}, []),
        (
            "replay",
            {},
            ["127.0.0.1:9301: answers as recorded", "127.0.0.1:9301: p99 < 100 ms", "127.0.0.1:9301: errors < 1 %"],
        ),
        ("replay", {"outcome": "same", "thresholds": []}, []),
        ("relay", {}, []),
    ],
    ids=["partial", "whole", "differs", "same", "relay"],
)
def test_junit_fails_what_failed_and_of_a_relay_says_that_nothing_was_judged(
    kind: str, changes: dict[str, Any], failed: list[str]
) -> None:
    results = json.loads((SAMPLES / f"{kind}.json").read_text()) | changes
    suite = ET.fromstring(junit_xml(results)).find("testsuite")
    assert suite is not None
    assert [one.get("name") for one in suite if one.find("failure") is not None] == failed
    assert suite.get("skipped") == ("1" if kind == "relay" else "0")
