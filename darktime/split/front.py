"""How production's clients reach the nginx that a split runs: plain or by TLS, HTTP/1 alone or HTTP/2 too. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from darktime.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

# From here on HTTP/2 is a switch of the server, and a plain port tells HTTP/1 and HTTP/2 apart by how a client begins.
HTTP2_SWITCH: Final = (1, 25, 1)
# nginx counts a stream until its mirror has ended, and refuses what is beyond. At its own limit, 128, a client that keeps so many
# open would now and then be ahead of the relay; browsers open 256 at the most.
STREAMS: Final = 512
FORWARDED_PROTO: Final = "X-Forwarded-Proto"


def spellings(name: str) -> list[str]:
    """All names that may be taken for this one, itself first: nginx passes _ in names on, and to WSGI, CGI and others - is _."""
    parts = name.split("-")
    found = [parts[0]]
    for part in parts[1:]:
        found = [f"{one}{sign}{part}" for one in found for sign in "-_"]
    return found


def is_forwarded_proto(name: str) -> bool:
    """Whether a server may take a header of this name for ``X-Forwarded-Proto``."""
    return name.lower().replace("_", "-") == FORWARDED_PROTO.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """``certificate``, ``certificate_key``: PEM files; without them nothing is encrypted.

    ``http2``: offered by ALPN with TLS; without TLS to clients that begin with it (prior knowledge). ``http2_by_listen``: the
    nginx is older than ``HTTP2_SWITCH``.
    """

    certificate: Path | None = None
    certificate_key: Path | None = None
    http2: bool = False
    http2_by_listen: bool = False

    def __post_init__(self) -> None:
        """Raise UsageError for what cannot be."""
        if (self.certificate is None) != (self.certificate_key is None):
            said, missing = ("--certificate", "--certificate-key")[:: 1 if self.certificate else -1]
            raise UsageError(f"{said} goes with {missing}: name both files, or neither")
        if self.http2 and self.http2_by_listen and not self.tls:
            raise UsageError(
                f"--http2 without a certificate takes nginx {'.'.join(map(str, HTTP2_SWITCH))} or newer: an older one would take "
                "no HTTP/1 at that address any more; name a newer one with --nginx PATH, or a --certificate"
            )

    @property
    def tls(self) -> bool:
        """Whether clients come by TLS."""
        return self.certificate is not None

    @property
    def scheme(self) -> str:
        """Of the URL at which nginx listens."""
        return "https" if self.tls else "http"

    def address(self, listen: str) -> str:
        """Where that is, for people: HOST:PORT, or its URL where clients come by TLS."""
        return f"https://{listen}" if self.tls else listen

    def listen_lines(self, listen: str) -> str:
        """The server's directives that make it so; ``listen``: HOST:PORT."""
        flags = (" ssl" if self.tls else "") + (" http2" if self.http2 and self.http2_by_listen else "")
        lines = [f"listen {listen}{flags};"]
        if self.http2 and not self.http2_by_listen:
            lines.append("http2 on;")
        if self.http2:
            lines.append(f"http2_max_concurrent_streams {STREAMS};")
        if self.tls:
            lines += [
                f"ssl_certificate {self.certificate};",
                f"ssl_certificate_key {self.certificate_key};",
                # An older nginx would offer TLS 1.0 and 1.1, and not 1.3.
                "ssl_protocols TLSv1.2 TLSv1.3;",
                # A handshake costs more than a request: who comes back need not make a whole one.
                "ssl_session_cache shared:darktime_front:10m;",
            ]
        return "".join(f"  {line}\n" for line in lines)

    def passed_lines(self, indent: str = "  ") -> str:
        """What production is told: that its client came by TLS, which it cannot see. Never what the client says of it."""
        if not self.tls:
            return ""
        others = "".join(f'{indent}proxy_set_header {name} "";\n' for name in spellings(FORWARDED_PROTO)[1:])
        return f"{indent}proxy_set_header {FORWARDED_PROTO} {self.scheme};\n{others}"
