"""Locust's page beside a run: it shows what the server counted, and nobody breaks a run by a button on it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.picture import seen
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.darktime.blast.instances import Instance

START_LIMIT_MS = 60_000
LIMIT_MS = 15_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=arguments, timeout=START_LIMIT_MS
        )
        yield browser
        browser.close()


class Running:
    """A blast with its page."""

    def __init__(self, folder: Path, instance: str, *words: str) -> None:
        self._file, self._said = folder / "result.json", folder / "said"
        argv = [sys.executable, "-m", "darktime.blast", "--instance", instance, "--json", str(self._file)]
        with self._said.open("w") as said:
            self.process = subprocess.Popen(
                [*argv, "--web", "--web-port", "0", *words], stdin=subprocess.DEVNULL, stderr=said
            )
        wait_until(lambda: "the page of this run is at " in self._said.read_text(), 15, "the page's address")
        found = re.search(r"http://127\.0\.0\.1:\d+/", self._said.read_text())
        assert found is not None
        self.url = found[0]

    def ask(self, path: str, *, post: bool = False, **headers: str) -> dict[str, Any]:
        """What the page's server answers."""
        request = urllib.request.Request(self.url + path, data=b"" if post else None, headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            told: dict[str, Any] = json.loads(answer.read())
        return told

    def total(self) -> int:
        """Requests that it shows."""
        return int(self.ask("stats/requests")["stats"][-1]["num_requests"])

    def end(self, *, at_once: bool = False) -> tuple[int, dict[str, Any]]:
        """The exit code and the result; ``at_once`` the page is not waited for."""
        if at_once:
            self.process.terminate()
        code = self.process.wait(20)
        return code, json.loads(self._file.read_text())


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def begin(instance: str, *words: str) -> Running:
        started.append(Running(tmp_path, instance, *words))
        return started[-1]

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.wait()


def cells(page: Page) -> dict[str, list[str]]:
    """The rows of the table that is shown, by the first cell that is not empty."""
    rows = page.locator("table tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.querySelectorAll('td')].map(cell => cell.textContent.trim()))"
    )
    return {next(filter(None, row)): row for row in rows}


@pytest.mark.engine("chromium")
@pytest.mark.timeout(100)
def test_the_page_shows_what_the_result_and_the_server_say(
    browser: Browser, instance: Callable[..., Instance], run: Callable[..., Running]
) -> None:
    push = instance("sse")
    words = ["--rate", "100", "--duration", "3", "--streams", "20", "--channels", "2", "--autoquit", "60"]
    blast = run(push.address, *words)
    said: list[str] = []
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(LIMIT_MS)
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(blast.url)
    expect(page.get_by_role("button", name="Stop")).to_be_visible(timeout=LIMIT_MS)
    for refused in ("Edit", "Reset", "New"):
        expect(page.get_by_role("button", name=refused)).to_be_hidden()
    wait_until(lambda: blast.ask("stats/requests")["state"] == "stopped", 20, "the end of the run")
    expect(page.get_by_text("STOPPED")).to_be_visible(timeout=LIMIT_MS)
    expect(page.get_by_role("row").filter(has_text="/pub").filter(has_text="300")).to_be_visible(timeout=LIMIT_MS)
    locust = cells(page)
    pictures = {"Statistics": page.screenshot()}
    page.get_by_role("tab", name="Charts").click()
    expect(page.locator("canvas, svg").first).to_be_visible()
    pictures["Charts"] = page.screenshot()
    page.get_by_role("tab", name="darkesttime").click()
    expect(page.get_by_text("requests: ended")).to_be_visible()
    pictures["darkesttime"] = page.screenshot()
    exact = {name: row[1] for name, row in cells(page).items()}
    page.close()
    for tab, png in pictures.items():
        picture = seen(browser, png)
        assert picture.colours > 30, tab
        assert picture.most < 0.99, f"{tab} is blank"
    assert len(set(pictures.values())) == 3, "each tab shows something else"
    code, result = blast.end(at_once=True)
    counted = push.counters()
    assert code == 0, "it had ended before the page was left"
    assert said == []
    totals = result["totals"]
    assert totals["requests"] == 300 == counted["published"]
    assert totals["deliveries"] == 300 * 10 == counted["deliveries"]
    assert locust["POST"][2] == "300"
    assert locust["EVENT"][2] == "3000"
    assert locust["Aggregated"][2] == "3300"
    assert [locust[name][3] for name in ("POST", "EVENT", "Aggregated")] == ["0"] * 3
    assert exact["requests: planned"] == exact["requests: ended"] == "300"
    assert exact["streams: delivered"] == "3,000"
    assert exact["streams: open"] == "20"
    assert exact["streams: lost"] == "0"
    assert exact["generator: verdict"] == result["health"]["verdict"]
    p99_ms = float(exact["time: p99"].split()[0].replace(",", ""))
    assert p99_ms == pytest.approx(result["latency"]["p99_ms"], rel=0.05)


def test_stop_on_the_page_interrupts_the_run_and_keeps_what_there_was(
    instance: Callable[..., Instance], run: Callable[..., Running]
) -> None:
    null = instance("null")
    blast = run(null.address, "--path", "/", "--rate", "200", "--duration", "20")
    wait_until(lambda: null.counters()["requests"] > 50, 15, "a beginning")
    assert blast.ask("stop", post=True)["success"] is True
    code, result = blast.end()
    assert code == 130
    assert 50 < result["totals"]["requests"] == null.counters()["requests"] < 4000


def test_no_button_begins_another_run_or_clears_the_counts(
    instance: Callable[..., Instance], run: Callable[..., Running]
) -> None:
    null = instance("null")
    blast = run(null.address, "--path", "/", "--rate", "200", "--duration", "3", "--processes", "2")
    wait_until(lambda: blast.total() > 50, 15, "a beginning")
    for path in ("swarm", "stats/reset", "user"):
        assert blast.ask(path, post=True)["success"] is False
    with pytest.raises(urllib.error.HTTPError, match="403"):
        blast.ask("stop", post=True, Origin="http://example.org")
    code, result = blast.end()
    assert code == 0
    assert result["totals"]["requests"] == 600 == result["locust"]["requests"] == null.counters()["requests"]


def test_a_port_that_is_taken_is_named_before_any_load(instance: Callable[..., Instance]) -> None:
    null = instance("null")
    argv = [sys.executable, "-m", "darktime.blast", "--instance", null.address, "--path", "/", "--rate", "10"]
    taken = ["--web", "--web-port", str(null.port)]
    done = subprocess.run([*argv, *taken], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert f"--web-port {null.port}" in done.stderr
    assert "Traceback" not in done.stderr
    assert null.counters()["requests"] == 0
