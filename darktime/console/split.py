"""``darktime split``: mirrors a percentage of production's users to a dark instance until it is stopped, then judges."""

from __future__ import annotations

import json
import os
import platform
import secrets
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darktime.console.dark_side import dark_options, side_of
from darktime.console.folders import keep_results, run_folder
from darktime.console.include import prove, read_includes, write_includes
from darktime.console.margins import margins_of_file, settings_of
from darktime.console.recording import record_settings, to_whom, upstream
from darktime.console.running import ABOUT, RAMPS
from darktime.console.watching import Watching, say, signals
from darktime.errors import UsageError
from darktime.split.vigil import Vigil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redis import Redis

    from darktime.split.commands import CompareOptions, LedgerNames
    from darktime.split.experiment import Experiment, Standing
    from darktime.split.lookout import Lookout
    from darktime.split.running import RunningSplit
    from darktime.split.schedule import Schedule
    from darktime.split.settings import CopySettings
    from darktime.split.verdict import VerdictSettings
    from realtime_core.stack import Stack

    Finish = Callable[..., dict[str, Any]]

REDIS = "redis.url"
PAIRS = "pairs.jsonl"
MOST_TTL_S = 7 * 24 * 3600.0
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


def user_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds what says whose requests alone are copied: ``only``, ``only_users``, ``never``."""
    file = click.Path(path_type=Path, dir_okay=False, exists=True)
    for option in (
        click.option("--never", type=file, help="A file of users: they are never in."),
        click.option("--only-users", type=file, help="A file of users: nobody else is in."),
        click.option(
            "--only", multiple=True, metavar="KIND:NAME=VALUE", help="Copy only such: header:Host=www.example.org."
        ),
    ):
        command = option(command)
    return command


@click.command("split")
@click.option("--percent", type=float, help="Share of the USERS that is mirrored; this or --ramp.")
@click.option("--ramp", metavar="LIST", help="One percentage after the other, each when the verdict is GO: 1,5,25,50.")
@click.option(
    "--hold", type=float, default=600.0, metavar="SECONDS", help="With --ramp: each is held so long at least."
)
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
@user_options
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
@click.option(
    "--endpoints",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="The application's own: OpenAPI in JSON, or one template a line; others are named by their look.",
)
@click.option("--ttl", type=float, default=3600.0, metavar="SECONDS", help="Then mirroring ends by itself.")
@click.option("--duration", type=float, metavar="SECONDS", help="Stop by itself after so long.")
@click.option(
    "--compare",
    default="status,type,latency",
    metavar="LIST",
    help="What is compared: length too, where production says it; body takes --secondary.",
)
@click.option(
    "--secondary", metavar="URL", help="A second instance of TODAY's code: answers are compared field by field."
)
@click.option("--compare-share", type=float, default=0.1, metavar="SHARE", help="Of the copies, for that.")
@click.option("--compare-bytes", type=int, default=65_536, metavar="N", help="Kept of each body.")
@click.option("--compare-per-s", type=float, default=50.0, metavar="N", help="Comparisons a second.")
@click.option(
    "--ignore", multiple=True, metavar="RULE", help="Do not compare '[METHOD] ENDPOINT FIELD'; may be repeated."
)
@click.option(
    "--unordered", multiple=True, metavar="RULE", help="Of this list the order does not count; may be repeated."
)
@click.option("--html-whitespace", is_flag=True, help="Any white space in HTML is one space.")
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
@click.option("--record", type=click.Path(path_type=Path), metavar="FILE", help="Keep the copies too; .gz packs them.")
@click.option(
    "--record-bytes",
    type=click.IntRange(min=1),
    metavar="N",
    help="At most so many bytes of them; 256 MiB when left out.",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Results folder, else runs/<time>-split.")
@click.option("--json", "as_json", is_flag=True, help="The results on stdout, for machines.")
def command(*, out: Path | None, as_json: bool, **asked: Any) -> int:
    """Mirror a percentage of production's USERS to a dark instance; GO (0), NO-GO (3) or WAIT (5).

    Runs until Ctrl-C, --duration or --ttl. The same user is always in or always out.
    """
    joined, emitted = asked["joined"], asked["emit"]
    asked["percent"], asked["schedule"] = percent_of(asked)
    if not emitted and not (asked["dark"] and (asked["production"] or joined)):
        raise UsageError(REMEDY)
    if not asked["dark_state"] and not joined:
        raise UsageError(STATE_REMEDY)
    if not asked["key"] and not joined:
        raise UsageError(KEY_REMEDY)
    if emitted:
        write_includes(emitted, asked, choices(asked))
        return 0
    asked["margins"] = settings_of(margins_of_file(click.get_current_context()))
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


def percent_of(asked: dict[str, Any]) -> tuple[float, Schedule | None]:
    """With how many percent it begins, and how it goes on. Raises UsageError."""
    from darktime.split.schedule import read_schedule

    if given("ramp") and not given("percent"):
        asked["percent"] = None  # of the settings file
    elif given("percent") and not given("ramp"):
        asked["ramp"] = None
    if (asked["percent"] is None) == (asked["ramp"] is None):
        raise UsageError(
            "say --percent 5, or a plan: --ramp 1,5,25,50 --hold 600; one of them ('darktime split --help' says more)"
        )
    if asked["ramp"] is None:
        return asked["percent"], None
    schedule = read_schedule(asked["ramp"], asked["hold"])
    asked["max_percent"] = asked["max_percent"] or schedule.percents[-1]
    return schedule.percents[0], schedule


def endpoints_of(asked: dict[str, Any]) -> Path | None:
    """The file with the application's own templates. Raises UsageError where it holds none."""
    from darktime.split.compare.templates import read_templates

    path: Path | None = asked.get("endpoints")
    if path is not None:
        read_templates(path.read_text(encoding="utf-8", errors="replace"))
        path = path.resolve()
    return path


