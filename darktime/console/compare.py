"""``darkesttime compare``: two finished runs, better, worse or cannot tell, with the interval."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from darktime.console.folders import keep_results, run_folder
from darktime.errors import ExitCode, UsageError


@click.command("compare")
@click.argument("run_a", type=click.Path(path_type=Path))
@click.argument("run_b", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Results folder, else runs/<time>-compare."
)
@click.option("--json", "as_json", is_flag=True, help="The results on stdout, for machines.")
def command(*, run_a: Path, run_b: Path, out: Path | None, as_json: bool) -> int:
    r"""Whether RUN_B is better or worse than RUN_A: results folders of two blasts.

    \b
    darkesttime compare runs/2026-11-24T10-00-00Z-blast runs/2026-11-25T10-00-00Z-blast
    """
    from darktime.report import text_summary, write_report

    a, b = read(run_a), read(run_b)
    results = compared(a, b, folders=(str(run_a), str(run_b)))
    folder = run_folder("compare", out)
    keep_results(folder, results)
    page = write_report(folder)
    if as_json:
        click.echo(json.dumps(results))
    else:
        click.echo("\n".join(text_summary(results)))
        click.echo(f"\nresults {folder}\npage    {page}")
    return int(results["exit_code"])


def read(run: Path) -> dict[str, Any]:
    """A run's results. Raises UsageError for what is none, or of another command."""
    path = run / "results.json" if run.is_dir() else run
    try:
        results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: no results of a run ({error}); name a folder that holds results.json") from error
    if results.get("kind") != "blast":
        raise UsageError(f"{path}: results of {results.get('kind', 'something else')}; compare takes two of blast")
    return results


def compared(a: dict[str, Any], b: dict[str, Any], *, folders: tuple[str, str]) -> dict[str, Any]:
    """The results of kind "compare": B against A."""
    from darktime.blast.versus import BETTER, WORSE, compare

    found = compare(a, b)
    metrics = []
    if found.ratio is not None:
        values = [_figure(run, found.basis) for run in (a, b)]
        metrics.append(
            {
                "name": found.basis,
                "unit": "/s" if found.basis == "capacity" else "ms",
                "a": values[0],
                "b": values[1],
                "ratio": found.ratio,
                "low": found.low,
                "high": found.high,
                "outcome": found.verdict,
            }
        )
    sides = [
        {"name": run.get("name", "blast"), "folder": folder, "capacity": run["capacity"]}
        for run, folder in zip((a, b), folders, strict=True)
    ]
    codes = {BETTER: ExitCode.OK, WORSE: ExitCode.FAILED}
    return {
        "schema_version": 1,
        "kind": "compare",
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "a": sides[0],
        "b": sides[1],
        "outcome": found.verdict,
        "metrics": metrics,
        "sentence": found.sentence,
        "exit_code": int(codes.get(found.verdict, ExitCode.WAIT)),
    }


def _figure(run: dict[str, Any], basis: str) -> float | None:
    figure: float | None = run["capacity"]["highest_pass_per_s"] if basis == "capacity" else run["latency"]["p99_ms"]
    return figure
