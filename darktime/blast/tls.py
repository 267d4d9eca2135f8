"""What TLS needs to know of an instance: whom to trust, and the words for an instance that cannot be."""

from __future__ import annotations

import ssl
from functools import lru_cache
from typing import TYPE_CHECKING

from darktime.errors import UsageError

if TYPE_CHECKING:
    from darktime.blast.settings import Address

ALPN = ["http/1.1"]
# What a server that speaks no TLS answers a ClientHello with, as OpenSSL 1.1, 3.0 and 3.2 name it.
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG"})


@lru_cache(maxsize=16)
def context_of(address: Address) -> ssl.SSLContext:
    """One a process and instance: it holds the trusted certificates. Raises UsageError for a CA file that is none.

    gevent's patch changes what ``wrap_socket`` of it waits with, and nothing about ``wrap_bio``.
    """
    return trusting(address.cacert, insecure=address.insecure)


def trusting(cacert: str | None, *, insecure: bool) -> ssl.SSLContext:
    """For a client that trusts the CA of this file, this machine's without one, or anybody. Raises UsageError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(ALPN)
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif cacert:
        try:
            context.load_verify_locations(cacert)
        except (OSError, ssl.SSLError) as error:
            why = "it holds no certificate in PEM form" if isinstance(error, ssl.SSLError) else error.strerror
            raise UsageError(f"--cacert {cacert}: {why}; name the PEM file of the CA to trust") from error
    else:
        context.load_default_certs()
    return context


def server_name(address: Address) -> str:
    """What the certificate must be for; sent as SNI unless it is a number."""
    return address.host.partition("%")[0]


def refusal_of(error: OSError, address: Address, *, speaks_http: bool = False) -> str:
    """One line: why there is no TLS with this instance, and the remedy. ``speaks_http``: it answered to plain HTTP."""
    where = f"https://{address.authority}"
    if isinstance(error, ssl.SSLCertVerificationError):
        trusted = "" if address.cacert is None else f" by {address.cacert}"
        why = error.verify_message.rstrip(".") or str(error)
        return (
            f"{where}: its certificate does not verify{trusted} ({why}): name the CA that signed it with --cacert FILE, "
            f"or go on without verification with --insecure"
        )
    if speaks_http or (isinstance(error, ssl.SSLError) and error.reason in _NO_TLS):
        return f"{where} speaks no TLS: write http://{address.authority}, or correct the port"
    if isinstance(error, TimeoutError):
        return (
            f"{where} did not finish the TLS handshake in time: see whether it speaks TLS there, or correct --instance"
        )
    reason = getattr(error, "reason", None) or error.strerror or str(error) or "it hung up"
    return f"{where}: the TLS handshake failed ({reason}): see whether it speaks TLS there, or correct --instance"
