"""Writes the includes for an nginx that is already there, the change as a diff, and what the split that joins it must know.

What it writes is all in one folder; the user's own files are only read.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pwd
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from darktime.errors import UsageError
from darktime.split.backends import PASSING, Backends, of_places
from darktime.split.change import DIFF, STATE, diff_of, named
from darktime.split.copied_paths import EXCLUDED
from darktime.split.folder import SECRET, alone, write_private
from darktime.split.include import HTTP, http_include, location_include, server_include
from darktime.split.settings import CopySettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from darktime.split.in_force import Place
    from darktime.split.theirs import Theirs

VERSION: Final = 1
ABOUT: Final = "include.json"
_MOST_NAMED: Final = 12
_HOST: Final = re.compile(r"[A-Za-z0-9.-]{1,253}")  # no pattern


def choose(found: Sequence[Place], wanted: Sequence[str]) -> tuple[Place, ...]:
    """The locations that ``wanted`` names (``SERVER LOCATION``), or all that pass requests on where there is one server.

    Raises UsageError for a name that none has, where a name must be said, and where nothing would be left.
    """
    passing = [place for place in found if place.answers in PASSING and "internal" not in place.has]
    names = ", ".join(f"'{place.name}'" for place in passing[:_MOST_NAMED]) or "none that passes requests on"
    if not wanted:
        if len({(place.server_at.file, place.server_at.line) for place in passing}) != 1:
            raise UsageError(f"say which locations are to be mirrored, each with --location; there are {names}")
        logged = tuple(place for place in passing if not place.log_off)
        if not logged:
            raise UsageError(
                f"access_log off is in force at {names}, so that nothing of it could be compared; write 'access_log /dev/null;' "
                "in its place"
            )
        return logged
    chosen = []
    for name in wanted:
        fitting = [
            place for place in found if name in {f"{one} {place.location}" for one in place.server_names or ("_",)}
        ]
        if not fitting:
            raise UsageError(f"--location '{name}': there is none; there are {names}")
        chosen += fitting
    for place in chosen:
        if place.log_off:
            raise UsageError(
                f"--location '{place.name}': access_log off is in force there, so that nothing of it could be compared; "
                "write 'access_log /dev/null;' in its place"
            )
        if place.location.startswith("@"):
            raise UsageError(f"--location '{place.name}': a named location is entered from others; name those")
    return tuple(chosen)


def emit(folder: Path, settings: CopySettings, theirs: Theirs, chosen: Sequence[Place]) -> str:
    """Write the includes and all else into ``folder``; the change as a diff. Raises UsageError."""
    refuse_included(folder, theirs)
    if settings.body_methods:
        _refuse_unread(chosen)
    state = folder / STATE
    files: dict[str, str] = {HTTP: http_include(settings)}
    for place, server, location in named(chosen):
        files[server] = server_include(settings, state, place)
        files[location] = location_include(settings, place)
    change = diff_of(folder, theirs.texts, chosen)
    about = {
        "version": VERSION,
        "config": str(theirs.config),
        "files": sorted(files),
        "locations": [place.name for place in chosen],
        "hosts": sorted({name for place in chosen for name in place.server_names if _HOST.fullmatch(name)}),
        "settings": _plain(settings),
        "backends": of_places(theirs.tree, chosen).to_dict(),
    }
    prepare(folder, settings.run_as)
    files |= {DIFF: change, SECRET: settings.secret + "\n", ABOUT: json.dumps(about, indent=1)}
    with alone(folder):
        for name, text in files.items():
            write_private(folder / name, text)
    return change


def refuse_included(folder: Path, theirs: Theirs) -> None:
    """Raise UsageError where their configuration has includes of that folder already."""
    if any(folder in Path(name).parents for name in theirs.texts):
        change = shlex.quote(str(folder / DIFF))
        raise UsageError(
            f"{theirs.config} has includes of {folder} already: take them back first, patch -R -p0 -d / < {change}"
        )


def _refuse_unread(chosen: Sequence[Place]) -> None:
    """Raise UsageError where a copy could not have its body without a change of what their own mirrors send."""
    for place in chosen:
        own = "mirror" in place.has or "mirror_request_body" in place.has
        if not place.mirror_reads and (own or place.mirrors):
            raise UsageError(
                f"--copy-bodies: mirror_request_body off is in force at '{place.name}', whose mirrors are yours; leave "
                "--copy-bodies out, or that location"
            )
        if place.body_set:
            raise UsageError(
                f"--copy-bodies: a proxy_set_body is in force at the server of '{place.name}', so that copies would have that "
                "body; move it into the locations that need it, or leave --copy-bodies out"
            )


def prepare(folder: Path, user: str | None) -> None:
    """Make the folder, and the state that nginx's workers look into: they may reach the files in it, and list nothing."""
    if user is not None and user != "root" and os.geteuid() == 0:
        above = [path for path in folder.resolve().parents if path.exists()]
        closed = next((path for path in above if not _may_pass(path, user)), None)
        if closed is not None:
            raise UsageError(
                f"{folder}: nginx's workers ({user}) cannot pass {closed}; choose a folder that they can reach"
            )
    for path in (folder, folder / STATE, folder / STATE / "level", folder / STATE / "lease"):
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o711)


def read(folder: Path) -> tuple[CopySettings, dict[str, Any]]:
    """What ``emit`` wrote into the folder: the settings, and all of ``include.json``. Raises UsageError."""
    try:
        about: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        if about["version"] != VERSION:
            raise UsageError(
                f"{folder / ABOUT} is of version {about['version']}, this release reads {VERSION}: emit it again"
            )
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in about["settings"].items()
        }
        if "unless_named" not in values and values["excluded"][: len(EXCLUDED)] == EXCLUDED:
            values["excluded"] = values["excluded"][len(EXCLUDED) :]
        for name in ("relay_socket", "sink_socket"):
            values[name] = Path(values[name])
        return CopySettings(**values, secret=(folder / SECRET).read_text(encoding="utf-8").strip()), about
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder} holds no includes of ours ({error}): write them with --emit {folder}") from error


def backends_of(about: dict[str, Any]) -> Backends | None:
    """The servers behind the mirrored locations, as they were; None in a file of a release that did not look."""
    told = about.get("backends")
    return None if told is None else Backends(addresses=tuple(told["addresses"]), unread=tuple(told["unread"]))


def _plain(settings: CopySettings) -> dict[str, Any]:
    values = {one.name: getattr(settings, one.name) for one in dataclasses.fields(settings) if one.name != "secret"}
    # What releases before have no field for is left out where it can be, so that they read it too.
    if not settings.more_log_ports:
        del values["more_log_ports"]
    if settings.unless_named == EXCLUDED:
        values["excluded"] = (*EXCLUDED, *settings.excluded)
        del values["unless_named"]
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


def _may_pass(path: Path, user: str) -> bool:
    try:
        entry, status = pwd.getpwnam(user), path.stat()
    except (KeyError, OSError):
        return False
    bit = 0o100 if status.st_uid == entry.pw_uid else 0o010 if status.st_gid == entry.pw_gid else 0o001
    return bool(status.st_mode & bit)
