"""Whether production would be reached by TLS: each instance is asked as nginx will ask it, before any user is."""

from __future__ import annotations

import os
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final

from darktime.errors import UsageError

if TYPE_CHECKING:
    from darktime.split.production import Production

LIMIT_S: Final = 5.0
# Where systems keep the CAs that they trust, in one file; nginx reads no folder of them.
_BUNDLES: Final = (
    "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem",
)  # fmt: skip


def machines_cas() -> Path:
    """The file of CAs that this machine trusts; ``SSL_CERT_FILE`` comes first, as everywhere. Raises UsageError."""
    named = (os.environ.get("SSL_CERT_FILE"), ssl.get_default_verify_paths().cafile, *_BUNDLES)
    for path in (Path(one) for one in named if one):
        if path.is_file():
            return path.absolute()
    raise UsageError("no file of CAs found on this machine: name one with --production-cacert FILE")


def check_tls(production: Production, cacert: Path | None) -> None:
    """Shake hands with every instance, and verify it as nginx will. ``cacert``: the file it trusts; None: it verifies nothing.

    Raises:
        UsageError: an instance does not speak TLS, or its certificate is not accepted; the message says why and what to do.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cacert is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        try:
            context.load_verify_locations(cafile=cacert)
        except OSError as error:
            raise UsageError(
                f"--production-cacert {cacert}: {_why(error)}; name a file of certificates in PEM"
            ) from error
    for one in production.instances:
        try:
            with (
                socket.create_connection((one.host, one.port), timeout=LIMIT_S) as link,
                context.wrap_socket(link, server_hostname=production.tls_name or None),
            ):
                pass
        except ssl.SSLCertVerificationError as error:
            raise UsageError(
                f"production {one.url}: its certificate is not accepted ({error.verify_message.rstrip('.')}); name its CA with "
                "--production-cacert FILE, the name in it with --production-name NAME, or verify nothing with "
                "--production-insecure"
            ) from error
        except OSError as error:  # SSLError is one
            raise UsageError(
                f"production {one.url}: no TLS there ({_why(error)}); write http://, or name the port that speaks TLS"
            ) from error


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return error.strerror or str(error)
