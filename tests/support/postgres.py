"""A PostgreSQL of the session's own: a cluster in a private folder, on a unix socket only, that promises no durability."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.engines import require_engine
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

SUPERUSER = "postgres"
SETTINGS = (
    "listen_addresses=",
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=off",
    "shared_buffers=16MB",
    "max_connections=60",
    "autovacuum=off",
    "dynamic_shared_memory_type=mmap",
)


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running cluster; ``folder`` holds its socket."""

    folder: Path

    def database(self, name: str = "postgres") -> dict[str, Any]:
        """What Django's DATABASES needs."""
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": name,
            "USER": SUPERUSER,
            "HOST": str(self.folder),
        }


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One cluster for the session's process; the postmaster is a child of this process and is ended with it."""
    programs = require_engine("postgresql").parent
    folder = Path(tempfile.mkdtemp(prefix="darktime-postgres-"))
    # It refuses to run as root; the Debian package makes a user for it.
    as_user: dict[str, Any] = {}
    if os.getuid() == 0:
        its = pwd.getpwnam(SUPERUSER)
        os.chown(folder, its.pw_uid, its.pw_gid)
        as_user = {"user": its.pw_uid, "group": its.pw_gid, "extra_groups": []}
    data = folder / "data"
    words = [
        programs / "initdb",
        "-D",
        data,
        "-U",
        SUPERUSER,
        "-A",
        "trust",
        "--no-sync",
        "-E",
        "UTF8",
        "--locale",
        "C",
    ]
    try:
        subprocess.run(words, cwd=folder, check=True, capture_output=True, timeout=60, **as_user)
        server = [programs / "postgres", "-D", data, "-k", folder, *[word for one in SETTINGS for word in ("-c", one)]]
        with (
            (folder / "log").open("wb") as log,
            subprocess.Popen(server, cwd=folder, stdout=log, stderr=log, **as_user) as process,
        ):
            try:
                ready = [programs / "pg_isready", "-q", "-h", folder]
                wait_until(
                    lambda: (
                        process.poll() is not None or subprocess.run(ready, check=False, timeout=20).returncode == 0
                    ),
                    timeout_s=20,
                    what="PostgreSQL",
                )
                assert process.poll() is None, (folder / "log").read_text()
                yield Postgres(folder)
            finally:
                process.send_signal(signal.SIGQUIT)
                process.wait(20)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
