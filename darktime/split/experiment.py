"""What the agents on all hosts follow: an experiment's percentage in Redis, who changed it, and until when it stands.

A hash and a list, with ``{NAME}`` in their keys. The hash goes by itself when its time is over: an agent that finds none
mirrors nobody. Nothing here is asked by nginx: production does not wait for Redis.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from darktime.errors import UsageError
from darktime.split.sampling import buckets_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis
    from redis.client import Pipeline

VERSION: Final = 1
KILL: Final = "kill"
RESUME: Final = "resume"
MOST_RAMPS: Final = 10_000
_RAMPS_KEPT_S: Final = 7 * 24 * 3600
_TIMEOUT_S: Final = 1.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How an experiment stands. ``until``: seconds UTC. ``hosts``: who takes part."""

    percent: float
    max_percent: float
    until: float
    killed: bool
    hosts: tuple[str, ...]


class Experiment:
    """One experiment by its name. Every method may raise RedisError, after a second at most."""

    def __init__(self, redis: Redis, name: str) -> None:
        self._redis = redis
        self._state, self._ramps = keys_of(name)
        self.name = name

    def join(self, host: str, *, percent: float, max_percent: float, until: float, who: str, now: float) -> Standing:
        """Take part as ``host``. The first begins it at ``percent``; who comes later takes the percentage that stands.

        The least maximum of all hosts is everybody's. Raises UsageError where more than that stands already, or where
        another version of darktime began it.
        """

        def change(pipe: Pipeline, standing: Standing | None) -> Standing:
            most = max_percent if standing is None else min(max_percent, standing.max_percent)
            there = percent if standing is None else standing.percent
            if there > most:
                raise UsageError(
                    f"experiment {self.name}: it stands at {there:g} percent, and this host allows {most:g}: ramp down first"
                )
            last = until if standing is None else max(until, standing.until)
            hosts = tuple(dict.fromkeys((*(() if standing is None else standing.hosts), host)))
            made = Standing(
                percent=there,
                max_percent=most,
                until=last,
                killed=standing is not None and standing.killed,
                hosts=hosts,
            )
            self._write(pipe, made)
            if standing is None:
                self._note(pipe, ramp_record(who=who, before=0.0, after=percent, why="the experiment begins", now=now))
            return made

        return self._change(change)

    def leave(self, host: str) -> None:
        """Take part no more; the last one ends it, and leaves nothing behind."""

        def change(pipe: Pipeline, standing: Standing | None) -> None:
            if standing is None:  # its time was over before
                pipe.delete(self._ramps)
                return
            hosts = [one for one in standing.hosts if one != host]
            if hosts:
                pipe.hset(self._state, "hosts", json.dumps(hosts))
            else:
                pipe.delete(self._state, self._ramps)

        self._change(change)

    def ramp(self, percent: float, *, who: str, why: str, now: float, expected: float | None = None) -> float:
        """Set the percentage for all hosts, and record it; what it was before. Raises UsageError.

        ``expected``: what it must be before, and not killed: who decides on what he saw must not override who knew better.
        """
        wanted = buckets_for(percent)

        def change(pipe: Pipeline, standing: Standing | None) -> float:
            if standing is None:
                raise UsageError(f"experiment {self.name} does not run, or its time is over: start a split")
            if expected is not None and (standing.percent != expected or standing.killed):
                there = "killed" if standing.killed else f"at {standing.percent:g} percent"
                raise UsageError(
                    f"experiment {self.name} is {there} by now, and not at {expected:g} percent: nothing was changed"
                )
            if wanted > buckets_for(standing.max_percent):
                raise UsageError(
                    f"{percent:g} percent: experiment {self.name} allows {standing.max_percent:g} percent at most, as the least "
                    "that a host's configuration allows; start a new split"
                )
            pipe.hset(self._state, "percent", repr(percent))
            self._note(pipe, ramp_record(who=who, before=standing.percent, after=percent, why=why, now=now))
            return standing.percent

        return self._change(change)

    def set_killed(self, *, killed: bool, who: str, why: str, now: float) -> None:
        """End mirroring on all hosts, or let it go on, and record it if it changes that. Raises UsageError where none runs."""

        def change(pipe: Pipeline, standing: Standing | None) -> None:
            if standing is None:
                raise UsageError(f"experiment {self.name} does not run, or its time is over: nothing is mirrored")
            pipe.hset(self._state, "killed", int(killed))
            if standing.killed != killed:
                self._note(pipe, kill_record(killed=killed, who=who, percent=standing.percent, why=why, now=now))

        self._change(change)

    def standing(self) -> Standing | None:
        """How it stands; None where none runs. Raises UsageError for one of another version."""
        return _standing(self._redis.hgetall(self._state), self.name)

    def ramps(self) -> list[dict[str, Any]]:
        """Every ramp, kill and resume of the last days, oldest first."""
        return [json.loads(one) for one in self._redis.lrange(self._ramps, 0, -1)]

    def _change(self, change: Callable[[Pipeline, Standing | None], T]) -> T:
        """Read, and write only if nobody else has written in between."""
        found: list[T] = []

        def work(pipe: Pipeline) -> None:
            standing = _standing(pipe.hgetall(self._state), self.name)
            pipe.multi()
            found[:] = [change(pipe, standing)]

        self._redis.transaction(work, self._state)
        return found[0]

    def _write(self, pipe: Pipeline, standing: Standing) -> None:
        fields: dict[Any, Any] = {
            "v": VERSION,
            "percent": repr(standing.percent),
            "max_percent": repr(standing.max_percent),
            "until": repr(standing.until),
            "killed": int(standing.killed),
            "hosts": json.dumps(standing.hosts),
        }
        pipe.hset(self._state, mapping=fields)
        pipe.pexpireat(self._state, int(standing.until * 1000))

    def _note(self, pipe: Pipeline, record: dict[str, Any]) -> None:
        pipe.rpush(self._ramps, json.dumps(record))
        pipe.ltrim(self._ramps, -MOST_RAMPS, -1)
        pipe.expire(self._ramps, _RAMPS_KEPT_S)


