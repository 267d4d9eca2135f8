"""The private folder of one split: nginx's configuration, both sockets, the secret, levels and leases."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from darktime.errors import UsageError
from darktime.split.workers import workers_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from darktime.split.settings import SplitSettings

SECRET = "secret"  # noqa: S105 - the name of the file
CONFIGURATION = "nginx.conf"
LOCK = "lock"


def prepare(folder: Path, settings: SplitSettings, files: Mapping[str, str]) -> None:
    """Make the folder (0700), write what was rendered and the secret (0600), remove sockets that a killed run left."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    for name in ("level", "lease", "temporary"):
        (folder / name).mkdir(mode=0o700, exist_ok=True)
    for worker in workers_of(settings):
        for path in (worker.relay_socket, worker.sink_socket):
            if path.is_socket():
                path.unlink()
    for name, text in {**files, SECRET: settings.secret + "\n"}.items():
        write_private(folder / name, text)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(text.encode("utf-8", "surrogateescape"))
    draft.replace(path)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder for this process; the kernel lets it go with it. Raises UsageError while another holds it."""
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(
                f"a split runs beside the nginx with the includes of {folder} already: end that first"
            ) from error
        yield


class PrivateFolder:
    """A short private folder for sockets and nginx; the stack removes it after what lives in it has ended."""

    name = "folder"

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="dt-"))

    def kill(self) -> None:
        """Nothing runs here."""

    def stop(self, timeout_s: float = 0.0) -> int:  # noqa: ARG002 - asked for by the stack
        """Remove it."""
        shutil.rmtree(self.path, ignore_errors=True)
        return 0
