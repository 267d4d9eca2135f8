"""``darktime split``: mirrors a percentage of production's users to a dark instance until it is stopped, then judges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darktime.console.asked import choices, given, key_remedy, percent_of, state_remedy
from darktime.console.dark_side import dark_options
from darktime.console.duration import time_option
from darktime.console.endpoints import endpoints_option, kept, templates
from darktime.console.folders import keep_results, run_folder
from darktime.console.front import front_options, refuse_beside_theirs
from darktime.console.include import write_includes
from darktime.console.margins import margins_of_file, settings_of
from darktime.console.performing import perform
from darktime.console.transform import check_transform, transform_option
from darktime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable


REMEDY = '''\
production and dark are not set: add these two lines to darktime.toml ('darktime init' writes one)

[split]
production = "http://127.0.0.1:8000"
dark = "http://127.0.0.1:8001"'''


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
@time_option("--hold", default=600.0, help="With --ramp: each is held so long at least; 10m, 1h.")
@front_options
@dark_options
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
@click.option(
    "--path",
    multiple=True,
    metavar="PREFIX",
    help="Mirror only paths that begin so, unsafe ones too; may be repeated.",
)
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
@transform_option
@endpoints_option
@time_option("--ttl", default=3600.0, help="Then mirroring ends by itself.")
@time_option(
    "--stream-life", help="No mirrored stream is held longer, though production's goes on; --ttl when left out."
)
@time_option("--duration", help="Stop by itself after so long.")
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
@time_option(
    "--calibrate",
    default=0.0,
    help="So long at first copies go to --secondary: what its times differ in is the measuring's own.",
)
@click.option(
    "--ignore", multiple=True, metavar="RULE", help="Do not compare '[METHOD] ENDPOINT FIELD'; may be repeated."
)
@click.option(
    "--unordered", multiple=True, metavar="RULE", help="Of this list the order does not count; may be repeated."
)
@click.option("--html-whitespace", is_flag=True, help="Any white space in HTML is one space.")
@click.option(
    "--relay-workers", type=int, default=1, metavar="N", help="Relays that share the users, one core each; 1 to 32."
)
@click.option(
    "--pairs-mb",
    type=int,
    default=600,
    metavar="MB",
    help="Of the file of pairs; a run that has filled it ends, and is judged.",
)
@click.option("--nginx", metavar="PATH", help="The nginx to run.")
@click.option(
    "--redis", metavar="URL", help="Where to count, and where hosts share the experiment; else an embedded Valkey."
)
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
@click.option("--probe", metavar="URL", help="Where one request of a made-up user is sent, whose copy must arrive.")
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
        raise UsageError(state_remedy("split"))
    if not asked["key"] and not joined:
        raise UsageError(key_remedy("split"))
    if emitted:
        refuse_beside_theirs(given, "--emit")
        write_includes(emitted, asked, choices(asked))
        return 0
    check_transform(asked["transform"])
    asked["margins"] = settings_of(margins_of_file(click.get_current_context()))
    found = templates(asked["endpoints"])
    folder = run_folder("split", out)
    asked["endpoints"] = kept(asked["endpoints"], found, folder)
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
