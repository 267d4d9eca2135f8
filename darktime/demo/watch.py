"""Waiting while the demo runs: samples the children's state files, notices the dead, keeps the series of the charts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar

from darktime.errors import DarktimeError, ExitCode
from darktime.split.vigil import read_state

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from darktime.demo.show import Show
    from realtime_core.stack import Service

LOOK_EVERY_S = 0.2
SERIES_EVERY_S = 1.0
WITHOUT_WHICH_NOTHING = frozenset({"valkey", "nginx", "site", "visitors", "production"})


class DemoBroken(DarktimeError):  # noqa: N818 - a finding
    """A part without which the demo cannot go on has died, or its time is over: what there is by then is kept."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED


class Watch:
    """Looks at everything five times a second while somebody waits."""

    def __init__(self, show: Show, *, visitors: Path, relay: Path, within_s: float | None = None) -> None:
        """Watch from now on; with ``within_s`` the first look after so many seconds raises DemoBroken."""
        self._show = show
        self._paths = {"visitors": visitors, "relay": relay}
        self._services: dict[str, Service] = {}
        self._dead: set[str] = set()
        self._began = time.monotonic()
        self._within_s = within_s
        self._next_point = 0.0
        self._last_counts: dict[str, int] = {}
        self.visitors: dict[str, Any] = {}
        self.relay: dict[str, Any] = {}
        self.series: list[dict[str, float]] = []
        self.incidents: list[str] = []

    def add(self, name: str, service: Service) -> None:
        """Watch a child from now on."""
        self._services[name] = service

    def release(self, name: str) -> None:
        """Stop watching a child: it is about to be stopped on purpose."""
        self._services.pop(name, None)

    def lost(self, name: str) -> bool:
        """Whether that child has died unexpectedly."""
        return name in self._dead

    def until(self, predicate: Callable[[], bool], *, timeout_s: float) -> bool:
        """Look until ``predicate`` holds; False when the time is over first. Raises DemoBroken."""
        deadline = time.monotonic() + timeout_s
        while not predicate():
            if time.monotonic() >= deadline:
                return False
            self.look()
            time.sleep(LOOK_EVERY_S)
        return True

    def during(self, seconds: float) -> None:
        """Look for so long."""
        self.until(lambda: False, timeout_s=seconds)

    def look(self) -> None:
        """One look at everything. Raises DemoBroken."""
        if self._within_s is not None and time.monotonic() - self._began >= self._within_s:
            self.incidents.append(f"stopped before the end: the {self._within_s:g} s that it may take were over")
            raise DemoBroken(f"{self.incidents[-1]}; a slow or stuck part is the likely cause, see the results")
        for name, service in list(self._services.items()):
            if not service.alive():
                self._died(name, service)
        self.visitors = read_state(self._paths["visitors"]) or self.visitors
        self.relay = read_state(self._paths["relay"]) or self.relay
        self._point()
        self._fill_figures()
        self._show.refresh()

    def _died(self, name: str, service: Service) -> None:
        self._services.pop(name)
        self._dead.add(name)
        self.incidents.append(
            f"{name} (process {service.pid}) died {time.monotonic() - self._began:.0f} s into the run"
        )
        self._show.figures.incidents = self.incidents
        self._show.note(self.incidents[-1])
        if name in WITHOUT_WHICH_NOTHING:
            raise DemoBroken(f"{name} died, and the demo cannot go on without it. Its last lines:\n{service.tail()}")

    def _point(self) -> None:
        now = time.monotonic() - self._began
        if now < self._next_point:
            return
        self._next_point = now + SERIES_EVERY_S
        counts = {
            "production": self.visitors.get("deliveries", 0),
            "dark": self.relay.get("events", 0),
            "copies": self.relay.get("received", 0),
        }
        point = {name: float(max(0, count - self._last_counts.get(name, count))) for name, count in counts.items()}
        self._last_counts = counts
        self.series.append({"t": round(now, 1)} | point)

    def _fill_figures(self) -> None:
        figures, seen, relay = self._show.figures, self.visitors, self.relay
        figures.visitors = seen.get("present", 0)
        figures.streams = seen.get("streams", 0)
        figures.requests = seen.get("requests", 0)
        figures.errors = seen.get("errors", 0) + seen.get("broken_streams", 0)
        figures.comments = sum(seen.get("comments", {}).values())
        figures.delivered = seen.get("deliveries", 0)
        figures.p99_ms = seen.get("latency_ms", {}).get("p99")
        figures.held = relay.get("streams", 0)
        figures.delivered_dark = relay.get("events", 0)
        figures.copies = relay.get("received", 0)
        figures.compared = relay.get("compared", 0)
