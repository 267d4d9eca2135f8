"""``darktime verdict``: judges a finished split again from its folder, by other margins if need be. Offline; changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darktime.console.margins import margin_options, settings_of
from darktime.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from darktime.split.compare import Pair
    from darktime.split.verdict import Verdict, VerdictSettings

SCHEMA_VERSION = 1


@click.command("verdict")
@click.argument("run", type=click.Path(path_type=Path, file_okay=False))
@margin_options
@click.option(
    "--look",
    type=click.IntRange(1, 1_000_000),
    help="How often these users have been judged while they grew, this time included; each look errs less.",
)
@click.option(
    "--calibration",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="RUN",
    help="A split in which both sides ran the same code, in place of what RUN itself began with (--calibrate).",
)
@click.option("--inconclusive", type=click.Choice(["pass", "fail"]), help="What exit code 5 becomes, for CI.")
@click.option("--json", "as_json", is_flag=True, help="The whole verdict on stdout, for machines.")
def command(
    *,
    run: Path,
    look: int | None,
    calibration: Path | None,
    inconclusive: str | None,
    as_json: bool,
    **margins: Any,
) -> int:
    """Judge the split in the folder RUN again: GO (0), NO-GO (3) or WAIT (5), with what a WAIT needs."""
    from darktime.report.summaries import verdict as summary
    from darktime.split.calibration import CALIBRATION
    from darktime.split.saved import judge_again

    settings = settings_of(margins)
    results = results_of(run)
    own = CALIBRATION if results.get("calibration") else None
    verdict = judge_again(
        results,
        pairs_of(run),
        settings=settings,
        look=look,
        calibration=pairs_of(calibration) if calibration else pairs_of(run, own) if own else (),
    )
    told = record(run, verdict, settings, inconclusive)
    click.echo(json.dumps(told) if as_json else "\n".join(summary.tell(told)))
    return int(told["exit_code"])


def record(run: Path, verdict: Verdict, settings: VerdictSettings, inconclusive: str | None) -> dict[str, Any]:
    """The verdict as --json says it: verdict.v1.json."""
    from dataclasses import asdict

    unsure = {None: ExitCode.WAIT, "pass": ExitCode.OK, "fail": ExitCode.FAILED}[inconclusive]
    return {
        "kind": "verdict",
        "schema_version": SCHEMA_VERSION,
        "run": str(run),
        "outcome": verdict.outcome,
        "reasons": list(verdict.reasons),
        "needs": verdict.needs,
        "settings": asdict(settings),
        "exit_code": int(unsure if verdict.outcome == "WAIT" else verdict.exit_code),
        **verdict.figures,
    }


def results_of(run: Path) -> dict[str, Any]:
    """A split's results. Raises UsageError for what is none."""
    path = run / "results.json"
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: no results of a run ({error}); name the folder of a finished split") from error
    if not isinstance(results, dict):
        raise UsageError(f"{path}: a JSON {type(results).__name__}, no results; name the folder of a finished split")
    kind, version = results.get("kind"), results.get("schema_version")
    if (kind, version) != ("split", 1):
        raise UsageError(
            f"{path}: results of kind {kind!r}, version {version!r}; verdict judges a split's, version 1: name its folder"
        )
    return results


def pairs_of(run: Path, name: str = "pairs.jsonl") -> list[Pair]:
    """The pairs that a split compared; none where it wrote no file. Raises UsageError for a file that cannot be read."""
    from darktime.split.saved import read_pairs

    path = run / name
    try:
        if not path.exists():
            return []
        with path.open(encoding="utf-8") as lines:
            return read_pairs(lines)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}; name the folder of a finished split that you may read") from error
