"""``python -m darktime.blast``: one run in a process of its own (Locust patches it).

Result as JSON, progress on stderr.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from darktime.blast.master import HOST, PORT, WAIT_S, WEB_PORT, Master, Web
from darktime.blast.settings import BlastSettings
from darktime.blast.slo import DEFAULT, parse_slo
from darktime.errors import DarktimeError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from darktime.blast.offered import Second
    from darktime.blast.result import BlastResult, Probe

F = TypeVar("F", bound="Callable[..., Any]")
PATH = click.Path(path_type=Path, dir_okay=False)
WHERE_IT_GOES = frozenset({"--json", "--live-fd", "--hlog"})


def _number(name: str, default: float | None, text: str, kind: type = float) -> Callable[[F], F]:
    return click.option(name, type=kind, default=default, show_default=default is not None, metavar="N", help=text)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--instance",
    required=True,
    metavar="HOST:PORT|URL",
    help="What to saturate: loopback, or a host named by --allow; any other gets a modest run.",
)
@_number("--rate", None, "Offer N a second for the duration, instead of searching.")
@_number("--duration", 20.0, "Seconds at the rate, or of the search.")
@_number("--streams", 200, "EventSource subscribers of a push endpoint.", int)
@_number("--channels", 20, "Channels they are spread over.", int)
@_number("--connections", 100, "Connections to a plain HTTP instance.", int)
@click.option("--path", metavar="PATH", help="Plain HTTP: GET this path. Without it the instance is recognised.")
@click.option("--closed", is_flag=True, help="Closed model: every connection sends again when it has its answer.")
@click.option("--slo", metavar="TEXT", help=f"What must hold; {DEFAULT} or what the scenario is about.")
@_number("--timeout", 5.0, "A request that takes N seconds has failed.")
@click.option("--allow", multiple=True, metavar="HOST", help="A host beyond this machine that may be saturated.")
@_number("--max-rate", None, "Never more than N a second; required beyond loopback.")
@click.option("--cacert", metavar="FILE", help="https: the CA to trust (PEM), in place of this machine's.")
@click.option("--insecure", is_flag=True, help="https: go on without verification.")
@click.option("--scenario", metavar="NAME", help="A scenario by name, or a .py file, instead of what is recognised.")
@click.option("--number", multiple=True, metavar="NAME=VALUE", help="A number of the scenario.")
@click.option("--channel", metavar="NAME", help="Push endpoint: everything through this one channel.")
@_number("--processes", 1, "Generator processes.", int)
@click.option("--search", is_flag=True, help="Search finer and longer, and confirm.")
@click.option("--beyond", is_flag=True, help="Then go beyond capacity, and see whether it recovers.")
@_number("--seed", None, "Random arrivals with this seed instead of even ones.", int)
@click.option("--source", multiple=True, metavar="ADDRESS|NETWORK", help="Of this machine: connections come from it.")
@_number("--connects-per-s", None, "No more connections begin in a second.")
@click.option("--fresh", is_flag=True, help="A new connection for every request.")
@click.option("--follow", is_flag=True, help="Follow redirects on the same host.")
@click.option("--header", multiple=True, metavar="NAME:VALUE", help="Plain HTTP: a header of every request.")
@click.option("--canary/--no-canary", default=None, help="An independent prober; by default where a limit is searched.")
@click.option("--inconclusive", type=click.Choice(["pass", "fail"]), help="What exit code 5 becomes.")
@click.option(
    "--metrics", metavar="URL|PATH|off", help="The instance's Prometheus metrics; /metrics where it is recognised."
)
@click.option("--master", is_flag=True, help="Workers join from outside; this process sends nothing.")
@_number("--expect-workers", 1, "--master: so many workers.", int)
@_number("--expect-workers-max-wait", WAIT_S, "--master: within N seconds.")
@click.option("--master-bind-host", default=HOST, show_default=True, metavar="HOST", help="--master: listen here.")
@_number("--master-bind-port", PORT, "--master: and at this port.", int)
@click.option("--web", is_flag=True, help="Locust's page, with a tab of the exact figures.")
@click.option("--web-host", default=HOST, show_default=True, metavar="HOST", help="--web: listen here.")
@_number("--web-port", WEB_PORT, "--web: and at this port.", int)
@_number("--autoquit", 0.0, "--web: the page stays N seconds after the run.")
@click.option("--live-fd", type=int, metavar="FD", help="Where snapshots go, a line of JSON each, for a live screen.")
@click.option("--json", "json_file", type=PATH, metavar="FILE", help="Where the result goes; stdout without it.")
@click.option(
    "--hlog",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="Where latency.hlog and service.hlog go.",
)
def main(  # noqa: PLR0917 - one parameter an option
    instance: str,
    rate: float | None,
    duration: float,
    streams: int,
    channels: int,
    connections: int,
    path: str | None,
    closed: bool,  # noqa: FBT001 - a flag of the command line
    slo: str | None,
    timeout: float,
    allow: tuple[str, ...],
    max_rate: float | None,
    cacert: str | None,
    insecure: bool,  # noqa: FBT001
    scenario: str | None,
    number: tuple[str, ...],
    channel: str | None,
    processes: int,
    search: bool,  # noqa: FBT001
    beyond: bool,  # noqa: FBT001
    seed: int | None,
    source: tuple[str, ...],
    connects_per_s: float | None,
    fresh: bool,  # noqa: FBT001
    follow: bool,  # noqa: FBT001
    header: tuple[str, ...],
    canary: bool | None,  # noqa: FBT001
    inconclusive: str | None,
    metrics: str | None,
    master: bool,  # noqa: FBT001
    expect_workers: int,
    expect_workers_max_wait: float,
    master_bind_host: str,
    master_bind_port: int,
    web: bool,  # noqa: FBT001
    web_host: str,
    web_port: int,
    autoquit: float,
    live_fd: int | None,
    json_file: Path | None,
    hlog: Path | None,
) -> None:
    """Find what one instance holds, or whether it holds --rate."""
    stopped: list[int] = []

    def note(received: int, _frame: FrameType | None) -> None:
        stopped.append(received)

    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, note)
    try:
        settings = BlastSettings(
            instance=instance,
            rate_per_s=rate,
            duration_s=duration,
            streams=streams,
            channels=channels,
            connections=connections,
            path=path,
            closed=closed,
            slo=parse_slo(slo or DEFAULT),
            slo_named=slo is not None,
            allow=allow,
            max_rate_per_s=max_rate,
            cacert=cacert,
            insecure=insecure,
            timeout_s=timeout,
            scenario=scenario,
            numbers=pairs(number, "=", "--number"),
            channel=channel,
            processes=processes,
            search=search,
            beyond=beyond,
            seed=seed,
            sources=source,
            connects_per_s=connects_per_s,
            fresh=fresh,
            follow=follow,
            headers=pairs(header, ":", "--header"),
            canary=canary,
            inconclusive=inconclusive,
            metrics=metrics,
            named=named(),
            command=to_repeat(sys.argv[1:]),
            master=Master(
                workers=expect_workers, host=master_bind_host, port=master_bind_port, wait_s=expect_workers_max_wait
            )
            if master
            else None,
            web=Web(host=web_host, port=web_port, stay_s=autoquit) if web else None,
        )
        result = _run(settings, stopped, live_fd, hlog)
        _write(result, json_file)
    except DarktimeError as error:
        print(f"darkesttime blast: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    sys.exit(result.exit_code)


def _run(settings: BlastSettings, stopped: list[int], live_fd: int | None, hlog: Path | None) -> BlastResult:
    from darktime.blast.settings import admitted

    settings, _ = admitted(settings)  # before Locust is loaded: a refusal is instant
    try:
        from darktime.blast.run import blast
        from darktime.blast.snapshot import Snapshots
        from darktime.blast.time_log import TimeLog
    except ModuleNotFoundError as error:
        raise UsageError(f"{error.name} is not installed: pip install 'darktime[blast]'") from error
    snapshots = Snapshots(settings)
    log = TimeLog(hlog) if hlog is not None else None

    def on_second(second: Second) -> None:
        if log is not None:
            log.add(second)
        line = json.dumps(snapshots.of(second)) + "\n"
        if live_fd is not None:
            with suppress(BlockingIOError, BrokenPipeError):  # who does not read misses a picture
                os.write(live_fd, line.encode())

    def on_probe(probe: Probe) -> None:
        snapshots.note(probe)
        if live_fd is None:
            _print_probe(probe)

    if live_fd is not None:
        os.set_blocking(live_fd, False)
    try:
        return blast(
            settings,
            on_progress=on_probe,
            on_second=on_second,
            on_plan=snapshots.begin,
            on_note=_print_note,
            stop=lambda: bool(stopped),
        )
    finally:
        if log is not None:
            log.close()


def _print_note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _print_probe(probe: Probe) -> None:
    p99 = "-" if probe.p99_ms is None else f"{probe.p99_ms:.1f} ms"
    parts = [
        f"{probe.rate_per_s:>10,.0f}/s",
        f"achieved {probe.achieved_per_s:,.0f}/s",
        f"p99 {p99}",
        f"{probe.errors} errors",
    ]
    if probe.deliveries_per_s is not None:
        parts += [f"{probe.deliveries_per_s:,.0f} deliveries/s", f"{probe.lost} lost"]
    print("  ".join([*parts, probe.why]), file=sys.stderr, flush=True)


def named() -> frozenset[str]:
    """The options of this command line that somebody wrote."""
    context = click.get_current_context()
    return frozenset(
        name for name in context.params if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    )


def to_repeat(words: list[str]) -> str:
    """The command line that repeats the run, without where its result went."""
    kept, skip = [], False
    for word in words:
        if not skip and word not in WHERE_IT_GOES:
            kept.append(word)
        skip = not skip and word in WHERE_IT_GOES
    return f"darkesttime blast {shlex.join(kept)}"


def pairs(words: tuple[str, ...], sign: str, flag: str) -> dict[str, str]:
    """NAME, sign, VALUE as a table. Raises UsageError for a word without the sign."""
    found = {}
    for word in words:
        name, between, value = word.partition(sign)
        if not between or not name.strip():
            raise UsageError(f"{flag} {word!r}: write NAME{sign}VALUE")
        found[name.strip()] = value.strip()
    return found


def _write(result: BlastResult, json_file: Path | None) -> None:
    text = json.dumps(result.to_dict(), indent=2) + "\n"
    if json_file is None:
        sys.stdout.write(text)
    else:
        json_file.write_text(text, encoding="utf-8")
    print(result.sentence, file=sys.stderr)


if __name__ == "__main__":
    main()
