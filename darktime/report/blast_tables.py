"""What a blast found in words and tables: thresholds, streams and gaps, findings, overload, workers, the instance's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darktime.report import figures as fig
from darktime.report import parts
from darktime.report.markup import joined, tag

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from darktime.report.kinds import Results
    from darktime.report.markup import Markup

_OK = {True: ("holds", "good"), False: ("fails", "bad"), None: ("not judged", "wait")}
_STREAM_COUNTS = (
    ("open", "open at the end"),
    ("opened", "opened"),
    ("ended", "ended or refused by the instance"),
    ("completed", "whole, ended by themselves"),
    ("delivered", "events delivered"),
    ("lost", "lost"),
    ("duplicated", "duplicated"),
    ("reordered", "out of order"),
    ("replayed", "replayed after a reconnect"),
    ("late", "late: counted as lost before"),
)
_STREAM_TIMES = (
    ("connect", "until the stream stood"),
    ("first_event", "until its first event"),
    ("between", "from one event to the next"),
    ("spread", "of one event, first to last subscriber"),
    ("reconnect", "from a cut until served again"),
)
_OVERLOAD_TONES = {"graceful": "good", "degrading": "wait", "unknown": "wait", "collapse": "bad"}


def thresholds(results: Results) -> Markup | None:
    """What was asked, and what was seen."""
    asked = results.get("thresholds") or []
    if not asked:
        return None
    ordered = sorted(asked, key=lambda one: one["ok"] is not False)
    rows = [(parts.badge(*_OK[one["ok"]]), one["text"], fig.quantity(one["seen"], one["unit"])) for one in ordered]
    return parts.table(("", "Threshold", "Seen"), rows, label="Thresholds", text=2)


def findings(results: Results) -> Markup | None:
    """What a scenario measures beside everything else."""
    found = results.get("findings") or []
    if not found:
        return None
    ordered = sorted(found, key=lambda one: one["ok"] is not False)
    rows = [
        (
            parts.badge(*_OK[one["ok"]]) if one["ok"] is not None else "",
            one["name"],
            fig.told(one),
            fig.quantity(one["value"], one["unit"]),
        )
        for one in ordered
    ]
    return parts.table(("", "Finding", "What it is", "Seen"), rows, label="Findings", text=3)


def overload(results: Results) -> Markup | None:
    """How the instance took more than it holds, and whether it came back."""
    seen = results.get("overload")
    if not seen:
        return None
    metastable = {True: "yes: it stayed down", False: "no: it recovered", None: "not looked at"}[seen["metastable"]]
    head = tag("header", tag("h3", "Beyond the capacity"), parts.badge(seen["verdict"], _tone(seen)))
    factor = seen.get("factor")
    where = "beyond the capacity" if factor is None else f"at {factor:.2g} times the capacity"
    known = [(f"Goodput {where}, of the best", fig.share(seen["ratio"])), ("Metastable", metastable)]
    if seen["recovered_after_s"] is not None:
        known.append(("Recovered after", fig.duration(seen["recovered_after_s"])))
    return tag("article", head, tag("p", seen["sentence"]), parts.facts(known), class_=f"card {_tone(seen)}")


def ceiling(results: Results) -> Markup | None:
    """How many connections or streams the instance takes, and what becomes of the others."""
    met = results.get("connection_ceiling")
    if not met:
        return None
    head = tag("header", tag("h3", "A ceiling on " + met.get("what", "connections")), parts.badge(met["cause"], "bad"))
    known = [
        ("Served at once", f"{fig.count(met['at'])} of {fig.count(met['wanted'])}"),
        (_OTHERS[met["cause"]], f"{fig.count(met['turned_away'])} times"),
    ]
    return tag("article", head, tag("p", met["sentence"]), parts.facts(known), class_="card bad")


_OTHERS = {"503": "Others answered 503", "reset": "Others reset or refused", "syn_drop": "SYNs of others dropped"}


def cold_start(results: Results) -> Markup | None:
    """What was left out of the times that are judged, with both figures."""
    cold = results.get("cold_start")
    if not cold:
        return None
    rows = [
        (word, *(fig.ms(seen[f"{name}_ms"]) for name in ("p50", "p90", "p99", "max")))
        for word, seen in (("Judged", results["latency"]), ("With the cold start", cold["whole"] or {}))
        if seen
    ]
    return joined(
        [tag("p", cold["sentence"]), parts.table(("Times", "p50", "p90", "p99", "max"), rows, label="Cold start")]
    )


def _tone(seen: Mapping[str, Any]) -> str:
    return "bad" if seen["metastable"] else _OVERLOAD_TONES.get(seen["verdict"], "bad")


def streams(results: Results) -> Markup | None:
    """Streams, what they carried and what was missing in it."""
    seen = results.get("streams")
    if not seen:
        return None
    counted = [(word, fig.count(seen[key])) for key, word in _STREAM_COUNTS if seen[key] or key in {"open", "lost"}]
    each = [parts.table(("Streams and events", "Number"), counted, label="Streams and events")]
    if any(seen["reasons"].values()):
        each.append(parts.reasons_table(seen["reasons"], label="Why streams ended", name="Streams ended by"))
    timed = [
        (
            word,
            *(fig.ms(seen[key][f"{name}_ms"]) for name in ("p50", "p90", "p99", "max")),
            fig.count(seen[key]["count"]),
        )
        for key, word in _STREAM_TIMES
        if seen[key]
    ]
    numbers = tag("div", *each, class_="pair")
    if not timed:
        return numbers
    return joined([numbers, parts.table(("Time", "p50", "p90", "p99", "max", "Of"), timed, label="Times of streams")])


def replies(results: Results) -> Markup | None:
    """Statuses, and why requests failed."""
    statuses, reasons = results.get("statuses") or {}, results.get("reasons") or {}
    each = [
        parts.reasons_table(counted, label=label, name=name)
        for counted, label, name in ((statuses, "Statuses", "Status"), (reasons, "Failures", "Failed for"))
        if any(counted.values())
    ]
    return tag("div", *each, class_="pair") if each else None


def workers(results: Results) -> Markup | None:
    """Each process of the generator."""
    known: Sequence[Mapping[str, Any]] = results.get("workers") or []
    if not known:
        return None
    rows = [
        (
            one["id"],
            parts.badge(one["state"], "bad" if one["state"] == "lost" else "good"),
            fig.count(one["requests"]),
            fig.share(one["cpu_share"]),
        )
        for one in known
    ]
    return parts.table(("Worker", "State", "Requests", "CPU"), rows, label="Workers", text=2)


def against(results: Results) -> Markup | None:
    """What the generator's word rests on: an independent prober, and its own ceiling."""
    canary, calibration = results.get("canary"), results.get("calibration")
    known = []
    if canary:
        known += [
            ("Canary", f"p50 {fig.ms(canary['p50_ms'])}, p99 {fig.ms(canary['p99_ms'])}"),
            ("Its requests", f"{fig.count(canary['requests'])}, {fig.count(canary['errors'])} failed"),
        ]
        if canary.get("share") is not None:
            known.append(("Of all that was asked", fig.share(canary["share"])))
    if calibration and calibration["ceiling_per_s"] is not None:
        known += [
            ("Calibration", f"this generator alone reaches {fig.count(calibration['ceiling_per_s'])}/s"),
            ("Of it used", fig.share(calibration["share"])),
        ]
    return parts.facts(known) if known else None


def instance_metrics(metrics: Sequence[Mapping[str, Any]]) -> Markup:
    """The instance's own figures before and after, and of those that were followed the highest."""

    def change(one: Mapping[str, Any]) -> str:
        if one["first"] is None or one["last"] is None:
            return fig.NONE
        difference = one["last"] - one["first"]
        return ("+" if difference >= 0 else "\N{MINUS SIGN}") + _number(abs(difference))

    followed = any(one.get("points") for one in metrics)
    rows = [
        (
            tag("code", one["name"]),
            _number(one["first"]),
            _number(one["last"]),
            change(one),
            *([_highest(one)] if followed else []),
        )
        for one in metrics
    ]
    columns = ("Metric", "Before", "After", "Change", *(["Highest"] if followed else []))
    return parts.table(columns, rows, label="The instance's own metrics")


def _highest(one: Mapping[str, Any]) -> str:
    """Of a counter its rate."""
    return _number(one.get("highest")) + (
        "/s" if one.get("kind") == "counter" and one.get("highest") is not None else ""
    )


def _number(value: float | None) -> str:
    return fig.NONE if value is None else f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}"  # noqa: PLR2004
