"""What a worker is told before anything is opened, and the traffic it makes of it. It travels as JSON."""

from __future__ import annotations

import platform
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from darktime.blast.dialer import MAX_CONNECTING as MAX_STREAMS_CONNECTING
from darktime.blast.opener import MAX_CONNECTING, MAX_SHAKING
from darktime.blast.publisher import Publisher
from darktime.blast.requests import RequestPool
from darktime.blast.scenario import Place, Scenario
from darktime.blast.settings import PUBLISHERS, SAFETY_MAX_PER_S, Address
from darktime.blast.sockets import PORTS_AN_ADDRESS, sources_for
from darktime.blast.sources import Fixed, get
from darktime.blast.streams import Streams
from darktime.blast.traffic import Traffic
from darktime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from darktime.blast.arrivals import Share
    from darktime.blast.cohort import Cohort


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """``scenario`` is the name of a scenario file, or empty for what the instance was recognised as (``kind``)."""

    address: dict[str, Any]
    run: str
    kind: str = "http"
    path: str = "/"
    scenario: str = ""
    numbers: dict[str, Any] | None = None
    connections: int = 100
    streams: int = 0
    publishers: int = PUBLISHERS  # connections that publish
    channels: int = 1
    channel: str = ""  # everything through this one
    timeout_s: float = 5.0
    fresh: bool = False
    follow: bool = False
    headers: dict[str, str] | None = None
    scenario_digest: str = ""  # of the files of the scenario, as the head has them; empty: not compared
    allowed_host: str = ""  # what the head's user allowed, where it is beyond loopback
    max_rate_per_s: float = SAFETY_MAX_PER_S
    sources: tuple[str, ...] = ()  # addresses that connections come from; none: as many as are needed
    connects_per_s: float | None = None  # of all workers together

    def place(self, share: Share) -> Place:
        """Where one worker's traffic goes."""
        address = Address(**self.address)
        sockets = self.sockets()
        at = share.index % max(len(self.sources), 1)
        source_ips = self.sources[at:] + self.sources[:at]
        pace = self.connects_per_s / share.workers if self.connects_per_s is not None else None
        if not source_ips and sockets > PORTS_AN_ADDRESS:
            a_worker = -(-sockets // share.workers)
            many = -(-a_worker // PORTS_AN_ADDRESS)
            source_ips = sources_for(address, PORTS_AN_ADDRESS * many + 1, share.index * (many + 1))
        return Place(
            address=address,
            run=self.run,
            share=share,
            timeout_s=self.timeout_s,
            source_ips=source_ips,
            connects_per_s=pace,
        )

    def sockets(self) -> int:
        """How many sockets all workers will hold at once."""
        if self.scenario:
            return self.load_scenario().sockets()
        return self.streams + self.publishers if self.kind == "push" else self.connections

    def connecting_at_once(self, workers: int) -> int:
        """How many connections all workers begin together, before the first of them stands."""
        if self.connects_per_s is not None or self.fresh:
            return 0
        a_worker = -(-self.sockets() // workers)
        most = MAX_STREAMS_CONNECTING if self.kind == "push" else MAX_CONNECTING
        return min(a_worker, MAX_SHAKING if self.address["tls"] else most) * workers

    @property
    def shares_a_channel(self) -> bool:
        """Whether its workers hear what the others publish."""
        return self.kind == "push" and bool(self.channel)

    def load_scenario(self) -> Scenario:
        """The scenario with its numbers. Raises UsageError, also where its files are not those of the head."""
        from darktime.blast.catalogue import digest, load  # noqa: PLC0415 - it loads Locust, by the scenario's file

        if self.scenario_digest and digest(self.scenario) != self.scenario_digest:
            raise UsageError(
                f"--scenario {self.scenario}: its files on {platform.node()} are not those of the master: copy them"
            )
        return load(self.scenario, self.numbers or {})

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """What ``to_dict`` gave."""
        return cls(**{**saved, "sources": tuple(saved["sources"])})


class Recognised(Scenario):
    """No scenario was named: GETs to plain HTTP, publishers and subscribers to a push endpoint."""

    def __init__(self, task: Task) -> None:
        super().__init__({})
        self._task = task

    def traffic(self, cohort: Cohort, place: Place) -> Traffic:
        """A pool, and at a push endpoint the streams that hear it."""
        task = self._task
        if task.kind != "push":
            size = max(place.part(task.connections), 1)
            source = Fixed(get(place.address, task.path, task.headers))
            pool = RequestPool(
                cohort,
                place.address,
                source,
                size=size,
                timeout_s=place.timeout_s,
                fresh=task.fresh,
                follow=task.follow,
                source_ips=place.source_ips,
                connects_per_s=place.connects_per_s,
            )
            return Traffic(pool, method="GET", name=task.path, size=size, connects_per_s=place.connects_per_s)
        size = max(place.part(task.publishers), 1)
        wanted = place.part(task.streams)
        # One channel for all workers is shared; of many each worker has its own, and hears only itself.
        publishers, me = (place.share.workers, place.share.index) if task.channel else (1, 0)
        run = place.run if task.channel else f"{place.run}{place.share.index:02x}"
        names = [task.channel] if task.channel else [f"blast.{run}.{number}" for number in range(task.channels)]
        # Only on a channel that is shared do times come from another machine; its own need no correction.
        clock = place.clock if task.channel else time.monotonic
        publisher = Publisher(place.address, len(names), run, names=names, me=me, clock=clock)
        sources, pace = place.source_ips, place.connects_per_s
        pool = RequestPool(
            cohort,
            place.address,
            publisher,
            size=size,
            timeout_s=place.timeout_s,
            source_ips=sources,
            connects_per_s=pace,
        )
        streams = Streams(
            cohort,
            place.address,
            publisher,
            count=wanted,
            run=run,
            publishers=publishers,
            me=me,
            clock=clock,
            source_ips=sources,
            connects_per_s=pace,
        )
        return Traffic(pool, streams, method="POST", name="/pub", wanted=wanted, size=size, connects_per_s=pace)
