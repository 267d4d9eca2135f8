"""The ledger in Redis: its keys, one flush, and the reading of everything. The only module that names a key.

``led1:{NAME}:owner:OWNER`` is a hash about one owner, ``:owners`` and ``:windows`` list what there is by the time of
its last write, ``:window:INDEX|WIDTH|HOP`` holds what each owner counted in one window, ``:names`` blocks of ids, and
``:counters`` how many names there are and were dropped.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, cast

from realtime_core.errors import ConfigurationError
from realtime_core.ledger.balance import HopState, Owner, State, wanted_keys
from realtime_core.ledger.hashing import key_of
from realtime_core.ledger.net import Entries, Net

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from redis import Redis
    from redis.client import Pipeline

    from realtime_core.ledger.account import Written

MAX_NAMES: Final = 100_000
_NAMES_A_BLOCK: Final = 1_000  # names fall out by the block
_WINDOWS_A_READ: Final = 64
_FLUSH: Final = "\n".join(
    line
    for line in files("realtime_core.ledger").joinpath("lua", "flush.lua").read_text("utf-8").splitlines()
    if not line.startswith("--")
)


def check_name(name: str) -> str:
    """The ledger's name, if it can stand in a hash tag; else ``ConfigurationError``."""
    if not 0 < len(name) <= 128 or any(sign in "{}" or not sign.isprintable() for sign in name):  # noqa: PLR2004
        raise ConfigurationError(f"ledger name {name!r}: 1 to 128 printable characters without braces")
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class Flush:
    """Everything one flush writes."""

    number: int
    owner: str
    hops: Sequence[str]
    closed: bool
    dropped: int
    windows: Sequence[Written]
    names: Sequence[str]
    names_dropped: int


class Store:
    """One ledger's keys on one Redis. Windows and owners that nobody writes any more expire after ``keep_s``."""

    def __init__(self, redis: Redis, name: str, *, keep_s: float) -> None:
        self._redis = redis
        self._base = f"led1:{{{check_name(name)}}}:"
        self._keep_ms = int(keep_s * 1000)

    def write(self, flush: Flush, window_s: float, pipe: Pipeline | None) -> int | None:
        """Write a flush: alone, giving the highest number that had arrived before; or into ``pipe``, giving None."""
        base = self._base
        keys = [f"{base}owner:{flush.owner}", *(base + kind for kind in ("owners", "windows", "names", "counters"))]
        arguments: list[Any] = [
            flush.number,
            self._keep_ms,
            flush.owner,
            json.dumps(flush.hops),
            int(flush.closed),
            flush.dropped,
            MAX_NAMES,
            flush.names_dropped,
        ]
        for window in flush.windows:
            member = f"{window.index}|{window_s!r}|{window.hop}"
            keys.append(f"{base}window:{member}")
            arguments += (member, f"{flush.owner}|{window.part}", window.entries, window.table or b"")
        for start in range(0, len(flush.names), _NAMES_A_BLOCK):
            arguments.append(_block(flush.names[start : start + _NAMES_A_BLOCK]))
        target = cast("Any", self._redis if pipe is None else pipe)
        before = target.eval(_FLUSH, len(keys), *keys, *arguments)
        return int(before) if pipe is None else None

    def arrived(self, owner: str) -> int:
        """The highest number of a flush of this owner that Redis has."""
        return int(cast("Any", self._redis).hget(f"{self._base}owner:{owner}", "number") or 0)


