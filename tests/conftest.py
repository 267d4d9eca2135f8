"""Fixtures that all tests share: real servers, started by the stack that is under test itself."""

from __future__ import annotations

import secrets
import signal
from typing import TYPE_CHECKING

import pytest

from realtime_core.stack import Stack, Valkey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from redis import Redis

# Whatever runs in the background of a script has Ctrl-C switched off, and children inherit that; here it is under test.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = [
    "tests.support.engines",
    "tests.support.skips",
    "tests.support.standing_still",
    "tests.support.leftovers",
    "tests.support.long_page",
    "tests.support.postgres",
]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack of the test's own, in a private folder; everything it started is ended after the test."""
    with Stack(tmp_path / "stack") as stack:
        yield stack


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """One server for the whole session. Who stops or kills one starts it with ``stack.valkey()``."""
    with Stack(tmp_path_factory.mktemp("session") / "stack") as stack:
        yield stack.valkey()


@pytest.fixture
def redis_client(valkey: Valkey) -> Iterator[Redis]:
    """A client of the session's server, replies as bytes."""
    with valkey.client() as client:
        yield client


@pytest.fixture
def redis_name(redis_client: Redis) -> Iterator[str]:
    """A name that no other test has; every key that contains it is removed after the test."""
    name = f"t{secrets.token_hex(6)}"
    yield name
    keys = list(redis_client.scan_iter(match=f"*{name}*", count=1000))
    if keys:
        redis_client.unlink(*keys)
