"""``darktime record``: keeps the requests of a percentage of production's users in a file; nothing is sent anywhere."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darktime import __version__
from darktime.console.asked import key_remedy
from darktime.console.duration import time_option
from darktime.console.folders import keep_results, run_folder
from darktime.console.front import front_options
from darktime.console.performing import perform
from darktime.console.split import user_options
from darktime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from darktime.split.lookout import Lookout
    from darktime.split.running import RunningSplit
    from darktime.split.vigil import Vigil
    from realtime_core.ledger import HopBalance

SCHEMA_VERSION = 1
RECORDING = "recording.jsonl"
NO_BODIES = {"emit": None, "max_body": 65_536, "copy_bodies": False, "no_bodies": True}
NO_COMPARISON = {"margins": None, "compare": "status", "secondary": None, "ignore": (), "unordered": ()}
REMEDY = """\
production is not set: say --production http://HOST:PORT, or production in [record] of darktime.toml
(or --include DIR, beside the nginx that has its includes)"""


@click.command("record")
@click.option("--percent", type=float, required=True, help="Share of the USERS that is recorded.")
@front_options
@click.option(
    "--key", metavar="KIND:NAME", help="What makes a user: cookie:, header: or query:NAME, or ip; must be said."
)
@click.option("--experiment", default="darktime", metavar="NAME", help="The salt: another name draws other users.")
@click.option("--max-percent", type=float, help="Fixed in the configuration; --percent when left out.")
@click.option("--path", multiple=True, metavar="PREFIX", help="Record only paths that begin so; may be repeated.")
@click.option("--exclude", multiple=True, metavar="WORD", help="Not a path or query with this; may be repeated.")
@user_options
@click.option("--methods", default="GET,HEAD", metavar="LIST", help="Of those that carry no body.")
@click.option("--allow-header", multiple=True, metavar="NAME", help="It is recorded too; may be repeated.")
@click.option("--allow-cookie", multiple=True, metavar="NAME", help="It is recorded; may be repeated.")
@click.option("--allow-query", multiple=True, metavar="NAME", help="Its value is recorded unmarked; may be repeated.")
@click.option("--file", "record", type=click.Path(path_type=Path), help="The recording; .gz packs it.")
@click.option("--max-bytes", "record_bytes", type=click.IntRange(min=1), help="Of the file; 256 MiB when left out.")
@click.option("--max-requests", type=click.IntRange(min=1), help="In the file; a million when left out.")
@time_option("--ttl", default=3600.0, help="Then recording ends by itself; 10m, 1h.")
@time_option("--duration", help="Stop by itself after so long.")
@click.option("--nginx", metavar="PATH", help="The nginx to run.")
@click.option("--redis", metavar="URL", help="Where to count, instead of an embedded Valkey.")
@click.option(
    "--include",
    "joined",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="Run beside the nginx that has the includes of DIR.",
)
@click.option("--nginx-conf", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Of the nginx there.")
@click.option("--probe", metavar="URL", help="Where one request of a made-up user is sent, whose copy must arrive.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Results folder, else runs/<time>-record."
)
@click.option("--json", "as_json", is_flag=True, help="The results on stdout, for machines.")
def command(*, out: Path | None, as_json: bool, **asked: Any) -> int:
    """Keep a percentage of production's USERS' requests in a file, redacted as copies are; nothing is sent anywhere.

    Runs until Ctrl-C, --duration or --ttl. 'darktime replay' sends them to an instance, whenever you like.
    """
    from darktime.report.summaries import record as summary

    if not asked["production"] and not asked["joined"]:
        raise UsageError(REMEDY)
    if not asked["key"] and not asked["joined"]:
        raise UsageError(key_remedy("split"))
    if not asked["joined"]:
        _refuse_uploads_alone(asked["methods"])
    folder = run_folder("record", out)
    asked["record"] = asked["record"] or folder / RECORDING
    nothing_else = {"schedule": None, **NO_COMPARISON, **NO_BODIES}
    results = perform(folder, _conclude, dark=None, dark_state="isolated", **nothing_else, **asked)
    keep_results(folder, results)
    if as_json:
        click.echo(json.dumps(results))
    else:
        click.echo("\n".join(summary.tell(results)))
        click.echo(
            f"\nresults   {folder}\nto replay darktime replay {results['recording']['file']} --instance HOST:PORT"
        )
    return int(results["exit_code"])


def _refuse_uploads_alone(methods: str) -> None:
    from darktime.split.settings import BODILESS

    if not any(one.strip().upper() in BODILESS for one in methods.split(",")):
        raise UsageError(
            f"--methods {methods}: a recording of its own keeps no bodies, so nothing would be recorded; name one of "
            f"{', '.join(BODILESS)} too, or use 'darktime split --record FILE', which keeps them"
        )


def _conclude(
    running: RunningSplit,
    vigil: Vigil,
    asked: dict[str, Any],
    *,
    began: datetime,
    balances: Sequence[HopBalance],
    watched: Lookout,
    ramps: Sequence[Mapping[str, Any]],
    hosts: Mapping[str, Any],
    **_others: Any,
) -> dict[str, Any]:
    from darktime.split.record.conclusion import conclude
    from darktime.split.vigil import FRONT, read_state

    ended = datetime.now(UTC)
    if watched.harmed and watched.harm is not None:
        vigil.incidents.append(watched.harm.sentence)
    countable = [] if vigil.lost_relay else balances  # a relay that died closed no account
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "record",
        "started": began.isoformat(timespec="seconds"),
        "finished": ended.isoformat(timespec="seconds"),
        "duration_s": round((ended - began).total_seconds(), 1),
        "version": __version__,
        "experiment": running.settings.salt,
        "key": running.settings.key,
        "percent": asked["percent"],
        "production": asked["production"],
        "hosts": dict(hosts),
        "production_watched": watched.record(),
        "ramps": [dict(one) for one in ramps],
        "incidents": vigil.record(),
        **conclude(read_state(running.state), countable, vigil.incidents, nginx_died=vigil.lost(FRONT)),
    }
