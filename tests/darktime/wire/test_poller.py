"""The poller with real sockets, plain and inside gevent; the readers' imports."""

from __future__ import annotations

import socket
import subprocess
import sys
import textwrap

import pytest

from darktime.wire.poller import IN, Poller

PLAIN = """
import socket
from darktime.wire.poller import IN, Poller
"""
PATCHED = (
    """
from gevent import monkey
monkey.patch_all()
"""
    + PLAIN
)


def run(program: str) -> str:
    """Run a program in a process of its own (patching is for a whole process); what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_only_sockets_that_are_ready_are_reported_and_waiting_has_a_limit() -> None:
    left, right = socket.socketpair()
    quiet, other = socket.socketpair()
    with left, right, quiet, other, Poller() as poller:
        poller.register(left.fileno(), IN)
        poller.register(quiet.fileno(), IN)
        assert poller.poll(0.01) == []
        right.send(b"x")
        assert poller.poll(5) == [(left.fileno(), IN)]
        poller.unregister(left.fileno())
        assert poller.poll(0) == []


def test_inside_gevent_other_greenlets_run_while_it_waits() -> None:
    printed = run(
        PATCHED
        + """
import gevent
left, right = socket.socketpair()
poller = Poller()
assert poller.cooperative
poller.register(left.fileno(), IN)
gevent.spawn_later(0.02, right.send, b"x")
assert poller.poll(10) == [(left.fileno(), IN)]
left.recv(1)
assert poller.poll(0.02) == []
poller.close()
print("ok")
"""
    )
    assert printed == "ok"


def test_a_socket_that_is_always_ready_does_not_starve_other_greenlets() -> None:
    printed = run(
        PATCHED
        + """
import gevent, time
left, right = socket.socketpair()
right.send(b"x")  # never read: ready for ever
poller = Poller()
poller.register(left.fileno(), IN)
beats = []
gevent.spawn(lambda: [beats.append(gevent.sleep(0.01)) for _ in range(5)])
end = time.monotonic() + 10
while len(beats) < 5 and time.monotonic() < end:
    assert poller.poll(10)
poller.close()
print(len(beats))
"""
    )
    assert printed == "5"


@pytest.mark.parametrize("module", ["http1", "eventsource", "stream", "head", "chunked"])
def test_a_reader_loads_neither_gevent_nor_the_poller(module: str) -> None:
    loaded = run(
        f"import darktime.wire.{module}, sys; print('gevent' in sys.modules, 'darktime.wire.poller' in sys.modules)"
    )
    assert loaded == "False False"
