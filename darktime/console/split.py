"""``darktime split``: mirrors a percentage of production's users to a dark instance until it is stopped, then judges."""

from __future__ import annotations

import json
import signal
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
AGENT_EARLY_S = 2.0
SAY_EVERY_S = 10.0
SETTLE_S = 3.0
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
    from darktime.split.instances import require_two
    from darktime.split.running import describe, free_udp_port, start_split
    from darktime.split.settings import Route, SplitSettings
    from realtime_core.stack import Stack, external_valkey, find_nginx

    production, dark = upstream(asked["production"], "production"), upstream(asked["dark"], "dark")
    require_two(production, dark)
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
        incidents: list[str] = []
        stopped = watch(running, min(asked["duration"] or asked["ttl"], asked["ttl"]), incidents)
        running.ramp(0)
        if not incidents:
            settle(running)
        results = judged(running, asked, began, redis=redis.client(), name=f"split-{folder.name}", incidents=incidents)
    say(stopped)
    return results


def watch(running: RunningSplit, seconds: float, incidents: list[str]) -> str:
    """Wait until it is over, one line every ten seconds; why it is over.

    nginx alone ends it by dying: production's requests pass through it, and it is this command's child. Of the others a
    death is noted in ``incidents``, and production goes on. Raises DarktimeError.
    """
    from darktime.split.incidents import VITAL

    ended = {"signal": 0}
    alive = dict(running.processes)

    def end(number: int, _frame: object) -> None:
        ended["signal"] = number

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        until, next_line = time.monotonic() + seconds, time.monotonic() + SAY_EVERY_S
        while time.monotonic() < until:
            if ended["signal"]:
                return "stopped by you"
            for name in [name for name, process in alive.items() if not process.alive()]:
                process = alive.pop(name)
                if name == VITAL:
                    raise DarktimeError(f"{name} ended on its own. Its last lines:\n{process.tail()}")
                # The agent's time and ours are the same --ttl: it may be over a moment before us.
                if name != "agent" or until - time.monotonic() > AGENT_EARLY_S:
                    incidents.append(f"{name} (process {process.pid}) died: not everything is accounted for")
                    say(f"{incidents[-1]}; production goes on")
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


def judged(
    running: RunningSplit, asked: dict[str, Any], began: datetime, *, redis: Any, name: str, incidents: list[str]
) -> dict[str, Any]:
    """The results, with the verdict over everything that was compared."""
    from redis import RedisError

    from darktime.demo.findings import hop_record
    from darktime.demo.results import pair_lines, percentiles_ms
    from darktime.split.compare import Pair
    from darktime.split.incidents import weakened
    from darktime.split.verdict import judge
    from realtime_core.ledger import balance, read

    state = read_state(running.state)
    records = pair_lines(running.pairs.read_text(encoding="utf-8")) if running.pairs.exists() else []
    try:
        balances = balance(read(redis, name))
    except RedisError as error:
        balances = []
        incidents.append(f"the Redis that counts does not answer ({error}): nothing is accounted for")
    redis.close()
    # Streams that production still holds are in flight; they end with this command, and nobody compares them. What a
    # dead process had not yet counted is no finding about the dark instance either.
    closed = not state.get("streams") and not incidents
    whole = [one for one in balances if closed and one.hop in {"mirror>relay", "relay>compared"}]
    verdict = weakened(judge([Pair.from_record(record) for record in records], whole), incidents)
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
        "incidents": incidents,
        "verdict": {"outcome": verdict.outcome, "reasons": list(verdict.reasons), "needs": verdict.needs},
        "exit_code": int(code),
    }


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


def say(text: str) -> None:
    """A line for whoever watches."""
    click.echo(text, err=True)
