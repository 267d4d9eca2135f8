"""``darktime pipeline``: runs a pipeline's workers under a supervisor, and checks a pipeline with sample jobs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darktime.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SCHEMA_VERSION = 1
REFUSED = 2
# Beyond the time that a job may take: three of the beats that a worker gives.
PULSE_GRACE_S = 1.5
MAX_BYTES = 64 * 1024 * 1024
DEFAULT = "JSONParser+Anonymize+HTTPPublisher"


@click.group("pipeline")
def command() -> None:
    """Take jobs from a queue, compute, publish: run the workers of a pipeline, or check one before it runs.

    A pipeline is MODULE:CLASS, or mixins in their order: JSONParser+Filter+Anonymize+HTTPPublisher.
    """


def reference(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The argument that names the pipeline."""
    return click.argument(
        "pipeline", metavar="[MODULE:CLASS]", default=DEFAULT, envvar=f"DARKTIME_PIPELINE_{name.upper()}_PIPELINE"
    )


SETTINGS = click.option("--set", "setting", multiple=True, metavar="KEY=VALUE", help="A setting of its mixins.")


@command.command("run")
@reference("run")
@click.option(
    "--redis",
    metavar="URL",
    required=True,
    help="The Redis or Valkey that holds queue and ledger; redis+sentinel://HOST,HOST2/SERVICE asks sentinels, "
    "redis+cluster://HOST,HOST2 a cluster's nodes.",
)
@click.option("--queue", metavar="NAME", required=True, help="The queue's name.")
@click.option(
    "--box", multiple=True, metavar="NAME=URL", help="A push box that jobs wait for; nchan+http://… for nchan."
)
@click.option("--best-effort", multiple=True, metavar="NAME=URL", help="A push box that nobody waits for.")
@SETTINGS
@click.option("--workers", type=click.IntRange(1, 128), default=1, help="Processes; one that dies is started again.")
@click.option("--hands", type=click.IntRange(1, 256), default=8, help="Most batches at a time of each.")
@click.option("--batch", type=click.IntRange(1, 10_000), default=256, help="Most jobs of a batch.")
@click.option("--lease", type=click.FloatRange(0.1, 86_400), default=30.0, help="Seconds that a claim lasts.")
@click.option("--attempts", type=click.IntRange(1, 1_000), default=5, help="Claims a job may have.")
@click.option("--backoff", type=click.FloatRange(0, 300), default=1.0, help="Seconds before the second of them.")
@click.option(
    "--progress-timeout",
    type=click.FloatRange(0.1, 86_400),
    default=None,
    help="A stage, or a worker, without progress for so many seconds is ended and begins anew; without it never.",
)
@click.option("--drain", type=click.FloatRange(0, 600), default=3.0, help="Seconds to end what is in hand.")
@click.option(
    "--ack",
    type=click.Choice(["none", "published", "delivered"]),
    default="published",
    help="When a job leaves the queue: before it is published, when the boxes took it, when --canary saw it.",
)
@click.option("--canary", metavar="URL", default=None, help="Where subscribers listen, as http://HOST/ev/.")
@click.option("--canary-wait", type=click.FloatRange(0.01, 60), default=2.0, help="Seconds until it must have seen it.")
@click.option(
    "--beside", metavar="MODULE:CLASS", default=None, help="Compare every job with what this one makes of it."
)
@click.option("--beside-set", multiple=True, metavar="KEY=VALUE", help="A setting of that one's mixins.")
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), default=None, help="The comparison's JSON report."
)
@click.option("--ledger-name", metavar="NAME", default=None, help="Account for every job and event under this name.")
@click.option(
    "--ledger-keep", type=click.FloatRange(5, 2_592_000), default=86_400.0, help="Seconds that the accounts are kept."
)
@click.option(
    "--metrics", type=click.IntRange(0, 65_535), default=None, help="Prometheus port of the first worker; 0: any."
)
def run(**asked: Any) -> int:
    """Run a pipeline's workers until SIGTERM or Ctrl-C; a second one ends them at once.

    Exit code 0: told to end, and drained. 1: workers died too often, or had to be killed. 2: it cannot run so. 130: told twice.
    """
    from realtime_core.pipeline.pairs import pairs
    from realtime_core.pipeline.supervisor import REDIS_VARIABLE, Supervisor, worker_argv

    _refuse(asked)
    pairs("--box", asked["box"])
    report: Path | None = asked["report"]
    if report is not None and not report.parent.is_dir():
        raise UsageError(f"--report {report}: there is no such folder: make it, or name another file")
    for old in _parts(report):  # of a run that was killed
        old.unlink()

    def argv_of(number: int, life: int) -> Sequence[str]:
        words = _words(asked)
        if asked["metrics"] is not None:
            words += ["--metrics", str(asked["metrics"] + number if asked["metrics"] else 0)]
        if report is not None:
            words += ["--report", str(_part(report, number, life))]
        return worker_argv(words)

    progress_s = asked["progress_timeout"]
    supervisor = Supervisor(
        argv_of,
        asked["workers"],
        drain_s=asked["drain"],
        env={REDIS_VARIABLE: asked["redis"]},
        pulse_timeout_s=None if progress_s is None else progress_s + PULSE_GRACE_S,
    )
    try:
        return supervisor.run()
    finally:
        if report is not None:
            _merge(report)


