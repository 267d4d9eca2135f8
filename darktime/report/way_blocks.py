"""The way of copies on a page: the ledger that is drawn, its rows as a table, each dark instance, the experiment's hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darktime.report import figures as fig
from darktime.report import ledger_words, parts
from darktime.report import way as ways
from darktime.report.drawing import svg
from darktime.report.markup import Markup, tag

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from darktime.report.kinds import Results

_LOOKS = {"total": "", "left": "left", "open": "on its way", "off": ""}


def way(results: Results, *, what: str = "copies") -> Markup:
    """What set out, what left at each hop and why, what arrived, and what nobody explains."""
    title = f"The way of the {what}"
    text = (
        "From above to below. Each row that is no total is taken off what stands above it, for the reason that it names; "
        "“not explained” is what then still differs from the next total, and 0 is what it should be."
    )
    steps = ways.steps(results)
    drawn = svg(lambda charts: charts.way(steps), name="way", title=title, description=ways.in_words(steps))
    return parts.figure(title, text, drawn, _table(steps, label=title))


def _table(steps: Sequence[ways.Step], *, label: str) -> Markup:
    rows = []
    for step in steps:
        word: object = tag("strong", step.word) if step.look == "total" else step.word
        off = step.look == "off"
        tone = "" if not off else "good" if not step.count else "bad"
        number = fig.count(step.count if step.look == "total" else abs(step.count))
        if step.look != "total" and step.count:
            number = ("\N{MINUS SIGN}" if step.count > 0 else "+") + number
        rows.append((word, _LOOKS[step.look], step.note, tag("span", number, class_=tone) if off else number))
    return parts.table(("Step", "", "Which means", "Requests"), rows, label=label, text=3)


def instances(seen: Sequence[Mapping[str, Any]]) -> Markup | None:
    """Each dark instance's own account; None where copies went nowhere."""
    if not seen:
        return None
    title = "Each dark instance" if len(seen) > 1 else "The dark instance"
    text = (
        "A user's copies always go to the same one. What an instance leaves unanswered is among the reasons above."
        if len(seen) > 1
        else "What it was sent, and what it left unanswered."
    )
    described = "; ".join(
        f"{one['dark']}: {fig.count(one['answered'])} of {fig.count(one['submitted'])} answered" for one in seen
    )
    drawn = (
        svg(lambda charts: charts.instances(seen), name="instances", title=title, description=described)
        if len(seen) > 1
        else None
    )
    rows = [
        (
            tag("code", one["dark"]),
            ", ".join(f"{fig.count(times)} {reason}" for reason, times in one["failures"].items()) or fig.NONE,
            one["breaker"] or fig.NONE,
            one["last_error"] or fig.NONE,
            fig.count(one["submitted"]),
            fig.count(one["answered"]),
            fig.count(one["streams_cut"]),
            fig.count(one["breaker_trips"]),
        )
        for one in seen
    ]
    columns = (
        *("Instance", "Without an answer", "Left alone now", "Last error"),
        *("Sent", "Answered", "Streams it ended early", "Times left alone"),
    )
    return parts.figure(title, text, drawn, parts.table(columns, rows, label=title, text=4))


def hosts(results: Results) -> Markup | None:
    """Of an experiment on several hosts: whose copies these are."""
    told = results.get("hosts")
    if not told or len(told["all"]) < 2:  # noqa: PLR2004 - several
        return None
    others = [name for name in told["all"] if name != told["here"]]
    return tag(
        "p",
        f"Only the copies of {told['here']} are counted here. The experiment runs on {fig.count(len(others))} more: "
        f"{', '.join(others)}; each keeps results of its own, and the verdict of each is about its own.",
        class_="note",
    )


def beside(results: Results) -> list[str]:
    """What is not in the sums, in sentences."""
    seen = ways.way_of(results)
    lines = []
    if seen.get("duplicates"):
        lines.append(
            f"Copies that came a second time: {fig.count(seen['duplicates'])}. They went to nobody; the ledger has them as extra."
        )
    if seen.get("streams"):
        lines.append(f"Streams held when this was read: {fig.count(seen['streams'])}; in flight, and no loss.")
    missing = {ledger_words.total(hop["missing"]) for hop in results["ledger"]} - {0}
    if seen.get("open") and missing:
        lines.append(
            f"On their way when the ledger was read: {fig.count(seen['open'])}; what it calls missing may be these."
        )
    return lines


def notes(results: Results) -> list[Markup]:
    """Hosts and what is not in the sums, small."""
    told = hosts(results)
    return [*([told] if told is not None else []), *(tag("p", line, class_="note") for line in beside(results))]