def lists_of(asked: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """The listed users, by the list's name. Raises UsageError."""
    from darktime.split.conditions import read_users
    from darktime.split.levels import NEVER, ONLY

    files = ((ONLY, "--only-users", asked["only_users"]), (NEVER, "--never", asked["never"]))
    return {
        name: read_users(path.read_text(encoding="utf-8", errors="surrogateescape"), f"{option} {path}")
        for name, option, path in files
        if path is not None
    }


# What the includes have fixed: the option, and the setting that it is.
FIXED = {
    "dark_state": "dark_state", "key": "key", "experiment": "salt", "path": "only_paths", "only": "only",
    "exclude": "excluded", "methods": "methods", "allow_header": "allow_headers", "allow_cookie": "allow_cookies",
    "allow_query": "allow_query", "max_body": "max_body",
}  # fmt: skip


def as_included(settings: CopySettings, asked: dict[str, Any]) -> None:
    """What the includes say holds. Raises UsageError for an option that says otherwise, and for more than they allow."""
    said = choices(
        {**asked, "dark_state": asked["dark_state"] or settings.dark_state, "key": asked["key"] or settings.key}
    )
    for option, name in FIXED.items():
        if given(option) and said[name] != getattr(settings, name):
            raise UsageError(
                f"--{option.replace('_', '-')} was fixed when the includes were written: leave it out, or write them again "
                "with --emit"
            )
    schedule = asked["schedule"]
    most = schedule.percents[-1] if schedule is not None else asked["percent"]
    if max(most, asked["max_percent"] or 0) > settings.max_percent:
        raise UsageError(
            f"the includes allow {settings.max_percent:g} percent at most: write them again with --max-percent"
        )
    asked |= {"experiment": settings.salt, "key": settings.key, "max_percent": settings.max_percent}


def given(option: str) -> bool:
    """Whether it was said on the command line, and not in the settings file or not at all."""
    source = click.get_current_context().get_parameter_source(option)
    return source is click.core.ParameterSource.COMMANDLINE


def choices(asked: dict[str, Any]) -> dict[str, Any]:
    """Whose requests are copied, and what of them, as the settings take it."""
    from darktime.split.settings import ALLOWED_HEADERS, EXCLUDED

    return {
        "dark_state": asked["dark_state"],
        "key": asked["key"],
        "salt": asked["experiment"],
        "max_percent": asked["max_percent"] or asked["percent"],
        "only_paths": tuple(asked["path"]),
        "only": tuple(asked.get("only", ())),
        "only_listed": asked.get("only_users") is not None,
        "never_listed": asked.get("never") is not None,
        "excluded": (*EXCLUDED, *asked["exclude"]),
        "max_body": asked["max_body"],
        "copy_bodies": asked["copy_bodies"] or not (asked["emit"] or asked.get("no_bodies")),
        "methods": tuple(one.strip().upper() for one in asked["methods"].split(",") if one.strip()),
        "allow_headers": (*ALLOWED_HEADERS, *asked["allow_header"]),
        "allow_cookies": tuple(asked["allow_cookie"]),
        "allow_query": tuple(asked["allow_query"]),
    }


def comparing(asked: dict[str, Any]) -> CompareOptions:
    """What is compared, as the relay takes it. Raises UsageError for what cannot be read, or would compare nothing."""
    from darktime.split.commands import CompareOptions
    from darktime.split.compare.attributes import BODY, read_attributes
    from darktime.split.compare.rules import read_rules
    from darktime.split.instances import address
    from darktime.split.relay.settings import CompareSettings

    attributes = read_attributes(asked["compare"])
    ignore, unordered = read_rules(asked["ignore"]), read_rules(asked["unordered"])
    if BODY in attributes and not asked["secondary"]:
        raise UsageError(
            "compare body: nobody but production's users gets production's bodies; name a second instance of today's code "
            "with --secondary http://HOST:PORT"
        )
    if not asked["secondary"]:
        return CompareOptions(attributes=attributes)
    secondary = upstream(asked["secondary"], "secondary")
    settings = CompareSettings(
        secondary=address(secondary),
        share=asked["compare_share"],
        body_bytes=asked["compare_bytes"],
        per_s=asked["compare_per_s"],
        ignore=ignore,
        unordered=unordered,
        html_whitespace=asked["html_whitespace"],
    )
    return CompareOptions(
        attributes=attributes,
        secondary=f"http://{secondary}",
        share=settings.share,
        body_bytes=settings.body_bytes,
        per_s=settings.per_s,
        ignore=tuple(rule.text for rule in ignore),
        unordered=tuple(rule.text for rule in unordered),
        html_whitespace=settings.html_whitespace,
    )


def perform(folder: Path, finish: Finish | None = None, **asked: Any) -> dict[str, Any]:
    """Run the split to its end; its results, as ``finish`` puts them together.

    Without ``dark`` copies go nowhere but into the recording.
    """
    from darktime.split.commands import RECORDED, LedgerNames
    from darktime.split.conclusion import conclude, ledger_of
    from darktime.split.experiment import Experiment, client_of
    from darktime.split.folder import alone, write_private
    from darktime.split.running import describe
    from realtime_core.stack import Stack, external_valkey

    if not 0 < asked["ttl"] <= MOST_TTL_S:
        raise UsageError(
            f"--ttl {asked['ttl']:g}: above 0, at most {MOST_TTL_S:,.0f} seconds: nothing is mirrored for ever"
        )
    if (folder / PAIRS).exists():
        raise UsageError(f"{folder} holds a split's results already: name another folder with --out DIR")
    began, name = datetime.now(UTC), f"split-{secrets.token_hex(4)}"
    schedule = asked["schedule"]
    start = _joined(asked) if asked["joined"] else _whole(asked)
    with ExitStack() as last, Stack(folder / "stack") as stack:
        if asked["joined"]:
            last.enter_context(alone(asked["joined"]))
        redis = external_valkey(asked["redis"], name=name) if asked["redis"] else stack.valkey()
        if asked["redis"]:
            last.callback(leave_nothing, redis.client, name)  # once nobody writes there any more
        write_private(folder / REDIS, redis.url + "\n")
        last.callback((folder / REDIS).unlink)
        last.callback(
            (folder / ABOUT).unlink, missing_ok=True
        )  # who looks for a split that runs must not find this one
        experiment = Experiment(client_of(redis.url), asked["experiment"])
        ledger = LedgerNames(url=redis.url, name=name, url_file=folder / REDIS)
        ledger = ledger if asked["dark"] else replace(ledger, hop_compared=RECORDED)
        with taking_part(experiment, asked) as standing:
            running = start(stack, folder, ledger, standing.percent)
            watching, vigil, lookout = _watching(running, folder, experiment, schedule, asked["margins"])
            with signals() as ended:
                describe(running, folder / ABOUT)
                say(f"to stop: Ctrl-C, 'darktime kill', or touch {running.folder / 'kill'}")
                if asked["joined"] and asked["probe"] and standing.percent:
                    prove(running, asked["probe"], say)
                seconds = min(asked["duration"] or asked["ttl"], asked["ttl"])
                stopped = watching.until_over(seconds=seconds, ttl_s=asked["ttl"], ended=ended)
            vigil.release("agent")
            running.processes["agent"].stop()
            running.ramp(0)
            ramps = recorded(experiment, folder)
        watching.settle()
        balances = ledger_of(redis.client, name, vigil)
        asked["percent"] = watching.percent
        results = (finish or conclude)(
            running,
            vigil,
            asked,
            began=began,
            balances=balances,
            watched=lookout,
            ramps=ramps,
            settings=asked["margins"],
            look=watching.looks + 1,
        )
    say(stopped)
    return results


def _watching(
    running: RunningSplit,
    folder: Path,
    experiment: Experiment,
    schedule: Schedule | None,
    margins: VerdictSettings | None,
) -> tuple[Watching, Vigil, Lookout]:
    from darktime.split.lookout import Lookout
    from darktime.split.schedule import Pilot
    from darktime.split.stage import Stage
    from darktime.split.steering import Steering

    settings = running.settings
    vigil, lookout = (
        Vigil(running.processes),
        Lookout(running.population, settings.key, lists=settings.only_listed or settings.never_listed),
    )
    steering = Steering(
        folder=running.folder, max_percent=settings.max_percent, ramps=folder / RAMPS, experiment=experiment
    )
    plan = None
    if schedule is not None:
        plan = Pilot(schedule, time.monotonic()), Stage(running.pairs, running.state, margins)
    return Watching(running, vigil, lookout, steering, plan=plan), vigil, lookout


@contextmanager
def taking_part(experiment: Experiment, asked: dict[str, Any]) -> Iterator[Standing]:
    """Take part in the experiment, as one of its hosts, until this is over. Raises UsageError."""
    from darktime.split.experiment import away
    from darktime.split.steering import whoami

    host, now = f"{platform.node()}:{os.getpid()}", time.time()
    standing = experiment.join(
        host,
        percent=asked["percent"],
        max_percent=asked["max_percent"] or asked["percent"],
        until=now + asked["ttl"],
        who=whoami(),
        now=now,
    )
    others = [one for one in standing.hosts if one != host]
    if others:
        say(f"experiment {experiment.name} runs already, on {', '.join(others)}: it stands at {standing.percent:g} %")
    try:
        yield standing
    finally:
        try:
            experiment.leave(host)
        except away() as error:
            say(f"the Redis of the experiment does not answer; there it ends by itself, with its time: {error}")


def recorded(experiment: Experiment, folder: Path) -> list[dict[str, Any]]:
    """Every ramp of the experiment; those of this host alone where Redis has gone."""
    from darktime.split.experiment import away

    try:
        return experiment.ramps()
    except away():
        ramps = folder / RAMPS
        return [json.loads(line) for line in ramps.read_text().splitlines()] if ramps.exists() else []


def whole_bodies(settings: CopySettings) -> list[str]:
    """What is said before bodies are copied: nothing of them is masked."""
    if not settings.body_methods:
        return []
    methods, limit = ", ".join(settings.body_methods), settings.max_body
    return [
        f"copies of {methods} carry bodies of up to {limit:,} bytes as they are: what people type, passwords too, goes there"
    ]


def _whole(asked: dict[str, Any]) -> Callable[[Stack, Path, LedgerNames, float], RunningSplit]:
    """What starts a split with an nginx of its own."""
    from darktime.split.folder import PrivateFolder
    from darktime.split.instances import check_instances, check_secondary
    from darktime.split.running import free_udp_port, start_split
    from darktime.split.settings import Route, SplitSettings
    from realtime_core.stack import find_nginx

    production, side = upstream(asked["production"], "production"), side_of(asked)
    asked["dark"] = None if side is None else ", ".join(side.urls)
    darks = () if side is None else tuple(one.at for one in side.instances)
    lists, compare, endpoints = lists_of(asked), comparing(asked), endpoints_of(asked)
    check_instances(production, *darks, listen=asked["listen"])
    if compare.secondary is not None:
        others = [("production", production), ("listen", asked["listen"]), *(("dark", at) for at in darks)]
        check_secondary(compare.secondary.removeprefix("http://"), others=others)

    def start(stack: Stack, results: Path, ledger: LedgerNames, percent: float) -> RunningSplit:
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
            percent=percent,
            ttl_s=asked["ttl"],
            results=results,
            follow=results / REDIS,
            lists=lists,
            ledger=ledger,
            record=record_settings(asked, settings),
            compare=compare,
            endpoints=endpoints,
        )
        say(f"mirroring {percent:g} % of users {to_whom(asked)}; production's requests go to {settings.listen}")
        return running

    return start


