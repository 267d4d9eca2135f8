"""Traffic of a push endpoint: publishers, and subscribers that hear them, on channels that no other run has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darktime.blast.publisher import CHANNEL_PREFIX, Publisher
from darktime.blast.requests import RequestPool
from darktime.blast.streams import Streams
from darktime.blast.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from darktime.blast.cohort import Cohort
    from darktime.blast.scenario import Place


def fan_out(
    cohort: Cohort,
    place: Place,
    numbers: Mapping[str, Any],
    *,
    event_ids: bool = False,
    slow_share: float = 0.0,
    slow_bytes_per_s: float = 0.0,
    slow_at_once: bool = True,
) -> Traffic:
    """This worker's part of a scenario's ``streams``, which subscribe, and of its ``connections``, which publish.

    Every worker has ``channels`` (1, unless the scenario has that number) of its own, so that it hears itself only.
    ``event_ids``: events can be replayed to who reconnects. ``slow_share`` of the subscribers read ``slow_bytes_per_s``
    each at most; unless ``slow_at_once``, from ``Streams.slow_down`` on.
    Raises ValueError for numbers that do not fit.
    """
    channels = int(numbers.get("channels", 1))
    run = f"{place.run}{place.share.index:02x}"
    names = [f"{CHANNEL_PREFIX}{run}.{number}" for number in range(channels)]
    publisher = Publisher(place.address, channels, run, names=names, event_ids=event_ids)
    wanted, size = place.part(int(numbers["streams"])), max(place.part(int(numbers["connections"])), 1)
    sources, pace = place.source_ips, place.connects_per_s
    pool = RequestPool(
        cohort, place.address, publisher, size=size, timeout_s=place.timeout_s, source_ips=sources, connects_per_s=pace
    )
    listening = Streams(
        cohort, place.address, publisher, count=wanted, run=run, source_ips=sources, connects_per_s=pace
    )
    if slow_share > 0:
        listening.slow(slow_share, slow_bytes_per_s, at_once=slow_at_once)
    return Traffic(pool, listening, method="POST", name="/pub", wanted=wanted, size=size, connects_per_s=pace)
