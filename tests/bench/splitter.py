"""What mirroring costs production: one nginx alone, with ours in front or included, and Envoy's own mirror, in turns.

One client (wrk, one thread) against one proxy process; the proxy's CPU a request is what a host pays for it, whatever else
runs on the machine. Rates on few cores have relay and dark instance in them as well: they share the processors.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darktime.errors import UsageError
from darktime.split.emit import choose, emit
from darktime.split.folder import PrivateFolder
from darktime.split.running import answers, start_joined, start_split
from darktime.split.settings import CopySettings, Route, SplitSettings
from darktime.split.theirs import read_theirs
from darktime.split.workers import is_relay
from realtime_core.free_ports import free_port
from realtime_core.stack import Stack, find_nginx
from tests.darktime.split.envoys import start_envoy
from tests.support.engines import ENGINES

if TYPE_CHECKING:
    from darktime.split.running import RunningSplit

TURNS = 7
SECONDS = 3
CONNECTIONS = 50
PERCENTS = (5.0, 100.0)
TWO = 2  # relays
# A new user with every request: each is drawn anew.
USERS = """\
local n = 0
request = function()
  n = n + 1
  return wrk.format("GET", "/", {["Cookie"] = "uid=user-" .. (n % 10000)})
end
"""
SERVED = re.compile(r"(\d+) requests in ([\d.]+)s")
PERCENTILE = re.compile(r"^\s+(50|99)%\s+([\d.]+)(us|ms|s)$", re.MULTILINE)
FAILED = re.compile(r"Non-2xx|Socket errors")
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
THEIRS = """\
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log {folder}/access.log; {temporary} keepalive_requests 1000000;
  upstream app {{ server {production}; keepalive 256; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://app; }}
  }}
}}
"""


@dataclass(slots=True)
class Proxy:
    """One way to serve production. ``alone``: the name of what it is compared with. CPU is in microseconds, times in ms."""

    name: str
    address: str
    pid: int
    alone: str = ""
    relays: tuple[int, ...] = ()
    states: tuple[Path, ...] = ()
    rates: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)
    p50s: list[float] = field(default_factory=list)
    p99s: list[float] = field(default_factory=list)
    copies: list[float] = field(default_factory=list)

    def received(self) -> int:
        """Copies that its relays know of."""
        return sum(map(_received, self.states))

    def relayed_s(self) -> float:
        """Processor time of its relays."""
        return sum(map(_cpu_s, self.relays))


def measure(folder: Path) -> list[str]:
    """All in one run, in turns, so that what else the machine does hits all of them; lines for docs/benchmarks.md."""
    for tool in ("wrk", "patch"):
        if shutil.which(tool) is None:
            raise UsageError(f"the splitter's bench needs {tool}: apt-get install {tool}")
    script = folder / "users.lua"
    script.write_text(USERS)
    nginx = find_nginx().path
    with Stack(folder / "stack") as stack:
        production, dark = instance(stack, nginx, "production"), instance(stack, nginx, "dark")
        proxies = [*_whole(stack, nginx, folder, production, dark), *_included(stack, nginx, folder, production, dark)]
        proxies += _envoys(stack, folder, production, dark)
        for _ in range(TURNS):
            for proxy in proxies:
                _turn(proxy, script)
    by_name = {proxy.name: proxy for proxy in proxies}
    lines = [_line(proxy, by_name[proxy.alone] if proxy.alone else None) for proxy in proxies]
    return [*lines, *_against_envoy(by_name), *_a_copy(proxies)]


def _turn(proxy: Proxy, script: Path) -> None:
    before, relay, copies = _cpu_s(proxy.pid), proxy.relayed_s(), proxy.received()
    url = f"http://{proxy.address}/"
    argv = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", "-s", str(script), url]
    said = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=SECONDS + 30).stdout
    assert not FAILED.search(said), said
    served = SERVED.search(said)
    assert served is not None, said
    requests = int(served[1])
    proxy.rates.append(requests / float(served[2]))
    proxy.cpus.append((_cpu_s(proxy.pid) - before) / requests * 1e6)
    times = {name: float(value) * UNITS[unit] for name, value, unit in PERCENTILE.findall(said)}
    proxy.p50s.append(times["50"])
    proxy.p99s.append(times["99"])
    came = proxy.received() - copies
    if came > 0:
        proxy.copies.append((proxy.relayed_s() - relay) / came * 1e6)


def _line(proxy: Proxy, alone: Proxy | None) -> str:
    rate, cpu = statistics.median(proxy.rates), statistics.median(proxy.cpus)
    times = f"p50 {statistics.median(proxy.p50s):.2f} ms, p99 {statistics.median(proxy.p99s):.2f} ms"
    if alone is None:
        return f"- {proxy.name}: {cpu:.1f} µs of CPU a request, {rate:,.0f} requests/s, {times}"
    cpus = sorted(other / one for one, other in zip(proxy.cpus, alone.cpus, strict=True))
    rates = sorted(one / other for one, other in zip(proxy.rates, alone.rates, strict=True))
    return (
        f"- {proxy.name}: **{statistics.median(cpus):.2f}** of it by CPU a request ({cpus[0]:.2f} to {cpus[-1]:.2f}), "
        f"**{statistics.median(rates):.2f}** by rate ({rates[0]:.2f} to {rates[-1]:.2f}); {cpu:.1f} µs, "
        f"{rate:,.0f} requests/s, {times}"
    )


def _against_envoy(by_name: dict[str, Proxy]) -> list[str]:
    lines = []
    for percent in PERCENTS:
        ours, theirs = by_name[f"whole, {percent:g} % mirrored"], by_name.get(f"Envoy, {percent:g} % mirrored")
        if theirs is not None:
            ratios = sorted(one / other for one, other in zip(ours.cpus, theirs.cpus, strict=True))
            lines.append(
                f"- whole to Envoy, {percent:g} % mirrored: **{statistics.median(ratios):.2f}** of its CPU a request "
                f"({ratios[0]:.2f} to {ratios[-1]:.2f})"
            )
    return lines


def _a_copy(proxies: list[Proxy]) -> list[str]:
    lines = []
    for relays in (1, TWO):
        costs = [cost for proxy in proxies if len(proxy.relays) == relays for cost in proxy.copies]
        if costs:
            lines.append(
                f"- {'relay' if relays == 1 else f'{relays} relays'}: **{statistics.median(costs):.0f} µs** of CPU a copy, "
                f"status, type and latency compared, ledger off ({min(costs):.0f} to {max(costs):.0f})"
            )
    return lines


def _whole(stack: Stack, nginx: Path, folder: Path, production: str, dark: str) -> list[Proxy]:
    def split(name: str, percent: float, alone: str = "", relays: int = 1) -> Proxy:
        private = stack.adopt(PrivateFolder()).path
        settings = SplitSettings(
            listen=f"127.0.0.1:{free_port()}",
            # A split mirrors something, somewhere; what is measured here is "/".
            routes=(
                Route(prefix="/", upstreams=(production,), mirrored=percent > 0),
                Route(prefix="/elsewhere/", upstreams=(production,), mirrored=True),
            ),
            **_copies(private, percent, relays),
        )
        running = start_split(
            stack,
            settings,
            folder=private,
            nginx=nginx,
            dark=f"http://{dark}",
            percent=percent,
            ttl_s=3600.0,
            results=_results(folder, name),
        )
        pid = running.processes["nginx"].pid
        return Proxy(name=name, address=settings.listen, pid=pid, alone=alone, **_relays_of(running))

    alone = split("whole, nothing mirrored", 0.0)
    one = [split(f"whole, {percent:g} % mirrored", percent, alone.name) for percent in PERCENTS]
    two = [split(f"whole, {percent:g} % mirrored, {TWO} relays", percent, alone.name, TWO) for percent in PERCENTS]
    return [alone, *one, *two]


def _relays_of(running: RunningSplit) -> dict[str, Any]:
    pids = tuple(process.pid for name, process in running.processes.items() if is_relay(name))
    return {"relays": pids, "states": running.states}


def _copies(private: Path, percent: float, relays: int = 1) -> dict[str, Any]:
    return {
        "relay_socket": private / "relay.sock",
        "sink_socket": private / "sink.sock",
        "log_port": free_port(),
        "more_log_ports": tuple(free_port() for _ in range(relays - 1)),
        "dark_state": "isolated",
        "key": "cookie:uid",
        "salt": "bench",
        "max_percent": percent or PERCENTS[0],
    }


def _included(stack: Stack, nginx: Path, folder: Path, production: str, dark: str) -> list[Proxy]:
    """Somebody's own nginx, which writes an access log as they all do."""

    def theirs(name: str) -> tuple[Path, str]:
        there = stack.adopt(PrivateFolder()).path
        there.chmod(0o711)
        port = free_port()
        user = "user root;\n" if os.geteuid() == 0 else ""
        text = THEIRS.format(folder=there, port=port, production=production, temporary=_temporary(there))
        (there / "nginx.conf").write_text(user + text)
        return there, f"127.0.0.1:{port}"

    def start(name: str, there: Path, address: str) -> int:
        argv = [str(nginx), "-c", str(there / "nginx.conf"), "-p", str(there), "-e", "stderr"]
        host, port = address.split(":")
        process = stack.start(name, argv, ready=lambda: answers(host, int(port)), listens=(host, int(port)))
        return process.pid

    def included(percent: float, alone: str, relays: int = 1) -> Proxy:
        name = f"included, {percent:g} % mirrored" + (f", {relays} relays" if relays > 1 else "")
        there, address = theirs(name)
        parts = there / "darktime"
        known = read_theirs(nginx, there / "nginx.conf")
        settings = CopySettings(**{**_copies(parts / "state", percent, relays), "run_as": known.user})
        change = emit(parts, settings, known, choose(known.places, ()))
        subprocess.run(["patch", "-s", "-p0", "-d", "/"], input=change, text=True, check=True, timeout=20)
        pid = start(f"theirs-{percent:g}-{relays}", there, address)
        running = start_joined(
            stack,
            settings,
            folder=parts,
            dark=f"http://{dark}",
            percent=percent,
            ttl_s=3600.0,
            results=_results(folder, name),
            front=address,
            hosts=(),
        )
        return Proxy(name=name, address=address, pid=pid, alone=alone, **_relays_of(running))

    there, address = theirs("alone")
    alone = Proxy(name="their nginx alone", address=address, pid=start("theirs", there, address))
    return [alone, *(included(percent, alone.name, relays) for relays in (1, TWO) for percent in PERCENTS)]


