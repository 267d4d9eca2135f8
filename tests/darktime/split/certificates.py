"""Certificates for the splitter's tests, made by the openssl program: a CA of its own, and what it issues."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_EC = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"


class Authority:
    """A CA. ``cacert``: its certificate, for who trusts it."""

    def __init__(self, folder: Path, *, days: int = 2) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("needs the openssl program")
        self._folder = folder
        self._made = 0
        self.cacert, self._key = folder / "ca.pem", folder / "ca.key"
        openssl(
            f"req -x509 {_EC} -days {days} -subj /CN=darktime-tests -addext basicConstraints=critical,CA:TRUE",
            *("-keyout", self._key, "-out", self.cacert),
        )

    def issue(self, *names: str, days: int = 2, usage: str = "serverAuth") -> tuple[Path, Path]:
        """A certificate for these names (``DNS:…``, ``IP:…``), and its key."""
        self._made += 1
        certificate, key, request = (self._folder / f"{self._made}.{kind}" for kind in ("pem", "key", "csr"))
        extensions = (f"subjectAltName={','.join(names)}", f"extendedKeyUsage={usage}")
        added = [word for one in extensions for word in ("-addext", one)]
        openssl(f"req {_EC} -subj /CN=tests", *added, "-keyout", key, "-out", request)
        openssl(
            f"x509 -req -days {days} -copy_extensions copy",
            *("-in", request, "-CA", self.cacert, "-CAkey", self._key, "-out", certificate),
        )
        return certificate, key


def openssl(words: str, *more: str | Path) -> None:
    """Run it."""
    subprocess.run(["openssl", *words.split(), *map(str, more)], check=True, capture_output=True, timeout=20)
