"""Where a split's copies go: to a dark instance, into a recording, or both; as it is asked for on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darktime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from darktime.split.record.recorder import RecordSettings
    from darktime.split.settings import CopySettings


def to_whom(asked: Mapping[str, Any]) -> str:
    """Where copies go, for people."""
    kept = f"into {asked['record']}" if asked["record"] else ""
    return " and ".join(part for part in (f"to {asked['dark']}" if asked["dark"] else "", kept) if part)


def record_settings(asked: Mapping[str, Any], settings: CopySettings) -> RecordSettings | None:
    """Where copies are kept, and how many at most; None where they are not. Raises UsageError."""
    from darktime.split.record.file import RecordLimits
    from darktime.split.record.recorder import RecordSettings

    if asked["record"] is None:
        if asked["record_bytes"]:
            raise UsageError(f"--record-bytes {asked['record_bytes']}: nothing is recorded; say --record FILE too")
        return None
    usual = RecordLimits()
    limits = RecordLimits(
        bytes=asked["record_bytes"] or usual.bytes,
        requests=asked.get("max_requests") or usual.requests,
        seconds=usual.seconds,
    )
    path = asked["record"].absolute()
    if path.exists() or path.is_symlink():
        raise UsageError(f"the recording {path} is there already: name another file, or move that one")
    return RecordSettings(path=path, experiment=settings.salt, key=settings.key, limits=limits)


def upstream(url: str, what: str) -> str:
    """HOST:PORT of an http URL. Raises UsageError."""
    rest = url.removeprefix("http://").rstrip("/")
    if not url.startswith("http://") or "/" in rest or not rest.rpartition(":")[2].isdigit():
        raise UsageError(f"{what} {url}: http://HOST:PORT, please, as in http://127.0.0.1:8000")
    return rest
