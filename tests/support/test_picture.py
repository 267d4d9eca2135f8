"""A blank page is told from one that shows something."""

from __future__ import annotations

import shutil

import pytest
from playwright.sync_api import sync_playwright

from tests.support.picture import seen


@pytest.mark.engine("chromium")
@pytest.mark.timeout(100)
def test_a_blank_page_has_one_colour_and_one_with_text_has_many() -> None:
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments, timeout=60_000)
        page = browser.new_page()
        blank = seen(browser, page.screenshot())
        page.set_content("<h1 style='color: green'>STOPPED</h1><p>300 requests</p>")
        written = seen(browser, page.screenshot())
        browser.close()
    assert (blank.colours, blank.most) == (1, 1.0)
    assert written.colours > 10
    assert 0.5 < written.most < 1.0
