"""Whether a certificate and its key would serve, before anything starts: read, matched, and tried in a handshake in memory."""

from __future__ import annotations

import re
import ssl
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from darktime.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

_MOST_BYTES: Final = 1_048_576
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_KEY: Final = re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----")
_LOCKED: Final = re.compile(r"-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED")
_TURNS: Final = 8  # a handshake in memory takes three
_NOT_YET, _EXPIRED = 9, 10  # X509_V_ERR_…, of OpenSSL


def check_certificate(certificate: Path, key: Path) -> float:
    """Until when the certificate in the one file is valid, in seconds UTC; its key is in the other.

    Raises:
        UsageError: a file cannot be read or is no PEM, the key is locked or another's, the certificate or one of those
            that come with it is not valid now or is for something else. The message names the file and the remedy.
    """
    chain = _CERTIFICATE.findall(_read(certificate, "--certificate"))
    if not chain:
        raise UsageError(
            f"--certificate {certificate}: no certificate in PEM is in it; name a file that has BEGIN CERTIFICATE, the server's "
            "first, then those of its issuers (from DER: openssl x509 -inform der)"
        )
    text = _read(key, "--certificate-key")
    if _LOCKED.search(text):
        raise UsageError(
            f"--certificate-key {key}: it is locked by a passphrase, and nobody will be there to type it; "
            f"unlock a copy: openssl pkey -in {key} -out unlocked.pem"
        )
    if not _KEY.search(text):
        raise UsageError(
            f"--certificate-key {key}: no private key in PEM is in it; name a file that has BEGIN PRIVATE KEY"
        )
    server = _loaded(certificate, key)
    ends = _tried(server, chain[0], certificate)
    for issuer in chain[1:]:
        _check_issuer(issuer, certificate)
    return ends


def _read(path: Path, option: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"{option} {path}: {error.strerror}; name a file that the user who runs this may read"
        ) from error
    if len(content) > _MOST_BYTES:
        raise UsageError(f"{option} {path}: more than {_MOST_BYTES:,} bytes; name the file with the PEM")
    return content.decode("latin-1")


def _loaded(certificate: Path, key: Path) -> ssl.SSLContext:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        server.load_cert_chain(certificate, key, password=lambda: b"")
    except ssl.SSLError as error:
        if error.reason in {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"}:
            raise UsageError(
                f"--certificate-key {key} is not the key of the first certificate in --certificate {certificate}; name the key "
                "that belongs to it, or put the server's own certificate first"
            ) from error
        raise UsageError(
            f"--certificate {certificate}, --certificate-key {key}: not readable as PEM ({error.reason or error}); look at them "
            f"with openssl x509 -in {certificate} -text, openssl pkey -in {key} -check"
        ) from error
    return server


def _tried(server: ssl.SSLContext, leaf: str, certificate: Path) -> float:
    """Until when it is valid, as a client sees it who trusts it and nothing else."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False  # which names lead here only the client knows
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cadata=leaf)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    one, other = client.wrap_bio(down, up), server.wrap_bio(up, down, server_side=True)
    try:
        for _ in range(_TURNS):
            for end in (one, other):
                with suppress(ssl.SSLWantReadError):
                    end.do_handshake()
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in {_NOT_YET, _EXPIRED}:
            when = "has expired" if error.verify_code == _EXPIRED else "is not valid yet"
            raise UsageError(f"--certificate {certificate}: it {when}; {_RENEW}") from error
        raise UsageError(
            f"--certificate {certificate}: no client would take it ({error.verify_message}); name a server's certificate"
        ) from error
    except ssl.SSLError as error:
        raise UsageError(
            f"--certificate {certificate}: no client would take it ({error.reason}); name another"
        ) from error
    told = one.getpeercert() or {}
    return ssl.cert_time_to_seconds(str(told["notAfter"]))


_RENEW: Final = "renew it, or set this machine's clock"


def _check_issuer(pem: str, certificate: Path) -> None:
    """Refuse an issuer's certificate whose time is over: clients would refuse the server's with it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=pem)
    except ssl.SSLError as error:
        raise UsageError(
            f"--certificate {certificate}: one that comes with it is not readable as PEM ({error.reason}); take it from the issuer"
        ) from error
    for told in context.get_ca_certs():
        if ssl.cert_time_to_seconds(str(told["notAfter"])) < time.time():
            raise UsageError(f"--certificate {certificate}: an issuer's in the same file has expired; {_RENEW}")
