"""The summary of a blast: thresholds, the answer, and what shows that the generator was not the limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darktime.report import figures as fig
from darktime.report.lines import MAX_COLUMNS, MAX_LINES, dotted, row, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from darktime.report.kinds import Results

MARKS = {True: "✓", False: "✗", None: "?"}
OUTCOME_MARKS = {"pass": "✓", "fail": "✗", "undecided": "?", "generator": "!"}
_THRESHOLDS = 5
_FINDINGS = 4
_TABLE = 2  # a table of probes is worth its title from so many rows on


def tell(results: Results) -> list[str]:
    """The lines, most important first; the probes take what room the others leave."""
    bound = results["limit"] == "generator"
    head = [
        *_thresholds(results.get("thresholds") or []),
        *wrapped("RESULT", results["sentence"]),
        _capacity(results, bound=bound),
    ]
    if not results.get("thresholds"):
        head.append(row("OBJECTIVE", fig.slo_text(results["slo"])))
    middle = [
        *_latency(results),
        _cold_start(results),
        _counts(results),
        _connections(results),
        *_streams(results),
        generator(results, verdict=not bound),
        *(wrapped("", results["health"]["verdict"]) if bound else []),
        _checked_against(results),
        _workers(results),
        *_overload(results),
        _instance(results),
    ]
    run = row(
        "RUN",
        results.get("name", ""),
        fig.clipped(results["instance"], 40),
        results["endpoint"],
        results["model"],
        fig.duration(results["duration_s"]),
        f"exit {results['exit_code']}",
    )
    middle = [line for line in middle if line]
    findings = _findings(results.get("findings") or [], MAX_LINES - len(head) - len(middle) - 1)
    tail = [*middle, *findings, run]
    # What the rates of such a run came to says nothing of the instance: they are on the page, with their reasons.
    probes = [] if bound else _probes(results["probes"], MAX_LINES - len(head) - len(tail))
    return [*head, *probes, *tail]


def generator(results: Mapping[str, Any], *, verdict: bool = True) -> str:
    """Whether the figure is the instance's or the generator's own."""
    health = results["health"]
    return row(
        "GENERATOR",
        f"send lag p99 {fig.ms(health['send_lag_p99_ms'])}",
        f"cpu {fig.share(health['cpu_share'])}",
        f"sent {fig.share(health['achieved_share'])} of the plan",
        f"backlog {fig.share(health['backlog_share'])}" if health.get("backlog_share") else "",
        health["verdict"] if verdict else "",
    )


def _thresholds(thresholds: Sequence[Mapping[str, Any]]) -> list[str]:
    """Those that failed first, then as they were asked; what does not fit is counted."""
    ordered = sorted(thresholds, key=lambda one: one["ok"] is not False)
    shown = ordered if len(ordered) <= _THRESHOLDS else ordered[: _THRESHOLDS - 1]
    columns = min(max((len(fig.visible(one["text"])) for one in shown), default=0), 48)
    lines = [
        dotted("" if at else "THRESHOLDS", MARKS[one["ok"]], one["text"], fig.seen(one), columns=columns)
        for at, one in enumerate(shown)
    ]
    if len(shown) < len(ordered):
        left = ordered[len(shown) :]
        failed = sum(one["ok"] is False for one in left)
        lines.append(row("", f"… {len(left)} more, {failed} of them failed: all are in the report"))
    return lines


def _capacity(results: Results, *, bound: bool) -> str:
    capacity = results["capacity"]
    if bound:
        return row("CAPACITY", "none is given: the generator was the limit")
    return row(
        "CAPACITY",
        f"holds {fig.count(capacity['highest_pass_per_s'])}/s",
        f"fails at {fig.count(capacity['lowest_fail_per_s'])}/s",
        f"limit: {results['limit']}",
    )


def _latency(results: Results) -> list[str]:
    seen = results["latency"]
    names = (("p50", "p50_ms"), ("p90", "p90_ms"), ("p99", "p99_ms"), ("p99.9", "p999_ms"), ("max", "max_ms"))
    lines = [_percentiles("LATENCY", {name: seen[key] for name, key in names}, _FROM_PLAN)]
    service = dict((results.get("spectrum") or {}).get("service") or [])
    named = {f"p{percent:g}" if percent < 100 else "max": value for percent, value in service.items()}  # noqa: PLR2004
    shown = {name: named[name] for name, _ in names if name in named}
    if shown:
        lines.append(_percentiles("SERVICE", shown, ("from sending",)))
    return lines


def _percentiles(label: str, named: Mapping[str, float | None], since: Sequence[str]) -> str:
    """Percentiles, and since when they run in as many words as fit."""
    lines = [
        row(label, "  ".join(f"{name} {fig.ms(value)}" for name, value in named.items()), words) for words in since
    ]
    return next((line for line in lines if len(line) <= MAX_COLUMNS), lines[-1])


_FROM_PLAN = ("from the planned time", "from planned time", "from plan")


def _connections(results: Results) -> str:
    met = results.get("connection_ceiling")
    if not met:
        return ""
    others = f"{_TURNED_AWAY[met['cause']]} {fig.count(met['turned_away'])} times"
    what = met.get("what", "connections")
    return row("CEILING", f"{fig.count(met['at'])} of {fig.count(met['wanted'])} {what} served", others)


_TURNED_AWAY = {"503": "others answered 503", "reset": "others reset", "syn_drop": "SYNs of others dropped"}


def _cold_start(results: Results) -> str:
    cold = results.get("cold_start")
    if not cold:
        return ""
    judged, whole = results["latency"]["p99_ms"], (cold["whole"] or {}).get("p99_ms")
    return row(
        "COLD START",
        f"the first {fig.count(cold['seconds'])} of {fig.count(cold['of'])} s not judged",
        f"p99 {fig.ms(judged)}, with them {fig.ms(whole)}",
    )


def _counts(results: Results) -> str:
    totals = results["totals"]
    reasons = results.get("reasons") or {}
    worst = max(reasons, key=lambda name: reasons[name], default="")
    return row(
        "COUNTS",
        f"{fig.count(totals['requests'])} requests",
        f"{fig.count(totals['failures'])} failed" + (f", most of them {fig.clipped(worst, 24)}" if worst else ""),
        fig.size(totals["bytes"]),
        *(f"{fig.count(totals[key])} {word}" for key, word in _RARE if totals.get(key)),
    )


_STREAM_TIMES = (
    ("first_event", "first event"),
    ("between", "between events"),
    ("spread", "spread"),
    ("reconnect", "reconnect"),
)
_RARE = (("redirects", "redirects"), ("connect_errors", "connects failed"))


def _streams(results: Results) -> list[str]:
    totals, streams = results["totals"], results.get("streams")
    lines = []
    if streams:
        lines.append(
            row(
                "STREAMS",
                f"{fig.count(streams['open'])} open of {fig.count(streams['opened'])}",
                f"{fig.count(streams['ended'])} cut",
                f"{fig.count(streams['completed'])} whole" if streams["completed"] else "",
            )
        )
        times = [f"{word} {fig.ms(streams[key]['p99_ms'])}" for key, word in _STREAM_TIMES if streams[key]]
        lines += [row("", "p99 of " + ", ".join(times))] if times else []
    if streams or results["endpoint"] == "push":
        lines.append(
            row(
                "GAPS",
                f"{fig.count(totals['deliveries'])} delivered",
                f"{fig.count(totals['lost'])} lost",
                f"{fig.count(totals['duplicated'])} duplicated",
                *(f"{fig.count(totals[key])} {key}" for key in ("reordered", "replayed") if key in totals),
                f"{fig.count(streams['late'])} late" if streams and streams["late"] else "",
            )
        )
    return lines


def _checked_against(results: Results) -> str:
    """What the generator's word rests on: an independent prober, and its own ceiling."""
    canary, calibration = results.get("canary"), results.get("calibration")
    parts = []
    if canary:
        parts.append(f"canary p50 {fig.ms(canary['p50_ms'])}, p99 {fig.ms(canary['p99_ms'])}")
        if canary.get("share") is not None:
            parts[-1] += f" ({fig.share(canary['share'])} of the load)"
        if canary["errors"]:
            parts.append(f"{fig.count(canary['errors'])} of its {fig.count(canary['requests'])} failed")
    if calibration and calibration["ceiling_per_s"] is not None:
        parts.append(
            f"used {fig.share(calibration['share'])} of this generator's {fig.count(calibration['ceiling_per_s'])}/s"
        )
    return row("", *parts) if parts else ""


