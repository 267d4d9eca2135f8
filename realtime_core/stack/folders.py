"""The private folders that children keep their logs, data and sockets in."""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path

from realtime_core.errors import ConfigurationError

PRIVATE = 0o700
# A unix socket's path has at most 107 bytes, which a folder deep in somebody's home may exceed by itself.
SOCKET_ROOT = "/tmp"  # noqa: S108 - mkdtemp makes the folder in it private and new


def private_folder(path: Path) -> Path:
    """Make ``path`` with mode 0700, or take it as it is if it is private and writable; its parent must exist.

    Raises:
        ConfigurationError: something else stands there, others may look into it, or it cannot be made.
    """
    path = path.absolute()
    try:
        path.mkdir(mode=PRIVATE, exist_ok=True)
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & ~PRIVATE:
            raise ConfigurationError(
                f"the folder {path} is open to others (mode {mode:04o}): chmod 700 it, or name one that does not exist"
            )
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise ConfigurationError(
            f"the folder {path} cannot be used ({error.strerror}): name a folder that can be made and written, "
            "in a folder that exists"
        ) from error
    return path


def temporary_folder(root: str | None = None) -> Path:
    """A new private folder with a short name; who asks for it removes it.

    Raises:
        ConfigurationError: the place for temporary files is full or not writable.
    """
    try:
        return Path(tempfile.mkdtemp(prefix="dt-", dir=root))
    except OSError as error:
        raise ConfigurationError(
            f"no temporary folder can be made in {root or tempfile.gettempdir()} ({error.strerror}): free space there "
            "or make it writable"
        ) from error
