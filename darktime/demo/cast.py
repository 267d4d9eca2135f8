"""Who plays in the demo: starts the services in their order, tells them what to do, knows where they are."""

from __future__ import annotations

import json
import os
import secrets
import sys
import urllib.request
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from darktime.demo.front import Front, start_window
from realtime_core.stack import external_valkey, ready_line

if TYPE_CHECKING:
    from pathlib import Path

    from darktime.demo.processes import Processes
    from darktime.demo.settings import DemoSettings
    from darktime.demo.watch import Watch
    from realtime_core.stack import Service, Stack

LISTENING = "listening on "
METRICS = "metrics on "
ASK_TIMEOUT_S = 2.0
BLAST_STREAMS = 100
CHANNELS_A_SAVE = 2
ROOM_FOR_FAULTS = 30


class Cast:
    """All services of one run, in one stack. ``start`` them, then send orders."""

    def __init__(self, stack: Stack, settings: DemoSettings, processes: Processes) -> None:
        self._stack = stack
        self._settings = settings
        self._processes = processes
        self._services: dict[str, Service] = {}
        self._exporters: dict[str, str] = {}
        self.name = f"demo-{secrets.token_hex(4)}"
        self.visitors_state = stack.folder / "visitors.json"
        self.pairs = stack.folder / "pairs.jsonl"
        self.deeds = stack.folder / "deeds.json"
        self.redis: Redis
        self.front: Front
        self.window: str

    def start(self, watch: Watch) -> None:
        """Start everything but the visitors, each when what it needs is there."""
        settings, stack = self._settings, self._stack
        if settings.redis:
            url = external_valkey(settings.redis).url
        else:
            valkey = stack.valkey()
            url = valkey.url
            self._enlist(watch, "valkey", valkey.service)
        self.redis = Redis.from_url(url, socket_timeout=ASK_TIMEOUT_S, socket_connect_timeout=ASK_TIMEOUT_S)
        production = settings.production or self._push(watch, "production", url)
        dark = settings.dark or self._push(watch, "dark", url)
        proxy = self._python(
            watch,
            "proxy",
            "darktime.demo.fault_proxy",
            *("--upstream", dark, "--deeds", str(self.deeds), "--one-in", str(one_in(settings))),
        )
        site = self._python(
            watch,
            "site",
            "darktime.demo.site",
            *("--database", str(stack.folder / "site.sqlite3"), "--redis", url, "--queue", self.name),
            *("--threads", str(settings.threads)),
        )
        self._exporters["site"] = site
        window = self._push(watch, "window", url)
        self._start_worker(watch, url, production, dark=proxy, window=window)
        self.front = Front(stack, settings, redis=url, name=self.name)
        for name, service in self.front.start(production=production, dark=dark, site=site).items():
            self._enlist(watch, name, service)
        self._exporters["relay"] = self.front.running.metrics
        self.window, service = start_window(stack, settings, site=site, window=window)
        self._enlist(watch, "nginx-window", service)
        self._dark = dark
        self._url = url
        (stack.folder.parent / "targets.json").write_text(self._targets())

    def start_visitors(self, watch: Watch) -> None:
        """Let the visitors come."""
        settings = self._settings
        argv = [
            *("--front", self.front.address, "--redis", self._url, "--name", self.name),
            *("--state", str(self.visitors_state), "--visitors", str(settings.visitors)),
            *("--swapped", str(settings.swapped), "--threads", str(settings.threads)),
            *("--writes", str(settings.writes_per_s), "--seed", str(settings.seed)),
        ]
        if settings.external:
            argv += ["--canary", f"pipeline>production={settings.production}"]
            argv += ["--canary", f"pipeline>dark={settings.dark}"]
        else:
            argv += ["--hop", "production>visitors"]
        command = [sys.executable, "-m", "darktime.demo.visitors", *argv]
        self._enlist(watch, "visitors", self._stack.start("visitors", command, ready="visitors are coming"))

    def start_blast(self) -> tuple[Service, Path]:
        """Blast the dark instance; the process, and the file in which its result will be."""
        path = self._stack.folder / "blast.json"
        argv = [
            *(sys.executable, "-m", "darktime.blast", "--instance", self._dark),
            *("--duration", str(self._settings.blast_s), "--streams", str(BLAST_STREAMS), "--json", str(path)),
        ]
        service = self._stack.start("blast", argv, ready=lambda: True)
        self._processes.add("blast", service)
        return service, path

    def order(self, order: str) -> None:
        """Tell the visitors what to do."""
        self.redis.rpush(f"orders:{{{self.name}}}", order)

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a child that is alive."""
        service = self._services[name]
        if service.alive():
            os.kill(service.pid, number)

    def production_requests(self) -> dict[str, float]:
        """How many requests the production push server has answered, by route: its own counters."""
        answered: dict[str, float] = {}
        with urllib.request.urlopen(f"http://{self._exporters['production']}/metrics", timeout=ASK_TIMEOUT_S) as reply:
            for family in text_string_to_metric_families(reply.read().decode()):
                for sample in family.samples:
                    if sample.name == "realtime_push_requests_total":
                        route = sample.labels["route"]
                        answered[route] = answered.get(route, 0) + sample.value
        return answered

    def forget(self) -> None:
        """Take this run's keys out of a Redis that is not ours, once nobody writes there any more."""
        if self._settings.redis:
            for key in self.redis.scan_iter(match=f"*{{{self.name}}}*", count=1000):
                self.redis.unlink(key)
        self.redis.close()

    def _push(self, watch: Watch, name: str, url: str) -> str:
        readers = {"production": "production>visitors", "dark": "dark>relay", "window": "window>watchers"}
        push = self._stack.push(
            name,
            ledger=url,
            ledger_name=self.name,
            hop_in=f"pipeline>{name}",
            hop_out=readers[name],
            owner=f"push:{name}",
        )
        self._enlist(watch, name, push.service)
        address = f"{push.host}:{push.port}"
        self._exporters[name] = address
        return address

    def _start_worker(self, watch: Watch, url: str, production: str, *, dark: str, window: str) -> None:
        argv = [
            *(sys.executable, "-m", "realtime_core.pipeline", "realtime_core.pipeline:JSONAnonHTTPPipeline"),
            *("--redis", url, "--queue", self.name, "--ledger-name", self.name, "--owner", "worker"),
            *("--box", f"production=http://{production}"),
            *("--best-effort", f"dark=http://{dark}", "--best-effort", f"window=http://{window}"),
            *("--set", "anonymize=data.email:drop", "--metrics", "0"),
        ]
        service = self._stack.start("worker", argv, ready="working on queue")
        self._exporters["worker"] = ready_line(service, METRICS)
        self._enlist(watch, "worker", service)

    def _python(self, watch: Watch, name: str, module: str, *words: str) -> str:
        service = self._stack.start(name, [sys.executable, "-m", module, *words], ready=LISTENING)
        self._enlist(watch, name, service)
        return ready_line(service, LISTENING)

    def _enlist(self, watch: Watch, name: str, service: Service) -> None:
        self._services[name] = service
        self._processes.add(name, service)
        watch.add(name, service)

    def _targets(self) -> str:
        """Prometheus' file_sd format: every exporter of the run."""
        return json.dumps(
            [{"targets": [address], "labels": {"process": name}} for name, address in sorted(self._exporters.items())]
        )


def one_in(settings: DemoSettings) -> int:
    """The mean distance between two faults: so small that a phase has room for far more than the proxy's quotas."""
    events = settings.writes_per_s * settings.phase_s * CHANNELS_A_SAVE
    return max(1, round(events / ROOM_FOR_FAULTS))
