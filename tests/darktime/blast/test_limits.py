"""This machine's limits are looked at before the first connection, and whoever is told of one is told what helps."""

import re
import socket

import pytest

from darktime.blast.limits import backlog_note, backlog_of, check_ports, port_range
from darktime.blast.settings import resolve
from darktime.errors import UsageError
from tests.darktime.blast.runs import blast
from tests.support.namespaces import network

HERE = resolve("127.0.0.1:8001")
THERE = resolve("192.0.2.1:80")


def test_more_connections_than_an_address_has_ports_are_refused_with_the_remedy():
    check_ports(28_232, (32_768, 60_999), 1, THERE)
    check_ports(56_464, (32_768, 60_999), 2, THERE)
    check_ports(10**6, None, 1, THERE)
    with pytest.raises(UsageError) as refused:
        check_ports(60_000, (32_768, 60_999), 1, THERE)
    assert "60,000 connections to 192.0.2.1:80 need a port each, and 1 source address has 28,232" in str(refused.value)
    assert "name 3 addresses with --source, ask for at most 28,232" in str(refused.value)


def test_this_machine_says_which_ports_it_gives():
    found = port_range()
    assert found is not None
    assert 0 < found[0] <= found[1] < 65_536


@pytest.mark.parametrize(("bound", "asked"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "[::1]")])
def test_the_backlog_of_a_listener_here_is_the_one_it_asked_for(bound, asked):
    family = socket.AF_INET6 if ":" in bound else socket.AF_INET
    with socket.create_server((bound, 0), family=family, backlog=37) as listener:
        address = resolve(f"{asked}:{listener.getsockname()[1]}")
        assert backlog_of(address) == 37
        said = backlog_note(500, address)
        assert "lets 37 wait" in said
        assert "--connects-per-s" in said
        assert re.search(r"net.core.somaxconn allows [\d,]+\)", said)
        assert not backlog_note(128, address)
    assert backlog_of(address) is None


def test_a_backlog_elsewhere_cannot_be_seen_and_that_is_said():
    assert "the listen backlog of 192.0.2.1:80 cannot be seen from here" in backlog_note(500, THERE)


def test_a_run_says_that_its_connections_will_not_all_be_let_in_at_once(instance):
    server = instance("null")
    with socket.create_server(("127.0.0.1", 0), backlog=3) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        words = ["--path", "/", "--rate", "5", "--duration", "0.5", "--timeout", "0.2", "--connections", "200"]
        run = blast(address, *words)
        assert "200 connections begin at once" in run.said
        assert "lets 3 wait" in run.said
    assert "begin at once" not in blast(server.address, *words).said
    assert "begin at once" not in blast(server.address, *words, "--connects-per-s", "500").said


def test_a_run_that_needs_more_ports_than_there_are_is_refused_and_more_sources_help(instance):
    """On a host whose range is narrow."""
    with network(1) as (host,):
        host.run(["sh", "-c", "echo 40000 40099 > /proc/sys/net/ipv4/ip_local_port_range"])
        address = instance("null", before=host.prefix).address
        words = ["--path", "/", "--rate", "5", "--duration", "0.5", "--connections", "150"]
        refused = blast(address, *words, prefix=host.prefix)
        assert refused.code == 2, refused.said
        assert f"150 connections to {address} need a port each, and 1 source address has 100" in refused.said
        assert "name 2 addresses with --source" in refused.said
        helped = blast(address, *words, "--source", "127.0.5.0/30", "--slo", "p99<9s,errors<1%", prefix=host.prefix)
        assert helped.code == 0, helped.said
        assert helped.found["totals"]["connects"] == 150
