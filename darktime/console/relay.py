"""``darktime relay``: samples the users of requests that somebody else's mirror sends, and passes copies to a dark instance."""

from __future__ import annotations

import json
import math
import os
import secrets
import shlex
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darktime.console.alone_levels import REDIS, steered
from darktime.console.alone_watch import leave, watch
from darktime.console.asked import choices, key_remedy, lists_of, state_remedy, whole_bodies
from darktime.console.dark_side import dark_options, side_of
from darktime.console.duration import time_option
from darktime.console.folders import keep_results, run_folder
from darktime.console.running import RAMPS
from darktime.console.split import user_options
from darktime.console.transform import check_transform, transform_option
from darktime.console.watching import say
from darktime.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from darktime.split.relay.alone import AloneRelay
    from darktime.split.relay.settings import AloneSettings

MOST_TTL_S = 7 * 24 * 3600.0
MOST_STREAM_LIFE_S = 3600.0


@click.command("relay")
@click.option("--listen", required=True, metavar="HOST:PORT", help="Where the mirror sends its requests.")
@dark_options
@click.option("--percent", type=float, required=True, help="Share of the USERS whose requests are copied.")
@click.option("--key", metavar="KIND:NAME", help="What makes a user: cookie:, header: or query:NAME; must be said.")
@click.option("--experiment", default="darktime", metavar="NAME", help="The salt: another name draws other users.")
@click.option("--max-percent", type=float, help="No ramp goes beyond it; --percent when left out.")
@click.option(
    "--dark-state",
    type=click.Choice(["isolated", "readonly", "shared"]),
    help="What it may change; only you know. shared needs --path.",
)
@click.option("--path", multiple=True, metavar="PREFIX", help="Copy only paths that begin so; may be repeated.")
@click.option("--exclude", multiple=True, metavar="WORD", help="No copy of a path or query with this; may be repeated.")
@user_options
@click.option(
    "--methods", default="GET,HEAD", metavar="LIST", help="What may be copied; all but GET and HEAD with their bodies."
)
@click.option("--max-body", type=int, default=65_536, metavar="BYTES", help="A longer body is not copied: too_big.")
@click.option("--allow-header", multiple=True, metavar="NAME", help="A copy carries it too; may be repeated.")
@click.option("--allow-cookie", multiple=True, metavar="NAME", help="A copy carries it; may be repeated.")
@click.option(
    "--allow-query", multiple=True, metavar="NAME", help="A copy carries its value unmarked; may be repeated."
)
@transform_option
@time_option("--stream-life", default=60.0, help="How long a stream is held; 90s, 10m.")
@time_option("--ttl", default=3600.0, help="Then it ends by itself.")
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Of level files and kill file, for ramp and kill.",
)
@click.option("--redis", metavar="URL", help="Where hosts share the experiment: one ramp or kill reaches all of them.")
@click.option("--metrics", type=int, metavar="PORT", help="Prometheus on 127.0.0.1; 0: any port.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Results folder, else runs/<time>-relay.")
@click.option("--json", "as_json", is_flag=True, help="The results on stdout, for machines.")
def command(*, out: Path | None, as_json: bool, **asked: Any) -> int:
    """Behind a mirror that is there already (Envoy, HAProxy, Traefik, a Gateway): answers at once, copies sampled users' requests.

    Let it mirror everything: which users are in is decided here. Nothing is compared, since only darktime's own nginx tells
    how production answered; 'darktime split' does that. Runs until Ctrl-C or --ttl.
    """
    if not asked["dark_state"]:
        raise UsageError(state_remedy("relay"))
    if not asked["dark"]:
        raise UsageError("where do copies go? Say --dark http://HOST:PORT, or dark in [relay] of darktime.toml")
    if not asked["key"]:
        raise UsageError(key_remedy("relay", "cookie:NAME, header:NAME or query:NAME"))
    check_transform(asked["transform"])
    folder = run_folder("relay", out)
    try:
        results = perform(folder, asked)
    except KeyboardInterrupt:  # the second signal: nothing is waited for any more
        click.secho("darktime: interrupted", fg="yellow", err=True)
        leave(ExitCode.INTERRUPTED)
    keep_results(folder, results)
    if as_json:
        click.echo(json.dumps(results))
    else:
        from darktime.report.summaries import relay as summary

        click.echo("\n".join(summary.tell(results)))
        click.echo(f"\nresults {folder}")
    if results["exit_code"]:
        leave(results["exit_code"])
    return int(ExitCode.OK)


