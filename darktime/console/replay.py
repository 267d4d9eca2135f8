"""``darktime replay``: sends what was recorded again, at speed, with the same ids, and holds the answers against the recorded."""

from __future__ import annotations

import json
import math
import re
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darktime import __version__
from darktime.console.folders import keep_results, run_folder
from darktime.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from darktime.blast.lanes import Outcome
    from darktime.blast.plan import Plan
    from darktime.blast.replaying import Replayed
    from darktime.blast.settings import Address, BlastSettings
    from darktime.blast.slo import Slo
    from darktime.split.record.outgoing import Chosen
    from darktime.split.record.reader import Recording

SCHEMA_VERSION = 1
_CHUNK = 1_048_576
_METHOD = re.compile(r"[A-Z]{1,16}")
_TIME_NAMED = re.compile(r"(?:^|[\s,_])(?:p\d|max)")


@click.command("replay")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--instance", required=True, metavar="HOST:PORT|URL", help="Who gets it; nobody else does.")
@click.option("--speed", type=float, default=1.0, metavar="N", help="So many times as fast as it came.")
@click.option("--methods", default="GET,HEAD", metavar="LIST", help="What may be sent; others may change something.")
@click.option("--path", multiple=True, metavar="PREFIX", help="Send only paths that begin so; may be repeated.")
@click.option("--exclude", multiple=True, metavar="WORD", help="Not a path or query with this; may be repeated.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N requests.")
@click.option("--connections", type=int, default=100, metavar="N", help="One a user, as far as they go.")
@click.option("--source", multiple=True, metavar="ADDRESS|NETWORK", help="Of this machine: connections come from it.")
@click.option("--timeout", type=float, default=5.0, metavar="SECONDS", help="A request that takes longer has failed.")
@click.option("--slo", help="What it must keep to, as 'p99<200ms,errors<0.1%'; another status is an error.")
@click.option("--allow", multiple=True, metavar="HOST", help="A host beyond this machine that is yours to load.")
@click.option("--max-rate", type=float, help="Never more requests in a second; mandatory beyond this machine.")
@click.option("--cacert", metavar="FILE", help="https: the CA to trust (PEM), in place of this machine's.")
@click.option("--insecure", is_flag=True, help="https: go on without verification.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Results folder, else runs/<time>-replay."
)
@click.option("--json", "as_json", is_flag=True, help="The results on stdout, for machines.")
def command(*, file: Path, out: Path | None, as_json: bool, **asked: Any) -> int:
    """Send what FILE holds again, in the order and with the spacing in which it came, and compare the answers.

    FILE is a recording of 'darktime record', or an access log (combined, common or JSON); both may be gzipped.

    \b
    darktime replay recording.jsonl --instance 127.0.0.1:8001 --speed 10
    darktime replay access.log --instance 10.0.0.7:80 --allow 10.0.0.7 --max-rate 500
    """  # noqa: D301 - click looks for the character itself
    from darktime.blast.probe import check_there
    from darktime.blast.replaying import admit, plan_of
    from darktime.blast.settings import BlastSettings
    from darktime.blast.source_addresses import named_sources
    from darktime.report.summaries import replay as summary
    from darktime.split.copied_paths import CopiedPaths
    from darktime.split.record.outgoing import choose
    from darktime.split.settings import check_prefix

    slo = objective(asked["slo"])
    settings = BlastSettings(
        instance=asked["instance"],
        connections=asked["connections"],
        timeout_s=asked["timeout"],
        allow=tuple(asked["allow"]),
        max_rate_per_s=asked["max_rate"],
        cacert=asked["cacert"],
        insecure=asked["insecure"],
        sources=tuple(asked["source"]),
    )
    if not 0 < asked["speed"] < math.inf:
        raise UsageError(f"--speed {asked['speed']:g}: a number above 0, please")
    recording = load(file)
    for path in asked["path"]:
        check_prefix(path)
    if "" in asked["exclude"]:
        raise UsageError("--exclude '': an empty word is in every path; name one, or leave it out")
    paths = CopiedPaths(excluded=tuple(asked["exclude"]), only=tuple(asked["path"]))
    chosen = choose(recording.requests, methods=methods_of(asked["methods"]), paths=paths, limit=asked["limit"])
    if not chosen.requests:
        raise UsageError(
            f"{file}: nothing is left to send ({told(chosen.left_out)}); name more with --methods or --path"
        )
    plan = plan_of(chosen.times_s(asked["speed"]), timeout_s=asked["timeout"])
    address, connections = admit(settings, plan, speed=asked["speed"])
    sources = named_sources(settings.sources, address)
    check_there(address)
    folder, began = run_folder("replay", out), datetime.now(UTC)
    click.echo(f"{len(chosen.requests):,} requests in {plan.duration_s:.1f} s to {address.authority}", err=True)
    replayed = send(plan, chosen, recording, address, connections=connections, sources=sources, settings=settings)
    results = conclude(file, asked, recording, chosen, replayed, slo=slo, plan=plan, began=began)
    keep_results(folder, results)
    if as_json:
        click.echo(json.dumps(results))
    else:
        click.echo("\n".join(summary.tell(results)))
        click.echo(f"\nresults {folder}")
    return int(results["exit_code"])