def _workers(results: Results) -> str:
    workers = results.get("workers") or []
    lost = [worker["id"] for worker in workers if worker["state"] == "lost"]
    if not lost:
        errors_ms = sorted(worker.get("clock_error_ms", 0.0) for worker in workers)[-2:]
        if not any(errors_ms):
            return ""
        return row("WORKERS", f"{len(workers)} on several machines, whose clocks agree to ± {fig.ms(sum(errors_ms))}")
    return row("WORKERS", f"{len(lost)} of {len(workers)} lost ({', '.join(lost)}): what they did last is not counted")


_EVERY_PROCESS = (
    ("process_resident_memory_bytes", "memory", fig.size),
    ("process_cpu_seconds_total", "cpu", fig.share),
    ("process_open_fds", "open files", fig.count),
)


def _instance(results: Results) -> str:
    """What the instance said of itself, each figure at its highest; or why that was not listened to."""
    ignored = results.get("instance_metrics_ignored")
    known = {metric["name"]: metric for metric in results.get("instance_metrics") or []}
    followed = [
        f"{word} {write(known.pop(name)['highest'])}"
        for name, word, write in _EVERY_PROCESS
        if known.get(name, {}).get("highest") is not None
    ]
    words = ["at most " + ", ".join(followed)] if followed else []
    if known:
        words.append(f"{len(known)} {'more' if words else 'metrics of its own'} on the page")
    if ignored:
        words.append(f"metrics {'no more asked for' if words else 'ignored'}: {fig.visible(ignored)}")
    return row("INSTANCE", *words) if words else ""


