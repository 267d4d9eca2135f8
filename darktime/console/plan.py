"""``darktime plan``: what mirroring a percentage of the users would mean, told from an access log. Reads only."""

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

SCHEMA_VERSION = 1


@click.command("plan")
@click.option(
    "--log", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False), help="An access log; .gz too."
)
@click.option("--percent", type=float, required=True, help="Share of the USERS that would be mirrored.")
@click.option("--key", metavar="KIND:NAME", help="What makes a user, instead of what serves best: cookie:uid, ip, ...")
@click.option("--experiment", default="darktime", metavar="NAME", help="The salt: another name draws other users.")
@click.option("--methods", default="GET,HEAD", metavar="LIST", help="What would be copied.")
@click.option("--exclude", multiple=True, metavar="WORD", help="Leave out paths with this word too; may be repeated.")
@endpoints_option
@click.option("--json", "as_json", is_flag=True, help="The whole plan on stdout, for machines.")
def command(*, log: Path, as_json: bool, **asked: Any) -> None:
    """Tell from an access log (combined, common or JSON) what a split would do: users, copies, keys, risks."""
    from darktime.report.summaries import plan as summary
    from darktime.split.plan.plan import make_plan
    from darktime.split.sampling import valid_salt
    from darktime.split.settings import EXCLUDED

    if not valid_salt(asked["experiment"]):
        raise UsageError(f"--experiment {asked['experiment']!r}: 1 to 64 letters, digits or _ . -, please")
    plan = make_plan(
        lambda: _lines(log),
        percent=asked["percent"],
        key=asked["key"],
        salt=asked["experiment"],
        methods=[one.strip().upper() for one in asked["methods"].split(",") if one.strip()],
        excluded=[*EXCLUDED, *asked["exclude"]],
        templates=templates(asked["endpoints"]),
    ).to_dict()
    if as_json:
        click.echo(json.dumps({"kind": "plan", "schema_version": SCHEMA_VERSION, **plan}))
    else:
        click.echo("\n".join(summary.tell(plan)))


def _lines(log: Path) -> Iterator[str]:
    try:
        opened = gzip.open if log.suffix == ".gz" else open
        with opened(log, "rt", encoding="utf-8", errors="surrogateescape") as text:
            yield from text
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"--log {log}: {error}; name a file that can be read") from error
