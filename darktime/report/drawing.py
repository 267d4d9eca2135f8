"""Charts as inline SVG that screen readers can name, or word of the extra that would draw them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from darktime.report.markup import Markup, escaped

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

MISSING_EXTRA = (
    "Charts are left out: they need the extra 'report' (pip install 'darktime[report]'). The tables hold every figure."
)
_OPENING = re.compile(r"<svg[^>]*>")
_CLIP = re.compile(r'((?:id="|url\(#))clip([0-9]+)')
_SIZE = re.compile(r'width="([0-9.]+)" height="([0-9.]+)"')


def charts() -> ModuleType | None:
    """The module that draws, or None where the extra is not installed."""
    try:
        import vl_convert  # noqa: F401, PLC0415 - half a second, and an extra

        from darktime.report import charts as module  # noqa: PLC0415
    except ImportError:
        return None
    return module


def svg(draw: Callable[[ModuleType], Any], *, name: str, title: str, description: str) -> Markup | None:
    """The drawn chart as one inline ``<svg>`` with title and description, or None where the extra is missing."""
    module = charts()
    if module is None:
        return None
    import vl_convert  # noqa: PLC0415

    from darktime.report import canvas  # noqa: PLC0415

    drawn = vl_convert.vegalite_to_svg(canvas.configured(draw(module)), vl_version=_release(canvas.SCHEMA_VERSION))
    opening = _OPENING.search(drawn)
    size = _SIZE.search(opening[0]) if opening else None
    if opening is None or size is None:
        return None
    width, height = size.groups()
    head = (
        f'<svg role="img" aria-labelledby="{escaped(name)}-title {escaped(name)}-text" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" xmlns="http://www.w3.org/2000/svg">'
        f'<title id="{escaped(name)}-title">{escaped(title)}</title>'
        f'<desc id="{escaped(name)}-text">{escaped(description)}</desc>'
    )
    # The renderer numbers its clips on and on: named after the chart, they are the same in every rendering of a run.
    numbers: dict[str, str] = {}
    body = _CLIP.sub(
        lambda found: f"{found[1]}{escaped(name)}-clip{numbers.setdefault(found[2], str(len(numbers)))}",
        drawn[opening.end() :],
    )
    return Markup(head + body)


def _release(schema: str) -> str:
    """The Vega-Lite release that Altair wrote for, ``v6.1.0``, as the converter names it: ``6.1``."""
    return ".".join(schema.removeprefix("v").split(".")[:2])
