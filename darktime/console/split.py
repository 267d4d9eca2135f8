"""``darktime split``: mirrors a percentage of production's users to a dark instance until it is stopped, then judges."""

from __future__ import annotations

import json
import secrets
import signal
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darktime.console.dark_side import dark_options, side_of
from darktime.console.folders import keep_results, run_folder
from darktime.console.include import prove, read_includes, write_includes
from darktime.errors import UsageError
from darktime.split.vigil import FRONT, Vigil, read_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from darktime.split.commands import LedgerNames
    from darktime.split.running import RunningSplit
    from darktime.split.settings import CopySettings
    from realtime_core.stack import Stack

LOOK_S = 0.5
SAY_EVERY_S = 10.0
SETTLE_S = 3.0
AGENT_EARLY_S = 5.0  # it began to count its time to live before we did
REMEDY = '''\
production and dark are not set: add these two lines to darktime.toml ('darktime init' writes one)

[split]
production = "http://127.0.0.1:8000"
dark = "http://127.0.0.1:8001"'''
STATE_REMEDY = """\
only you know what the dark instance may change: say --dark-state, or dark_state in [split] of darktime.toml:
"isolated" (its own database), "readonly" (it writes nothing), "shared" (production's database: with --path only)"""

KEY_REMEDY = """\
only you know what makes a user: say --key, or key in [split] of darktime.toml: cookie:NAME, header:NAME, query:NAME or ip
('darktime plan --log access.log --percent 5' says which of them would serve)"""


