"""The change of an nginx configuration that is already there: where its includes go, as a diff, and how it is taken back. Pure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from darktime.split.config_text import Insertion, diff, insert
from darktime.split.include import HTTP
from darktime.split.settings import safe_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from darktime.split.in_force import Place, Spot

DIFF: Final = "darktime.diff"
STATE: Final = "state"
# What is shown where nobody has said which configuration it is.
_ANY_FILE: Final = "nginx.conf"
_ANY: Final = """\
http {
    server {
        server_name www.example.org;
        location / {
            proxy_pass http://production;
        }
    }
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What would change. ``config``: None where it is only an example. ``diff``: for ``patch``. The rest are commands."""

    config: str | None
    folder: str
    locations: tuple[str, ...]
    diff: str
    make: str
    take_back: str
    end_at_once: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "config": self.config,
            "folder": self.folder,
            "locations": list(self.locations),
            "diff": self.diff,
            "make": self.make,
            "take_back": self.take_back,
            "end_at_once": self.end_at_once,
        }


def named(chosen: Sequence[Place]) -> Iterator[tuple[Place, str, str]]:
    """Each location with the file of its server's include, and of its own."""
    servers: dict[tuple[str, int], str] = {}
    for number, place in enumerate(chosen, 1):
        at = (place.server_at.file, place.server_at.line)
        server = servers.setdefault(at, f"darktime.server-{len(servers) + 1}.conf")
        yield place, server, f"darktime.location-{number}.conf"


def diff_of(folder: Path, texts: Mapping[str, str], chosen: Sequence[Place]) -> str:
    """What the includes of ``folder`` change in these files. Raises UsageError for a folder that cannot be written there."""

    def put(spot: Spot, name: str) -> Insertion:
        text = f"include {safe_path(folder / name, 'folder')};"
        return Insertion(file=spot.file, line=spot.line, words=spot.words, text=text)

    insertions = [
        put(spot, name)
        for place, server, location in named(chosen)
        for spot, name in ((place.http_after, HTTP), (place.server_at, server), (place.at, location))
    ]
    return diff(texts, insert(texts, insertions))


def change_of(folder: Path, texts: Mapping[str, str], chosen: Sequence[Place], *, nginx: Path, config: Path) -> Change:
    """The change of that configuration, which that nginx reads. Raises UsageError."""
    return _change(
        folder,
        diff_of(folder, texts, chosen),
        [place.name for place in chosen],
        commands(folder, nginx, config),
        config,
    )


def any_change(folder: Path) -> Change:
    """The same for an example: the three lines, and where each belongs. Raises UsageError."""
    insertions = [
        Insertion(file=_ANY_FILE, line=line, words=words, text=f"include {safe_path(folder / name, 'folder')};")
        for line, words, name in (
            (1, ("http",), HTTP),
            (2, ("server",), "darktime.server-1.conf"),
            (4, ("location", "/"), "darktime.location-1.conf"),
        )
    ]
    texts = {_ANY_FILE: _ANY}
    return _change(folder, diff(texts, insert(texts, insertions)), ["www.example.org /"], commands(folder), None)


def _change(
    folder: Path, text: str, locations: Sequence[str], make_and_back: tuple[str, str], config: Path | None
) -> Change:
    return Change(
        config=None if config is None else str(config),
        folder=str(folder),
        locations=tuple(locations),
        diff=text,
        make=make_and_back[0],
        take_back=make_and_back[1],
        end_at_once=f"touch {shlex.quote(str(folder / STATE / 'kill'))}",
    )


def commands(folder: Path, nginx: Path | str = "nginx", config: Path | None = None) -> tuple[str, str]:
    """The lines for a shell that make the change of ``folder``, and take it back: patched, checked, reloaded."""
    change = shlex.quote(str(folder / DIFF))
    asked = shlex.quote(str(nginx))
    which = f" -c {shlex.quote(str(config))}" if config else ""
    take = f"{asked} -t{which} && {asked} -s reload{which}"
    return f"patch -p0 -d / < {change} && {take}", f"patch -R -p0 -d / < {change} && {take}"
