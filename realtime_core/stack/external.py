"""A Redis or Valkey that somebody else runs, named by its URL: whether the core can live on it."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from typing import Any

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, InvalidResponse, ResponseError
from redis.retry import Retry

from realtime_core.errors import ConfigurationError
from realtime_core.redacted import without_password

MINIMUM = (6, 2)
_WRITE = "return redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])"
_PASSWORD = "write redis://USER:PASSWORD@HOST:PORT/0"  # noqa: S105 - a sentence
_PROBE_MS = 10_000  # then it is gone even if nobody removes it
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalValkey:
    """A server that was asked and can be used. ``warnings`` say what about its settings may lose data."""

    url: str
    version: str
    warnings: tuple[str, ...]

    def client(self, **options: Any) -> Redis:
        """A new client; ``options`` are redis-py's. Who asks for it closes it."""
        return Redis.from_url(self.url, **options)


def external_valkey(url: str, *, name: str = "preflight", timeout_s: float = 3.0) -> ExternalValkey:
    """Ask the server at ``url`` (``redis://``, ``rediss://`` or ``unix://``) whether it can be used.

    It is asked to write, as the core does: by a script, under a key with ``{name}`` in it, which is removed at once.

    Raises:
        ConfigurationError: the URL is none, nobody answers, the server refuses (a password, a command, a write), is no
            Redis, or is older than 6.2.
    """
    shown = without_password(url)
    retry = Retry(NoBackoff(), 0)
    try:
        client = Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=retry)
    except ValueError as error:
        raise ConfigurationError(f"{shown} is no URL of a Redis ({error}): write redis://HOST:PORT/0") from error
    with client:
        try:
            client.ping()
            version = str(client.info("server").get("redis_version", ""))
        except (RedisError, OSError, UnicodeError) as error:
            raise ConfigurationError(f"{shown}: {_refusal(error)}") from error
        if _numbers(version) >= MINIMUM:
            _try_to_write(client, name, shown)
        warnings = _warnings(client)
    if _numbers(version) < MINIMUM:
        raise ConfigurationError(
            f"{shown} is version {version or 'unknown'}; 6.2 is the oldest that will do: update it or name another"
        )
    for warning in warnings:
        log.warning("%s: %s", shown, warning)
    return ExternalValkey(url=url, version=version, warnings=warnings)


def _try_to_write(client: Redis, name: str, shown: str) -> None:
    key = f"probe:{{{name}}}:{secrets.token_hex(4)}"
    try:
        client.eval(_WRITE, 1, key, _PROBE_MS)
        client.unlink(key)
    except (RedisError, OSError) as error:
        text = str(error).partition(" script:")[0].rstrip(".")
        raise ConfigurationError(
            f"{shown}: it refuses to write {key} ({text}): name one that may be written (no replica, room in its memory) "
            "and a user who may run scripts on such keys"
        ) from error


def _refusal(error: Exception) -> str:
    text = str(error).rstrip(".")
    if isinstance(error, InvalidResponse | UnicodeError):
        return "what answers there is no Redis: check host and port"
    if text.startswith("NOAUTH") or "HELLO must be called" in text:
        return f"it wants a password (NOAUTH), and none was given: {_PASSWORD}"  # the rest is about the protocol
    if isinstance(error, AuthenticationError) or text.startswith(("NOAUTH", "WRONGPASS")):
        return f"it refuses the password ({text}): {_PASSWORD}"
    # redis-py takes these two replies for a broken connection.
    if isinstance(error, ResponseError) or "DENIED" in text or "max number of clients" in text:
        return f"it refuses ({text}): allow this host and this user to use it"
    return f"no answer ({text}): start it, or check host and port"


def _warnings(client: Redis) -> tuple[str, ...]:
    try:
        told = {**client.config_get("maxmemory-policy"), **client.config_get("appendonly")}
    except RedisError:
        return ("its settings cannot be read: make sure that maxmemory-policy is noeviction and appendonly is yes",)
    found = []
    if told.get("maxmemory-policy") != "noeviction":
        policy = told.get("maxmemory-policy")
        found.append(f"maxmemory-policy is {policy}: jobs may be evicted without a word; set noeviction")
    if told.get("appendonly") != "yes":
        found.append("appendonly is off: a restart loses jobs that were accepted; set appendonly yes")
    return tuple(found)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
