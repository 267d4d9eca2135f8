"""Ports for servers that are about to start: none that is held, none that a connection may be given meanwhile."""

from __future__ import annotations

import socket
from socket import SOCK_DGRAM
from typing import TYPE_CHECKING

import pytest

from realtime_core import free_ports
from realtime_core.free_ports import LOWEST, apart, free_port
from realtime_core.stack import require_free

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this machine's range of ports for connections is said."""
    said = tmp_path / "ip_local_port_range"
    monkeypatch.setattr(free_ports, "_FOR_CONNECTIONS", said)
    return said


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1"])
def test_a_free_port_can_be_listened_on(host: str) -> None:
    port = free_port(host)
    require_free(host, port, "child")
    with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
        pass


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, SOCK_DGRAM])
def test_a_port_that_is_found_free_is_none_that_connections_are_given(kernel: Path, kind: socket.SocketKind) -> None:
    kernel.write_text("32768\t60999\n")
    found = {free_port(kind=kind) for _ in range(200)}
    assert not [port for port in found if 32_768 <= port <= 60_999]
    assert len(found) > 150, "as good as never the same one for two that look at once"


def test_real_connections_have_none_of_the_ports_apart() -> None:
    """By the kernel's own range, whatever it is here."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        clients = [socket.create_connection(server.getsockname()) for _ in range(100)]
        given = {client.getsockname()[1] for client in clients}
        for client in clients:
            client.close()
    assert len(given) == 100
    assert not given & set(apart())


def test_a_port_that_is_held_is_passed_over(kernel: Path) -> None:
    kernel.write_text(f"{LOWEST + 60} 65535\n")
    held = free_ports.free_ports(40)
    with_holders = [socket.create_server(("127.0.0.1", port)) for port in held]
    try:
        assert free_port() in {*range(LOWEST, LOWEST + 60)} - {*held}
    finally:
        for one in with_holders:
            one.close()


def test_several_are_all_different() -> None:
    assert len(set(free_ports.free_ports(500, kind=SOCK_DGRAM))) == 500


@pytest.mark.parametrize("said", [f"{LOWEST} 65535", "1024 65500", "gone", ""])
def test_where_connections_may_have_all_ports_the_kernel_is_asked_for_one(kernel: Path, said: str) -> None:
    kernel.write_text(said)
    assert apart() == []
    require_free("127.0.0.1", free_port(), "child")


def test_an_address_of_another_machine_is_no_reason_to_try_on() -> None:
    with pytest.raises(OSError, match="Cannot assign requested address"):
        free_port("192.0.2.1")
