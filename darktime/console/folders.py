"""Results folders: ``runs/<time>-<name>/``, private, results first, a week kept by default."""

from __future__ import annotations

import json
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from darktime.errors import UsageError

RUNS = Path("runs")
KEPT_S = 7 * 24 * 3600
PRIVATE = 0o700


def run_folder(name: str, out: Path | None = None) -> Path:
    """Make the folder of a new run: ``out`` when given, else ``runs/<time>-<name>``. Old runs beside it are removed."""
    old = out is None
    out = out or RUNS / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}-{name}"
    try:
        if old:
            remove_old(RUNS)
        out.mkdir(parents=True, exist_ok=True, mode=PRIVATE)
        out.chmod(PRIVATE)
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


def remove_old(runs: Path) -> None:
    """Remove runs older than a week: recorded traffic is not for ever."""
    if not runs.is_dir():
        return
    for folder in runs.iterdir():
        if folder.is_dir() and (folder / "results.json").exists() and time.time() - folder.stat().st_mtime > KEPT_S:
            shutil.rmtree(folder, ignore_errors=True)


def keep_results(folder: Path, results: dict[str, Any]) -> Path:
    """Write ``results.json`` whole or not at all."""
    path = folder / "results.json"
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(results, indent=1, ensure_ascii=False), encoding="utf-8")
    draft.replace(path)
    return path
