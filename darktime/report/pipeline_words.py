"""What a check of a pipeline found, in words for a terminal. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from darktime.report.figures import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST: Final = 400


def check_lines(found: Mapping[str, Any]) -> list[str]:
    """The composition, then every sample job stage by stage, then how many ended how."""
    lines = ["composed of " + " → ".join(visible(name) for name in found["mixins"])]
    for job in found["jobs"]:
        lines.append(f"line {job['line']}: {job['fate']}" + (f": {_short(job['why'])}" if job["why"] else ""))
        if job["parsed"] is not None:
            lines.append(f"  parse    {_short(job['parsed'])}")
        lines += [f"  publish  {_short(event)}" for event in job["events"]]
        if job["ack"] is not None:
            lines.append(f"  leaves the queue when: {visible(job['ack'])}")
    if found["left_out"]:
        lines.append(f"{found['left_out']:,} more lines were not looked at: --limit")
    if found["jobs"]:
        lines.append(", ".join(f"{times} {fate}" for fate, times in found["fates"].items()))
    return lines


def _short(value: object) -> str:
    text = visible(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
