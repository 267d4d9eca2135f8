"""The report as one HTML file: no request to anywhere, no script, light or dark as the reader's system is."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from darktime.report import drawing, palette
from darktime.report.kinds import Results, reads_results
from darktime.report.markup import Markup, joined, tag
from darktime.report.stories import blast, compare, demo, record, relay, replay, split

if TYPE_CHECKING:
    from darktime.report.stories import Story

# Nothing may be loaded, run or sent: a report holds bytes that came from outside, and is mailed around.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_TELL = {
    "demo": demo.tell,
    "blast": blast.tell,
    "split": split.tell,
    "compare": compare.tell,
    "record": record.tell,
    "replay": replay.tell,
    "relay": relay.tell,
}


@reads_results
def html_page(results: Results) -> str:
    """The whole page of a run. Without the extra ``report`` it has tables only, and says so."""
    story = _TELL[results["kind"]](results)
    missing = Markup("") if drawing.charts() else tag("p", drawing.MISSING_EXTRA, class_="notice", role="note")
    body = tag("main", _masthead(story), missing, *story.sections)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", story.title),
        tag("style", Markup(_style())),
    )
    return f"<!doctype html>\n{tag('html', head, tag('body', body), lang='en')}\n"


def _masthead(story: Story) -> Markup:
    lead = [tag("p", line, class_="lead") for line in story.lead]
    return tag(
        "header",
        tag("p", story.kicker, class_="kicker"),
        tag("h1", *_unbroken(story.headline)),
        story.badge,
        joined(lead),
        class_="masthead",
    )


def _unbroken(headline: str) -> list[object]:
    """The headline with its NO-GO kept on one line."""
    first, *others = headline.split("NO-GO")
    parts: list[object] = [first]
    for other in others:
        parts += [tag("span", "NO-GO", class_="whole"), other]
    return parts


def _style() -> str:
    style = resources.files("darktime.report").joinpath("style.css").read_text("utf-8")
    return f"{style}\n@media screen and (prefers-color-scheme:dark){{{palette.chart_rules()}}}"
