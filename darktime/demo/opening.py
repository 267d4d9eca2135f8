"""The opening: what a hung dark instance does to production behind a naive mirror, and behind ours, measured live."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import TYPE_CHECKING

from darktime.demo.front import mirrored, split_settings
from darktime.split.folder import PrivateFolder, prepare
from darktime.split.instances import address
from darktime.split.nginx_config import render_naive
from darktime.split.running import start_nginx, start_split
from realtime_core.free_ports import free_port
from realtime_core.stack import Stack, find_nginx, ready_line

if TYPE_CHECKING:
    from pathlib import Path

    from darktime.demo.processes import Processes
    from darktime.demo.settings import DemoSettings
    from darktime.split.settings import SplitSettings

TIMEOUT_S = 30.0
PATH = "/channels-stats"
USER = "visitor-00000"
EVERYBODY = 100.0
LEASE_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """The second request on one connection, in milliseconds: behind a naive mirror and behind ours."""

    naive_ms: float
    ours_ms: float


def measure_opening(folder: Path, settings: DemoSettings, processes: Processes) -> Opening:
    """Start a production instance and one that hangs, put either mirror between them, and measure."""
    nginx = find_nginx(settings.nginx).path
    with Stack(folder) as stack:
        production = stack.push("production")
        processes.add("opening-production", production.service)
        words = ["-m", "darktime.demo.slow_instance", "--delay", str(settings.opening_delay_s)]
        slow = stack.start("hung", [sys.executable, *words], ready="listening on ")
        processes.add("opening-hung", slow)
        hung = ready_line(slow, "listening on ")
        route = mirrored("/", f"{production.host}:{production.port}")

        def split(kind: str) -> tuple[SplitSettings, Path]:
            private = stack.adopt(PrivateFolder()).path
            listen = f"127.0.0.1:{free_port()}"
            made = split_settings(private, listen=listen, routes=(route,), max_percent=EVERYBODY)
            if kind == "naive":
                prepare(private, made, render_naive(made, private, hung))
            return made, private

        ours, private = split("ours")
        running = start_split(
            stack,
            ours,
            folder=private,
            nginx=nginx,
            dark=f"http://{hung}",
            percent=EVERYBODY,
            ttl_s=LEASE_S,
            results=stack.folder,
            probe=False,  # it hangs, as it is meant to
        )
        for name, service in running.processes.items():
            processes.add(f"opening-{name}", service)
        ours_ms = second_request_ms(ours)
        naive, private = split("naive")
        processes.add("opening-naive", start_nginx(stack, naive, private, nginx, name="nginx-naive"))
        return Opening(naive_ms=second_request_ms(naive), ours_ms=ours_ms)


def second_request_ms(settings: SplitSettings) -> float:
    """How long the second request on one kept connection takes, in milliseconds."""
    link = HTTPConnection(*address(settings.listen), timeout=TIMEOUT_S)
    try:
        took = 0.0
        for _ in ("first", "second"):
            began = time.perf_counter()
            link.request("GET", PATH, headers={"Cookie": f"uid={USER}"})
            link.getresponse().read()
            took = (time.perf_counter() - began) * 1000
        return took
    finally:
        link.close()
