"""What a job queue holds, in words for a terminal. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from darktime.report.figures import visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_IDS: Final = 20
WRONG: Final = {
    "lost": "jobs in no state",
    "phantom": "states without a job",
    "double": "jobs in two states",
    "left_behind": "entries of jobs that are gone",
    "stuck": "next of their key, and never given out",
    "crossed": "keys given out wrongly",
}


def counts_lines(counts: Mapping[str, int]) -> list[str]:
    """Jobs by state, then the totals, a line each."""
    now = [name for name in counts if not name.endswith("_total")]
    ever = [name for name in counts if name.endswith("_total")]
    width = max(map(len, counts))
    return [
        *(f"{name:{width}}  {counts[name]:>12,}" for name in now),
        "",
        *(f"{name:{width}}  {counts[name]:>12,}" for name in ever),
    ]


def audit_lines(audit: Mapping[str, Any]) -> list[str]:
    """The verdict, then what is wrong, by id."""
    counts = audit["counts"]
    held = sum(counts[state] for state in ("available", "delayed", "claimed", "stalled"))
    sums = f"put {counts['put_total']:,} = held {held:,} + finished {counts['finished_total']:,}"
    sums += f" + retracted {counts['retracted_total']:,}"
    lines = [
        f"{'clean' if audit['clean'] else 'NOT CLEAN'}: {sums if audit['balanced'] else sums.replace('=', '≠', 1)}"
    ]
    if not audit["complete"]:
        lines.append("ids were not looked at: the queue holds more than --limit")
    for name, meaning in WRONG.items():
        ids = audit[name]
        if ids:
            more = f" and {len(ids) - MOST_IDS:,} more" if len(ids) > MOST_IDS else ""
            lines.append(f"{name} ({meaning}): {' '.join(map(visible, ids[:MOST_IDS]))}{more}")
    return lines


def lost_lines(lost: Mapping[str, Any]) -> list[str]:
    """What became of acknowledged puts, by the ledger."""
    ids = lost["ids"]
    more = f" and {len(ids) - MOST_IDS:,} more" if len(ids) > MOST_IDS else ""
    lines = [f"acknowledged puts that are gone: {len(ids):,}"]
    if ids:
        lines.append(f"lost or retracted: {' '.join(map(visible, ids[:MOST_IDS]))}{more}")
    if lost["unnamed"]:
        lines.append(f"not settled, of unknown ids: {lost['unnamed']:,} at least; they may be in the queue")
    if lost["open_producers"]:
        lines.append(f"accounts that are open: {', '.join(map(visible, lost['open_producers'][:MOST_IDS]))}")
    return lines


def peek_lines(jobs: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line a job."""
    lines = []
    for job in jobs:
        line = f"{job['state']:9}  {visible(job['id'])}  key {visible(job['key'] or '-')}  attempts {job['attempts']}"
        line += f"  {job['body_bytes']:,} bytes"
        if job["until"] is not None:
            line += f"  until {_moment(job['until'])}"
        lines.append(line + (f"  {visible(job['worker'])}" if job["worker"] else ""))
    return lines or ["none"]


def stalled_lines(jobs: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line a job, its reason last: that came from outside. Below it what ended the attempts before, where there were any."""
    lines = []
    for job in jobs:
        lines.append(
            f"{_moment(job['at'])}  {visible(job['id'])}  key {visible(job['key'] or '-')}  attempts {job['attempts']}  "
            f"{visible(job['worker'])}  {visible(job['reason'])}"
        )
        lines += [
            f"  {_moment(one['at'])}  attempt {one['attempt']}  {visible(one['worker'])}  {visible(one['reason'])}"
            for one in job["history"][:-1]
        ]
    return lines or ["none"]


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