@command.command("check")
@reference("check")
@SETTINGS
@click.option("--jobs", metavar="FILE", default=None, help="Sample jobs, a body a line; - reads stdin.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, help="Look at so many jobs at the most.")
@click.option("--within", type=click.FloatRange(0.1, 3_600), default=60.0, help="Seconds that all of it may take.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def check(*, pipeline: str, setting: Sequence[str], jobs: str | None, limit: int, within: float, as_json: bool) -> int:
    """Import and compose a pipeline, and show what each stage makes of sample jobs. Nothing is published.

    Exit code 2: it cannot be made. 3: a sample cannot be parsed, fails, or takes too long.
    """
    from darktime.report.pipeline_words import check_lines

    words = [sys.executable, "-m", "realtime_core.pipeline.checking", pipeline, "--limit", str(limit)]
    words += [word for one in setting for word in ("--set", one)]
    try:
        done = subprocess.run(words, input=_read(jobs), stdout=subprocess.PIPE, timeout=within, check=False)
    except subprocess.TimeoutExpired:
        click.echo(f"it did not end within {within:g} s: a stage hangs on one of these jobs", err=True)
        return int(ExitCode.FAILED)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        click.echo(f"a stage ended the process with {done.returncode}", err=True)
        return int(ExitCode.FAILED)
    if done.returncode == REFUSED:
        raise UsageError(found["refused"])
    if as_json:
        click.echo(json.dumps({"kind": "pipeline", "schema_version": SCHEMA_VERSION, "pipeline": pipeline} | found))
    else:
        click.echo("\n".join(check_lines(found)))
    bad = found["fates"]["unparsable"] + found["fates"]["error"]
    return int(ExitCode.FAILED if bad else ExitCode.OK)


def _refuse(asked: dict[str, Any]) -> None:
    """What the workers would refuse, each by itself and late."""
    if asked["ack"] == "delivered" and asked["canary"] is None:
        raise UsageError("--ack delivered: there is no subscriber to ask: name where they listen with --canary URL")
    if asked["report"] is not None and asked["beside"] is None:
        raise UsageError("--report says what --beside found: name another pipeline, or leave it out")
    if asked["metrics"] and asked["metrics"] + asked["workers"] - 1 > 65_535:  # noqa: PLR2004 - the last port
        raise UsageError(f"--metrics {asked['metrics']}: {asked['workers']} workers need ports up to 65,535")


ONCE = (
    *("queue", "hands", "batch", "lease", "attempts", "backoff", "progress_timeout", "drain"),
    *("ack", "canary", "canary_wait", "beside", "ledger_name", "ledger_keep"),
)
OFTEN = {"box": "--box", "best_effort": "--best-effort", "setting": "--set", "beside_set": "--beside-set"}


def _words(asked: dict[str, Any]) -> list[str]:
    words = [asked["pipeline"]]
    for name in ONCE:
        if asked[name] is not None:
            words += ["--" + name.replace("_", "-"), str(asked[name])]
    for name, flag in OFTEN.items():
        words += [word for one in asked[name] for word in (flag, one)]
    return words


def _part(report: Path, number: int, life: int) -> Path:
    return report.with_name(f"{report.name}.worker-{number}-{life}")


def _parts(report: Path | None) -> list[Path]:
    return [] if report is None else sorted(report.parent.glob(f"{report.name}.worker-*"))


def _merge(report: Path) -> None:
    """One report of those of all workers, and of all their lives."""
    from realtime_core.pipeline.reports import merge_reports

    merge_reports(_parts(report), report)


def _read(jobs: str | None) -> bytes:
    if jobs is None:
        return b""
    try:
        with click.open_file(jobs, "rb") as file:
            text: bytes = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"--jobs {jobs}: {error.strerror}: name a file of job bodies, one a line") from error
    if len(text) > MAX_BYTES:
        raise UsageError(f"--jobs {jobs}: more than {MAX_BYTES:,} bytes: give a smaller sample")
    return text
