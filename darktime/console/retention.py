"""Which runs in ``runs/`` are removed, and when: ours, a week after their last change, once no process of theirs lives.

Whether one lives is told by a lock on the folder, which the kernel lets go with its process, however that ends. A run that
was killed has no results, and the requests of users all the same: it goes like any other.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from pathlib import Path

KEPT_S: Final = 7 * 24 * 3600
NAME_TIME: Final = "%Y-%m-%dT%H-%M-%SZ"
# Nobody else's folders are called so; what a user names himself, with --out, stays.
_OURS: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}-[0-9]{2}-[0-9]{2}Z-[a-z]+")


def hold(folder: Path) -> None:
    """Say that a process of this run lives: this one, until it ends. Not where the file system knows no locks."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)  # left open on purpose, and closed by the kernel
    with suppress(OSError):
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)


def remove_old(runs: Path) -> None:
    """Remove what is older than a week: recorded traffic is not for ever."""
    try:
        there = [path for path in runs.iterdir() if _OURS.fullmatch(path.name)]
    except FileNotFoundError:
        return
    for folder in there:
        try:
            if not folder.is_symlink() and folder.is_dir() and time.time() - _changed(folder) > KEPT_S:
                _remove(folder)
        except FileNotFoundError:  # another run that begins was faster
            continue
        except OSError as error:
            click.echo(f"{folder} is older than a week and cannot be removed: {error.strerror}; remove it", err=True)


def _changed(folder: Path) -> float:
    """When anything in it changed last."""
    return max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))


def _remove(folder: Path) -> None:
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    except BlockingIOError:  # its process lives
        return
    finally:
        os.close(held)