def _envoys(stack: Stack, folder: Path, production: str, dark: str) -> list[Proxy]:
    envoy = ENGINES["envoy"].find()
    if envoy is None:
        return []
    found = []
    for percent in (0.0, *PERCENTS):
        port, name = free_port(), f"Envoy, {percent:g} % mirrored" if percent else "Envoy alone"
        short = f"envoy-{percent:g}"
        process = start_envoy(
            stack, folder, envoy, port=port, production=production, relay=dark, percent=percent, name=short
        )
        alone = "Envoy alone" if percent else ""
        found.append(Proxy(name=name, address=f"127.0.0.1:{port}", pid=process.pid, alone=alone))
    return found


def instance(stack: Stack, nginx: Path, name: str) -> str:
    """An nginx that answers at once; its HOST:PORT."""
    port = free_port()
    folder = stack.folder / f"{name}-nginx"
    folder.mkdir()
    config = folder / "nginx.conf"
    # Nor is a connection that waits for its first request ended: a bare relay has no other.
    config.write_text(
        f"daemon off; pid {folder}/pid; error_log stderr; events {{ worker_connections 4096; }}\n"
        f"http {{ access_log off; {_temporary(folder)} keepalive_requests 1000000;\n"
        "keepalive_timeout 1h; client_header_timeout 1h;\n"
        f'server {{ listen 127.0.0.1:{port}; location / {{ default_type text/plain; return 200 "ok\\n"; }} }} }}\n'
    )
    argv = [str(nginx), "-c", str(config), "-p", str(folder), "-e", "stderr"]
    stack.start(name, argv, ready=lambda: answers("127.0.0.1", port), listens=("127.0.0.1", port))
    return f"127.0.0.1:{port}"


def _temporary(folder: Path) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return "".join(f"{kind}_temp_path {folder}/{kind}; " for kind in kinds)


def _results(folder: Path, name: str) -> Path:
    results = folder / name
    results.mkdir()
    return results


def _received(state: Path) -> int:
    try:
        return int(json.loads(state.read_text())["received"])
    except (OSError, ValueError, KeyError):
        return 0


def _cpu_s(pid: int) -> float:
    """Processor time of a process and of those below it."""
    if not pid:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") + sum(_cpu_s(int(one)) for one in below)
