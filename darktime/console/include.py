"""``darktime split --emit DIR`` and ``--include DIR``: the includes for an nginx that is already there, and a split beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from socket import SOCK_DGRAM
from typing import TYPE_CHECKING, Any

import click

from darktime.console.watching import say
from darktime.errors import UsageError
from darktime.split.backends import UNIX, Backends
from realtime_core.free_ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from darktime.split.dark_side import Instance
    from darktime.split.running import RunningSplit
    from darktime.split.settings import CopySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Included:
    """Includes that an nginx has. ``where``: for people; ``hosts``: the names of the servers; ``backends``: what is behind."""

    settings: CopySettings
    where: str
    hosts: list[str]
    backends: Backends

    @property
    def comparable(self) -> list[tuple[str, str]]:
        """The backends that a HOST:PORT can be compared with, each with what it is."""
        from darktime.split.instances import is_known

        return [("production", at) for at in self.backends.addresses if not at.startswith(UNIX) and is_known(at)]


NO_BODIES = "copies have no bodies: production's uploads stay as they are, buffered or not"
BODIES = (
    "copies of {methods} carry bodies of up to {limit:,} bytes as they are, passwords too: in these locations nginx reads "
    "EVERYBODY's uploads to their end before production gets a byte, also where proxy_request_buffering is off"
)
NOT_COPIED = (
    "no copies of {methods}: to have their bodies nginx would buffer everybody's uploads there; --copy-bodies does"
)


def write_includes(folder: Path, asked: dict[str, Any], choices: dict[str, Any]) -> None:
    """Write the includes into ``folder`` and say how the change is made, and how it is taken back."""
    from darktime.console.asked import workers_asked
    from darktime.split.backends import of_places
    from darktime.split.change import STATE, commands
    from darktime.split.dark_side import parse_instance
    from darktime.split.emit import choose, emit
    from darktime.split.settings import CopySettings
    from darktime.split.theirs import read_theirs
    from darktime.split.worker_blocks import too_few
    from realtime_core.stack import find_nginx

    nginx, folder = find_nginx(asked["nginx"]).path, folder.resolve()
    theirs = read_theirs(nginx, asked["nginx_conf"])
    chosen = choose(theirs.places, asked["location"])
    _compare(of_places(theirs.tree, chosen), [parse_instance(url) for url in asked["dark"]], str(theirs.config))
    state = folder / STATE
    log_port, *more_log_ports = free_ports(workers_asked(asked), kind=SOCK_DGRAM)
    settings = CopySettings(
        relay_socket=state / "relay.sock",
        sink_socket=state / "sink.sock",
        log_port=log_port,
        more_log_ports=tuple(more_log_ports),
        run_as=theirs.user,
        **choices,
    )
    for line in (*about_bodies(settings), *filter(None, (too_few(theirs.worker_connections, settings),))):
        click.echo(line, err=True)
    change = emit(folder, settings, theirs, chosen)
    make, back = commands(folder, nginx, theirs.config)
    click.echo(change.encode("utf-8", "replace").decode())
    for line in (
        f"mirrored: {', '.join(place.name for place in chosen)}; at most {settings.max_percent:g} % of users",
        f"to make this change:  {make}",
        f"to take it back:      {back}",
        f"then, to mirror:      darktime split --include {folder} --dark URL --percent {asked['percent']:g}",
        f"to end it at once:    touch {state / 'kill'}",
    ):
        click.echo(line, err=True)


def about_bodies(settings: CopySettings) -> list[str]:
    """What becomes of uploads, for people."""
    left_out = [one for one in settings.methods if one not in settings.copied_methods]
    lines = [NOT_COPIED.format(methods=", ".join(left_out))] if left_out else []
    if settings.body_methods:
        return [*lines, BODIES.format(methods=", ".join(settings.body_methods), limit=settings.max_body)]
    return [*lines, NO_BODIES]


def read_includes(folder: Path, asked: dict[str, Any], darks: Sequence[Instance]) -> Included:
    """What the includes in ``folder`` say, and the configuration that has them.

    Raises UsageError where nginx's configuration does not have them, and where one of ``darks`` is production.
    """
    from darktime.split.emit import backends_of, read
    from darktime.split.theirs import includes
    from realtime_core.stack import find_nginx

    settings, about = read(folder)
    nginx, config = find_nginx(asked["nginx"]).path, asked["nginx_conf"] or Path(about["config"])
    missing = includes(nginx, config, [folder / name for name in about["files"]])
    if missing:
        names = ", ".join(path.name for path in missing)
        raise UsageError(
            f"{config} does not include {names} of {folder}: make the change that --emit printed, and reload"
        )
    written, now = backends_of(about), _read_again(nginx, config)
    behind = now if written is None else written if now is None else written.with_those_of(now)
    if behind is None:
        say(
            f"{folder} was written by a release that did not look where production's requests go, so whether a dark instance is "
            "production's own could not be compared: say --production URL, or write the includes again with --emit"
        )
    else:
        _compare(behind, darks, str(config))
    where = f"{config}: {', '.join(about['locations'])}"
    return Included(settings=settings, where=where, hosts=about["hosts"], backends=behind or Backends())


def _read_again(nginx: Path, config: Path) -> Backends | None:
    """The servers behind the mirrored locations as the configuration is now; None where it cannot be parsed here."""
    from darktime.extras import missing
    from darktime.split.backends import of_mirror
    from darktime.split.nginx_blocks import MIRROR
    from darktime.split.theirs import read_theirs

    if missing(["crossplane"]):
        return None
    try:
        return of_mirror(read_theirs(nginx, config, check=False).tree, MIRROR)
    except UsageError:
        return None


def _compare(behind: Backends, darks: Sequence[Instance], config: str) -> None:
    """Raise UsageError where a dark instance is one of production's servers, and say what could not be compared."""
    from darktime.split.instances import refuse_backends

    left = refuse_backends(behind.addresses, darks, where=config)
    left += [f"{text} is decided by each request" for text in behind.unread] if darks else []
    for one in left:
        say(f"whether a dark instance is production's own could not be compared with all of {config}: {one}")


def prove(running: RunningSplit, url: str, say: Callable[[str], None], nth: int = 0) -> None:
    """Send one request of a user who is in, and look for its copy. Raises UsageError when none arrives.

    ``nth``: of another user each time; who has been seen once tells nothing more.
    """
    from darktime.split.probe import arrived, send_probe

    if running.settings.only_listed or running.settings.only:
        say("no copy was looked for: only certain users, or only certain requests, are copied")
        return
    user = send_probe(url, running.settings, nth)
    if user is None:
        say("no copy was looked for: users are told apart by their address, and ours is not production's")
    elif arrived(user, running.settings.secret, running.states):
        say(f"a copy of the request of {user} to {url} has arrived")
    else:
        raise UsageError(
            f"--probe {url}: it was answered, and no copy of it arrived; has nginx been reloaded since the change, is the path "
            "in a mirrored location, does the kill file stand?"
        )
