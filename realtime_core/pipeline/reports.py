"""The reports of pipelines side by side: written whole, and those of several workers made one."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final

from realtime_core.errors import ConfigurationError
from realtime_core.pipeline.difference import Tally

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SCHEMA_VERSION: Final = 1


def report_of(first: str, beside: str, tally: Tally) -> bytes:
    """The JSON report, beside.v1."""
    head: dict[str, Any] = {"kind": "beside", "schema_version": SCHEMA_VERSION, "first": first, "beside": beside}
    return json.dumps(head | tally.as_json(), indent=2).encode()


def write_private(path: Path, text: bytes) -> None:
    """Write a file whole or not at all, readable by its owner."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
    part.replace(path)


def merge_reports(parts: Sequence[Path], into: Path) -> None:
    """Write one report of all parts, and remove them; with no part nothing is written.

    Raises:
        ConfigurationError: one of them is none.
    """
    tally, head = Tally(), {}
    for part in parts:
        try:
            head = json.loads(part.read_bytes())
        except ValueError as error:
            raise ConfigurationError(f"{part}: no report of pipelines side by side: {error}") from error
        tally.merge(head)
    if parts:
        write_private(into, report_of(head["first"], head["beside"], tally))
        for part in parts:
            part.unlink()
