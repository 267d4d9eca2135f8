"""TLS for a server: a certificate of its own, made at the start by the openssl program, and links that shake hands."""

from __future__ import annotations

import ssl
import subprocess
from typing import TYPE_CHECKING

from tests.darktime.blast.servers.links import AGAIN, Link

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from tests.darktime.blast.servers.door import Door


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and localhost, and its key. Raises FileNotFoundError without openssl."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost "
        "-addext subjectAltName=IP:127.0.0.1,DNS:localhost"
    )
    subprocess.run(
        [*command.split(), "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True, timeout=20
    )
    return certificate, key


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """What connections are wrapped with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


class TlsLink(Link):
    """A link whose first exchanges are the handshake."""

    __slots__ = ("_shaken",)

    def __init__(self, door: Door, sock: socket.socket, number: int) -> None:
        assert door.tls is not None
        wrapped = door.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        super().__init__(door, wrapped, number)
        self._shaken = False

    def _read(self) -> None:
        if not self._shaken and not self._shake():
            return
        while not self.closed:  # what TLS has decrypted already is not seen by epoll
            data = self._received()
            if data is None:
                return
            self._take(data)

    def _shake(self) -> bool:
        assert isinstance(self.sock, ssl.SSLSocket)
        try:
            self.sock.do_handshake()
        except AGAIN:
            return False
        except (OSError, ValueError):
            self.door.service.counts["handshakes_failed"] += 1
            self.close()
            return False
        self._shaken = True
        return True
