"""Connections to the one node of a cluster that holds a name: they follow its slot where it goes.

A queue and its ledger live in one slot (keys with ``{NAME}``), so that nothing of a cluster's client is needed but to find that
node, and to notice that it is another now. https://valkey.io/topics/cluster-spec/ has the redirections.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ConnectionError,  # noqa: A004 - redis-py's, which everybody waits at
    MovedError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Node = tuple[str, int]

MOST_KNOWN: Final = 1_000
ASK_S: Final = 5.0
STEPS: Final = 4  # of asking one node: connecting, the login, who asks, the question
# MOVED before ASK: to redis-py a MovedError is one of those too.
_REDIRECTIONS: Final = {
    "MOVED": MovedError,
    "ASK": AskError,
    "TRYAGAIN": TryAgainError,
    "CLUSTERDOWN": ClusterDownError,
}


class Owner:
    """Where a name's slot is. Nothing of it belongs to a thread, a process or a loop: all connections of a client share it.

    Attributes:
        moves: how often a node has said that the slot is another's; who connected before the last connects anew.
    """

    def __init__(self, nodes: Sequence[Node], name: str, options: Mapping[str, Any]) -> None:
        """Nothing is asked yet.

        Args:
            nodes: some of the cluster's, host and port; the others are heard of.
            name: whose slot.
            options: how to connect to any of them (login, limits, TLS), as redis-py calls it.
        """
        self.moves = 0
        self._named = tuple(nodes)
        self._known = self._named
        self._slot = key_slot(name.encode())
        self._name = name
        self._options = dict(options)

    def address(self, limit_s: float) -> Node:
        """The host and port of the node that holds the slot, as the first that answers within ``limit_s`` has it.

        Raises:
            redis.exceptions.ConnectionError: none answers, or the slot is nobody's.
        """
        known, until = self._known, time.monotonic() + limit_s
        failed = "no node answers"
        for asked, node in enumerate(known, 1):
            left_s = until - time.monotonic()
            if left_s <= 0:
                break
            # All others are asked before it is asked again: who is away costs time, and who is cut off may be wrong.
            self._known = (*known[asked:], *known[:asked])
            try:
                shards = _shards(node, self._options, left_s)
            except (RedisError, ValueError, TypeError) as error:  # the latter two: what answers is none of Redis
                failed = f"{node[0]}:{node[1]}: {error}"
                continue
            owner = next((ours[0] for first, last, ours in shards if first <= self._slot <= last and ours), None)
            there = dict.fromkeys((*self._named, *(one for _, _, ours in shards for one in ours)))
            if owner is None:  # one that was made empty, perhaps: it says nothing of who else there is
                there |= dict.fromkeys(known)
            new = [one for one in there if one not in known]
            self._known = tuple(one for one in (*known[asked:], *new, *known[:asked]) if one in there)[:MOST_KNOWN]
            if owner is not None:
                return owner
            failed = f"{node[0]}:{node[1]} knows nobody who holds slot {self._slot}"
        raise ConnectionError(f"the node of {self._name}'s slot in the cluster is not found: {failed}")

    def moved(self) -> None:
        """A node has said that the slot is not its own."""
        self.moves += 1


def _shards(node: Node, options: Mapping[str, Any], limit_s: float) -> list[tuple[int, int, list[Node]]]:
    """First slot, last slot and nodes, the primary first, of each range, as one node has it."""
    limits = {"socket_timeout": limit_s / STEPS, "socket_connect_timeout": limit_s / STEPS}
    with Redis(host=node[0], port=node[1], **{**options, **limits}) as client:
        # As two words: redis-py has a form of its own for the answer to one, which differs by version.
        told: Any = client.execute_command("CLUSTER", "SLOTS")
    return [(first, last, list(_nodes(ours, node[0]))) for first, last, *ours in told]


def _nodes(told: Iterable[Sequence[Any]], asked: str) -> Iterable[Node]:
    for host, port, *_ in told:
        text = host.decode() if isinstance(host, bytes) else host or ""
        yield (asked if text in ("", "?") else text), int(port)  # unknown: the host that was asked


class SlotMoved(ConnectionError):  # noqa: N818 - named as Redis does
    """A node has said that it does not hold the slot any more: it did nothing, and another does."""


class NodeConnection(Connection):
    """To where the slot is when it connects; whoever reads of another place loses it, and connects there the next time."""

    def __init__(self, *, owner: Owner, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._owner = owner
        self._moves = owner.moves

    def _connect(self) -> Any:
        self._moves = self._owner.moves
        self.host, self.port = self._owner.address(self.socket_connect_timeout or ASK_S)
        return super()._connect()  # type: ignore[no-untyped-call]

    def can_read(self, *args: Any, **options: Any) -> bool:
        """Asked without words by the pool before it gives this out: not, if the slot has moved since it connected."""
        if not args and not options and self._moves != self._owner.moves:
            raise ConnectionError("the slot may be another node's by now")
        return bool(super().can_read(*args, **options))

    def read_response(self, *args: Any, **options: Any) -> Any:
        """As redis-py, but a redirection is a lost connection, as after a failover.

        Raises:
            SlotMoved: nothing was done; the connection's ``retry`` does it once more, at the other node.
            redis.exceptions.ConnectionError: the slot is on its way, or the cluster is down.
        """
        try:
            return super().read_response(*args, **options)
        except ResponseError as error:
            word = _redirection(error)
            if word is None:
                raise
            self.disconnect()  # type: ignore[no-untyped-call]
            if word != "MOVED":
                raise ConnectionError(f"{word}: these keys are at no node for now: {error}") from error
            if self._moves == self._owner.moves:  # else it was known already
                self._owner.moved()
            raise SlotMoved(f"MOVED: this node does not hold these keys: {error}") from error


def _redirection(error: ResponseError) -> str | None:
    """Its word, if it is one. redis-py before 6 has no kinds of them but in its cluster's own client."""
    for word, kind in _REDIRECTIONS.items():
        if isinstance(error, kind) or str(error).partition(" ")[0] == word:
            return word
    return None


class TLSNodeConnection(NodeConnection, SSLConnection):
    """The same by TLS."""


def of_cluster(nodes: Sequence[Node], name: str, *, tls: bool, options: Mapping[str, Any]) -> Redis:
    """A client of the node that holds ``name``. Nothing is sent.

    Args:
        nodes: some of the cluster's.
        name: whose slot: the queue's, and so its ledger's if they are called alike.
        tls: whether all of them are spoken to by TLS.
        options: for each connection, as redis-py calls it. Asking where the slot is takes ``socket_connect_timeout`` at the
            most, however many nodes are asked.
    """
    asking = {"ssl": True} if tls else {}
    owner = Owner(nodes, name, {**options, **asking})
    kind = TLSNodeConnection if tls else NodeConnection
    # Once more where a slot has moved, and for nothing else.
    again = {"retry": Retry(NoBackoff(), 1, supported_errors=(SlotMoved,)), "retry_on_error": [SlotMoved]}
    client = Redis(connection_pool=ConnectionPool(connection_class=kind, owner=owner, **{**options, **again}))
    client.auto_close_connection_pool = True
    return client
