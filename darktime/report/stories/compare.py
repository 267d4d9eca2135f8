"""The page of two runs compared: whether B is better than A, and the interval of each figure that says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darktime.report import figures as fig
from darktime.report import parts
from darktime.report.drawing import svg
from darktime.report.markup import tag
from darktime.report.stories import Story, section, when
from darktime.report.summaries.compare import capacity_words, plan_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from darktime.report.kinds import Results
    from darktime.report.markup import Markup

_ENDED = {0: ("held", "good"), 3: ("did not hold", "bad"), 4: ("generator-bound", "wait"), 5: ("undecided", "wait")}
_TONES = {"better": "good", "worse": "bad", "cannot tell": "wait"}


def tell(results: Results) -> Story:
    """A comparison from its outcome to where the runs are kept."""
    a, b, outcome = results["a"], results["b"], results["outcome"]
    started = [when(results)] if results.get("started") else []
    plan = results.get("plan")
    sections = [section("Both instances", _plan(results))] if plan else [section("Both runs", _sides(a, b))]
    if results["metrics"]:
        sections.append(section("Figure by figure", _metrics(results["metrics"])))
    if results.get("legs"):
        sections.append(section("Leg by leg", _legs(results["legs"])))
    return Story(
        title=" ".join(("darkesttime compare", a["name"], b["name"], *started)),
        kicker=" · ".join(("darkesttime compare", f"A {a['name']}", f"B {b['name']}", *started)),
        headline=results["sentence"],
        badge=parts.badge(outcome, _TONES.get(outcome, "wait")),
        lead=(),
        sections=tuple(sections),
    )


def _plan(results: Results) -> Markup:
    ran = [leg["side"] for leg in results["legs"]]
    facts: list[tuple[str, object]] = [
        (letter, f"{results[letter.lower()]['name']}, {ran.count(letter)} legs") for letter in "AB"
    ]
    plan = results["plan"]
    facts.append(("Plan", plan_words(plan)))
    facts += [(word, plan[key]) for word, key in (("Objective", "slo"), ("Path", "path")) if plan[key]]
    facts.append(("Results", tag("code", f"{results['a']['folder']}, {results['b']['folder']}")))
    return parts.facts(facts)


def _legs(legs: Sequence[Mapping[str, Any]]) -> Markup:
    names = list(dict.fromkeys(name for leg in legs for name in leg["figures"]))
    rows = [
        (
            str(at + 1),
            leg["side"],
            parts.badge(*_ENDED.get(leg["exit_code"], ("void", "wait"))),
            *(fig.quantity(leg["figures"].get(name), "ms" if name.startswith("p") else "/s") for name in names),
        )
        for at, leg in enumerate(legs)
    ]
    return parts.table(("Leg", "Side", "Objective", *names), rows, label="Leg by leg", text=3)


def _sides(a: Mapping[str, Any], b: Mapping[str, Any]) -> Markup:
    rows = [
        (letter, side["name"], capacity_words(side["capacity"]), tag("code", side["folder"]))
        for letter, side in (("A", a), ("B", b))
    ]
    return parts.table(("", "Run", "Capacity", "Results"), rows, label="Both runs", text=4)


def _metrics(metrics: Sequence[Mapping[str, Any]]) -> Markup:
    title = "B against A"
    text = (
        "The mark is the ratio of B to A, the line its interval. An interval that holds 1 tells nothing: there "
        "the runs may as well be equal."
    )
    rows = [
        (
            parts.badge(one["outcome"], _TONES.get(one["outcome"], "wait")),
            one["name"],
            fig.quantity(one["a"], one.get("unit", "")),
            fig.quantity(one["b"], one.get("unit", "")),
            fig.ratio(one["ratio"]),
            fig.interval(one["low"], one["high"]),
        )
        for one in metrics
    ]
    data = parts.table(("B is", "Figure", "A", "B", "B / A", "Interval"), rows, label=title, text=2)
    described = "; ".join(f"{one['name']}: {fig.ratio(one['ratio'])}, {one['outcome']}" for one in metrics)
    shown = any(all(one[key] for key in ("ratio", "low", "high")) for one in metrics)
    drawn = (
        svg(lambda charts: charts.intervals(metrics), name="intervals", title=title, description=described)
        if shown
        else None
    )
    return parts.figure(title, text, drawn, data)
