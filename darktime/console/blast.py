"""``darkesttime blast``: saturates one instance and ends in a capacity, or in the reason why it gives none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from darktime.blast.combinations import EXCLUSIVE, KINDS, refuse_ignored
from darktime.console import fleet
from darktime.console.fleet import check_part, fleet_options, work
from darktime.console.folders import check_writable, keep_results, run_folder
from darktime.console.users import INSTEAD, as_closed
from darktime.errors import ExitCode
from darktime.extras import require

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

PASSED_ON = {
    "instance": "--instance",
    "rate": "--rate",
    "duration": "--duration",
    "streams": "--streams",
    "channels": "--channels",
    "connections": "--connections",
    "connects_per_s": "--connects-per-s",
    "path": "--path",
    "slo": "--slo",
    "max_rate": "--max-rate",
    "cacert": "--cacert",
    "timeout": "--timeout",
    "scenario": "--scenario",
    "channel": "--channel",
    "processes": "--processes",
    "seed": "--seed",
    "inconclusive": "--inconclusive",
    "metrics": "--metrics",
}
REPEATED = {"allow": "--allow", "number": "--number", "header": "--header", "source": "--source"}
FLAGS = {
    "closed": "--closed",
    "search": "--search",
    "beyond": "--beyond",
    "fresh": "--fresh",
    "follow": "--follow",
    "insecure": "--insecure",
}
NEEDED = ("locust",)
NEARER = (click.core.ParameterSource.COMMANDLINE, click.core.ParameterSource.ENVIRONMENT)
END_S = 10.0
BUDGET_S = 60.0
SEARCH_BUDGET_S = 360.0


@click.command("blast")
@click.option("--instance", metavar="HOST:PORT|URL", help="The ONE instance that gets everything.")
@click.option("--rate", type=float, help="Requests (publishes) a second; searched for when left out.")
@click.option("--duration", type=float, help="Seconds, all probes together.")
@click.option("--streams", type=int, help="EventSource subscribers at a push endpoint.")
@click.option("--channels", type=int, help="Channels they are spread over.")
@click.option("--connections", type=int, help="Connections at a plain HTTP instance.")
@click.option("--source", multiple=True, metavar="ADDRESS|NETWORK", help="Of this machine: connections come from it.")
@click.option("--connects-per-s", type=float, help="No more connections begin in a second.")
@click.option("--path", help="What is asked of a plain HTTP instance.")
@click.option("--slo", help="What a passing probe keeps to, as 'p99<200ms,errors<0.1%'.")
@click.option("--scenario", metavar="NAME", help="A scenario by name (see docs/scenarios.md), or a .py file of yours.")
@click.option("--number", multiple=True, metavar="NAME=VALUE", help="A number of the scenario.")
@click.option("--channel", metavar="NAME", help="Everything through this one channel of a push endpoint.")
@click.option("--search", is_flag=True, help="Without the hurry: finer, longer, with confirmation.")
@click.option("--budget", type=float, help="Seconds that a search may take; a minute by default, six with --search.")
@click.option(
    "--beyond", is_flag=True, help="Then 1.2 and 2 times the capacity, and whether it recovers at half of it."
)
@click.option(
    "--users", type=int, help="So many users, each of whom asks again when answered: --closed on N connections."
)
@click.option("--closed", is_flag=True, help="Closed model: the next request waits for the reply before.")
@click.option("--processes", type=int, help="Generator processes, one core each.")
@click.option("--seed", type=int, help="Random arrivals (Poisson) with this seed, instead of even ones.")
@click.option("--fresh", is_flag=True, help="A new connection for every request.")
@click.option("--follow", is_flag=True, help="Follow redirects on the same host.")
@click.option("--header", multiple=True, metavar="NAME:VALUE", help="A header of every request at plain HTTP.")
@click.option("--timeout", type=float, help="A request that takes longer has failed, in seconds.")
@click.option("--canary/--no-canary", default=None, help="An independent prober; by default where a limit is searched.")
@click.option("--inconclusive", type=click.Choice(["pass", "fail"]), help="What exit code 5 becomes, for CI.")
@click.option(
    "--metrics",
    metavar="URL|PATH|off",
    help="Where the instance's own Prometheus metrics are; /metrics is looked for where no --path or --scenario is named.",
)
@click.option("--allow", multiple=True, metavar="HOST", help="A host beyond this machine that may be saturated.")
@click.option("--max-rate", type=float, help="Never more than this; mandatory beyond this machine.")
@click.option("--cacert", metavar="FILE", help="https: the CA to trust (PEM), in place of this machine's.")
@click.option("--insecure", is_flag=True, help="https: go on without verification.")
@fleet_options
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Results folder, else runs/<time>-blast.")
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="JUnit XML for CI.")
@click.option("--json", "as_json", is_flag=True, help="The results on stdout, for machines.")
def command(*, budget: float | None, out: Path | None, junit: Path | None, as_json: bool, **asked: Any) -> int:
    """Saturate ONE instance; a capacity with evidence, or the reason there is none.

    \b
    darkesttime blast --instance 127.0.0.1:8001
    darkesttime blast --instance 127.0.0.1:8001 --rate 500 --duration 30
    darkesttime blast --instance 127.0.0.1:8001 --users 50 --path /
    darkesttime blast --instance 127.0.0.1:8001 --search --beyond --slo 'p99<50ms,errors<0.1%'
    darkesttime blast --instance 10.0.0.7:80 --allow 10.0.0.7 --max-rate 9000 --master --master-bind-host 10.0.0.1
    darkesttime blast --worker --master-host 10.0.0.1 --processes 4
    """  # noqa: D301 - click looks for the character itself
    check_part(asked, named_in_this_call())
    if asked["worker"]:
        return work(asked)
    require(NEEDED)
    check_writable(junit, "--junit")
    asked["budget"] = budget
    aside = nearest_wish(asked)
    as_closed(asked)
    budget = asked.pop("budget")
    if budget is not None:  # all else is looked at by the run itself
        refuse_ignored({"budget", *names_of(asked)})
    if aside:
        click.echo(f"of darktime.toml is put aside, for what this call says: {', '.join(aside)}", err=True)
    if asked["rate"] is None and not asked["closed"] and not asked["scenario"] and asked["duration"] is None:
        asked["duration"] = budget or (SEARCH_BUDGET_S if asked["search"] else BUDGET_S)
    folder = run_folder("blast", out)
    path = folder / "blast.json"
    code = run_blast(argv_of(asked, path, hlog=folder))
    if not path.exists():
        return code
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()
    keep_results(folder, results)
    if junit is not None:
        from darktime.report import junit_xml

        junit.write_text(junit_xml(results), encoding="utf-8")
    show(folder, results, as_json=as_json)
    return code


def named_in_this_call() -> set[str]:
    """The options on the command line itself, as they are written there: what else is set may be meant for another call."""
    context = click.get_current_context()
    return {
        option.opts[0].removeprefix("--").replace("-", "_")
        for option in context.command.params
        if option.name and context.get_parameter_source(option.name) is click.core.ParameterSource.COMMANDLINE
    }


def nearest_wish(asked: dict[str, Any]) -> list[str]:
    """What this call says comes before what stands in darktime.toml, also where the two exclude each other.

    What was put aside. The rate of the file stays beside a scenario that is named here: it may be its number. The limit
    on rates always stays.
    """
    context = click.get_current_context()
    named = names_of(asked)
    here = {name for name in named if context.get_parameter_source(name) in NEARER}
    in_file = {
        name for name in named if context.get_parameter_source(name) is click.core.ParameterSource.DEFAULT_MAP
    } - {"max_rate"}
    pairs = [(first, second) for one in EXCLUSIVE for first, second in (one[:2], one[1::-1])]
    pairs.append(("rate", "scenario"))
    pairs += [pair for name in INSTEAD for pair in (("users", name), (name, "users"))]
    kinds = KINDS | {"users"}
    # A word about how (a header, a seed) does not change what is done.
    aside = {
        second
        for first, second in pairs
        if first in here and second in in_file and (first in kinds or second not in kinds)
    }
    if "scenario" in aside and "number" in in_file:
        aside.add("number")
    for name in aside:
        asked[name] = () if name in REPEATED else False if name in FLAGS else None
    return sorted(aside)


def names_of(asked: Mapping[str, Any]) -> set[str]:
    """The options that have a value from anywhere."""
    return {name for name, value in asked.items() if value is not None and value is not False and value != ()}


def argv_of(asked: Mapping[str, Any], file: Path, *, hlog: Path | None = None) -> list[str]:
    """The command of the process that does it: Locust patches whoever imports it. ``asked`` has the options by name."""
    argv = [sys.executable, "-m", "darktime.blast", "--json", str(file)]
    if hlog is not None:
        argv += ["--hlog", str(hlog)]
    for name, flag in (PASSED_ON | fleet.PASSED_ON).items():
        if asked.get(name) is not None:
            argv += [flag, str(asked[name])]
    argv += [word for name, flag in REPEATED.items() for value in asked.get(name, ()) for word in (flag, value)]
    argv += [flag for name, flag in (FLAGS | fleet.FLAGS).items() if asked.get(name)]
    if asked.get("canary") is not None:
        argv.append("--canary" if asked["canary"] else "--no-canary")
    return argv


def run_blast(argv: list[str]) -> int:
    """Run the blast's process to its end, its figures on one live screen; Ctrl-C is its to answer.

    With a partial result.
    """
    from darktime.console.live import LiveScreen

    read, write = os.pipe()
    with os.fdopen(read, encoding="utf-8") as snapshots, LiveScreen() as screen:
        process = subprocess.Popen([*argv, "--live-fd", str(write)], stdin=subprocess.DEVNULL, pass_fds=(write,))
        os.close(write)
        # Ended from outside, as CI does: the run ends in good order, and its results are kept.
        signal.signal(signal.SIGTERM, lambda *_: process.send_signal(signal.SIGTERM))
        try:
            for line in snapshots:
                screen.show(json.loads(line))
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
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
    log = folder / "latency.hlog"
    if log.exists():
        click.echo(f"times   {log}")
