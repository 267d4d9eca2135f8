"""The summary of two runs compared: whether B is better, and the interval of each figure that says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darktime.report import figures as fig
from darktime.report.lines import MAX_LINES, row, wrapped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from darktime.report.kinds import Results

MARKS = {"better": "✓", "worse": "✗", "cannot tell": "?"}


def tell(results: Results) -> list[str]:
    """The outcome, both sides, and every figure with the interval of its ratio."""
    head = [
        row("OUTCOME", f"{MARKS.get(results['outcome'], '?')} {results['outcome']}"),
        *wrapped("RESULT", results["sentence"]),
        *sides(results),
    ]
    length = [fig.duration(results["duration_s"])] if results.get("plan") else []
    tail = [row("RUN", *length, f"exit {results['exit_code']}")]
    room = MAX_LINES - len(head) - len(tail) - 1
    metrics = results["metrics"]
    shown = metrics if len(metrics) <= room else metrics[: room - 1]
    title = f"{'FIGURES':<30}{'A':>12}{'B':>12}{'B / A':>9}{'interval':>17}"
    lines = [f"{title}  outcome"] if shown else []
    lines += map(_metric, shown)
    if len(shown) < len(metrics):
        lines.append(row("", f"… {len(metrics) - len(shown)} more are in the report"))
    return [*head, *lines, *tail]


def sides(results: Mapping[str, Any]) -> list[str]:
    """Which two were compared, and of instances what they were compared under."""
    if not results.get("plan"):
        return [_side(letter, results[letter.lower()]) for letter in "AB"]
    ran = [leg["side"] for leg in results["legs"]]
    lines = [
        row(letter, fig.clipped(results[letter.lower()]["name"], 40), f"{ran.count(letter)} legs") for letter in "AB"
    ]
    return [*lines, row("PLAN", plan_words(results["plan"]))]


def plan_words(plan: Mapping[str, Any]) -> str:
    """What every leg was."""
    if plan["scenario"]:
        what = f"scenario {fig.clipped(plan['scenario'], 30)}"
    elif plan["rate_per_s"] is None:
        what = f"a search of {fig.duration(plan['leg_s'])}"
    else:
        what = f"{fig.count(plan['rate_per_s'])}/s for {fig.duration(plan['leg_s'])}"
    return f"{what} a leg, {plan['pairs']} pairs in turn: A B, B A, …"


def _side(letter: str, side: Mapping[str, Any]) -> str:
    return row(letter, fig.clipped(side["name"], 20), capacity_words(side["capacity"]), side["folder"])


def capacity_words(capacity: Mapping[str, Any] | None) -> str:
    """What a run found its instance to hold."""
    held = (capacity or {}).get("highest_pass_per_s")
    return "no capacity" if held is None else f"holds {fig.count(held)}/s"


def _metric(metric: Mapping[str, Any]) -> str:
    unit = metric.get("unit", "")
    return (
        f"  {MARKS.get(metric['outcome'], '?')} {fig.clipped(metric['name'], 25):<26}"
        f"{fig.quantity(metric['a'], unit):>12}{fig.quantity(metric['b'], unit):>12}"
        f"{fig.ratio(metric['ratio']):>9}{fig.interval(metric['low'], metric['high']):>17}  {metric['outcome']}"
    )
