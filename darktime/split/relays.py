"""The relays of one split, described: what each is to run, and where it writes. One, or several that share the users."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypedDict

from darktime.split.commands import relay_command
from darktime.split.gathering import Gathering, RelayFiles
from darktime.split.relay.shares import dark_share
from darktime.split.workers import RELAY, workers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from darktime.split.commands import Command, CompareOptions, LedgerNames
    from darktime.split.dark_side import DarkSide
    from darktime.split.record.recorder import RecordSettings
    from darktime.split.settings import CopySettings
    from darktime.split.workers import Worker


class Relaying(TypedDict, total=False):
    """What relays may be told besides where copies go, each by its name.

    ``ledger``: where they count; ``record``: where they keep the copies; ``compare``: what is compared besides status, type
    and times; ``endpoints``: a file with the application's own templates, as ``read_templates`` takes them; ``transform``:
    MODULE:FUNCTION that each copy goes through before it goes out; ``stream_life_s``: no stream is held longer;
    ``pairs_bytes``: how much all pairs may take.
    """

    ledger: LedgerNames | None
    record: RecordSettings | None
    compare: CompareOptions | None
    endpoints: Path | None
    transform: str | None
    stream_life_s: float | None
    pairs_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Relays:
    """What is to be started. ``results``: the folder that they write into; what has a default is as ``Relaying`` has it.

    ``free_port`` gives a TCP port of loopback. ``exporters``: HOST:PORT of each one's metrics, by its name, once its
    command is there. Raises UsageError where the dark side has no connection for each.
    """

    settings: CopySettings
    secrets: Path
    dark: DarkSide | None
    results: Path
    free_port: Callable[[], int]
    ledger: LedgerNames | None = None
    record: RecordSettings | None = None
    compare: CompareOptions | None = None
    endpoints: Path | None = None
    transform: str | None = None
    stream_life_s: float | None = None
    pairs_bytes: int | None = None
    exporters: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what no relay could run with, before any is started."""
        if self.dark is not None and self.settings.more_log_ports:
            dark_share(self.dark, len(workers_of(self.settings)))

    @property
    def files(self) -> RelayFiles:
        """What people read."""
        return self._files(RELAY)

    @property
    def parts(self) -> dict[str, RelayFiles]:
        """What each of several relays writes, by its name; empty where there is one."""
        if not self.settings.more_log_ports:
            return {}
        return {worker.name: self._files(worker.name) for worker in workers_of(self.settings)}

    def commands(self) -> Iterator[Command]:
        """One after the other: a port for metrics is looked for when its relay is about to be started, and not before."""
        workers = workers_of(self.settings)
        record = self.record
        if record is not None and len(workers) > 1:
            record = replace(record, began=round(time.time(), 3))
        for worker in workers:
            port = self.free_port()
            self.exporters[worker.name] = f"127.0.0.1:{port}"
            files, ledger = self._files(worker.name), self.ledger
            command = relay_command(
                _of(self.settings, worker),
                self.secrets,
                dark=self.dark,
                state=files.state,
                pairs=files.pairs,
                population=files.population,
                ledger=None if ledger is None else replace(ledger, owner=worker.numbered(ledger.owner)),
                metrics_port=port,
                record=record if record is None or files.recording is None else replace(record, path=files.recording),
                compare=self.compare,
                endpoints=self.endpoints,
                transform=self.transform,
                stream_life_s=self.stream_life_s,
                pairs_bytes=self.pairs_bytes,
                one_of=len(workers),
            )
            yield replace(command, name=worker.name)

    def gathering(self, processes: dict[str, Any]) -> Gathering | None:
        """What puts the parts together; None where there is one relay. ``processes``: what the relays run as, by name."""
        if not self.settings.more_log_ports:
            return None
        return Gathering(self.parts, self.files, lambda name: bool(processes[name].alive()))

    def _files(self, name: str) -> RelayFiles:
        return RelayFiles.below(self.results, name, None if self.record is None else self.record.path)


def _of(settings: CopySettings, worker: Worker) -> CopySettings:
    """The settings as that relay alone has them."""
    if not worker.number:
        return settings
    return replace(settings, relay_socket=worker.relay_socket, log_port=worker.log_port, more_log_ports=())
