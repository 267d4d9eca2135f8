"""Traffic of streams that begin with a request and end by themselves: a pool of connections that sends what a source gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darktime.blast.tokens import TokenStreams
from darktime.blast.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from darktime.blast.cohort import Cohort
    from darktime.blast.scenario import Place
    from darktime.blast.sources import Source


def streamed(
    cohort: Cohort, place: Place, numbers: Mapping[str, Any], source: Source, *, name: str, end_marker: bytes | None
) -> Traffic:
    """This worker's part of a scenario's ``connections``, with its ``first_event_limit_ms`` and ``between_limit_ms``."""
    size = max(place.part(int(numbers["connections"])), 1)
    streams = TokenStreams(
        cohort,
        place.address,
        source,
        size=size,
        timeout_s=place.timeout_s,
        end_marker=end_marker,
        first_event_limit_s=float(numbers["first_event_limit_ms"]) / 1000,
        between_limit_s=float(numbers["between_limit_ms"]) / 1000,
        source_ips=place.source_ips,
        connects_per_s=place.connects_per_s,
    )
    return Traffic(streams, method="POST", name=name, size=size, connects_per_s=place.connects_per_s)
