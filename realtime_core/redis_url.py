"""From a URL to a client: of one server, of the primary that sentinels name, or of a cluster's node that holds a name.

``redis://``, ``rediss://`` and ``unix://`` are redis-py's own. ``redis+sentinel://`` and ``rediss+sentinel://`` name up to
sixteen sentinels and what they call the primary:
``redis+sentinel://USER:PASSWORD@HOST:26379,HOST2:26379/SERVICE/0?sentinel_username=…&sentinel_password=…``. User and password
are the primary's; with ``rediss`` primary and sentinels are spoken to by TLS. ``redis+cluster://USER:PASSWORD@HOST:6379,HOST2:6379``
and ``rediss+cluster://`` name up to sixteen nodes of a cluster, of which the others are learnt.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel

from realtime_core.errors import ConfigurationError
from realtime_core.redacted import without_password
from realtime_core.redis_cluster import of_cluster
from realtime_core.several_hosts import split

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from urllib.parse import SplitResult

FORMS: Final = (
    "redis://HOST:PORT/0, rediss://…, unix:///PATH, redis+sentinel://HOST:PORT,HOST2:PORT/SERVICE/0 "
    "or redis+cluster://HOST:PORT,HOST2:PORT"
)
SENTINELS: Final = ("redis+sentinel", "rediss+sentinel")
CLUSTERS: Final = ("redis+cluster", "rediss+cluster")
SENTINEL_PORT: Final = 26_379
PORT: Final = 6_379
MOST_HOSTS: Final = 16
MOST_DATABASE: Final = 1_000_000
_END: Final = re.compile(r"[/?#]")
_OPTIONS: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "protocol")
_SENTINELS_OPTIONS: Final = ("sentinel_username", "sentinel_password", *_OPTIONS)


def connect(url: str, *, answer_s: float, connect_s: float, name: str, called: str = "--redis") -> Redis:
    """A client that does not try again by itself: who uses it waits as it must, and counts. Nothing is sent.

    Behind sentinels each new connection asks them who the primary is, and one to a server that is no primary any more is
    given up: a failover is a few seconds of redis-py's ``ConnectionError``, then the client goes on by itself. So it
    does in a cluster; a call that meets a slot that was moved is made once more, at the other node.

    Args:
        url: one of the forms above.
        answer_s: how long an answer may take.
        connect_s: how long a connection may take; also what a sentinel has for its answer, and a node that is asked for others.
        name: the queue's or ledger's: in a cluster the client is of the node that holds it.
        called: the option or setting that the URL came from, for the message.

    Raises:
        ConfigurationError: the URL is none.
    """
    try:
        _check_login(url)
        parts = split(url)
        if parts.scheme in SENTINELS:
            return _of_sentinels(parts, answer_s, connect_s)
        if is_cluster(url):
            return _of_cluster(parts, answer_s, connect_s, name)
        return Redis.from_url(url, **_limits(answer_s, connect_s))
    except (ValueError, RedisError) as error:
        raise ConfigurationError(f"{called} {without_password(url)}: {error}: write {FORMS}") from error


def is_cluster(url: str) -> bool:
    """Whether names may be at several nodes."""
    return url.partition("://")[0] in CLUSTERS


def check_one_node(url: str, *, queue: str, ledger: str | None, called: str) -> None:
    """Queue and ledger are written together: in a cluster they have to be in one slot, as two of one name are.

    Raises:
        ConfigurationError: the URL is a cluster's, and they have two names. ``called`` is where the ledger's came from.
    """
    if ledger is not None and ledger != queue and is_cluster(url):
        raise ConfigurationError(
            f"{called} {ledger}: in a cluster queue and ledger are at one node if they have one name: call it {queue}"
        )


def _of_sentinels(parts: SplitResult, answer_s: float, connect_s: float) -> Redis:
    service, _, database = parts.path.strip("/").partition("/")
    if not service:
        raise ValueError("it does not say what the sentinels call the primary")
    options = _options(parts, _SENTINELS_OPTIONS)
    login, hosts = _login(parts)
    theirs = {"username": options.pop("sentinel_username", None), "password": options.pop("sentinel_password", None)}
    tls: dict[str, Any] = {"ssl": True} if parts.scheme == "rediss+sentinel" else {}
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        _hosts(hosts, "sentinel", SENTINEL_PORT),
        sentinel_kwargs={**_limits(connect_s, connect_s), **_given(theirs), **tls, **options},
    )
    primary: Redis = sentinels.master_for(  # type: ignore[no-untyped-call]
        unquote(service), db=_database(database), **_limits(answer_s, connect_s), **login, **tls, **options
    )
    return primary


def _of_cluster(parts: SplitResult, answer_s: float, connect_s: float, name: str) -> Redis:
    if parts.path.strip("/") not in ("", "0"):
        raise ValueError(f"database {parts.path.strip('/')!r:.20}: a cluster has 0 alone")
    login, hosts = _login(parts)
    options = _limits(answer_s, connect_s) | login | _options(parts, _OPTIONS)
    nodes = _hosts(hosts, "node", PORT)
    return of_cluster(nodes, name, tls=parts.scheme == "rediss+cluster", options=options)


def _check_login(url: str) -> None:
    """What ends a URL's authority is no part of a password, which would be taken for a host's, and shown."""
    scheme, _, rest = url.partition("://")
    authority, *behind = _END.split(rest, maxsplit=1)
    if scheme != "unix" and "@" not in authority and behind and "@" in behind[0]:
        raise ValueError("a login whose /, ? and # are not written as %2F, %3F and %23")


def _login(parts: SplitResult) -> tuple[dict[str, str], str]:
    """User and password, as far as they are given, and the hosts."""
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    return _given({"username": unquote(user), "password": unquote(password)}), hosts


def _options(parts: SplitResult, known: Sequence[str]) -> dict[str, Any]:
    options: dict[str, Any] = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    for option in options:
        if option not in known:
            raise ValueError(f"{option!r} is no option: there are {', '.join(known)}")
    return options


def _hosts(text: str, what: str, port: int) -> list[tuple[str, int]]:
    """Host and port of each; an IPv6 address stands in brackets."""
    hosts = [host for host in text.split(",") if host]
    if not 1 <= len(hosts) <= MOST_HOSTS:
        raise ValueError(f"{len(hosts)} {what}s: 1 to {MOST_HOSTS}")
    found = []
    for host in hosts:
        one = urlsplit(f"//{host}")
        if one.hostname is None:
            raise ValueError(f"{host!r} is no {what}'s HOST:PORT")
        found.append((one.hostname, one.port or port))
    return found


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
