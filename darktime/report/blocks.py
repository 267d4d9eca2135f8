"""The figures that several kinds of results share: ledger, latency, copies, deliveries and the rates of a blast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darktime.report import figures as fig
from darktime.report import ledger_words, parts
from darktime.report.drawing import svg
from darktime.report.markup import Markup, tag

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def ledger(hops: Sequence[Mapping[str, Any]], *, name: str, title: str) -> Markup:
    """What every hop sent, received and explained, and what it is off by."""
    text = (
        "Above what was sent, below what was received or left for a named reason. "
        "On the right what the two differ by: 0 is balanced."
    )
    drawn = (
        svg(lambda charts: charts.ledger(hops), name=name, title=title, description=ledger_words.summary(hops))
        if hops
        else None
    )
    return parts.figure(title, text, drawn, tag("div", parts.ledger_table(hops), _explained(hops), _owners(hops)))


def latency(phases: Sequence[tuple[str, Mapping[str, Any]]], *, name: str) -> Markup:
    """Production's response times beside the dark side's."""
    title = "Latency, production and dark"
    text = "Response times of the same requests on both sides, production's as nginx measured them upstream."
    described = "; ".join(
        f"{phase}: p99 {fig.ms(seen['production']['p99_ms'])} production, {fig.ms(seen['dark']['p99_ms'])} dark"
        for phase, seen in phases
    )
    measured = [pair for pair in phases if any(pair[1][side]["p50_ms"] is not None for side in ("production", "dark"))]
    drawn = (
        svg(lambda charts: charts.latency(measured), name=name, title=title, description=described)
        if measured
        else None
    )
    tables = [
        tag("div", tag("h4", phase) if len(phases) > 1 else "", parts.latency_table(seen)) for phase, seen in phases
    ]
    return parts.figure(title, text, drawn, tag("div", *tables))


def deliveries(series: Sequence[Mapping[str, Any]]) -> Markup:
    """Events read by browsers' stand-ins and by the relay, second by second."""
    title = "Deliveries per second"
    text = (
        "Events that visitors read from production, and that the relay read from the dark side for the sampled users."
    )
    peak = {side: max((row[side] for row in series), default=0) for side in ("production", "dark")}
    described = (
        f"Highest second: {peak['production']:,} in production, {peak['dark']:,} dark, over {len(series)} seconds."
    )
    rows = [(f"{row['t']:g}", *(fig.count(row[key]) for key in ("production", "dark", "copies"))) for row in series]
    data = parts.table(("Second", "Production", "Dark", "Copies"), rows, label=title, text=0)
    drawn = (
        svg(lambda charts: charts.deliveries(series), name="deliveries", title=title, description=described)
        if len(series) > 1
        else None
    )
    return parts.figure(title, text, drawn, data)


def probes(blast: Mapping[str, Any]) -> Markup:
    """The rates that one instance was driven at."""
    title = "Rate and p99 of one instance"
    driven = f"{blast['instance']}, {blast['endpoint']}, {blast['model']} model; objective {fig.slo_text(blast['slo'])}"
    text = f"{driven}. Latency runs from the planned send time."
    rows = [
        (
            parts.badge("held", "good") if probe["passed"] else parts.badge("did not hold", "bad"),
            probe["why"],
            fig.count(probe["rate_per_s"]),
            fig.count(probe["achieved_per_s"]),
            fig.count(probe["deliveries_per_s"]),
            *(fig.ms(probe[key]) for key in ("p50_ms", "p90_ms", "p99_ms", "max_ms")),
            fig.count(probe["errors"]),
            fig.count(probe["lost"]),
        )
        for probe in blast["probes"]
    ]
    columns = ("", "Why", "Rate/s", "Reached/s", "Deliveries/s", "p50", "p90", "p99", "max", "Errors", "Lost")
    shown = any(probe["p99_ms"] and probe["rate_per_s"] > 0 for probe in blast["probes"])
    drawn = (
        svg(lambda charts: charts.probes(blast), name="probes", title=title, description=blast["sentence"])
        if shown
        else None
    )
    return parts.figure(title, text, drawn, parts.table(columns, rows, label=title, text=2))


def copies(seen: Mapping[str, Any]) -> Markup:
    """Where every copy went."""
    left = sum(seen["reasons"].values())
    way = parts.table(
        ("Copies", "Times"),
        [(word, fig.count(seen[word])) for word in ("offered", "received", "compared")]
        + [("left with a reason", fig.count(left))],
        label="Copies",
    )
    given = {reason: number for reason, number in seen["reasons"].items() if number}
    why = (
        parts.reasons_table(given, label="Reasons of copies")
        if given
        else tag("p", "No copy left without a comparison.", class_="note")
    )
    return tag("div", way, why, class_="pair")


def _explained(hops: Sequence[Mapping[str, Any]]) -> Markup:
    reasons = {
        f"{hop['hop']}: {reason}": number for hop in hops for reason, number in hop["explained"].items() if number
    }
    return parts.reasons_table(reasons, label="Explained") if reasons else Markup("")


def _owners(hops: Sequence[Mapping[str, Any]]) -> Markup:
    owners = ledger_words.open_owners(hops)
    return tag("p", f"Accounts never closed: {', '.join(owners)}.", class_="note") if owners else Markup("")
