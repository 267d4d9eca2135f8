"""The page of a blast: what one instance holds, whether the generator may say so, and every rate that was tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darktime.report import blast_blocks as blocks
from darktime.report import blast_tables as tables
from darktime.report import figures as fig
from darktime.report import parts
from darktime.report.instance_block import instance
from darktime.report.markup import tag
from darktime.report.stories import Story, section, when

if TYPE_CHECKING:
    from darktime.report.kinds import Results
    from darktime.report.markup import Markup

_WORDS = {0: ("Answered", "good"), 4: ("No figure: the generator was the limit", "wait"), 5: ("Inconclusive", "wait")}
_WORDS[130] = ("Interrupted", "wait")
_FAILED = ("Threshold failed", "bad")


def tell(results: Results) -> Story:
    """A blast from its sentence to its provenance."""
    streams, air = tables.streams(results), blocks.in_the_air(results)
    parts_of_page: list[tuple[str, tuple[Markup | None, ...]]] = [
        ("Thresholds", (tables.thresholds(results),)),
        ("In figures", (_figures(results),)),
        ("Findings of the scenario", (tables.findings(results),)),
        ("Every rate that was tried", (blocks.rates(results), tables.overload(results))),
        ("Latency", (tables.cold_start(results), blocks.spectrum(results), blocks.latency_over_time(results))),
        (
            "Traffic",
            (tables.ceiling(results), blocks.traffic(results), None if streams else air, tables.replies(results)),
        ),
        ("Streams and gaps", (streams, air if streams else None)),
        ("Was the generator the limit?", (blocks.generator(results), tables.against(results), tables.workers(results))),
        ("The instance's own figures", (instance(results),)),
        ("To run it again", (_provenance(results),)),
    ]
    there = [(title, [block for block in content if block is not None]) for title, content in parts_of_page]
    name = results.get("name", "blast")
    return Story(
        title=f"darkesttime blast of {results['instance']}, {when(results)}",
        kicker=" · ".join(
            (
                "darkesttime blast",
                *([name] if name != "blast" else []),
                results["instance"],
                when(results),
                fig.duration(results["duration_s"]),
            )
        ),
        headline=results["sentence"],
        badge=parts.badge(*_WORDS.get(results["exit_code"], _FAILED)),
        lead=(),
        sections=tuple(section(title, *content) for title, content in there if content),
    )


def _figures(results: Results) -> Markup:
    totals, latency, health, capacity = (results[key] for key in ("totals", "latency", "health", "capacity"))
    generator = results["limit"] == "generator"
    held = None if generator else capacity["highest_pass_per_s"]
    failed = None if generator else capacity["lowest_fail_per_s"]
    each = [
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
            "p99 from the planned time",
            fig.ms(latency["p99_ms"]),
            f"p50 {fig.ms(latency['p50_ms'])}, p99.9 {fig.ms(latency['p999_ms'])}, max {fig.ms(latency['max_ms'])}",
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
        )
        if results.get("streams") or totals["deliveries"] or results["endpoint"] == "push"
        else None,
        parts.tile(
            "Generator",
            fig.share(health["cpu_share"]),
            f"of its CPU; send lag p99 {fig.ms(health['send_lag_p99_ms'])}, "
            f"{fig.share(health['achieved_share'])} of the plan sent{_kernel(health)}",
            tone="bad" if generator else "",
        ),
    ]
    return parts.tiles(*(one for one in each if one is not None))


def _kernel(health: Results) -> str:
    """What its kernel had waiting and refused, where the results know it."""
    if health.get("backlog_share") is None:
        return ""
    refused = fig.count(health["errors_of_ours"])
    return f", receive backlog {fig.share(health['backlog_share'])} of reads, {refused} sockets refused"


def _provenance(results: Results) -> Markup:
    locust, host = results["locust"], results.get("host")
    rows: list[tuple[str, object]] = []
    if results.get("command"):
        rows.append(("Command", tag("code", results["command"])))
    rows += [
        ("Instance", results["instance"]),
        ("Endpoint", results["endpoint"]),
        ("Model", results["model"]),
        ("Objective", fig.slo_text(results["slo"])),
    ]
    rows += [
        (name, str(results[key])) for name, key in (("Seed", "seed"), ("Version", "version")) if _known(results, key)
    ]
    if host:
        rows.append(("Host", f"{host['kernel']}, {host['cpus']} CPUs, Python {host['python']}"))
    rows += [
        ("Started", results["started"]),
        ("Lasted", fig.duration(results["duration_s"])),
        ("Generator", results["health"]["verdict"]),
        ("Locust's totals", f"{fig.count(locust['requests'])} requests, {fig.count(locust['failures'])} failed"),
        ("Exit code", str(results["exit_code"])),
    ]
    return parts.facts(rows)


def _known(results: Results, key: str) -> bool:
    return results.get(key) is not None
