"""From a URL to a client: of one server, or of the primary that sentinels name.

``redis://``, ``rediss://`` and ``unix://`` are redis-py's own. ``redis+sentinel://`` and ``rediss+sentinel://`` name up to
sixteen sentinels and what they call the primary:
``redis+sentinel://USER:PASSWORD@HOST:26379,HOST2:26379/SERVICE/0?sentinel_username=…&sentinel_password=…``. User and password
are the primary's; with ``rediss`` primary and sentinels are spoken to by TLS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel

from realtime_core.errors import ConfigurationError
from realtime_core.redacted import without_password

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMS: Final = "redis://HOST:PORT/0, rediss://…, unix:///PATH or redis+sentinel://HOST:PORT,HOST2:PORT/SERVICE/0"
SENTINELS: Final = ("redis+sentinel", "rediss+sentinel")
SENTINEL_PORT: Final = 26_379
MOST_SENTINELS: Final = 16
MOST_DATABASE: Final = 1_000_000
_OPTIONS: Final = ("sentinel_username", "sentinel_password", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "protocol")


def connect(url: str, *, answer_s: float, connect_s: float, called: str = "--redis") -> Redis:
    """A client that does not try again by itself: who uses it waits as it must, and counts. Nothing is sent.

    Behind sentinels each new connection asks them who the primary is, and one to a server that is no primary any more is
    given up: a failover is a few seconds of redis-py's ``ConnectionError``, then the client goes on by itself.

    Args:
        url: one of the forms above.
        answer_s: how long an answer may take.
        connect_s: how long a connection may take; also what a sentinel has for its answer.
        called: the option or setting that the URL came from, for the message.

    Raises:
        ConfigurationError: the URL is none.
    """
    try:
        if urlsplit(url).scheme in SENTINELS:
            return _of_sentinels(urlsplit(url), answer_s, connect_s)
        return Redis.from_url(url, **_limits(answer_s, connect_s))
    except (ValueError, RedisError) as error:
        raise ConfigurationError(f"{called} {without_password(url)}: {error}: write {FORMS}") from error


def _of_sentinels(parts: SplitResult, answer_s: float, connect_s: float) -> Redis:
    service, _, database = parts.path.strip("/").partition("/")
    if not service:
        raise ValueError("it does not say what the sentinels call the primary")
    options = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    for name in options:
        if name not in _OPTIONS:
            raise ValueError(f"{name!r} is no option: there are {', '.join(_OPTIONS)}")
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    theirs = {"username": options.pop("sentinel_username", None), "password": options.pop("sentinel_password", None)}
    tls: dict[str, Any] = {"ssl": True} if parts.scheme == "rediss+sentinel" else {}
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        [_sentinel(host) for host in _hosts(hosts)],
        sentinel_kwargs={**_limits(connect_s, connect_s), **_given(theirs), **tls, **options},
    )
    ours = {"username": unquote(user), "password": unquote(password)}
    primary: Redis = sentinels.master_for(  # type: ignore[no-untyped-call]
        unquote(service), db=_database(database), **_limits(answer_s, connect_s), **_given(ours), **tls, **options
    )
    return primary


def _hosts(text: str) -> list[str]:
    hosts = [host for host in text.split(",") if host]
    if not 1 <= len(hosts) <= MOST_SENTINELS:
        raise ValueError(f"{len(hosts)} sentinels: 1 to {MOST_SENTINELS}")
    return hosts


def _sentinel(text: str) -> tuple[str, int]:
    """Host and port of one of them; an IPv6 address stands in brackets."""
    one = urlsplit(f"//{text}")
    if one.hostname is None:
        raise ValueError(f"{text!r} is no sentinel's HOST:PORT")
    return one.hostname, one.port or SENTINEL_PORT


def _database(text: str) -> int:
    if not text:
        return 0
    if not text.isascii() or not text.isdecimal() or int(text) > MOST_DATABASE:
        raise ValueError(f"database {text!r}: a number from 0 to {MOST_DATABASE:,}")
    return int(text)


def _limits(answer_s: float, connect_s: float) -> dict[str, Any]:
    return {"socket_timeout": answer_s, "socket_connect_timeout": connect_s, "retry": Retry(NoBackoff(), 0)}


def _given(login: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in login.items() if value}