@click.command("split")
@click.option("--percent", type=float, required=True, help="Share of the USERS that is mirrored.")
@click.option("--production", metavar="URL", help="Where production's requests go: http://HOST:PORT.")
@dark_options
@click.option(
    "--listen", default="127.0.0.1:8080", metavar="HOST:PORT", help="Where nginx takes production's requests."
)
@click.option(
    "--key", metavar="KIND:NAME", help="What makes a user: cookie:, header: or query:NAME, or ip; must be said."
)
@click.option("--experiment", default="darktime", metavar="NAME", help="The salt: another name draws other users.")
@click.option("--max-percent", type=float, help="Fixed in the configuration; --percent when left out.")
@click.option(
    "--dark-state",
    type=click.Choice(["isolated", "readonly", "shared"]),
    help="What it may change; only you know. shared needs --path.",
)
@click.option("--path", multiple=True, metavar="PREFIX", help="Mirror only paths that begin so; may be repeated.")
@click.option("--exclude", multiple=True, metavar="WORD", help="No copy of a path or query with this; may be repeated.")
@click.option(
    "--methods", default="GET,HEAD", metavar="LIST", help="What may be copied; all but GET and HEAD with their bodies."
)
@click.option("--max-body", type=int, default=65_536, metavar="BYTES", help="A longer body is not copied: too_big.")
@click.option(
    "--copy-bodies", is_flag=True, help="With --emit: copies have bodies, though it buffers everybody's uploads."
)
@click.option("--allow-header", multiple=True, metavar="NAME", help="A copy carries it too; may be repeated.")
@click.option("--allow-cookie", multiple=True, metavar="NAME", help="A copy carries it; may be repeated.")
@click.option(
    "--allow-query", multiple=True, metavar="NAME", help="A copy carries its value unmarked; may be repeated."
)
@click.option("--ttl", type=float, default=3600.0, metavar="SECONDS", help="Then mirroring ends by itself.")
@click.option("--duration", type=float, metavar="SECONDS", help="Stop by itself after so long.")
@click.option("--nginx", metavar="PATH", help="The nginx to run.")
@click.option("--redis", metavar="URL", help="Where to count, instead of an embedded Valkey.")
@click.option(
    "--emit",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write includes for the nginx that is there already, say what to change, and stop.",
)
@click.option(
    "--include",
    "joined",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="Run beside the nginx that has the includes of DIR.",
)
@click.option("--location", multiple=True, metavar="'SERVER LOCATION'", help="With --emit: what is mirrored.")
@click.option("--nginx-conf", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Of the nginx there.")
@click.option("--probe", metavar="URL", help="With --include: where one request is sent whose copy must arrive.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Results folder, else runs/<time>-split.")
@click.option("--json", "as_json", is_flag=True, help="The results on stdout, for machines.")
def command(*, out: Path | None, as_json: bool, **asked: Any) -> int:
    """Mirror a percentage of production's USERS to a dark instance; GO (0), NO-GO (3) or WAIT (5).

    Runs until Ctrl-C, --duration or --ttl. The same user is always in or always out.
    """
    joined, emitted = asked["joined"], asked["emit"]
    if not emitted and not (asked["dark"] and (asked["production"] or joined)):
        raise UsageError(REMEDY)
    if not asked["dark_state"] and not joined:
        raise UsageError(STATE_REMEDY)
    if not asked["key"] and not joined:
        raise UsageError(KEY_REMEDY)
    if emitted:
        write_includes(emitted, asked, choices(asked))
        return 0
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


def choices(asked: dict[str, Any]) -> dict[str, Any]:
    """Whose requests are copied, and what of them, as the settings take it."""
    from darktime.split.settings import ALLOWED_HEADERS, EXCLUDED

    return {
        "dark_state": asked["dark_state"],
        "key": asked["key"],
        "salt": asked["experiment"],
        "max_percent": asked["max_percent"] or asked["percent"],
        "only_paths": tuple(asked["path"]),
        "excluded": (*EXCLUDED, *asked["exclude"]),
        "max_body": asked["max_body"],
        "copy_bodies": asked["copy_bodies"] or not asked["emit"],
        "methods": tuple(one.strip().upper() for one in asked["methods"].split(",") if one.strip()),
        "allow_headers": (*ALLOWED_HEADERS, *asked["allow_header"]),
        "allow_cookies": tuple(asked["allow_cookie"]),
        "allow_query": tuple(asked["allow_query"]),
    }


def perform(folder: Path, **asked: Any) -> dict[str, Any]:
    """Run the split to its end; its results."""
    from darktime.split.commands import LedgerNames
    from darktime.split.conclusion import conclude, ledger_of
    from darktime.split.folder import alone
    from darktime.split.running import describe
    from realtime_core.stack import Stack, external_valkey

    began, name = datetime.now(UTC), f"split-{secrets.token_hex(4)}"
    start = _joined(asked) if asked["joined"] else _whole(asked)
    with ExitStack() as last, Stack(folder / "stack") as stack:
        if asked["joined"]:
            last.enter_context(alone(asked["joined"]))
        redis = external_valkey(asked["redis"], name=name) if asked["redis"] else stack.valkey()
        if asked["redis"]:
            last.callback(leave_nothing, redis.client, name)  # once nobody writes there any more
        running = start(stack, folder, LedgerNames(url=redis.url, name=name))
        describe(running, folder / "split.json")
        say(f"to stop: Ctrl-C, 'darktime kill', or touch {running.folder / 'kill'}")
        vigil = Vigil(running.processes)
        if asked["joined"] and asked["probe"] and asked["percent"]:
            prove(running, asked["probe"], say)
        stopped = watch(running, vigil, seconds=asked["duration"] or asked["ttl"], ttl_s=asked["ttl"])
        running.ramp(0)
        settle(running, vigil)
        balances = ledger_of(redis.client, name, vigil)
        results = conclude(running, vigil, asked, began=began, balances=balances)
    say(stopped)
    return results


def whole_bodies(settings: CopySettings) -> list[str]:
    """What is said before bodies are copied: nothing of them is masked."""
    if not settings.body_methods:
        return []
    methods, limit = ", ".join(settings.body_methods), settings.max_body
    return [
        f"copies of {methods} carry bodies of up to {limit:,} bytes as they are: what people type, passwords too, goes there"
    ]


def _whole(asked: dict[str, Any]) -> Callable[[Stack, Path, LedgerNames], RunningSplit]:
    """What starts a split with an nginx of its own."""
    from darktime.split.folder import PrivateFolder
    from darktime.split.instances import check_instances
    from darktime.split.running import free_udp_port, start_split
    from darktime.split.settings import Route, SplitSettings
    from realtime_core.stack import find_nginx

    production, side = upstream(asked["production"], "production"), side_of(asked)
    asked["dark"] = ", ".join(side.urls)
    check_instances(production, *(one.at for one in side.instances), listen=asked["listen"])

    def start(stack: Stack, results: Path, ledger: LedgerNames) -> RunningSplit:
        private = stack.adopt(PrivateFolder()).path
        settings = SplitSettings(
            listen=asked["listen"],
            routes=(Route(prefix="/", upstreams=(production,), mirrored=True),),
            relay_socket=private / "relay.sock",
            sink_socket=private / "sink.sock",
            log_port=free_udp_port(),
            **choices(asked),
        )
        for line in whole_bodies(settings):
            say(line)
        running = start_split(
            stack,
            settings,
            folder=private,
            nginx=find_nginx(asked["nginx"]).path,
            dark=side,
            percent=asked["percent"],
            ttl_s=asked["ttl"],
            results=results,
            ledger=ledger,
        )
        say(
            f"mirroring {asked['percent']:g} % of users to {asked['dark']}; production's requests go to {settings.listen}"
        )
        return running

    return start


def _joined(asked: dict[str, Any]) -> Callable[[Stack, Path, LedgerNames], RunningSplit]:
    """What starts a split beside an nginx that is already there."""
    from darktime.split.instances import check_instances
    from darktime.split.running import start_joined

    folder, side = asked["joined"].resolve(), side_of(asked)
    asked["dark"] = ", ".join(side.urls)
    settings, where, hosts = read_includes(folder, asked)
    if asked["production"]:
        check_instances(upstream(asked["production"], "production"), *(one.at for one in side.instances))
    asked["production"] = asked["production"] or where

    def start(stack: Stack, results: Path, ledger: LedgerNames) -> RunningSplit:
        running = start_joined(
            stack,
            settings,
            folder=folder,
            dark=side,
            percent=asked["percent"],
            ttl_s=asked["ttl"],
            results=results,
            front=where,
            hosts=hosts,
            ledger=ledger,
        )
        say(
            f"mirroring {asked['percent']:g} % of users to {asked['dark']}, in the nginx that has the includes of {folder}"
        )
        return running

    return start


def watch(running: RunningSplit, vigil: Vigil, *, seconds: float, ttl_s: float) -> str:
    """Wait until it is over, one line every ten seconds; why it is over.

    Only nginx cannot be done without: it ends with this command, and production's requests with it.
    """
    ended = {"signal": 0}

    def end(number: int, _frame: object) -> None:
        ended["signal"] = number

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        began = time.monotonic()
        next_line = began + SAY_EVERY_S
        while (past := time.monotonic() - began) < min(seconds, ttl_s):
            if ended["signal"]:
                return "stopped by you"
            if past >= ttl_s - AGENT_EARLY_S:
                vigil.release("agent")  # it gives the lease back, as it was told
            for incident in vigil.look():
                say(incident)
            if vigil.lost(FRONT):
                return "ended, because nginx did"
            if time.monotonic() >= next_line:
                next_line += SAY_EVERY_S
                state = read_state(running.state)
                say(", ".join(f"{state.get(what, 0):,} {what}" for what in ("received", "compared", "streams")))
            time.sleep(LOOK_S)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return "the time is over"


def settle(running: RunningSplit, vigil: Vigil) -> None:
    """Let the last copies be compared."""
    from darktime.split.results import settled

    until = time.monotonic() + SETTLE_S
    while time.monotonic() < until and not vigil.lost("relay") and not settled(read_state(running.state)):
        time.sleep(LOOK_S)
        vigil.look()


def leave_nothing(client: Callable[[], Redis], name: str) -> None:
    """Take this run's keys out of a Redis that is not ours, or say which they are."""
    from redis import RedisError

    from darktime.split.conclusion import forget

    try:
        forget(client, name)
    except RedisError as error:
        say(f"the keys of this run are still in that Redis, all have {{{name}}} in their names: {error}")


def upstream(url: str, what: str) -> str:
    """HOST:PORT of an http URL. Raises UsageError."""
    rest = url.removeprefix("http://").rstrip("/")
    if not url.startswith("http://") or "/" in rest or not rest.rpartition(":")[2].isdigit():
        raise UsageError(f"{what} {url}: http://HOST:PORT, please, as in http://127.0.0.1:8000")
    return rest


def say(text: str) -> None:
    """A line for whoever watches."""
    click.echo(text, err=True)
