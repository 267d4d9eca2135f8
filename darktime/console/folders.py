"""Results folders: ``runs/<time>-<name>/``, private, results first; a place of the user's own with ``--out``."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from darktime.console.retention import NAME_TIME, hold, remove_old
from darktime.errors import UsageError

RUNS = Path("runs")
PRIVATE = 0o700


def run_folder(name: str, out: Path | None = None) -> Path:
    """Make the folder of a new run: ``out`` when given, else ``runs/<time>-<name>``; then old runs beside it are removed."""
    ours = out is None
    out = out or RUNS / f"{datetime.now(UTC).strftime(NAME_TIME)}-{name}"
    try:
        if ours:
            remove_old(RUNS)
            RUNS.mkdir(mode=PRIVATE, exist_ok=True)  # the names of runs, too, are nobody else's
        out.mkdir(parents=True, exist_ok=True, mode=PRIVATE)
        out.chmod(PRIVATE)
        if ours:
            hold(out)
        probe = out / ".writable"
        probe.touch()
        probe.unlink()
        return out.resolve()
    except OSError as error:
        raise UsageError(
            f"cannot keep results in {out}: {error.strerror}; name a folder you may write with --out DIR"
        ) from error


def check_writable(path: Path | None, option: str) -> None:
    """Raise UsageError when a file that a run is to write at its end cannot be written. What is there stays."""
    if path is None:
        return
    try:
        was_there = path.exists()
        path.open("a").close()
        if not was_there:
            path.unlink()
    except OSError as error:
        raise UsageError(f"{option} {path}: {error.strerror}; name a file in a folder you may write") from error


def keep_results(folder: Path, results: dict[str, Any]) -> Path:
    """Write ``results.json`` whole or not at all."""
    path = folder / "results.json"
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(results, indent=1, ensure_ascii=False), encoding="utf-8")
    draft.replace(path)
    return path