def _overload(results: Results) -> list[str]:
    overload = results.get("overload")
    return wrapped("OVERLOAD", f"{_overload_word(overload)}: {overload['sentence']}") if overload else []


def _overload_word(overload: Mapping[str, Any]) -> str:
    verdict = str(overload["verdict"])
    return verdict if verdict == "metastable" or not overload["metastable"] else f"{verdict}, metastable"


def _findings(findings: Iterable[Mapping[str, Any]], room: int) -> list[str]:
    """Those that failed first, and where there is room with all their words."""
    ordered = sorted(findings, key=lambda one: one["ok"] is not False)
    shown = ordered if len(ordered) <= _FINDINGS else ordered[: _FINDINGS - 1]
    for long in (2, 1):
        lines: list[str] = []
        for one in shown:
            seen = f"{_mark(one)} {one['name']} {fig.quantity(one['value'], one['unit'])}"
            told = fig.told(one)
            text = f"{seen}: {told}" if told else seen
            lines += wrapped("" if lines else "FINDINGS", text, lines=long if one["ok"] is False else 1)
        if len(shown) < len(ordered):
            lines.append(row("", f"… {len(ordered) - len(shown)} more are in the report"))
        if len(lines) <= room:
            break
    return lines


def _mark(finding: Mapping[str, Any]) -> str:
    return "·" if finding["ok"] is None else MARKS[finding["ok"]]


def _probes(probes: Sequence[Mapping[str, Any]], room: int) -> list[str]:
    """The probes around the answer, where not all fit: the last ones, which is where a search ends."""
    shown = probes[-(room - 1) :] if room > _TABLE else []
    if not shown:
        return []
    title = "PROBES" if len(shown) == len(probes) else f"PROBES, the last {len(shown)} of {len(probes)}"
    return [
        f"{title:<30}{'rate/s':>10}{'reached':>10}{'p50':>11}{'p99':>11}{'errors':>9}{'lost':>8}",
        *map(_probe, shown),
    ]


def _probe(probe: Mapping[str, Any]) -> str:
    mark = OUTCOME_MARKS.get(probe.get("outcome", ""), MARKS[bool(probe["passed"])])
    return (
        f"  {mark} {fig.clipped(probe['why'], 25):<26}"
        f"{fig.count(probe['rate_per_s']):>10}{fig.count(probe['achieved_per_s']):>10}"
        f"{fig.ms(probe['p50_ms']):>11}{fig.ms(probe['p99_ms']):>11}"
        f"{fig.count(probe['errors']):>9}{fig.count(probe['lost']):>8}"
    )
