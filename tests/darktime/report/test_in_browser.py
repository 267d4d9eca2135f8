from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from darktime.report import write_report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A browser that starts from a cold disk on a busy machine takes its time; the limits only bound the wait.
START_LIMIT_MS = 60_000
pytestmark = [pytest.mark.engine("chromium"), pytest.mark.timeout(100)]

# Of each chart: how much is drawn, and the words that overlap other words or leave the picture.
WORDS = """chart => {
  const frame = chart.getBoundingClientRect();
  const words = [...chart.querySelectorAll('text')]
    .filter(word => word.textContent.trim()).map(word => [word.textContent, word.getBoundingClientRect()]);
  const outside = box => box.left < frame.left - 1 || box.right > frame.right + 1
    || box.top < frame.top - 1 || box.bottom > frame.bottom + 1;
  const over = [];
  for (let i = 0; i < words.length; i++) for (let j = 0; j < i; j++) {
    const [a, b] = [words[i][1], words[j][1]];
    const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (across > 1 && down > Math.min(a.height, b.height) * 0.4) over.push(words[i][0] + ' | ' + words[j][0]);
  }
  const out = words.filter(([, box]) => outside(box)).map(([text]) => text);
  return {marks: chart.querySelectorAll('path').length, out, over};
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=arguments, timeout=START_LIMIT_MS
        )
        yield browser
        browser.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_opens_whole_with_no_complaint_no_request_and_no_words_over_words(
    browser: Browser, page: str, charts: int, scheme: Any, tmp_path: Path
) -> None:
    address = written(page, tmp_path)
    said: list[str] = []
    asked: list[str] = []
    with browser.new_context(color_scheme=scheme, viewport={"width": 1280, "height": 900}) as context:
        tab = context.new_page()
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(address)
        drawn = tab.locator("svg[role=img]")
        assert drawn.count() == charts
        for chart in drawn.all():
            found = chart.evaluate(WORDS)
            assert found["marks"] > 3
            assert found["out"] == []
            assert found["over"] == []
        wide = tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        paper = tab.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        ink = tab.evaluate("getComputedStyle(document.querySelector('svg [fill=\"#1c2733\"]')).fill")
    assert wide <= 0
    assert (paper, ink) == {
        "light": ("rgb(246, 248, 250)", "rgb(28, 39, 51)"),
        "dark": ("rgb(14, 20, 26)", "rgb(230, 237, 243)"),
    }[scheme]
    assert said == []
    assert asked == [address]


def stretched_demo(results: dict[str, Any]) -> None:
    """Long names, large and very unlike counts, an unbalanced hop on every line, slow percentiles."""
    for phase in results["phases"]:
        for at, hop in enumerate(phase["ledger"]):
            hop["hop"] = f"a-{'very-' * at}long-name>of-a-hop"
            hop["sent"] = hop["received"] = 10**at
            hop["explained"] = {"dark_refused": 12_345_678}
            hop["missing"] = [{"id": "x", "times": 10**at}]
            hop["extra"] = [{"id": None, "times": 123_456_789}]
            hop["balanced"] = False
        for side in phase["latency"].values():
            side.update(p50_ms=0.001, p95_ms=3_333.3, p99_ms=65_432.1)
    for second in results["series"]:
        second["production"] *= 100_000


@pytest.mark.parametrize("capacity", [(20, 25), (4_200, None), (None, None), (7_900, 8_000), (1, 8_000)])
def test_no_words_meet_wherever_the_capacity_lies(browser: Browser, capacity: Any, blast: Any, tmp_path: Path) -> None:
    blast["capacity"] = dict(zip(("highest_pass_per_s", "lowest_fail_per_s"), capacity, strict=True))
    blast["slo"] = "p99 < 1000ms"
    assert_no_words_meet(browser, blast, tmp_path)


def test_no_words_meet_on_charts_of_unlike_and_long_named_things(browser: Browser, demo: Any, tmp_path: Path) -> None:
    stretched_demo(demo)
    assert_no_words_meet(browser, demo, tmp_path)


def test_no_words_meet_on_charts_of_a_blast_with_huge_tiny_and_long_named_figures(
    browser: Browser, http: Any, compare: Any, tmp_path: Path
) -> None:
    for at, row in enumerate(http["series"]):
        row.update({key: value * 10**6 for key, value in row.items() if key != "t" and value is not None})
        row["t"] = at * 100
        row["lost"] = row["deliveries"] = 10**at if at < 9 else 0
    for at, probe in enumerate(http["probes"]):
        probe.update(rate_per_s=3.0**at, achieved_per_s=3.0**at, p50_ms=0.001, p99_ms=10.0 ** (at % 8))
        probe["outcome"] = ("pass", "fail", "undecided", "generator")[at % 4]
    http["spectrum"] = {"latency": [[50, 0.001], [99.9999, 9e6]], "service": [[50, 0.001], [90, 0.001]]}
    for second in http["heat"]["seconds"]:
        second["counts"] = [count * 10**7 for count in second["counts"]]
    assert_no_words_meet(browser, http, tmp_path)
    for at, metric in enumerate(compare["metrics"]):
        metric.update(name=f"a {'very ' * at} long name", ratio=10.0**at, low=0.001, high=1_000_000.0)
    assert_no_words_meet(browser, compare, tmp_path)


def test_a_page_is_read_whole_with_javascript_off(browser: Browser, http: Any, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(json.dumps(http))
    address = write_report(tmp_path).as_uri()
    with browser.new_context(java_script_enabled=False, viewport={"width": 1280, "height": 900}) as context:
        page = context.new_page()
        page.goto(address)
        assert page.locator("h1").inner_text() == http["sentence"]
        for chart in page.locator("svg[role=img]").all():
            box = chart.bounding_box()
            assert box is not None
            assert box["width"] > 500
            assert box["height"] > 100
        figures = page.locator("details").first
        figures.locator("summary").click()
        assert "Planned/s" in figures.inner_text()


def assert_no_words_meet(browser: Browser, results: dict[str, Any], folder: Path) -> None:
    (folder / "results.json").write_text(json.dumps(results))
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        page = context.new_page()
        page.goto(write_report(folder).as_uri())
        for chart in page.locator("svg[role=img]").all():
            found = chart.evaluate(WORDS)
            assert (found["out"], found["over"]) == ([], [])


def test_hostile_results_run_nothing_in_a_browser_and_the_page_fits_a_telephone(
    browser: Browser, hostile_page: str, tmp_path: Path
) -> None:
    assert_nothing_runs(browser, hostile_page, tmp_path)


def test_the_whole_corpus_runs_nothing_says_nothing_and_asks_nobody(
    browser: Browser, attacked_page: str, tmp_path: Path
) -> None:
    assert_nothing_runs(browser, attacked_page, tmp_path)


def assert_nothing_runs(browser: Browser, page: str, folder: Path) -> None:
    """No dialog, no word on the console, no request, no element that the page does not have; and it is not too wide."""
    address = written(page, folder)
    seen: list[str] = []
    with browser.new_context(viewport={"width": 390, "height": 800}) as context:
        tab = context.new_page()
        tab.on("request", lambda request: seen.append(request.url))
        tab.on("console", lambda message: seen.append(message.text))
        tab.on("pageerror", lambda error: seen.append(str(error)))
        tab.on("dialog", lambda dialog: (seen.append(dialog.message), dialog.dismiss()))
        tab.goto(address)
        for figures in tab.locator("details").all():
            figures.evaluate("one => { one.open = true }")
        assert tab.title() != "owned"
        assert tab.locator("script, img, iframe, foreignObject, link, base, a, form, [onload], [onfocus]").count() == 0
        assert tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    assert seen == [address]


def written(page: str, folder: Path) -> str:
    """The address of the page, as it is written beside a run's results."""
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path.as_uri()
