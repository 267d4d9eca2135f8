"""HTML by construction: every child that is not Markup already is foreign text, and is escaped."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from darktime.report.figures import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

_VOID = frozenset({"meta"})


class Markup(str):
    """Text that is HTML on purpose. Only this module, the style sheet and the chart renderer make it."""

    __slots__ = ()


def escaped(child: object) -> Markup:
    """The child as HTML: Markup as it is, anything else escaped, its unprintable characters made visible."""
    return child if isinstance(child, Markup) else Markup(html.escape(visible(child), quote=True))


def tag(name: str, /, *children: object, **attributes: str) -> Markup:
    """One element; ``class_`` is class, ``aria_label`` is aria-label. Attribute values are escaped like children."""
    written = "".join(f' {key.rstrip("_").replace("_", "-")}="{escaped(value)}"' for key, value in attributes.items())
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{''.join(map(escaped, children))}</{name}>")


def joined(children: Iterable[object]) -> Markup:
    """Siblings, one after the other."""
    return Markup("\n".join(map(escaped, children)))
