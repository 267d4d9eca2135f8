"""The page of a replay: same or not, what was sent against its plan, what was answered otherwise, and how long it took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darktime.report import course_blocks, parts, way_blocks
from darktime.report import figures as fig
from darktime.report.drawing import svg
from darktime.report.markup import tag
from darktime.report.stories import Story, section, when
from darktime.report.way import MEANINGS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from darktime.report.kinds import Results
    from darktime.report.markup import Markup

_HEADLINES = {
    "same": "What was recorded is what is answered",
    "differs": "It does not answer as was recorded",
    "invalid": "The sender was the limit: nothing is known of the instance",
    "interrupted": "It was interrupted",
}
_TONES = {"same": "good", "differs": "bad"}
_CURVES = (("recorded", "recorded"), ("replayed", "replayed"), ("service", "from sending"))
_LESS_MS = 0.5  # of production's clock, which has whole milliseconds
_CURVE = 3  # points that make one


def tell(results: Results) -> Story:
    """A replay from its outcome to its provenance."""
    outcome = results["outcome"]
    sent = [block for block in (course_blocks.sending(results), _spacing(results)) if block is not None]
    latency = [
        block
        for block in (_spectrum(results), course_blocks.answering(results), _latency(results))
        if block is not None
    ]
    return Story(
        title=f"darktime replay to {results['instance']}, {when(results)}",
        kicker=" · ".join(
            (
                "darktime replay",
                results["instance"],
                f"{results['speed']:g} times as fast",
                when(results),
                fig.duration(results["duration_s"]),
            )
        ),
        headline=_HEADLINES.get(outcome, "No outcome"),
        badge=parts.badge(outcome, _TONES.get(outcome, "wait")),
        lead=tuple(results["reasons"]),
        sections=(
            section("In figures", _figures(results)),
            section("Where every request went", way_blocks.way(results, what="requests")),
            section("Sent as planned?", *sent),
            section("What was answered otherwise", *_differences(results)),
            section("Latency", *latency),
            *([section("Objective", _thresholds(results))] if results["thresholds"] else []),
            section("What was left out, and why", _left_out(results)),
            section("To run it again", _provenance(results)),
        ),
    )


def _figures(results: Results) -> Markup:
    spacing, latency = results["spacing"], results["latency"]["replayed"]
    return parts.tiles(
        parts.tile(
            "Requests sent",
            fig.count(results["sent"]),
            f"of {fig.count(results['requests'])}, {fig.count(results['users'])} users",
            tone="bad" if results["unsent"] else "",
        ),
        parts.tile(
            "Answers that differ",
            fig.count(results["differing"]),
            f"of {fig.count(results['compared'])} compared",
            tone="bad" if results["differing"] else "",
        ),
        parts.tile(
            "p99 from the planned time",
            fig.ms(latency["p99_ms"]),
            f"recorded {fig.ms(results['latency']['recorded']['p99_ms'])}",
        ),
        parts.tile(
            "Send lag p99",
            fig.ms(spacing["lag_p99_ms"]),
            f"{fig.duration(spacing['sent_s'])} of {fig.duration(spacing['planned_s'])} planned",
        ),
    )


def _spacing(results: Results) -> Markup:
    spacing, sender = results["spacing"], results["sender"]
    lags = (f"{word} {fig.ms(spacing[f'lag_{word}_ms'])}" for word in ("p50", "p99", "max"))
    return parts.facts(
        [
            ("Planned to last", fig.duration(spacing["planned_s"])),
            ("Last one sent", fig.duration(spacing["sent_s"])),
            ("Fastest second", f"{fig.count(spacing['peak_per_s'])} requests"),
            ("Send lag", f"{', '.join(lags)} (where user and connection were free)"),
            ("From planned to sent", f"p99 {fig.ms(spacing['behind_p99_ms'])} of all"),
            ("Waited", f"{fig.count(spacing['waited'])} for the answer before, or for a connection"),
            (
                "The sender's CPU",
                f"{fig.share(sender['cpu_share'])}; without a processor {fig.share(sender['starved_share'])}",
            ),
            ("Sender", sender["late"] or "it kept its plan"),
        ]
    )


def _differences(results: Results) -> list[Markup]:
    recorded, replayed = results["statuses"]["recorded"], results["statuses"]["replayed"]
    rows = [
        (name, fig.count(recorded.get(name, 0)), fig.count(replayed.get(name, 0)))
        for name in sorted({*recorded, *replayed})
    ]
    blocks = [parts.table(("Status", "Recorded", "Replayed"), rows, label="Statuses")] if rows else []
    found = results["differences"]
    if not found:
        return [*blocks, tag("p", "Every answer that was compared has the recorded status and type.", class_="note")]
    endpoints = [
        (
            tag("code", one["endpoint"]),
            *(fig.count(one[key]) for key in ("requests", "compared", "differing", "unanswered")),
        )
        for one in found
    ]
    columns = ("Endpoint", "Requests", "Compared", "Differ", "Without an answer")
    blocks += [tag("h3", "Endpoint by endpoint"), parts.table(columns, endpoints, label="Endpoints that differ")]
    changes = [
        (
            tag("code", one["endpoint"]),
            change["what"].replace("_", " "),
            tag("code", change["recorded"]),
            tag("code", change["replayed"]),
            tag("code", ", ".join(change["ids"])),
            fig.count(change["times"]),
        )
        for one in found
        for change in one["changes"]
    ]
    if changes:
        named = ("Endpoint", "What", "Recorded", "Replayed", "As in", "Times")
        blocks += [tag("h3", "What differs"), parts.table(named, changes, label="Differences", text=5)]
    if results["unanswered"]:
        blocks += [
            tag("h3", "Without an answer"),
            parts.reasons_table(results["unanswered"], label="Without an answer"),
        ]
    return blocks


def _spectrum(results: Results) -> Markup | None:
    seen = results.get("spectrum")
    if not seen or not any(seen.values()):
        return None
    title = "Latency, percentile by percentile"
    text = (
        "Production's own times as they were recorded, and the instance's from the planned time and from sending. Where the "
        "last two part, requests waited to be sent. Production's clock has whole milliseconds: less than one is drawn as half."
    )
    named: dict[str, Mapping[Any, Any]] = {key: dict(map(tuple, seen[key])) for key, _ in _CURVES}
    percents = sorted({percent for curve in named.values() for percent in curve})
    rows = [
        ("max" if percent == 100 else f"{percent:g}", *(fig.ms(named[key].get(percent)) for key, _ in _CURVES))  # noqa: PLR2004
        for percent in percents
    ]
    raised = {key: [[percent, max(value, _LESS_MS)] if key == "recorded" else [percent, value] for percent, value in seen[key]]
              for key, _ in _CURVES}  # fmt: skip
    curves = [curve for curve in _CURVES if seen[curve[0]]]
    described = "; ".join(" ".join(row) for row in rows)
    drawn = (
        svg(lambda charts: charts.spectrum(raised, curves), name="spectrum", title=title, description=described)
        if max(len(curve) for curve in named.values()) >= _CURVE
        else None
    )
    columns = ("Percentile", "Recorded", "Replayed", "From sending")
    return parts.figure(title, text, drawn, parts.table(columns, rows, label=title))


def _latency(results: Results) -> Markup:
    rows = [
        (word, *(fig.ms(results["latency"][key][f"p{share}_ms"]) for share in (50, 95, 99)),
         fig.count(results["latency"][key]["requests"]))
        for key, word in _CURVES
    ]  # fmt: skip
    return parts.table(("", "p50", "p95", "p99", "Requests"), rows, label="Latency")


def _thresholds(results: Results) -> Markup:
    rows = [
        (parts.badge("held", "good") if one["ok"] else parts.badge("did not hold", "bad"), one["text"], fig.seen(one))
        for one in results["thresholds"]
    ]
    return parts.table(("", "Objective", "Seen"), rows, label="Objective", text=2)


def _left_out(results: Results) -> Markup:
    recording = results["recording"]
    rows = [
        (f"not to be sent: {one}", MEANINGS.get(one, ""), fig.count(times))
        for one, times in results["left_out"].items()
    ]
    rows += [
        ("never sent", "no connection was free in time, or it ended", fig.count(results["unsent"])),
        ("not compared", "without a recorded answer", fig.count(results["answered"] - results["compared"])),
        ("lines of the file that are none", "", fig.count(recording["garbage"])),
    ]
    rows += [(f"line {one['line']}", one["why"], "") for one in recording["garbage_lines"]]
    if recording["cut"]:
        rows.append(("the last line", "cut: whoever wrote it was ended in the middle", ""))
    if recording["damage"]:
        rows.append(("damage", f"{recording['damage']}: what stood behind that is lost", ""))
    return parts.table(("What", "Which means", "Times"), rows, label="Left out", text=2)


def _provenance(results: Results) -> Markup:
    recording = results["recording"]
    again = f"darktime replay {recording['file']} --instance {results['instance']} --speed {results['speed']:g}"
    rows: list[tuple[str, object]] = [
        ("Command", tag("code", again)),
        ("Format", recording["format"]),
        ("Recorded", f"{fig.count(recording['requests'])} requests in {fig.duration(recording['span_s'])}"),
        ("Experiment", recording["experiment"] or fig.NONE),
        ("Key", recording["key"] or fig.NONE),
        ("Version", results["version"]),
        ("Started", results["started"]),
        ("Finished", results["finished"]),
        ("Exit code", str(results["exit_code"])),
    ]
    return parts.facts(rows)
