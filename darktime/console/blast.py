"""``darkesttime blast``: saturates one instance and ends in a capacity, or in the reason why it gives none."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from darktime.console.folders import keep_results, run_folder
from darktime.errors import ExitCode

if TYPE_CHECKING:
    from typing import Any

PASSED_ON = {
    "instance": "--instance",
    "rate": "--rate",
    "duration": "--duration",
    "streams": "--streams",
    "channels": "--channels",
    "connections": "--connections",
    "path": "--path",
    "slo": "--slo",
    "max_rate": "--max-rate",
}
END_S = 10.0


@click.command("blast")
@click.option("--instance", required=True, metavar="HOST:PORT|URL", help="The ONE instance that gets everything.")
@click.option("--rate", type=float, help="Requests (publishes) a second; searched for when left out.")
@click.option("--duration", type=float, help="Seconds, all probes together.")
@click.option("--streams", type=int, help="EventSource subscribers at a push endpoint.")
@click.option("--channels", type=int, help="Channels they are spread over.")
@click.option("--connections", type=int, help="Connections at a plain HTTP instance.")
@click.option("--path", help="What is asked of a plain HTTP instance.")
@click.option("--slo", help="What a passing probe keeps to, as 'p99<200ms,errors<0.1%'.")
@click.option("--closed", is_flag=True, help="Closed model: the next request waits for the reply before.")
@click.option("--allow", multiple=True, metavar="HOST", help="A host beyond this machine that may be saturated.")
@click.option("--max-rate", type=float, help="Never more than this; mandatory beyond this machine.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Results folder, else runs/<time>-blast.")
@click.option("--json", "as_json", is_flag=True, help="The results on stdout, for machines.")
def command(*, closed: bool, allow: tuple[str, ...], out: Path | None, as_json: bool, **asked: Any) -> int:
    r"""Saturate ONE instance; a capacity with evidence, or the reason there is none.

    \b
    darkesttime blast --instance 127.0.0.1:8001
    darkesttime blast --instance 127.0.0.1:8001 --rate 500 --duration 30
    """
    folder = run_folder("blast", out)
    path = folder / "blast.json"
    # Locust patches the process that imports it: it gets one of its own.
    argv = [sys.executable, "-m", "darktime.blast", "--json", str(path)]
    argv += [word for name, flag in PASSED_ON.items() if asked[name] is not None for word in (flag, str(asked[name]))]
    argv += [word for host in allow for word in ("--allow", host)]
    argv += ["--closed"] if closed else []
    code = run_blast(argv)
    if not path.exists():
        return code
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()
    keep_results(folder, results)
    show(folder, results, as_json=as_json)
    return code


def run_blast(argv: list[str]) -> int:
    """Run the blast's process to its end; Ctrl-C is its to answer, with a partial result."""
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
            return ExitCode.INTERRUPTED


def show(folder: Path, results: dict[str, Any], *, as_json: bool) -> None:
    """Print the summary, or the results as they are, and make the page."""
    from darktime.report import text_summary, write_report

    page = write_report(folder)
    if as_json:
        click.echo(json.dumps(results))
        return
    click.echo("\n".join(text_summary(results)))
    click.echo(f"\nresults {folder}\npage    {page}")
