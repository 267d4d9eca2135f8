"""Watches what an instance says of itself: where its metrics are, whether they may be asked for, what came of it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from darktime.blast.settings import is_named, resolve
from darktime.errors import UsageError

if TYPE_CHECKING:
    from darktime.blast.settings import Address, BlastSettings

PATH = "/metrics"
OFF = "off"
# The interpreter's start, and the first reading.
FIRST_S = 8.0
END_S = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where metrics are read. ``named``: somebody asked for them, so that what is wrong with them is said."""

    scheme: str
    host: str  # as it is connected to
    port: int
    authority: str
    path: str
    named: bool
    cacert: str | None = None
    insecure: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a run saw: ``metrics`` is None without any; ``ignored`` says why there are none, or no more."""

    metrics: list[dict[str, Any]] | None = None
    ignored: str = ""


def source_of(settings: BlastSettings, address: Address) -> Source | None:
    """Where a run reads its instance's metrics; None where it does not.

    Unasked only of an instance that is asked what it is anyway: where a path or a scenario is named, the run sends
    exactly its plan, and a host that nobody named is asked nothing beside it. Another host than the instance's obeys
    the same rules. Raises UsageError.
    """
    named = settings.metrics
    scheme = "https" if settings.instance.startswith("https://") else "http"
    unasked = settings.path is not None or settings.scenario is not None or not is_named(settings, address)
    if named == OFF or (named is None and unasked):
        return None
    if named is None or named.startswith("/"):
        path = named or PATH
        _check_path(path, path)
        return _source(scheme, address, path, named=named is not None)
    parts = urlsplit(named)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise UsageError(f"--metrics {named!r}: write http://HOST:PORT/PATH, a PATH of the instance, or {OFF}")
    _check_path(parts.path or PATH, named)
    try:
        port = parts.port
        if port is None:
            port = 443 if parts.scheme == "https" else 80
        there = f"[{parts.hostname}]:{port}" if ":" in parts.hostname else f"{parts.hostname}:{port}"
        if parts.scheme == "https":  # the same CA signs both, as a rule
            elsewhere = resolve(f"https://{there}", cacert=settings.cacert, insecure=settings.insecure)
        else:
            elsewhere = resolve(there)
    except ValueError as error:
        raise UsageError(f"--metrics {named!r}: {error}") from error
    except UsageError as error:
        why = "nobody listens at port 0" if port == 0 else f"{parts.hostname} is not found"
        raise UsageError(f"--metrics {named!r}: {why}; correct it") from error
    if not elsewhere.loopback and elsewhere.host not in {*settings.allow, address.host}:
        raise UsageError(
            f"--metrics {named!r}: {elsewhere.host} is not this machine; if it is yours, add --allow {elsewhere.host}"
        )
    path = parts.path or PATH
    return _source(parts.scheme, elsewhere, f"{path}?{parts.query}" if parts.query else path, named=True)


def _source(scheme: str, address: Address, path: str, *, named: bool) -> Source:
    # A certificate is for a name; in clear text the address that was looked up is the one that is asked.
    host = address.host if scheme == "https" else address.ip
    return Source(
        scheme=scheme,
        host=host,
        port=address.port,
        authority=address.authority,
        path=path,
        named=named,
        cacert=address.cacert,
        insecure=address.insecure,
    )


def _check_path(path: str, named: str) -> None:
    if not path.isascii() or not path.isprintable() or " " in path:
        raise UsageError(f"--metrics {named!r}: its path is to be percent-encoded")


class MetricWatch:
    """Starts the reader, and waits for its first reading. ``finish`` ends it and gives what it saw; without a source nothing."""

    def __init__(self, source: Source | None) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._why, self._there = "", True
        if source is None:
            return
        self._named = source.named
        argv = [sys.executable, "-m", "darktime.blast.metric_reader", source.scheme, source.host, str(source.port)]
        self._process = subprocess.Popen(
            [*argv, source.authority, source.path, source.cacert or "", "insecure" if source.insecure else ""],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._why = self._first(self._process)

    def _first(self, process: subprocess.Popen[bytes]) -> str:
        """Why there is nothing to watch; empty when there is."""
        assert process.stdout is not None
        descriptor, heard = process.stdout.fileno(), b""
        until = time.monotonic() + FIRST_S
        while not heard.endswith(b"\n"):
            ready, _, _ = select.select([descriptor], [], [], max(until - time.monotonic(), 0))
            part = os.read(descriptor, 65_536) if ready else b""
            if not part:
                return "its reader did not begin in time"
            heard += part
        first = json.loads(heard)
        self._there = bool(first["there"])
        return str(first["why"])

    def finish(self, began_s: float) -> Seen:
        """End it. Times are counted from ``began_s`` (seconds, UTC)."""
        if self._process is None:
            return Seen()
        try:
            written, _ = self._process.communicate(timeout=END_S)
            told = json.loads(written)
        except (subprocess.TimeoutExpired, ValueError):
            self._process.kill()
            self._process.communicate()
            return Seen(ignored=self._why or "its reader did not end in time")
        if self._why:
            return Seen(ignored=self._why if self._named or self._there else "")
        for metric in told["metrics"]:
            metric["points"] = [[round(at - began_s, 3), value] for at, value in metric["points"]]
        return Seen(metrics=told["metrics"] or None, ignored=told["why"])
