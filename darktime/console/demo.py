"""``darktime demo``: the main job on this machine, in about a minute."""

from __future__ import annotations

import json
import random
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darktime.console.folders import keep_results, run_folder
from darktime.console.screen import Screen
from darktime.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from darktime.demo.settings import DemoSettings

TITLE = "darktime demo"


def instance_option(name: str, what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option that takes the URL of an instance that is already there."""
    return click.option(name, metavar="URL", callback=host_and_port, help=what)


def host_and_port(_ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """HOST:PORT of an http URL; a path would be lost on the way, so it is refused."""
    if value is None:
        return None
    rest = value.removeprefix("http://").rstrip("/")
    host, colon, port = rest.rpartition(":")
    if value.startswith("https://") or "/" in rest or not colon or not host or not port.isdigit():
        raise click.BadParameter(f"{value}: an instance is http://HOST:PORT", param=param)
    return rest


@click.command("demo")
@click.option("--visitors", type=int, default=300, help="Simulated visitors, each with a cookie and a stream.")
@click.option("--percent", type=float, default=10.0, help="Share of the USERS that is mirrored.")
@click.option("--phase-seconds", type=float, default=10.0, help="How long each of the two phases writes.")
@click.option("--blast-seconds", type=float, default=10.0, help="How long the dark instance is blasted at the end.")
@click.option("--seed", type=int, help="Draws the visitors' doings; a new one each time when left out.")
@click.option("--listen", metavar="HOST:PORT", help="Where to watch the site in a browser; a free port when left out.")
@click.option("--nginx", metavar="PATH", help="The nginx to split with.")
@click.option("--redis", metavar="URL", help="A Redis or Valkey that is already there, instead of the embedded one.")
@click.option("--opening-delay", type=float, default=5.0, hidden=True, help="How long the hung instance hangs.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Results folder, else runs/<time>-demo.")
@click.option("--json", "as_json", is_flag=True, help="The results on stdout, for machines.")
@instance_option("--production", "A production push instance that is already there, instead of the embedded one.")
@instance_option("--dark", "A dark push instance that is already there, instead of the embedded one.")
def command(*, as_json: bool, out: Path | None, **asked: Any) -> int:
    """Watch the main job on this machine.

    A small site's visitors write comments; saves and deletes go through the queue and the pipeline to a production and
    a dark push server; nginx mirrors some of the users to the dark one; faults are injected there, and named; then the
    dark server is blasted. Exit code 0 when exactly what was injected was found, and nothing else; else 3.
    """
    results, folder = perform("demo", out=out, **asked)
    if as_json:
        click.echo(json.dumps(results))
    else:
        from darktime.report import text_summary

        click.echo("\n".join(text_summary(results)))
        click.echo(f"\nresults {folder}\npage    {folder / 'report.html'}")
    return int(results["exit_code"])


def perform(
    name: str, *, out: Path | None, always: Callable[[dict[str, Any]], None] | None = None, **asked: Any
) -> tuple[dict[str, Any], Path]:
    """Run the demo and keep its results and its page; the results and their folder.

    ``always`` gets the results however the run ended, once it has begun: also when an error is raised.
    """
    settings = settings_from(folder=run_folder(name, out), **asked)
    from darktime.demo.run import DemoRun
    from darktime.demo.watch import DemoBroken

    with Screen(TITLE) as screen, ended_by_sigterm_too():
        run = DemoRun(settings, screen)
        try:
            run.perform()
        except KeyboardInterrupt:
            click.echo("interrupted; what there was by then is kept", err=True)
        except DemoBroken as error:
            click.secho(f"darktime: {error}", fg="red", err=True)
        except Exception as error:
            if always:
                always(run.results())
            if getattr(error, "exit_code", None) != ExitCode.USAGE:  # then there was no run
                keep(settings.folder, run.results())
            raise
    results = run.results()
    if always:
        always(results)
    keep(settings.folder, results)
    return results, settings.folder


def keep(folder: Path, results: dict[str, Any]) -> None:
    """Results first, the page from them."""
    from darktime.report import write_report

    keep_results(folder, results)
    write_report(folder)


@contextmanager
def ended_by_sigterm_too() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does: children first, and what there was by then is kept."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def settings_from(
    *,
    folder: Path,
    phase_seconds: float,
    blast_seconds: float,
    opening_delay: float = 5.0,
    within: float | None = None,
    seed: int | None,
    listen: str | None,
    **rest: Any,
) -> DemoSettings:
    """The demo's settings from the command's options. Raises UsageError."""
    from darktime.demo.settings import DemoSettings

    if listen is not None and not listen.rpartition(":")[2].isdigit():
        raise UsageError(f"--listen {listen}: HOST:PORT, please, such as 127.0.0.1:8080")
    return DemoSettings(
        folder=folder,
        phase_s=phase_seconds,
        blast_s=blast_seconds,
        opening_delay_s=opening_delay,
        within_s=within,
        seed=random.randrange(1_000_000) if seed is None else seed,
        listen=listen,
        **rest,
    )
