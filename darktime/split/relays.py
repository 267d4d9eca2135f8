"""The relays of one split, described: what each is to run, and where it writes. One, or several that share the users."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from darktime.split.commands import relay_command
from darktime.split.gathering import Gathering, RelayFiles
from darktime.split.relay.shares import dark_share
from darktime.split.workers import RELAY, workers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from darktime.split.commands import Command, CompareOptions, LedgerNames
    from darktime.split.dark_side import DarkSide
    from darktime.split.record.recorder import RecordSettings
    from darktime.split.settings import CopySettings
    from darktime.split.workers import Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Relays:
    """What is to be started. ``files``: what people read; ``parts``: what each writes, empty where there is one.

    ``exporters``: HOST:PORT of each one's metrics, by its name.
    """

    commands: tuple[Command, ...]
    files: RelayFiles
    parts: dict[str, RelayFiles]
    exporters: dict[str, str]

    def gathering(self, processes: dict[str, Any]) -> Gathering | None:
        """What puts the parts together; None where there is one relay. ``processes``: what the relays run as, by name."""
        if not self.parts:
            return None
        return Gathering(self.parts, self.files, lambda name: bool(processes[name].alive()))


def describe_relays(
    settings: CopySettings,
    secrets: Path,
    *,
    dark: DarkSide | None,
    results: Path,
    free_ports: Callable[[int], Sequence[int]],
    ledger: LedgerNames | None = None,
    record: RecordSettings | None = None,
    compare: CompareOptions | None = None,
    endpoints: Path | None = None,
) -> Relays:
    """The relays of a split. ``free_ports``: so many TCP ports of loopback.

    Raises UsageError where the dark side has no connection for each.
    """
    workers = workers_of(settings)
    if dark is not None and len(workers) > 1:
        dark_share(dark, len(workers))  # before any is started
    if record is not None and len(workers) > 1:
        record = replace(record, began=round(time.time(), 3))
    commands: list[Command] = []
    parts: dict[str, RelayFiles] = {}
    exporters: dict[str, str] = {}
    for worker, port in zip(workers, free_ports(len(workers)), strict=True):
        files = RelayFiles.below(results, worker.name, None if record is None else record.path)
        command = relay_command(
            _of(settings, worker),
            secrets,
            dark=dark,
            state=files.state,
            pairs=files.pairs,
            population=files.population,
            ledger=None if ledger is None else replace(ledger, owner=worker.numbered(ledger.owner)),
            metrics_port=port,
            record=record if record is None or files.recording is None else replace(record, path=files.recording),
            compare=compare,
            endpoints=endpoints,
            one_of=len(workers),
        )
        commands.append(replace(command, name=worker.name))
        parts[worker.name] = files
        exporters[worker.name] = f"127.0.0.1:{port}"
    whole = RelayFiles.below(results, RELAY, None if record is None else record.path)
    return Relays(commands=tuple(commands), files=whole, parts=parts if len(workers) > 1 else {}, exporters=exporters)


def _of(settings: CopySettings, worker: Worker) -> CopySettings:
    """The settings as that relay alone has them."""
    if not worker.number:
        return settings
    return replace(settings, relay_socket=worker.relay_socket, log_port=worker.log_port, more_log_ports=())
