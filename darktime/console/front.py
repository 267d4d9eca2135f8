"""The options of a split that starts an nginx of its own: how its clients come, and which instances are production."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darktime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from darktime.split.front import Front
    from darktime.split.production import Production, UpstreamTls
    from realtime_core.stack import Nginx

_FILE = click.Path(path_type=Path, dir_okay=False)
OPTIONS = (
    click.option(
        "--production",
        multiple=True,
        metavar="URL",
        help="Where production's requests go: http(s)://HOST:PORT; several share them.",
    ),
    click.option(
        "--production-cacert", type=_FILE, metavar="FILE", help="https: the CA to trust, in place of this machine's."
    ),
    click.option(
        "--production-name", metavar="NAME", help="https: the name in its certificate, where the URL has none."
    ),
    click.option("--production-insecure", is_flag=True, help="https: verify no certificate of production."),
    click.option(
        "--listen", default="127.0.0.1:8080", metavar="HOST:PORT", help="Where nginx takes production's requests."
    ),
    click.option(
        "--certificate", type=_FILE, metavar="FILE", help="Listen by TLS: the certificate and its issuers, PEM."
    ),
    click.option("--certificate-key", type=_FILE, metavar="FILE", help="Its key, PEM."),
    click.option(
        "--http2/--no-http2", default=None, help="Take HTTP/2 too; with --certificate it does, without it does not."
    ),
)
OF_THE_FRONT = ("certificate", "certificate_key", "http2")


def front_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds them."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def production_asked(asked: dict[str, Any]) -> Production:
    """The production that was asked for. Raises UsageError."""
    from darktime.split.production import production_of

    cacert = asked["production_cacert"]
    return production_of(
        asked["production"],
        name=asked["production_name"],
        cacert=None if cacert is None else cacert.absolute(),
        insecure=asked["production_insecure"],
    )


def reached(production: Production, say: Callable[[str], None]) -> UpstreamTls | None:
    """How TLS is spoken to production, tried with each instance; None where it is not. Raises UsageError."""
    from darktime.split.production_tls import check_tls, machines_cas

    if not production.tls:
        return None
    cacert = None if production.insecure else production.cacert or machines_cas()
    check_tls(production, cacert)
    if cacert is None:
        say(
            f"--production-insecure: NOBODY VERIFIES that {', '.join(production.urls)} is production; who sits between reads and "
            "changes what your users send"
        )
    return production.upstream_tls(cacert)


def front_asked(asked: dict[str, Any], nginx: Nginx, say: Callable[[str], None]) -> Front:
    """How that nginx is to take production's clients. Raises UsageError for files and versions that cannot serve."""
    from darktime.split.certificate import check_certificate
    from darktime.split.front import HTTP2_SWITCH, Front

    certificate, key, http2 = (asked[name] for name in OF_THE_FRONT)
    if certificate is not None and key is not None:
        ends_in_s = check_certificate(certificate, key) - time.time()
        if ends_in_s < min(asked["duration"] or asked["ttl"], asked["ttl"]):
            say(f"the certificate {certificate} ends in {ends_in_s:,.0f} s, before this split does")
        if "http_ssl_module" not in nginx.modules:
            raise UsageError(f"--certificate: {nginx.path} was built without TLS; name another with --nginx PATH")
    wanted = certificate is not None if http2 is None else http2
    if wanted and "http_v2_module" not in nginx.modules:
        if http2:
            raise UsageError(f"--http2: {nginx.path} was built without HTTP/2; name another with --nginx PATH")
        say(f"{nginx.path} was built without HTTP/2: clients get HTTP/1.1")
        wanted = False
    return Front(
        certificate=None if certificate is None else certificate.absolute(),
        certificate_key=None if key is None else key.absolute(),
        http2=wanted,
        http2_by_listen=tuple(int(part) for part in nginx.version.split(".")) < HTTP2_SWITCH,
    )


def refuse_beside_theirs(given: Callable[[str], bool], option: str) -> None:
    """An nginx that is there already has its own front. Raises UsageError for what only one of ours takes."""
    for name in (*OF_THE_FRONT, "production_cacert", "production_name", "production_insecure"):
        if given(name):
            raise UsageError(
                f"--{name.replace('_', '-')} is for an nginx that darktime starts; with {option} yours says how it listens "
                "and whom it asks: leave it out"
            )