def objective(text: str | None) -> Slo:
    """What the replay must keep to: errors as blast has them by default, and times only where somebody names one."""
    from darktime.blast.slo import LATENCY, Slo, parse_slo

    slo = Slo() if text is None else parse_slo(text)
    if slo.only_for_streams:
        raise UsageError(f"--slo {text!r}: {slo.only_for_streams[0]} is about streams, whose heads alone are read here")
    if text is not None and _TIME_NAMED.search(text):
        return slo
    return Slo(thresholds=tuple(one for one in slo.thresholds if one.metric != LATENCY))


def methods_of(text: str) -> frozenset[str]:
    """The methods of a list. Raises UsageError."""
    methods = frozenset(one.strip().upper() for one in text.split(",") if one.strip())
    for one in methods:
        if not _METHOD.fullmatch(one):
            raise UsageError(f"--methods {text!r}: {one!r} is no method; write them as in GET,HEAD")
    return methods


def told(counts: dict[str, int]) -> str:
    """Counts by name, for people."""
    return ", ".join(f"{times:,} by {name}" for name, times in counts.items()) or "nothing was left out"


def load(file: Path) -> Recording:
    """What the file holds. Raises UsageError that names it."""
    from darktime.split.record.reader import read

    def chunks() -> Iterator[bytes]:
        with file.open("rb") as opened:
            while chunk := opened.read(_CHUNK):
                yield chunk

    try:
        return read(chunks())
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}; name a file that can be read") from error
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from error