def keys_of(name: str) -> tuple[str, str]:
    """The keys of an experiment: its state, its ramps."""
    return f"darktime:{{{name}}}:experiment", f"darktime:{{{name}}}:ramps"


def ramp_record(*, who: str, before: float, after: float, why: str, now: float) -> dict[str, Any]:
    """A ramp as it is recorded, in Redis and in the run's folder."""
    return {"at": now, "who": who, "from": before, "to": after, "why": why}


def kill_record(*, killed: bool, who: str, percent: float, why: str, now: float) -> dict[str, Any]:
    """A kill, or how it is taken back, among the ramps: from what stood to nobody, or the other way round."""
    before, after = (percent, 0.0) if killed else (0.0, percent)
    return {**ramp_record(who=who, before=before, after=after, why=why, now=now), "what": KILL if killed else RESUME}


def away() -> tuple[type[Exception], ...]:
    """What a Redis raises that is not there; loaded by who asks one."""
    from redis import RedisError  # noqa: PLC0415

    return RedisError, OSError


def client_of(url: str) -> Redis:
    """A client that waits a second at most, and tries nothing twice. Raises UsageError for what is no URL."""
    from redis import Redis  # noqa: PLC0415 - an agent without Redis does not load it
    from redis.backoff import NoBackoff  # noqa: PLC0415
    from redis.retry import Retry  # noqa: PLC0415

    try:
        return Redis.from_url(
            url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S, retry=Retry(NoBackoff(), 0)
        )
    except ValueError as error:
        raise UsageError(f"--redis: {error}; write redis://HOST:PORT/0") from error


def _standing(fields: dict[Any, Any], name: str) -> Standing | None:
    if not fields:
        return None
    told = {_text(key): _text(value) for key, value in fields.items()}
    if told.get("v") != str(VERSION):
        raise UsageError(
            f"experiment {name} was begun by another version of darktime ({told.get('v')!r}; this reads {VERSION}): end it there"
        )
    return Standing(
        percent=float(told["percent"]),
        max_percent=float(told["max_percent"]),
        until=float(told["until"]),
        killed=told["killed"] == "1",
        hosts=tuple(json.loads(told["hosts"])),
    )


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
