"""The splitter's processes, described: what to run, and how each says that it is ready."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from darktime.split.folder import CONFIGURATION, SECRET

if TYPE_CHECKING:
    from pathlib import Path

    from darktime.split.dark_side import DarkSide
    from darktime.split.record.recorder import RecordSettings
    from darktime.split.settings import CopySettings


RECORDED: Final = "relay>recorded"  # the last hop's name where there is no dark instance


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One process. ``ready_line``: the beginning of the line that it writes to stdout; None: ready when it answers."""

    name: str
    argv: tuple[str, ...]
    ready_line: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerNames:
    """Where the relay counts, and what it calls itself and its hops. ``url_file``: a private file that holds the URL."""

    url: str
    name: str
    owner: str = "relay"
    hop_mirror: str = "mirror>relay"
    hop_compared: str = "relay>compared"
    hop_events: str = "dark>relay"
    url_file: Path | None = None

    def words(self) -> list[str]:
        """As the relay takes it. By the file where there is one: the URL may hold a password, and anybody can read arguments."""
        where = ["--ledger", self.url] if self.url_file is None else ["--ledger-file", str(self.url_file)]
        return [
            *where,
            *("--ledger-name", self.name, "--owner", self.owner, "--hop-mirror", self.hop_mirror),
            *("--hop-compared", self.hop_compared, "--hop-events", self.hop_events),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareOptions:
    """What a relay compares besides what it always does, as its arguments say it.

    ``attributes``: as ``read_attributes`` lists them. ``secondary``: ``http://HOST:PORT`` of a second instance of today's code;
    without one no body is compared. Rules are texts.
    """

    attributes: tuple[str, ...] = ()
    secondary: str | None = None
    share: float | None = None
    body_bytes: int | None = None
    per_s: float | None = None
    ignore: tuple[str, ...] = ()
    unordered: tuple[str, ...] = ()
    html_whitespace: bool = False
    calibrate_s: float = 0.0

    def words(self) -> list[str]:
        """The relay's arguments."""
        words = ["--compare", ",".join(self.attributes)] if self.attributes else []
        if self.secondary is None:
            return words
        numbers = (
            ("--compare-share", self.share),
            ("--compare-bytes", self.body_bytes),
            ("--compare-per-s", self.per_s),
            ("--calibrate", self.calibrate_s or None),
        )
        words += ["--secondary", self.secondary]
        words += [word for name, value in numbers if value is not None for word in (name, str(value))]
        words += [word for rule in self.ignore for word in ("--ignore", rule)]
        words += [word for rule in self.unordered for word in ("--unordered", rule)]
        return [*words, "--html-whitespace"] if self.html_whitespace else words


def nginx_command(nginx: Path, folder: Path) -> Command:
    """The splitter's nginx, on the configuration in ``folder``; it is ready when its address answers."""
    argv = (str(nginx), "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / CONFIGURATION))
    return Command(name="nginx", argv=argv, ready_line=None)


def relay_command(
    settings: CopySettings,
    folder: Path,
    *,
    dark: DarkSide | None,
    state: Path,
    pairs: Path,
    population: Path | None = None,
    ledger: LedgerNames | None = None,
    metrics_port: int | None = None,
    record: RecordSettings | None = None,
    compare: CompareOptions | None = None,
    endpoints: Path | None = None,
    one_of: int = 1,
    transform: str | None = None,
    stream_life_s: float | None = None,
    pairs_bytes: int | None = None,
) -> Command:
    """The relay of a split, before its dark side; None: it records only. The secret goes by file: anybody can read arguments.

    ``one_of``: relays that share the users, and the bounds that ``share_of`` divides. ``pairs_bytes``: of all their pairs.
    """
    argv = [
        *(sys.executable, "-m", "darktime.split.relay", "--socket", str(settings.relay_socket)),
        *("--log-port", str(settings.log_port), "--state", str(state), "--pairs", str(pairs)),
        *("--secret-file", str(folder / SECRET)),
    ]
    if dark is not None:
        argv += _dark_words(dark)
    if record is not None:
        argv += _record_words(record)
    if settings.run_as not in (None, "root") and os.geteuid() == 0:
        argv += ["--socket-owner", settings.run_as or ""]
    for name in settings.allow_query:
        argv += ["--allow-query", name]
    for method in settings.copied_methods:
        argv += ["--allow-method", method]
    argv += ["--max-body", str(settings.max_body)]
    for option, value in (
        ("--endpoints", endpoints),
        ("--population", population),
        ("--metrics", metrics_port),
        ("--one-of", one_of if one_of > 1 else None),
        ("--transform", transform),
        ("--stream-life", stream_life_s),
        ("--pairs-bytes", pairs_bytes),
    ):
        if value is not None:
            argv += [option, str(value)]
    if ledger is not None:
        argv += ledger.words()
    if compare is not None:
        argv += compare.words()
    return Command(name="relay", argv=tuple(argv), ready_line="relay on ")


def agent_command(settings: CopySettings, folder: Path, *, ttl_s: float, follow: Path | None = None) -> Command:
    """The agent that renews the lease for ``ttl_s`` seconds; ``follow``: the file with the URL of the Redis it follows."""
    argv = [
        *(sys.executable, "-m", "darktime.split.agent", "--folder", str(folder)),
        *("--ttl", str(ttl_s), "--slot", str(settings.slot_s)),
    ]
    if follow is not None:
        argv += ["--redis-file", str(follow), "--experiment", settings.salt, "--max-percent", str(settings.max_percent)]
    return Command(name="agent", argv=tuple(argv), ready_line="agent renews ")


def _record_words(record: RecordSettings) -> list[str]:
    return [
        *("--record", str(record.path), "--experiment", record.experiment, "--key", record.key),
        *("--record-bytes", str(record.limits.bytes), "--record-requests", str(record.limits.requests)),
        *("--record-seconds", str(record.limits.seconds)),
        *(() if record.began is None else ("--record-began", str(record.began))),
    ]


def _dark_words(dark: DarkSide) -> list[str]:
    words = [word for url in dark.urls for word in ("--dark", url)]
    words += ["--dark-connections", str(dark.connections)]
    if dark.cacert is not None:
        words += ["--dark-cacert", str(dark.cacert)]
    if dark.insecure:
        words.append("--dark-insecure")
    return words
