"""The page of a blast: what one instance holds, whether the generator may say so, and every rate that was tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darktime.report import blocks, parts
from darktime.report import figures as fig
from darktime.report.stories import Story, section, when

if TYPE_CHECKING:
    from darktime.report.kinds import Results

_INVALID = 4


def tell(results: Results) -> Story:
    """A blast from its sentence to its provenance."""
    totals, latency, health, capacity = (results[key] for key in ("totals", "latency", "health", "capacity"))
    held, failed = capacity["highest_pass_per_s"], capacity["lowest_fail_per_s"]
    generator = results["limit"] == "generator"
    figures = parts.tiles(
        parts.tile(
            "Holds",
            "not stated" if held is None else f"{fig.count(held)}/s",
            f"limit: {results['limit']}",
            tone="bad" if held is None else "",
        ),
        parts.tile(
            "Fails at",
            fig.NONE if failed is None else f"{fig.count(failed)}/s",
            f"objective: {fig.slo_text(results['slo'])}",
        ),
        parts.tile(
            "p99", fig.ms(latency["p99_ms"]), f"p50 {fig.ms(latency['p50_ms'])}, p99.9 {fig.ms(latency['p999_ms'])}"
        ),
        parts.tile(
            "Requests",
            fig.count(totals["requests"]),
            f"{fig.count(totals['failures'])} failed, {fig.size(totals['bytes'])}",
            tone="bad" if totals["failures"] else "",
        ),
        parts.tile(
            "Deliveries",
            fig.count(totals["deliveries"]),
            f"{fig.count(totals['lost'])} lost, {fig.count(totals['duplicated'])} duplicated",
            tone="bad" if totals["lost"] or totals["duplicated"] else "",
        ),
        parts.tile(
            "Generator",
            fig.share(health["cpu_share"]),
            f"of its CPU; send lag p99 {fig.ms(health['send_lag_p99_ms'])}, "
            f"{fig.share(health['achieved_share'])} of the plan sent",
            tone="bad" if generator else "",
        ),
    )
    locust = results["locust"]
    provenance = parts.facts(
        [
            ("Instance", results["instance"]),
            ("Endpoint", results["endpoint"]),
            ("Model", results["model"]),
            ("Objective", fig.slo_text(results["slo"])),
            ("Started", results["started"]),
            ("Lasted", fig.duration(results["duration_s"])),
            ("Generator", health["verdict"]),
            ("Locust's totals", f"{fig.count(locust['requests'])} requests, {fig.count(locust['failures'])} failed"),
            ("Exit code", str(results["exit_code"])),
        ]
    )
    tone = "good" if results["exit_code"] == 0 else "wait" if results["exit_code"] == _INVALID else "bad"
    word = {"good": "Answered", "wait": "No figure: the generator was the limit", "bad": "Objective not held"}[tone]
    return Story(
        title=f"darkesttime blast of {results['instance']}, {when(results)}",
        kicker=f"darkesttime blast · {results['instance']} · {when(results)} · {fig.duration(results['duration_s'])}",
        headline=results["sentence"],
        badge=parts.badge(word, tone),
        lead=(),
        sections=(
            section("In figures", figures),
            section("Every rate that was tried", blocks.probes(results)),
            section("Provenance", provenance),
        ),
    )
