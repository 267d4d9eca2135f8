"""Reads the configuration of an nginx that is already there: checked by nginx itself where asked, parsed by crossplane.

Checking is more than reading: ``nginx -t`` and ``-T`` open logs and pid file and make the folders of temporary files, as a
start would. Nothing of the configuration is changed.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from darktime.errors import UsageError
from darktime.split.in_force import places, user_of_workers, worker_connections

if TYPE_CHECKING:
    from darktime.split.in_force import Node, Place

_LIMIT_S: Final = 20.0
_LAST_LINES: Final = 5
_FILE: Final = re.compile(r"^# configuration file (.+):$", re.MULTILINE)
_OPTION: Final = re.compile(r"--([a-z-]+)=(\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Theirs:
    """Their locations, the text of every file that nginx read, who its workers are, and what connections each may have.

    ``tree``: crossplane's, of it all.
    """

    config: Path
    tree: list[Node]
    places: tuple[Place, ...]
    texts: dict[str, str]
    user: str
    worker_connections: int


def read_theirs(nginx: Path, config: Path | None, *, check: bool = True) -> Theirs:
    """Read what ``nginx -T`` takes. Raises UsageError for a configuration that nginx or the parser does not take.

    ``check=False``: nginx is not asked, so that nothing is written at all.
    """
    import crossplane  # noqa: PLC0415 - only who emits needs it

    built = dict(_OPTION.findall(_run([str(nginx), "-V"])))
    config = config or Path(built.get("conf-path", "/etc/nginx/nginx.conf"))
    if check:
        dumped = _FILE.findall(_run([str(nginx), "-T", "-q", "-c", str(config.resolve())]))
    else:
        dumped = [one["file"] for one in crossplane.parse(str(config.resolve()))["config"]]
    parsed = crossplane.parse(str(config.resolve()), combine=True)
    if parsed["status"] != "ok":
        found = parsed["errors"][0]["error"] or "it is no configuration"
        if check:
            raise UsageError(f"{config}: nginx takes it, its parser here does not ({found}); tell us, please")
        raise UsageError(
            f"{config} cannot be read: {found}; mend that first, or run this as a user who may read it all"
        )
    tree = parsed["config"][0]["parsed"]
    log = str(Path(built.get("prefix", "/")) / built.get("http-log-path", "logs/access.log"))
    try:
        texts = {name: Path(name).read_bytes().decode("utf-8", "surrogateescape") for name in dict.fromkeys(dumped)}
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}; run this as a user who may read it") from error
    return Theirs(
        config=config.resolve(),
        tree=tree,
        places=places(tree, log),
        texts=texts,
        user=user_of_workers(tree, built.get("user", "nobody")),
        worker_connections=worker_connections(tree),
    )


def includes(nginx: Path, config: Path, files: list[Path]) -> list[Path]:
    """Those of ``files`` that the configuration does not read. Raises UsageError where nginx refuses it."""
    read = set(_FILE.findall(_run([str(nginx), "-T", "-q", "-c", str(config)])))
    return [file for file in files if str(file) not in read]


def _run(argv: list[str]) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{' '.join(argv)}: {error}; name another with --nginx PATH") from error
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-_LAST_LINES:])
        raise UsageError(
            f"{' '.join(argv)} says no; mend that first, or run this as the user who starts nginx:\n{last}"
        )
    return done.stdout + done.stderr
