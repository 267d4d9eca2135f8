"""Balance: what each hop comes to, and the names of what does not come to zero. Pure: a state in, findings out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from realtime_core.ledger.net import Net

if TYPE_CHECKING:
    from collections.abc import Mapping

    from realtime_core.ledger.table import Decoded

UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One id that does not come to zero. ``id`` is None where nobody kept the key's name; ``times`` is at least 1."""

    id: str | None
    key: int
    times: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """One life of one process. Seconds UTC of Redis' own clock; ``closed`` is None while its account is open."""

    name: str
    hops: frozenset[str]
    started: float
    flushed: float
    closed: float | None
    dropped: int  # counts it had to forget while Redis was away for too long


@dataclass(frozen=True, slots=True, kw_only=True)
class HopState:
    """One hop summed over its owners. ``windows`` holds only those that do not come to nothing."""

    sent: int
    received: int
    explained: Mapping[str, int] = field(default_factory=dict)
    windows: tuple[Net, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A ledger as it was read at ``read_at`` (seconds UTC, Redis' clock). ``names`` is keyed by ``key_of`` the name."""

    read_at: float
    hops: Mapping[str, HopState]
    owners: tuple[Owner, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict)
    names_dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HopBalance:
    """What one hop comes to: sent - received - explained, by name.

    ``missing`` were sent more often than they were received or explained, ``extra`` less often. ``undecoded`` is the
    least number of differences that nobody could name. ``open_owners`` never closed their accounts; each says how long
    ago it last wrote.
    """

    hop: str
    sent: int
    received: int
    explained: dict[str, int]
    missing: tuple[Item, ...]
    extra: tuple[Item, ...]
    undecoded: int
    open_owners: tuple[str, ...]
    dropped: int = 0  # counts that owners on this hop had to forget

    @property
    def balanced(self) -> bool:
        """Nothing missing, extra or undecoded, and nothing explained as ``unknown``: that is no explanation."""
        return not (self.missing or self.extra or self.undecoded or self.explained.get(UNKNOWN))


def balance(state: State) -> list[HopBalance]:
    """Every hop's balance, in order of the hops' names."""
    return [_hop_balance(hop, state) for hop in sorted(state.hops)]


def wanted_keys(state: State) -> frozenset[int]:
    """The keys that do not come to zero on some hop: the names a reader needs."""
    return frozenset(key for hop in state.hops.values() for key in _left(hop).items)


def _hop_balance(hop: str, state: State) -> HopBalance:
    account = state.hops[hop]
    left = _left(account)
    owners = [owner for owner in state.owners if hop in owner.hops]

    def items(sign: int) -> tuple[Item, ...]:
        found = [
            Item(id=state.names.get(key), key=key, times=sign * times)
            for key, times in left.items.items()
            if sign * times > 0
        ]
        return tuple(sorted(found, key=lambda item: (item.id is None, item.id or "", item.key)))

    return HopBalance(
        hop=hop,
        sent=account.sent,
        received=account.received,
        explained=dict(account.explained),
        missing=items(1),
        extra=items(-1),
        undecoded=left.undecoded,
        open_owners=tuple(
            f"{owner.name} (last entry {max(0.0, state.read_at - owner.flushed):.1f} s ago)"
            for owner in owners
            if owner.closed is None
        ),
        dropped=sum(owner.dropped for owner in owners),
    )


def _left(hop: HopState) -> Decoded:
    """What a hop's windows come to together; where that is too much for one table, window by window."""
    total = Net()
    for window in hop.windows:
        total.merge(window)
    together = total.decode()
    if not together.undecoded:
        return together
    items: dict[int, int] = {}
    undecoded = 0
    for window in hop.windows:
        alone = Net()
        alone.merge(window)
        part = alone.decode()
        undecoded += part.undecoded
        for key, times in part.items.items():
            items[key] = items.get(key, 0) + times
    return type(together)(items={key: times for key, times in items.items() if times}, undecoded=undecoded)
