"""The page of a demo: the clean code's verdict beside the faulty code's, and proof that it was named as injected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darktime.report import blocks, parts
from darktime.report import figures as fig
from darktime.report.markup import Markup, tag
from darktime.report.stories import Story, copies_tile, section, when

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from darktime.report.kinds import Results

_TITLES = {"clean": "Clean code", "fault": "Faulty code"}


def tell(results: Results) -> Story:
    """A demo from verdicts to provenance."""
    checks, phases = results["checks"], results["phases"]
    passed = sum(bool(check["ok"]) for check in checks)
    whole = bool(checks) and passed == len(checks) and results["exit_code"] == 0
    sections = [
        section("Verdicts", tag("div", *map(_card, phases), class_="cards")),
        section("In figures", _figures(results)),
    ]
    if checks:
        sections.append(section("What was checked", _checks(checks)))
    ledgers = [
        blocks.ledger(phase["ledger"], name=f"ledger-{at}", title=f"Ledger, {phase['name']} phase")
        for at, phase in enumerate(phases)
    ]
    sections.append(section("Every message accounted for", *ledgers, blocks.deliveries(results["series"])))
    compared = (
        [blocks.latency([(phase["name"], phase["latency"]) for phase in phases], name="latency")] if phases else []
    )
    sections.append(section("Production and dark compared", *compared, blocks.copies(results["copies"])))
    if results["blast"]:
        sections.append(
            section(
                "How much one instance holds",
                tag("p", results["blast"]["sentence"], class_="lead"),
                blocks.probes(results["blast"]),
            )
        )
    if results["incidents"]:
        sections.append(section("Incidents", tag("ul", *(tag("li", incident) for incident in results["incidents"]))))
    sections.append(section("To run it again", _provenance(results)))
    return Story(
        title=f"darktime demo, {when(results)}",
        kicker=f"darktime demo · {when(results)} · {fig.duration(results['duration_s'])} · seed {results['seed']}",
        headline=_headline(phases, whole=whole),
        badge=parts.badge(f"{passed} of {len(checks)} checks hold", "good" if whole else "bad"),
        lead=(),
        sections=tuple(sections),
    )


def _headline(phases: Sequence[Mapping[str, Any]], *, whole: bool) -> str:
    said = ". ".join(f"{_title(phase)}: {phase['verdict']['outcome']}" for phase in phases)
    exact = [phase["exact"] for phase in phases if phase["exact"] is not None]
    if not phases:
        return "The run ended before a verdict"
    end = (
        (
            ", with the lost and doubled messages named exactly"
            if all(exact)
            else ", with ids named that were not injected"
        )
        if exact
        else ""
    )
    return f"{said}{end}" + ("" if whole else ". Not every check holds")


def _title(phase: Mapping[str, Any]) -> str:
    return _TITLES.get(phase["name"], str(phase["name"]))


def _card(phase: Mapping[str, Any]) -> Markup:
    return parts.verdict_card(_title(phase), phase["verdict"], phase["ledger"], _proof(phase))


def _proof(phase: Mapping[str, Any]) -> Markup | None:
    """What the fault proxy wrote down, held against what the ledger named without knowing of it."""
    if phase["exact"] is None or not phase["injected"] or not phase["named"]:
        return None
    injected, found = phase["injected"], phase["named"]
    if phase["exact"]:
        return tag(
            "p",
            tag("span", "✓ ", class_="good"),
            f"Exactly as injected: {len(injected['lost']):,} lost and {len(injected['doubled']):,} doubled, by name.",
        )
    unfound = sorted({*injected["lost"], *injected["doubled"]} - {*found["missing"], *found["extra"]})
    unasked = sorted({*found["missing"], *found["extra"]} - {*injected["lost"], *injected["doubled"]})
    lines = [tag("p", tag("span", "✗ ", class_="bad"), "The names are not those that were injected.")]
    for word, names in (("Injected and not named", unfound), ("Named and not injected", unasked)):
        if names:
            lines += [tag("h5", word), parts.ids(names)]
    return tag("div", *lines)


def _figures(results: Results) -> Markup:
    users, copies, traffic, reason, blast = (results[key] for key in ("users", "copies", "traffic", "reason", "blast"))
    each = []
    if reason:
        each.append(
            parts.tile(
                "Second request, dark side hung",
                fig.ms(reason["ours_ms"]),
                f"{fig.ms(reason['naive_ms'])} behind a naive mirror, "
                f"{fig.factor(reason['naive_ms'], reason['ours_ms'])} longer",
            )
        )
    errors, deliveries = traffic["errors"], traffic["deliveries"]
    each += [
        parts.tile(
            "Users sampled",
            fig.count(users["sampled"]),
            f"of {fig.count(users['seen'])} at {fig.percent(users['percent'])}, "
            f"{fig.agreement(users['agrees_with_function'])}",
            tone="bad" if users["agrees_with_function"] is False else "",
        ),
        copies_tile(copies),
        parts.tile(
            "Production errors",
            fig.count(errors),
            f"in {fig.count(traffic['requests'])} requests and {fig.count(traffic['streams'])} streams",
            tone="bad" if errors else "good",
        ),
        parts.tile(
            "Deliveries",
            fig.count(deliveries["production"]),
            f"in production, and {fig.count(deliveries['dark'])} on the dark side",
        ),
    ]
    if blast:
        capacity = blast["capacity"]["highest_pass_per_s"]
        each.append(
            parts.tile(
                "One instance holds",
                "not stated" if capacity is None else f"{fig.count(capacity)}/s",
                f"limit: {blast['limit']}",
            )
        )
    return parts.tiles(*each)


def _checks(checks: Sequence[Mapping[str, Any]]) -> Markup:
    ordered = sorted(checks, key=lambda check: bool(check["ok"]))
    rows = [
        (parts.badge("holds", "good") if check["ok"] else parts.badge("fails", "bad"), check["what"], check["detail"])
        for check in ordered
    ]
    return parts.table(("", "Promise", "Seen"), rows, label="Checks", text=3)


def _provenance(results: Results) -> Markup:
    comments = results["traffic"]["comments"]
    return parts.facts(
        [
            ("Command", tag("code", results["command"])),
            ("Seed", str(results["seed"])),
            ("Version", results["version"]),
            ("Started", results["started"]),
            ("Finished", results["finished"]),
            (
                "Comments",
                ", ".join(f"{fig.count(number)} {word}" for word, number in comments.items()),
            ),
            ("Exit code", str(results["exit_code"])),
        ]
    )