def read(
    redis: Redis, name: str, *, since: float | None = None, until: float | None = None, names: bool = True
) -> State:
    """Every hop's accounts and owners, as they stand in Redis.

    Of the windows, those that overlap [``since``, ``until``), seconds UTC. Names are looked up for what does not come
    to zero, unless ``names`` is false. Raises redis-py's errors for a dead server.
    """
    client = cast("Any", redis)
    if client.connection_pool.connection_kwargs.get("decode_responses"):
        raise ConfigurationError(
            "the ledger's tables are bytes: read it with a client made with decode_responses=False"
        )
    base = f"led1:{{{check_name(name)}}}:"
    pipe = client.pipeline(transaction=False)
    pipe.time().zrange(f"{base}windows", 0, -1).zrange(f"{base}owners", 0, -1).hgetall(f"{base}counters")
    (seconds, micros), members, owner_names, counters = pipe.execute()
    chosen = [found for found in map(_member, members) if _overlaps(found[1], since, until)]
    hops: dict[str, _Hop] = {}
    for start in range(0, len(chosen), _WINDOWS_A_READ):
        some = chosen[start : start + _WINDOWS_A_READ]
        for member, _, _ in some:
            pipe.hgetall(f"{base}window:{member}")
        for (_, _, hop), fields in zip(some, pipe.execute(), strict=True):
            hops.setdefault(hop, _Hop()).take(fields)
    for owner in owner_names:
        pipe.hgetall(f"{base}owner:{owner.decode()}")
    owners = tuple(
        _owner(owner.decode(), fields) for owner, fields in zip(owner_names, pipe.execute(), strict=True) if fields
    )
    state = State(
        read_at=seconds + micros / 1e6,
        hops={hop: hops[hop].state() for hop in sorted(hops)},
        owners=owners,
        names_dropped=int(counters.get(b"names_dropped", 0)),
    )
    wanted = wanted_keys(state) if names else frozenset()
    if not wanted:
        return state
    return replace(state, names=_named(client.lrange(f"{base}names", 0, -1), wanted))


@dataclass(slots=True)
class _Hop:
    """One hop while its windows come in."""

    sent: int = 0
    received: int = 0
    explained: dict[str, int] = field(default_factory=dict)
    windows: list[Net] = field(default_factory=list)

    def take(self, fields: dict[bytes, bytes]) -> None:
        """Sum one window over its owners; a window that comes to nothing is not kept."""
        net = Net()
        for name, packed in fields.items():
            if name.endswith(b"|e"):
                entries = Entries.from_bytes(packed)
                self.sent += entries.sent
                self.received += entries.received
                for reason, times in entries.explained.items():
                    self.explained[reason] = self.explained.get(reason, 0) + times
                net.keys += entries.keys
                net.times += entries.times
            elif name.endswith(b"|t"):
                net.merge_packed(packed)
        net.cancel()
        if not net.is_zero():
            self.windows.append(net)

    def state(self) -> HopState:
        """What came in."""
        return HopState(
            sent=self.sent, received=self.received, explained=dict(self.explained), windows=tuple(self.windows)
        )


def _member(member: bytes) -> tuple[str, tuple[float, float], str]:
    index, width, hop = member.decode().split("|", 2)
    return member.decode(), (int(index) * float(width), (int(index) + 1) * float(width)), hop


def _overlaps(span: tuple[float, float], since: float | None, until: float | None) -> bool:
    return (since is None or span[1] > since) and (until is None or span[0] < until)


def _owner(name: str, fields: dict[bytes, bytes]) -> Owner:
    closed = fields.get(b"closed")
    return Owner(
        name=name,
        hops=frozenset(json.loads(fields[b"hops"])),
        started=float(fields[b"started"]),
        flushed=float(fields[b"flushed"]),
        closed=None if closed is None else float(closed),
        dropped=int(fields[b"dropped"]),
    )


def _block(ids: Sequence[str]) -> bytes:
    """Ids as one value: their number on the first line, which is how the script counts them, then JSON."""
    return f"{len(ids)}\n{json.dumps(ids)}".encode()


def _named(blocks: Iterable[bytes], wanted: frozenset[int]) -> dict[int, str]:
    names: dict[int, str] = {}
    for block in blocks:
        for text in json.loads(block.partition(b"\n")[2]):
            key = key_of(text)
            if key in wanted:
                names[key] = text
    return names
