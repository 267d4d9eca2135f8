"""How figures and foreign text are written in every report: units, thousands, and nothing a terminal would obey."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size

if TYPE_CHECKING:
    from collections.abc import Mapping

NONE = "—"
_SECOND_MS = 1000
_TEN_SECONDS_MS = 10_000
_HUNDRED = 100
_TEN = 10
_MINUTE_S = 60
_KILO = 1000
_MILLION = 1_000_000
_P99_LIMIT = re.compile(r"(?:^|,)\s*p\(?99\)?\s*<=?\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s)\b")


def visible(text: object) -> str:
    """Text as one safe line: control, invisible and reordering characters are replaced by their escaped code."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in str(text))


def clipped(text: object, columns: int) -> str:
    """Visible text of at most ``columns`` terminal cells; what was cut shows as an ellipsis."""
    line = visible(text)
    return line if cell_len(line) <= columns else set_cell_size(line, columns - 1).rstrip() + "…"


def count(value: float | None) -> str:
    """A number of things: ``12,345``."""
    return NONE if value is None else f"{value:,.0f}"


def brief(value: float) -> str:
    """A number where room is short: millions from a million on, ``12.3 M``."""
    return f"{value / _MILLION:,.1f} M" if value >= _MILLION else count(value)


def ms(value: float | None) -> str:
    """A latency: three digits, in seconds from ten of them on. 0 is what a clock of whole milliseconds makes of less."""
    if value is None:
        return NONE
    if value == 0:
        return "<1 ms"
    if value >= _TEN_SECONDS_MS:
        return f"{value / _SECOND_MS:,.1f} s"
    return f"{value:,.{0 if value >= _HUNDRED else 1 if value >= _TEN else 2}f} ms"


def quantity(value: float | None, unit: str) -> str:
    """A figure in the unit that it came with: ``148 ms``, ``0.05 %``, ``1,912/s``, ``3``."""
    if value is None:
        return NONE
    if unit == "ms":
        return "0 ms" if value == 0 else ms(value)
    text = f"{value:,.0f}" if float(value).is_integer() or abs(value) >= _KILO else f"{value:,.3g}"
    return f"{text} {visible(unit)}" if unit and not unit.startswith("/") else f"{text}{visible(unit)}"


def told(finding: Mapping[str, Any]) -> str:
    """What a finding of a scenario is, and what it was judged by where somebody named a limit of his own for it."""
    text, judged_by = str(finding["text"]), finding.get("judged_by")
    return f"{text} (judged by {visible(judged_by)})".lstrip() if judged_by else text


def seen(threshold: Mapping[str, Any]) -> str:
    """What was seen of a threshold."""
    return "not judged" if threshold["seen"] is None else quantity(threshold["seen"], threshold["unit"])


def ratio(value: float | None) -> str:
    """How many times: ``1.17 x``."""
    return NONE if value is None else f"{value:,.3g} x"


def interval(low: float | None, high: float | None) -> str:
    """Where a ratio lies: ``1.11 to 1.24``."""
    return NONE if low is None or high is None else f"{low:,.3g} to {high:,.3g}"


def duration(seconds: float | None) -> str:
    """A run's length: ``4.2 s`` or ``2m05s``."""
    if seconds is None:
        return NONE
    if seconds < _MINUTE_S:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // _MINUTE_S}m{int(seconds) % _MINUTE_S:02d}s"


def percent(value: float | None) -> str:
    """A percentage that is already one: ``5 %``, ``0.5 %``."""
    return NONE if value is None else f"{value:.1f}".removesuffix(".0") + " %"


def share(value: float | None) -> str:
    """A share of one: ``41 %``."""
    return NONE if value is None else percent(value * _HUNDRED)


def size(value: float | None) -> str:
    """Bytes, in decimal steps: ``1.4 MB``."""
    if value is None:
        return NONE
    for unit in ("B", "kB", "MB", "GB"):
        if value < _KILO:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= _KILO
    return f"{value:,.1f} TB"


def factor(slow: float, fast: float) -> str:
    """How many times longer: ``5,400 times``; nothing to say where the shorter is zero."""
    return f"{slow / fast:,.0f} times" if fast > 0 else NONE


def agreement(agrees: bool | None) -> str:  # noqa: FBT001 - the one thing it is about
    """Whether nginx sampled whom the function names; None: the run ended before that was looked at."""
    if agrees is None:
        return "not yet held against the function"
    return "exactly those the function names" if agrees else "not those the function names"


def slo_text(slo: str | Mapping[str, Any]) -> str:
    """The objective of a blast in words."""
    return slo if isinstance(slo, str) else ", ".join(f"{name} {value}" for name, value in slo.items())


def slo_p99_ms(slo: str | Mapping[str, Any]) -> float | None:
    """The limit that the objective puts on p99, if it puts one."""
    if not isinstance(slo, str):
        value = slo.get("p99_ms")
        return float(value) if isinstance(value, int | float) else None
    found = _P99_LIMIT.search(slo)
    return float(found[1]) * (1 if found[2] == "ms" else _SECOND_MS) if found else None
