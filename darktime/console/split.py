"""``darktime split``: mirrors a percentage of production's users to a dark instance until it is stopped, then judges."""

from __future__ import annotations

import json
import signal
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darktime import __version__
from darktime.console.folders import keep_results, run_folder
from darktime.errors import DarktimeError, ExitCode, UsageError

if TYPE_CHECKING:
    from darktime.split.running import RunningSplit

LOOK_S = 0.5
SAY_EVERY_S = 10.0
SETTLE_S = 3.0
CONNECT_S = 3.0
NGINX = "nginx"
REMEDY = '''\
production and dark are not set: add these two lines to darktime.toml ('darktime init' writes one)

[split]
production = "http://127.0.0.1:8000"
dark = "http://127.0.0.1:8001"'''


@click.command("split")
@click.option("--percent", type=float, required=True, help="Share of the USERS that is mirrored.")
@click.option("--production", metavar="URL", help="Where production's requests go: http://HOST:PORT.")
@click.option("--dark", metavar="URL", help="The new code: http://HOST:PORT.")
@click.option(
    "--listen", default="127.0.0.1:8080", metavar="HOST:PORT", help="Where nginx takes production's requests."
)
@click.option("--key", default="cookie:uid", metavar="cookie:NAME|header:NAME", help="What makes a user.")
@click.option("--experiment", default="darktime", metavar="NAME", help="The salt: another name draws other users.")
@click.option("--max-percent", type=float, help="Fixed in the configuration; --percent when left out.")
@click.option(
    "--dark-state",
    default="isolated",
    type=click.Choice(["isolated", "readonly", "shared"]),
    help="What it may change.",
)
@click.option("--ttl", type=float, default=3600.0, metavar="SECONDS", help="Then mirroring ends by itself.")
@click.option("--duration", type=float, metavar="SECONDS", help="Stop by itself after so long.")
@click.option("--nginx", metavar="PATH", help="The nginx to run.")
@click.option("--redis", metavar="URL", help="Where to count, instead of an embedded Valkey.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Results folder, else runs/<time>-split.")
@click.option("--json", "as_json", is_flag=True, help="The results on stdout, for machines.")
def command(*, out: Path | None, as_json: bool, **asked: Any) -> int:
    """Mirror a percentage of production's USERS to a dark instance; GO (0), NO-GO (3) or WAIT (5).

    Runs until Ctrl-C, --duration or --ttl. The same user is always in or always out.
    """
    if not asked["production"] or not asked["dark"]:
        raise UsageError(REMEDY)
    folder = run_folder("split", out)
    results = perform(folder, **asked)
    keep_results(folder, results)
    from darktime.report import text_summary, write_report

    page = write_report(folder)
    if as_json:
        click.echo(json.dumps(results))
    else:
        click.echo("\n".join(text_summary(results)))
        click.echo(f"\nresults {folder}\npage    {page}")
    return int(results["exit_code"])


def perform(folder: Path, **asked: Any) -> dict[str, Any]:
    """Run the split to its end; its results."""
    from darktime.split.commands import LedgerNames
    from darktime.split.folder import PrivateFolder
    from darktime.split.running import describe, free_udp_port, start_split
    from darktime.split.settings import Route, SplitSettings
    from realtime_core.stack import Stack, external_valkey, find_nginx

    production, dark = upstream(asked["production"], "production"), upstream(asked["dark"], "dark")
    for name, place in (("production", production), ("dark", dark)):
        require_answer(name, place)
    if production == dark or resolved(production) & resolved(dark):
        raise UsageError(
            f"production and dark are both {dark}: copies to production would hurt it; name another instance"
        )
    began = datetime.now(UTC)
    with Stack(folder / "stack") as stack:
        private = stack.adopt(PrivateFolder()).path
        settings = SplitSettings(
            listen=asked["listen"],
            routes=(Route(prefix="/", upstreams=(production,), mirrored=True),),
            relay_socket=private / "relay.sock",
            sink_socket=private / "sink.sock",
            log_port=free_udp_port(),
            dark_state=asked["dark_state"],
            key=asked["key"],
            salt=asked["experiment"],
            max_percent=asked["max_percent"] or asked["percent"],
        )
        nginx = find_nginx(asked["nginx"]).path
        redis = external_valkey(asked["redis"]) if asked["redis"] else stack.valkey()
        running = start_split(
            stack,
            settings,
            folder=private,
            nginx=nginx,
            dark=f"http://{dark}",
            percent=asked["percent"],
            ttl_s=asked["ttl"],
            results=folder,
            ledger=LedgerNames(url=redis.url, name=f"split-{folder.name}"),
        )
        describe(running, folder / "split.json")
        say(f"mirroring {asked['percent']:g} % of users to {dark}; production's requests go to {settings.listen}")
        say(f"to stop: Ctrl-C, 'darktime kill', or touch {private / 'kill'}")
        died: list[str] = []
        stopped = watch(running, min(asked["duration"] or asked["ttl"], asked["ttl"]), died)
        running.ramp(0)
        settle(running)
        results = judged(running, asked, began, redis.client(), f"split-{folder.name}")
        if died:
            without(results, died)
    say(stopped)
    return results