def _joined(asked: dict[str, Any]) -> Callable[[Stack, Path, LedgerNames, float], RunningSplit]:
    """What starts a split beside an nginx that is already there."""
    from darktime.split.instances import check_instances, check_secondary
    from darktime.split.running import start_joined

    folder, side = asked["joined"].resolve(), side_of(asked)
    asked["dark"] = None if side is None else ", ".join(side.urls)
    darks = () if side is None else tuple(one.at for one in side.instances)
    settings, where, hosts = read_includes(folder, asked)
    as_included(settings, asked)
    lists, compare, endpoints = lists_of(asked), comparing(asked), endpoints_of(asked)
    others = [("dark", at) for at in darks]
    if asked["production"]:
        others.append(("production", upstream(asked["production"], "production")))
        check_instances(others[-1][1], *darks)
    if compare.secondary is not None:
        check_secondary(compare.secondary.removeprefix("http://"), others=others)
    asked["production"] = asked["production"] or where

    def start(stack: Stack, results: Path, ledger: LedgerNames, percent: float) -> RunningSplit:
        running = start_joined(
            stack,
            settings,
            folder=folder,
            dark=side,
            percent=percent,
            ttl_s=asked["ttl"],
            results=results,
            follow=results / REDIS,
            lists=lists,
            front=where,
            hosts=hosts,
            ledger=ledger,
            record=record_settings(asked, settings),
            compare=compare,
            endpoints=endpoints,
        )
        say(f"mirroring {percent:g} % of users {to_whom(asked)}, in the nginx that has the includes of {folder}")
        return running

    return start


def leave_nothing(client: Callable[[], Redis], name: str) -> None:
    """Take this run's keys out of a Redis that is not ours, or say which they are."""
    from redis import RedisError

    from darktime.split.conclusion import forget

    try:
        forget(client, name)
    except RedisError as error:
        say(f"the keys of this run are still in that Redis, all have {{{name}}} in their names: {error}")
