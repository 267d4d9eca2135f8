"""The folder of a run: results are read from it and the page is written into it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from darktime.errors import UsageError
from darktime.report.kinds import validate
from darktime.report.page import html_page

if TYPE_CHECKING:
    from pathlib import Path

    from darktime.report.kinds import Results

RESULTS = "results.json"
PAGE = "report.html"
MAX_RESULTS_BYTES = 64 * 1024 * 1024


def read_results(folder: Path) -> Results:
    """The results that a run kept in ``folder``; UsageError where there are none that can be read."""
    path = folder / RESULTS
    try:
        length = path.stat().st_size
        if length > MAX_RESULTS_BYTES:
            raise UsageError(f"{path} has {length:,} bytes, more than the {MAX_RESULTS_BYTES:,} that a run ever keeps")
        results = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}): give the folder of a run, runs/<time>-<name>"
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON ({error}): the run ended before its results were written") from error
    validate(results)
    return dict(results)


def write_report(folder: Path) -> Path:
    """Write ``report.html`` beside the run's ``results.json``, whole or not at all, readable by its owner only."""
    page = html_page(read_results(folder))
    path = folder / PAGE
    draft = folder / f".{PAGE}.{os.getpid()}"
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor, opened private
            file.write(page)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise UsageError(f"{path} cannot be written ({error.strerror}): give a folder that can be") from error
    return path
