"""``darktime smoke``: the demo as a CI run, smaller, with JUnit and JSON files and the same exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from darktime.console.demo import perform
from darktime.console.folders import check_writable

WITHIN_S = 100.0  # two minutes, less what ending everything and writing the page may take


@click.command("smoke")
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write JUnit XML here.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the results here.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Results folder, else runs/<time>-smoke.")
@click.option("--nginx", metavar="PATH", help="The nginx to split with.")
@click.option("--seed", type=int, default=1, help="Draws the visitors' doings.")
@click.option("--within", type=float, default=WITHIN_S, metavar="SECONDS", help="Stop then, with what there is: 3.")
def command(
    *, junit: Path | None, json_file: Path | None, out: Path | None, nginx: str | None, seed: int, within: float
) -> int:
    """Run the whole way in under two minutes and gate a build on it: 0 passed, 3 something was not as injected.

    JUnit and JSON are written however the run ends, also when a part of it dies or hangs.
    """
    check_writable(junit, "--junit")
    check_writable(json_file, "--json")

    def write(results: dict[str, Any]) -> None:
        from darktime.report import junit_xml

        if junit:
            junit.write_text(junit_xml(results), encoding="utf-8")
        if json_file:
            json_file.write_text(json.dumps(results), encoding="utf-8")

    results, folder = perform(
        "smoke",
        out=out,
        always=write,
        within=within,
        visitors=100,
        percent=20.0,
        phase_seconds=6.0,
        blast_seconds=5.0,
        seed=seed,
        listen=None,
        nginx=nginx,
        production=None,
        dark=None,
    )
    for check in results["checks"]:
        click.echo(f"{'✓' if check['ok'] else '✗'} {check['what']}: {check['detail']}")
    click.echo(f"results {folder}")
    return int(results["exit_code"])
