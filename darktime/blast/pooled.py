"""Traffic of plain HTTP: a pool of connections that sends what a source gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darktime.blast.requests import RequestPool
from darktime.blast.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from darktime.blast.cohort import Cohort
    from darktime.blast.scenario import Place
    from darktime.blast.sources import Source


def pooled(
    cohort: Cohort, place: Place, numbers: Mapping[str, Any], source: Source, *, name: str, method: str = "GET"
) -> Traffic:
    """This worker's part of a scenario's ``connections``. ``method`` and ``name`` is how Locust lists the requests."""
    size = max(place.part(int(numbers["connections"])), 1)
    pool = RequestPool(
        cohort,
        place.address,
        source,
        size=size,
        timeout_s=place.timeout_s,
        source_ips=place.source_ips,
        connects_per_s=place.connects_per_s,
    )
    return Traffic(pool, method=method, name=name, size=size, connects_per_s=place.connects_per_s)
