"""The report's colours: charts are drawn in the light ones, and the page's style sheet swaps each for its dark twin."""

from __future__ import annotations

from typing import NamedTuple


class Colour(NamedTuple):
    """One role's colour on a light page and on a dark one; written lower-case, as they stand in the SVG."""

    light: str
    dark: str


# Okabe and Ito's hues, which people of any colour vision tell apart; each at least 3:1 against its page.
PRODUCTION = Colour("#0072b2", "#56b4e9")
DARK = Colour("#d55e00", "#e69f00")
SENT = Colour("#7b8794", "#8b99a8")
RECEIVED = Colour("#009e73", "#2fc79b")
EXPLAINED = Colour("#b58900", "#f0e442")
WRONG = Colour("#c0224b", "#ff7a93")
INK = Colour("#1c2733", "#e6edf3")
MUTED = Colour("#5a6775", "#9aa7b4")
RULE = Colour("#e2e7ec", "#2a333d")
BAND = Colour("#dcefe8", "#143a30")

# How often, from seldom to most often: on a light page the darkest is the most, on a dark one the lightest.
HEAT = (
    Colour("#dcebf7", "#17324a"),
    Colour("#b5d3ec", "#1f4c72"),
    Colour("#86b8de", "#2c6b9e"),
    Colour("#4f97cb", "#4a90c6"),
    Colour("#2171ae", "#86bde6"),
    Colour("#0b4a80", "#d3e9fb"),
)

CHART_COLOURS = (PRODUCTION, DARK, SENT, RECEIVED, EXPLAINED, WRONG, INK, MUTED, RULE, BAND, *HEAT)


def chart_rules() -> str:
    """CSS that recolours a chart: a rule in a style sheet outranks an SVG's own fill and stroke attributes."""
    return "".join(
        f'.chart [{part}="{colour.light}"]{{{part}:{colour.dark}}}'
        for colour in CHART_COLOURS
        for part in ("fill", "stroke")
    )
