"""``darktime report``: makes the page, the text or the JUnit file of a finished run again, from its results."""

from __future__ import annotations

import json
from pathlib import Path

import click

from darktime.console.folders import RUNS, check_writable
from darktime.errors import ExitCode, UsageError


def newest() -> Path:
    """The newest run's folder."""
    runs = sorted(path.parent for path in RUNS.glob("*/results.json"))
    if not runs:
        raise UsageError(f"no run in {RUNS.resolve()}: name a folder, or make one with 'darktime demo'")
    return runs[-1]


@click.command("report")
@click.argument("run", type=click.Path(path_type=Path, file_okay=False), required=False)
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="Also write JUnit XML here.")
@click.option("--json", "as_json", is_flag=True, help="The results as they are, for machines.")
def command(*, run: Path | None, junit: Path | None, as_json: bool) -> int:
    """Make report.html of a run again (the newest in runs/ when RUN is left out) and print its summary."""
    from darktime.report import junit_xml, text_summary, write_report

    check_writable(junit, "--junit")
    folder = run or newest()
    path = folder / "results.json"
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; name the folder of a finished run") from error
    except ValueError as error:
        raise UsageError(f"{path}: not the results of a run: {error}") from error
    page = write_report(folder)
    if junit:
        junit.write_text(junit_xml(results), encoding="utf-8")
    if as_json:
        click.echo(json.dumps(results))
    else:
        click.echo("\n".join(text_summary(results)))
        click.echo(f"\npage {page}")
    return ExitCode.OK
