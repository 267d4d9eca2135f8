"""Finds a pipeline's class by ``MODULE:CLASS``, and reads boxes as the command line writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_core.errors import ConfigurationError
from realtime_core.pipeline.composing import OURS, composed, mixin
from realtime_core.publish import Box

if TYPE_CHECKING:
    from realtime_core.pipeline.pipeline import Pipeline

NCHAN_PREFIX = "nchan+"
PLUS = "+"


def pipeline_class(reference: str) -> type[Pipeline]:
    """The class that ``MODULE:CLASS`` names, or the composition of ``MIXIN+MIXIN+…``, of ours or ``MODULE:CLASS``.

    Raises:
        ConfigurationError: it cannot be imported, or is no pipeline.
    """
    if PLUS in reference:
        return composed(reference.split(PLUS))
    if ":" not in reference and reference not in OURS:
        raise ConfigurationError(
            f"pipeline {reference!r:.200}: write MODULE:CLASS, or mixins as JSONParser+HTTPPublisher"
        )
    return mixin(reference)


def boxes(urls: dict[str, str], *, required: bool, timeout_s: float) -> list[Box]:
    """Boxes by name and URL; ``nchan+http://…`` speaks nchan's dialect.

    Raises:
        ConfigurationError: a name or URL that cannot be used.
    """
    return [
        Box(
            name,
            url.removeprefix(NCHAN_PREFIX),
            dialect="nchan" if url.startswith(NCHAN_PREFIX) else "push_stream",
            required=required,
            timeout_s=timeout_s,
        )
        for name, url in urls.items()
    ]
