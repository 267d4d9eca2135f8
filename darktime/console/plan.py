"""``darktime plan``: what mirroring a percentage of the users would mean, told from an access log and nginx's files. Reads only."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darktime.console.endpoints import endpoints_option, templates
from darktime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from darktime.split.change import Change

SCHEMA_VERSION = 1


@click.command("plan")
@click.option(
    "--log", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False), help="An access log; .gz too."
)
@click.option("--percent", type=float, required=True, help="Share of the USERS that would be mirrored.")
@click.option("--key", metavar="KIND:NAME", help="What makes a user, instead of what serves best: cookie:uid, ip, ...")
@click.option("--experiment", default="darktime", metavar="NAME", help="The salt: another name draws other users.")
@click.option("--methods", default="GET,HEAD", metavar="LIST", help="What would be copied.")
@click.option("--path", multiple=True, metavar="PREFIX", help="Only paths that begin so; may be repeated.")
@click.option("--exclude", multiple=True, metavar="WORD", help="Leave out paths with this word too; may be repeated.")
@endpoints_option
@click.option(
    "--nginx-conf",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Of the nginx that is there: how it would change, in place of an example.",
)
@click.option("--nginx", metavar="PATH", help="That nginx; its own configuration, where --nginx-conf names no other.")
@click.option("--location", multiple=True, metavar="'SERVER LOCATION'", help="What would be mirrored there.")
@click.option(
    "--emit",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/etc/darktime"),
    metavar="DIR",
    help="Where 'darktime split --emit DIR' would write its includes; nothing is written now.",
)
@click.option("--json", "as_json", is_flag=True, help="The whole plan on stdout, for machines.")
def command(*, log: Path, as_json: bool, **asked: Any) -> None:
    """Tell from an access log (combined, common or JSON) what a split would do: users, copies, keys, risks, nginx's change."""
    from darktime.report.summaries import plan as summary
    from darktime.split.copied_paths import CopiedPaths
    from darktime.split.plan.plan import make_plan
    from darktime.split.sampling import valid_salt
    from darktime.split.settings import check_prefix

    if not valid_salt(asked["experiment"]):
        raise UsageError(f"--experiment {asked['experiment']!r}: 1 to 64 letters, digits or _ . -, please")
    for path in asked["path"]:
        check_prefix(path)
    plan = make_plan(
        lambda: _lines(log),
        percent=asked["percent"],
        key=asked["key"],
        salt=asked["experiment"],
        methods=[one.strip().upper() for one in asked["methods"].split(",") if one.strip()],
        paths=CopiedPaths(excluded=tuple(asked["exclude"]), only=tuple(asked["path"])),
        templates=templates(asked["endpoints"]),
    ).to_dict()
    change = _change(asked).to_dict()
    if as_json:
        click.echo(json.dumps({"kind": "plan", "schema_version": SCHEMA_VERSION, **plan, "nginx_change": change}))
    else:
        click.echo("\n".join([*summary.tell(plan), "", *summary.tell_change(change)]))


def _change(asked: dict[str, Any]) -> Change:
    """What would change in the nginx that is there, or in any. Raises UsageError."""
    from darktime.split.change import any_change, change_of

    folder = asked["emit"].absolute()
    if asked["nginx"] is None and asked["nginx_conf"] is None:
        if asked["location"]:
            raise UsageError("--location is of an nginx that is there: say --nginx-conf FILE or --nginx PATH too")
        return any_change(folder)
    from darktime.split.emit import choose, refuse_included
    from darktime.split.theirs import read_theirs
    from realtime_core.stack import find_nginx

    folder, nginx = folder.resolve(), find_nginx(asked["nginx"]).path
    theirs = read_theirs(nginx, asked["nginx_conf"], check=False)
    refuse_included(folder, theirs)
    chosen = choose(theirs.places, asked["location"])
    return change_of(folder, theirs.texts, chosen, nginx=nginx, config=theirs.config)


def _lines(log: Path) -> Iterator[str]:
    try:
        opened = gzip.open if log.suffix == ".gz" else open
        with opened(log, "rt", encoding="utf-8", errors="surrogateescape") as text:
            yield from text
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"--log {log}: {error}; name a file that can be read") from error