def send(
    plan: Plan,
    chosen: Chosen,
    recording: Recording,
    address: Address,
    *,
    connections: int,
    sources: Sequence[str],
    settings: BlastSettings,
) -> Replayed:
    """Send them; SIGINT and SIGTERM end it, and what there is by then is kept."""
    from darktime.blast.lanes import Errand
    from darktime.blast.replaying import replay
    from darktime.split.record.differences import is_failure
    from darktime.split.record.outgoing import request_bytes

    # Beyond this machine a name may decide who answers: there the instance is asked for by its own.
    keep_host = address.loopback
    errands = [
        Errand(
            request=request_bytes(one, address.authority, keep_host=keep_host),
            # Texts that are equal are one: a user has many requests.
            user=sys.intern(one.user),
            method=sys.intern(one.method),
        )
        for one in chosen.requests
    ]
    ended = {"signal": 0}

    def end(number: int, _frame: object) -> None:
        ended["signal"] = number

    def failed(number: int, outcome: Outcome) -> bool:
        return is_failure(recording.answers.get(chosen.requests[number].id), outcome)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return replay(
            plan,
            errands,
            address,
            connections=connections,
            sources=sources,
            timeout_s=settings.timeout_s,
            failed=failed,
            stop=lambda: bool(ended["signal"]),
        )
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def conclude(
    file: Path,
    asked: dict[str, Any],
    recording: Recording,
    chosen: Chosen,
    replayed: Replayed,
    *,
    slo: Slo,
    plan: Plan,
    began: datetime,
) -> dict[str, Any]:
    """The results: see replay.v1.json."""
    from darktime.blast.readings import read_all
    from darktime.blast.replaying import is_clear, lateness
    from darktime.split.record.course import course
    from darktime.split.record.differences import figures

    offered, ended = replayed.offered, datetime.now(UTC)
    counts, health, header = offered.counts, offered.health, recording.header
    readings = read_all(offered, slo)
    found = figures(chosen.requests, recording.answers, replayed.outcomes)
    late = lateness(health, behind_p99_ms=replayed.behind_p99_ms, starved_share=replayed.starved_share)
    unsent = sum(at is None for at in replayed.sent_at)
    # All that was recorded was sent, so nothing is a sample: what lies beyond a limit is beyond it.
    missed = [one.why or one.text for one in readings if one.ok is not True and one.seen is not None]
    outcome, code, reasons = _outcome(offered.aborted, None if is_clear(offered, slo) else late, missed, unsent)
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "replay",
        "started": began.isoformat(timespec="seconds"),
        "finished": ended.isoformat(timespec="seconds"),
        "duration_s": round((ended - began).total_seconds(), 1),
        "version": __version__,
        "instance": asked["instance"],
        "speed": asked["speed"],
        "recording": {
            "file": str(file),
            "format": "access log" if header is None else f"recording, version {header.version}",
            "experiment": None if header is None else header.experiment,
            "key": None if header is None else header.key,
            "requests": len(recording.requests),
            "answers": len(recording.answers),
            "span_s": round(recording.span_s, 3),
            "lines": recording.lines,
            "garbage": recording.garbage,
            "garbage_lines": [{"line": number, "why": why} for number, why in recording.named],
            "cut": recording.cut,
            "damage": recording.damage,
        },
        "left_out": chosen.left_out,
        "requests": len(chosen.requests),
        "users": len({one.user for one in chosen.requests}),
        "sent": len(chosen.requests) - unsent,
        "unsent": unsent,
        **found,
        "timeline": course(
            chosen.requests,
            recording.answers,
            replayed.outcomes,
            planned_s=plan.times_s,
            sent_s=replayed.sent_at,
        ),
        "spacing": {
            "planned_s": round(plan.times_s[-1], 3),
            "sent_s": round(max((at for at in replayed.sent_at if at is not None), default=0.0), 3),
            "peak_per_s": plan.peak_rate_per_s(),
            "lag_p50_ms": counts.send_lag.percentile_ms(50),
            "lag_p99_ms": counts.send_lag.percentile_ms(99),
            "lag_max_ms": counts.send_lag.max_us / 1000 if counts.send_lag.count else None,
            "behind_p99_ms": replayed.behind_p99_ms,
            "waited": counts.waited,
        },
        "sender": {
            "cpu_share": health.cpu_share,
            "starved_share": replayed.starved_share,
            "loop_lag_max_ms": health.loop_lag_max_ms,
            "late": late,
        },
        "thresholds": [
            {"text": one.text, "seen": one.seen, "unit": one.unit, "ok": one.ok is True} for one in readings
        ],
        "outcome": outcome,
        "reasons": reasons,
        "exit_code": int(code),
    }


def _outcome(aborted: str, late: str | None, missed: Sequence[str], unsent: int) -> tuple[str, ExitCode, list[str]]:
    if aborted == "interrupted":
        return "interrupted", ExitCode.INTERRUPTED, [f"stopped by you: {unsent:,} were not sent"]
    if late is not None:
        return "invalid", ExitCode.INVALID, [late]
    reasons = [f"ended early: {aborted}"] if aborted else []
    reasons += missed
    if unsent:
        reasons.append(f"{unsent:,} were not sent{'' if aborted else ': no connection was free for them in time'}")
    return ("differs", ExitCode.FAILED, reasons) if reasons else ("same", ExitCode.OK, [])
