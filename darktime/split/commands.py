"""The splitter's processes, described: what to run, and how each says that it is ready."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from darktime.split.folder import CONFIGURATION, SECRET

if TYPE_CHECKING:
    from pathlib import Path

    from darktime.split.dark_side import DarkSide
    from darktime.split.settings import CopySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One process. ``ready_line``: the beginning of the line that it writes to stdout; None: ready when it answers."""

    name: str
    argv: tuple[str, ...]
    ready_line: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerNames:
    """Where the relay counts, and what it calls itself and its hops."""

    url: str
    name: str
    owner: str = "relay"
    hop_mirror: str = "mirror>relay"
    hop_compared: str = "relay>compared"
    hop_events: str = "dark>relay"


def nginx_command(nginx: Path, folder: Path) -> Command:
    """The splitter's nginx, on the configuration in ``folder``; it is ready when its address answers."""
    argv = (str(nginx), "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / CONFIGURATION))
    return Command(name="nginx", argv=argv, ready_line=None)


def relay_command(
    settings: CopySettings,
    folder: Path,
    *,
    dark: DarkSide,
    state: Path,
    pairs: Path,
    ledger: LedgerNames | None = None,
    metrics_port: int | None = None,
) -> Command:
    """The relay of a split, before its dark side. The secret goes by file: anybody can read arguments."""
    argv = [
        *(sys.executable, "-m", "darktime.split.relay", "--socket", str(settings.relay_socket)),
        *("--log-port", str(settings.log_port), "--state", str(state), "--pairs", str(pairs)),
        *("--secret-file", str(folder / SECRET)),
    ]
    for url in dark.urls:
        argv += ["--dark", url]
    argv += ["--dark-connections", str(dark.connections)]
    if dark.cacert is not None:
        argv += ["--dark-cacert", str(dark.cacert)]
    if dark.insecure:
        argv.append("--dark-insecure")
    if settings.run_as not in (None, "root") and os.geteuid() == 0:
        argv += ["--socket-owner", settings.run_as or ""]
    for name in settings.allow_query:
        argv += ["--allow-query", name]
    for method in settings.copied_methods:
        argv += ["--allow-method", method]
    argv += ["--max-body", str(settings.max_body)]
    if ledger is not None:
        argv += ["--ledger", ledger.url, "--ledger-name", ledger.name, "--owner", ledger.owner]
        argv += [
            "--hop-mirror",
            ledger.hop_mirror,
            "--hop-compared",
            ledger.hop_compared,
            "--hop-events",
            ledger.hop_events,
        ]
    if metrics_port is not None:
        argv += ["--metrics", str(metrics_port)]
    return Command(name="relay", argv=tuple(argv), ready_line="relay on ")


def agent_command(settings: CopySettings, folder: Path, *, ttl_s: float) -> Command:
    """The agent that renews the lease for ``ttl_s`` seconds."""
    argv = (
        *(sys.executable, "-m", "darktime.split.agent", "--folder", str(folder)),
        *("--ttl", str(ttl_s), "--slot", str(settings.slot_s)),
    )
    return Command(name="agent", argv=argv, ready_line="agent renews ")