def watch(running: RunningSplit, seconds: float, died: list[str]) -> str:
    """Wait until it is over, one line every ten seconds; why it is over.

    Names in ``died`` the helpers that ended meanwhile: production goes on without them. Raises DarktimeError when nginx
    itself has ended.
    """
    ended = {"signal": 0}

    def end(number: int, _frame: object) -> None:
        ended["signal"] = number

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        until, next_line = time.monotonic() + seconds, time.monotonic() + SAY_EVERY_S
        while time.monotonic() < until:
            if ended["signal"]:
                return "stopped by you"
            for name, process in running.processes.items():
                if process.alive() or name in died:
                    continue
                if name == NGINX:
                    raise DarktimeError(f"{name} ended on its own, and with it production's port:\n{process.tail()}")
                # Production does not need it: nginx has its own sink, and the lease runs out by itself.
                died.append(name)
                say(f"{name} ended on its own; production goes on, and no GO can come of this. Its last lines:")
                say(process.tail())
            if time.monotonic() >= next_line:
                next_line += SAY_EVERY_S
                state = read_state(running.state)
                say(", ".join(f"{state.get(what, 0):,} {what}" for what in ("received", "compared", "streams")))
            time.sleep(LOOK_S)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return "the time is over"


def settle(running: RunningSplit) -> None:
    """Let the last copies be compared."""
    until = time.monotonic() + SETTLE_S
    while time.monotonic() < until:
        state = read_state(running.state)
        out = sum(state.get("reasons", {}).values())
        if state.get("offered", 0) == state.get("received", 0) == state.get("compared", 0) + out:
            return
        time.sleep(LOOK_S)


def judged(running: RunningSplit, asked: dict[str, Any], began: datetime, redis: Any, name: str) -> dict[str, Any]:
    """The results, with the verdict over everything that was compared."""
    from darktime.demo.findings import hop_record
    from darktime.demo.results import pair_lines, percentiles_ms
    from darktime.split.compare import Pair
    from darktime.split.verdict import judge
    from realtime_core.ledger import balance, read

    state = read_state(running.state)
    records = pair_lines(running.pairs.read_text(encoding="utf-8")) if running.pairs.exists() else []
    balances = balance(read(redis, name))
    redis.close()
    # Streams that production still holds are in flight; they end with this command, and nobody compares them.
    whole = (
        [one for one in balances if one.hop in {"mirror>relay", "relay>compared"}] if not state.get("streams") else []
    )
    verdict = judge([Pair.from_record(record) for record in records], whole)
    ended = datetime.now(UTC)
    code = {"GO": ExitCode.OK, "NO-GO": ExitCode.FAILED, "WAIT": ExitCode.WAIT}[verdict.outcome]
    return {
        "schema_version": 1,
        "kind": "split",
        "started": began.isoformat(timespec="seconds"),
        "finished": ended.isoformat(timespec="seconds"),
        "duration_s": round((ended - began).total_seconds(), 1),
        "version": __version__,
        "command": f"darktime split --percent {asked['percent']:g}",
        "experiment": running.settings.salt,
        "percent": asked["percent"],
        "production": asked["production"],
        "dark": asked["dark"],
        "users": {"seen": None, "sampled": len(state.get("users", []))},
        "copies": {
            "offered": state.get("offered", 0),
            "received": state.get("received", 0),
            "compared": state.get("compared", 0),
            "reasons": {reason: count for reason, count in state.get("reasons", {}).items() if count},
        },
        "latency": {
            side: percentiles_ms(record[side]["seconds"] for record in records) for side in ("production", "dark")
        },
        "ledger": [hop_record(one) for one in balances],
        "verdict": {"outcome": verdict.outcome, "reasons": list(verdict.reasons), "needs": verdict.needs},
        "exit_code": int(code),
    }


def without(results: dict[str, Any], died: list[str]) -> None:
    """What a run without its helpers is worth: what was found against the dark side stands, a GO does not."""
    reasons = [f"{name} ended on its own: what it did not hear, nobody knows" for name in died]
    verdict = results["verdict"]
    verdict["reasons"] = reasons + verdict["reasons"]
    if verdict["outcome"] == "GO":
        verdict["outcome"] = "WAIT"
        verdict["needs"] = "a run in which every part lives to its end"
        results["exit_code"] = int(ExitCode.WAIT)


def read_state(path: Path) -> dict[str, Any]:
    """The relay's state; empty until it has written one."""
    try:
        state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state


def upstream(url: str, what: str) -> str:
    """HOST:PORT of an http URL. Raises UsageError."""
    rest = url.removeprefix("http://").rstrip("/")
    if not url.startswith("http://") or "/" in rest or not rest.rpartition(":")[2].isdigit():
        raise UsageError(f"{what} {url}: http://HOST:PORT, please, as in http://127.0.0.1:8000")
    return rest


def resolved(place: str) -> set[tuple[str, int]]:
    """The addresses behind HOST:PORT; none where the name is not found."""
    host, _, port = place.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except OSError:
        return set()
    return {(str(address[0]), int(port)) for _, _, _, _, address in found}


def require_answer(name: str, place: str) -> None:
    """Raises UsageError where nobody listens: nginx would answer everybody with 502."""
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
    except OSError as error:
        raise UsageError(
            f"{name} http://{place}: nobody answers there ({error}); start it, or correct the URL"
        ) from error


def say(text: str) -> None:
    """A line for whoever watches."""
    click.echo(text, err=True)
