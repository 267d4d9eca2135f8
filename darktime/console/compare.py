"""``darkesttime compare``: two finished runs, or two instances in turn; better, worse or cannot tell, with the interval."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from darktime.console.folders import keep_results, run_folder
from darktime.errors import ExitCode, UsageError


@click.command("compare")
@click.argument("run_a", type=click.Path(path_type=Path), required=False)
@click.argument("run_b", type=click.Path(path_type=Path), required=False)
@click.option(
    "--ab", nargs=2, metavar="HOST_A HOST_B", help="Run the same plan against two instances in turn, A B B A …"
)
@click.option(
    "--rate",
    type=float,
    help="--ab: requests a second in every leg; each searches its capacity, to a tenth or so, when left out.",
)
@click.option("--duration", type=float, help="--ab: seconds of a leg; 5 at a rate, 20 of a search, a scenario's own.")
@click.option("--pairs", type=click.IntRange(4, 100), default=6, help="--ab: pairs of legs.")
@click.option("--slo", help="--ab: what goodput keeps to, and what a search looks for, as 'p99<200ms,errors<0.1%'.")
@click.option("--path", help="--ab: what is asked of a plain HTTP instance.")
@click.option("--scenario", metavar="NAME", help="--ab: a scenario, in every leg.")
@click.option("--number", multiple=True, metavar="NAME=VALUE", help="--ab: a number of the scenario.")
@click.option("--header", multiple=True, metavar="NAME:VALUE", help="--ab: a header of every request.")
@click.option("--connections", type=int, help="--ab: connections at a plain HTTP instance.")
@click.option("--processes", type=int, help="--ab: generator processes, one core each.")
@click.option("--timeout", type=float, help="--ab: a request that takes longer has failed, in seconds.")
@click.option("--allow", multiple=True, metavar="HOST", help="--ab: a host beyond this machine that may be saturated.")
@click.option("--max-rate", type=float, help="--ab: never more than this; mandatory beyond this machine.")
@click.option("--cacert", metavar="FILE", help="--ab, https: the CA to trust (PEM), in place of this machine's.")
@click.option("--insecure", is_flag=True, help="--ab, https: go on without verification.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Results folder, else runs/<time>-compare."
)
@click.option("--json", "as_json", is_flag=True, help="The results on stdout, for machines.")
def command(
    *,
    run_a: Path | None,
    run_b: Path | None,
    ab: tuple[str, str] | None,
    pairs: int,
    out: Path | None,
    as_json: bool,
    **asked: Any,
) -> int:
    """Whether RUN_B is better (0) or worse (3) than RUN_A, or cannot be told (5): results folders of two blasts.

    Or --ab: whether the instance at HOST_B is, the same plan run against both in turn, so that what drifts harms both.

    \b
    darkesttime compare runs/2026-11-24T10-00-00Z-blast runs/2026-11-25T10-00-00Z-blast
    darkesttime compare --ab 127.0.0.1:8001 127.0.0.1:8002 --rate 500
    """  # noqa: D301 - click looks for the character itself
    from darktime.report import text_summary, write_report

    if ab:
        results, folder = interleaved(ab, pairs, out, asked, run_a=run_a)
    elif run_a is None or run_b is None:
        raise UsageError(
            "two results folders of blasts are compared, RUN_A RUN_B; or two instances, --ab HOST_A HOST_B"
        )
    else:
        results = compared(read(run_a), read(run_b), folders=(str(run_a), str(run_b)))
        folder = run_folder("compare", out)
    keep_results(folder, results)
    page = write_report(folder)
    if as_json:
        click.echo(json.dumps(results))
    else:
        click.echo("\n".join(text_summary(results)))
        click.echo(f"\nresults {folder}\npage    {page}")
    return int(results["exit_code"])


def interleaved(
    ab: tuple[str, str], pairs: int, out: Path | None, asked: dict[str, Any], *, run_a: Path | None
) -> tuple[dict[str, Any], Path]:
    """The results of legs in turn, and their folder."""
    from darktime.console import interleave

    if run_a is not None:
        raise UsageError(f"--ab {ab[0]} {ab[1]}, and {run_a}: either two instances are compared or two finished runs")
    if asked["duration"] is None:
        searches = asked["rate"] is None and not asked["scenario"]
        asked["duration"] = interleave.SEARCH_S if searches else interleave.LEG_S
        asked["own_time"] = bool(asked["scenario"])
    interleave.check_both(ab, asked)
    folder = run_folder("compare", out)
    return interleave.perform(folder, ab, pairs, asked), folder


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
