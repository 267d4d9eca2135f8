"""Real clusters of embedded servers."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from realtime_core.free_ports import free_port
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from redis import Redis

    from realtime_core.stack import Stack, Valkey

SLOTS = 16_384


def started(stack: Stack, nodes: int = 3) -> list[Valkey]:
    """Nodes that share the slots, and agree on it."""
    servers, bus = [], []
    for number in range(nodes):
        bus.append(free_port())
        options = ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port", str(bus[-1])]
        options += ["--cluster-node-timeout", "2000"]
        servers.append(stack.valkey(name=f"node{number}", listen=("127.0.0.1", free_port()), options=options))
    with ExitStack() as ends:
        clients = [ends.enter_context(server.client()) for server in servers]
        for number, client in enumerate(clients):
            first, behind = number * SLOTS // nodes, (number + 1) * SLOTS // nodes
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, behind - 1)
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for server, port in zip(servers[1:], bus[1:], strict=True):
            clients[0].execute_command("CLUSTER", "MEET", *address(server), port)
        wait_until(
            lambda: all(_agrees(client, nodes) for client in clients), timeout_s=20, what="a cluster that agrees"
        )
    return servers


def address(server: Valkey) -> tuple[str, int]:
    """Host and port of one of them."""
    host, _, port = server.url.rpartition("/")[2].rpartition(":")
    return host, int(port)


def _agrees(client: Redis, nodes: int) -> bool:
    told = client.execute_command("CLUSTER INFO")
    return "ok" in str(told["cluster_state"]) and int(told["cluster_known_nodes"]) == nodes