def perform(folder: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """Run the relay to its end; its results. Raises UsageError, also where the dark instance leads back to here."""
    from darktime.split import levels
    from darktime.split.alone_results import alone_results
    from darktime.split.folder import alone
    from darktime.split.relay.alone import AloneRelay
    from darktime.split.relay.expendable import dies_first
    from darktime.split.relay.open_files import fewer, fitted, may_have
    from darktime.split.steering import Steering

    dies_first()
    wanted, files, lists = settings_of(folder, asked), may_have(raised=True), lists_of(asked)
    settings = replace(wanted, limits=fitted(wanted, files).limits)
    state = settings.folder
    began = datetime.now(UTC)
    with ExitStack() as last:
        for path in (state, state / "level"):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        last.enter_context(alone(state))
        if levels.killed(state):
            raise UsageError(
                f"mirroring was killed here: remove {state / 'kill'} first, if what it was killed for is mended"
            )
        ramps = last.enter_context(steered(folder, settings, asked, lists))
        relay, urls = AloneRelay(settings), ", ".join(settings.dark.urls)
        last.callback(describe(folder / "split.json", settings, relay).unlink, missing_ok=True)
        if settings.metrics_port is not None:
            say(f"metrics on 127.0.0.1:{metrics(settings.metrics_port, relay)}")
        say(
            f"relay on {settings.listen[0]}:{relay.port}; copies of {levels.percent_of(state):g} % of users go to {urls}"
        )
        fits = fewer(wanted.limits, settings.limits, files)
        for line in (*whole_bodies(settings.copy), *([] if fits is None else [fits])):
            say(line)
        say(f"to stop: Ctrl-C, 'darktime kill', or touch {shlex.quote(str(state / 'kill'))}")
        steering = Steering(folder=state, max_percent=settings.copy.max_percent, ramps=folder / RAMPS, experiment=None)
        ended = watch(relay, settings.state, ttl_s=settings.ttl_s, look=steering.notice)
        steering.notice(last=True)
        stood = ramps()
    if relay.looped:
        raise UsageError(
            f"dark {urls} leads back to where the mirrored requests come from: copies would hurt production; "
            "name the new instance itself"
        )
    asked = {**asked, "dark": list(settings.dark.urls)}
    return alone_results(
        relay.state(), asked, began=began, ended=datetime.now(UTC), why=ended.why, hung=ended.hung, ramps=stood
    )


def settings_of(folder: Path, asked: dict[str, Any]) -> AloneSettings:
    """What the relay is told. Raises UsageError."""
    from darktime.split.instances import address, resolved, same
    from darktime.split.relay.settings import AloneSettings, Limits
    from darktime.split.settings import CopySettings, check_address

    for name, most in (("ttl", MOST_TTL_S), ("stream_life", MOST_STREAM_LIFE_S)):
        if not (math.isfinite(asked[name]) and 0 < asked[name] <= most):
            raise UsageError(f"--{name.replace('_', '-')} {asked[name]:g}: above 0, at most {most:,.0f} seconds")
    check_address(asked["listen"], "--listen")
    side = side_of(asked)
    assert side is not None  # the command asks for it
    for one in side.instances:
        if same(resolved(one.at, "dark"), resolved(asked["listen"], "listen")):
            raise UsageError(
                f"dark {one.at} is where the relay is to listen: copies would go in a circle; name the instance"
            )
    state = (asked["state_dir"] or folder / "state").resolve()
    copy = CopySettings(
        # Of our own nginx's side there is none.
        relay_socket=Path("/none"),
        sink_socket=Path("/none"),
        log_port=1,
        secret=secrets.token_urlsafe(24),
        **choices({**asked, "emit": None, "copy_bodies": True}),
    )
    if copy.user_key.kind == "ip":
        raise UsageError(
            "--key ip: the address that is seen here is the mirror's; take a cookie, a header or a parameter"
        )
    if asked["percent"] > copy.max_percent:
        raise UsageError(f"--percent {asked['percent']:g}: --max-percent allows {copy.max_percent:g} at most")
    return AloneSettings(
        listen=address(asked["listen"]),
        copy=copy,
        folder=state,
        ttl_s=asked["ttl"],
        dark=side,
        secret=copy.secret,
        state=folder / "relay.json",
        allow_query=frozenset(copy.allow_query),
        methods=frozenset(copy.methods),
        metrics_port=asked["metrics"],
        transform=asked["transform"],
        limits=Limits(body_bytes=copy.max_body, stream_life_s=asked["stream_life"]),
    )


def describe(path: Path, settings: AloneSettings, relay: AloneRelay) -> Path:
    """Write what ``ramp``, ``kill`` and ``who`` need to find this relay; the file."""
    from darktime.split.folder import write_private

    about = {
        "version": 1,
        "folder": str(settings.folder),
        "salt": settings.copy.salt,
        "key": settings.copy.key,
        "max_percent": settings.copy.max_percent,
        "listen": f"{settings.listen[0]}:{relay.port}",
        "redis": str(path.parent / REDIS),
        "only": list(settings.copy.only),
        "pid": os.getpid(),
    }
    write_private(path, json.dumps(about))
    return path


def metrics(port: int, relay: AloneRelay) -> int:
    """Serve the counters; the port it got. Raises UsageError."""
    from darktime.split.relay.metrics import serve

    try:
        return serve(port, relay.state)
    except OSError as error:
        raise UsageError(f"--metrics {port}: {error.strerror}; choose another port, or 0") from error
