"""Connections to the one node of a cluster that holds a name: they follow its slot where it goes.

A queue and its ledger live in one slot (keys with ``{NAME}``), so that nothing of a cluster's client is needed but to find that
node, and to notice that it is another now. https://valkey.io/topics/cluster-spec/ has the redirections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from redis import ConnectionPool, Redis
from redis.connection import Connection, SSLConnection
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ConnectionError,  # noqa: A004 - redis-py's, which everybody waits at
    RedisError,
    TryAgainError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Node = tuple[str, int]

MOST_KNOWN: Final = 1_000


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

    def address(self) -> Node:
        """The host and port of the node that holds the slot, as the first that answers has it.

        Raises:
            redis.exceptions.ConnectionError: none answers, or the slot is nobody's.
        """
        failed = "no node answers"
        known = self._known
        for asked, node in enumerate(known, 1):
            try:
                shards = _shards(node, self._options)
            except RedisError as error:
                failed = f"{node[0]}:{node[1]}: {error}"
                continue
            # All others are asked before it is asked again: who is cut off from them may be wrong.
            there = dict.fromkeys((*self._named, *(one for _, _, ours in shards for one in ours)))
            new = [one for one in there if one not in known]
            self._known = tuple(one for one in (*known[asked:], *new, *known[:asked]) if one in there)[:MOST_KNOWN]
            for first, last, ours in shards:
                if first <= self._slot <= last and ours:
                    return ours[0]
            failed = f"{node[0]}:{node[1]} knows nobody who holds slot {self._slot}"
        raise ConnectionError(f"the node of {self._name}'s slot in the cluster is not found: {failed}")

    def moved(self) -> None:
        """A node has said that the slot is not its own, or not now."""
        self.moves += 1


def _shards(node: Node, options: Mapping[str, Any]) -> list[tuple[int, int, list[Node]]]:
    """First slot, last slot and nodes, the primary first, of each range, as one node has it."""
    with Redis(host=node[0], port=node[1], **options) as client:
        # As two words: redis-py has a form of its own for the answer to one, which differs by version.
        told: Any = client.execute_command("CLUSTER", "SLOTS")
    return [(first, last, list(_nodes(ours, node[0]))) for first, last, *ours in told]


def _nodes(told: Iterable[Sequence[Any]], asked: str) -> Iterable[Node]:
    for host, port, *_ in told:
        text = host.decode() if isinstance(host, bytes) else host or ""
        yield (asked if text in ("", "?") else text), int(port)  # unknown: the host that was asked


class NodeConnection(Connection):
    """To where the slot is when it connects; whoever reads of another place loses it, and connects there the next time."""

    def __init__(self, *, owner: Owner, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._owner = owner
        self._moves = owner.moves

    def _connect(self) -> Any:
        self._moves = self._owner.moves
        self.host, self.port = self._owner.address()
        return super()._connect()  # type: ignore[no-untyped-call]

    def can_read(self, *args: Any, **options: Any) -> bool:
        """Asked by the pool before it gives this out: not, if the slot has moved since it connected."""
        if self._moves != self._owner.moves:
            raise ConnectionError("the slot may be another node's by now")
        return bool(super().can_read(*args, **options))

    def read_response(self, *args: Any, **options: Any) -> Any:
        """As redis-py, but a redirection is a lost connection: whoever called tries again as after a failover."""
        try:
            return super().read_response(*args, **options)
        except (AskError, TryAgainError, ClusterDownError) as error:
            self.disconnect()  # type: ignore[no-untyped-call]
            self._owner.moved()
            raise ConnectionError(f"this node does not hold these keys, or not now: {error}") from error


class TLSNodeConnection(NodeConnection, SSLConnection):
    """The same by TLS."""


def of_cluster(nodes: Sequence[Node], name: str, *, tls: bool, options: Mapping[str, Any], ask_s: float) -> Redis:
    """A client of the node that holds ``name``. Nothing is sent.

    Args:
        nodes: some of the cluster's.
        name: whose slot: the queue's, and so its ledger's if they are called alike.
        tls: whether all of them are spoken to by TLS.
        options: for each connection, as redis-py calls it.
        ask_s: how long connecting to a node, and its answer to where the slot is, may take.
    """
    asking = {**options, "socket_timeout": ask_s, "socket_connect_timeout": ask_s}
    owner = Owner(nodes, name, {**asking, "ssl": True} if tls else asking)
    kind = TLSNodeConnection if tls else NodeConnection
    return Redis.from_pool(ConnectionPool(connection_class=kind, owner=owner, **options))
