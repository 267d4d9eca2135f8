"""Certificates for the splitter's tests, made by the openssl program: a CA of its own, and what it issues."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

_LATER = """\
[ca]
default_ca = later
[later]
new_certs_dir = {folder}
database = {folder}/index
serial = {folder}/serial
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = supplied
"""
_EC = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"


class Authority:
    """A CA. ``cacert``: its certificate, for who trusts it."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("needs the openssl program")
        self._folder = folder
        self._made = 0
        self.cacert, self._key = folder / "ca.pem", folder / "ca.key"
        openssl(
            f"req -x509 {_EC} -days 2 -subj /CN=darktime-tests -addext basicConstraints=critical,CA:TRUE",
            *("-keyout", self._key, "-out", self.cacert),
        )

    def issue(
        self,
        *names: str,
        days: int = 2,
        usage: str = "serverAuth",
        issuer: bool = False,
        by: tuple[Path, Path] | None = None,
    ) -> tuple[Path, Path]:
        """A certificate for these names (``DNS:…``, ``IP:…``), and its key; ``issuer``: which may issue others as ``by``."""
        cacert, cakey = by or (self.cacert, self._key)
        self._made += 1
        certificate, key, request = (self._folder / f"{self._made}.{kind}" for kind in ("pem", "key", "csr"))
        extensions = [f"subjectAltName={','.join(names)}", f"extendedKeyUsage={usage}"]
        extensions += ["basicConstraints=critical,CA:TRUE"] if issuer else []
        added = [word for one in extensions for word in ("-addext", one)]
        openssl(f"req {_EC} -subj /CN=tests-{self._made}", *added, "-keyout", key, "-out", request)
        openssl(
            f"x509 -req -days {days} -copy_extensions copy",
            *("-in", request, "-CA", cacert, "-CAkey", cakey, "-out", certificate),
        )
        return certificate, key

    def issue_for_later(self, *names: str) -> tuple[Path, Path]:
        """One that is not valid before the year 2090."""
        certificate, key = self.issue(*names)
        (self._folder / "index").touch()
        config = self._folder / "ca.conf"
        config.write_text(_LATER.format(folder=self._folder))
        openssl(
            f"ca -batch -config {config} -startdate 20900101000000Z -enddate 20910101000000Z -create_serial",
            *("-in", certificate.with_suffix(".csr"), "-cert", self.cacert, "-keyfile", self._key, "-out", certificate),
        )
        return certificate, key

    def issue_by_two(self, *names: str) -> tuple[Path, Path]:
        """The same by an issuer whose issuer is the CA's: two certificates more come with it."""
        one = self.issue("DNS:one.example", issuer=True)
        two = self.issue("DNS:two.example", issuer=True, by=one)
        certificate, key = self.issue(*names, by=two)
        certificate.write_text("".join(path.read_text() for path in (certificate, two[0], one[0])))
        return certificate, key


def openssl(words: str, *more: str | Path) -> None:
    """Run it."""
    subprocess.run(["openssl", *words.split(), *map(str, more)], check=True, capture_output=True, timeout=20)
