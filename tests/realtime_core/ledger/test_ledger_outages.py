"""The ledger while its server is killed, restarted and emptied: nothing that was counted is lost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from realtime_core.ledger import Ledger, balance, read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from realtime_core.stack import Stack, Valkey

HOP = "a>b"


@pytest.fixture
def server(stack: Stack) -> Valkey:
    return stack.valkey()


@pytest.fixture
def client(server: Valkey) -> Iterator[Redis]:
    with server.client(socket_timeout=2.0, retry=Retry(NoBackoff(), 0)) as client:
        yield client


def test_a_dead_server_is_an_error_for_who_flushes_and_nothing_is_forgotten(server: Valkey, client: Redis) -> None:
    sender, receiver = Ledger(client, "n", "s#1"), Ledger(client, "n", "r#1")
    ids = [f"e-{number}" for number in range(1500)]
    sender.sent(HOP, ids[:700], 10.0)
    sender.flush()
    server.kill()
    sender.sent(HOP, ids[700:1400], 10.0)
    sender.name(ids)
    for attempt in (sender.flush, sender.close):
        with pytest.raises(RedisError):
            attempt()
    sender.sent(HOP, ids[1400:], 100.0)  # counting needs no server
    server.restart()
    sender.close()
    receiver.received(HOP, ids[1:1400], 10.0)
    receiver.received(HOP, ids[1400:], 100.0)
    receiver.close()
    (found,) = balance(read(client, "n"))
    assert found.sent == 1500
    assert [(item.id, item.times) for item in found.missing] == [("e-0", 1)]
    assert (found.extra, found.undecoded, found.open_owners) == ((), 0, ())


def test_a_transaction_that_fails_with_the_server_comes_again_with_the_next(server: Valkey, client: Redis) -> None:
    sender, receiver = Ledger(client, "n", "s#1"), Ledger(client, "n", "r#1")
    ids = [f"e-{number}" for number in range(2100)]
    sender.sent(HOP, ids[:700], 10.0)
    with client.pipeline(transaction=True) as pipe:
        sender.flush(pipe)
        server.kill()
        with pytest.raises(RedisError):
            pipe.execute()
    server.restart()
    sender.sent(HOP, ids[700:], 10.0)
    with client.pipeline(transaction=True) as pipe:
        sender.flush(pipe)
        pipe.execute()
    receiver.received(HOP, ids, 10.0)
    receiver.close()
    (found,) = balance(read(client, "n"))
    assert (found.sent, found.balanced) == (2100, True)


@pytest.mark.parametrize("in_a_transaction", [False, True])
def test_a_server_that_came_back_empty_gets_everything_again(client: Redis, *, in_a_transaction: bool) -> None:
    sender = Ledger(client, "n", "s#1")
    ids = [f"e-{number}" for number in range(700)]
    sender.sent(HOP, ids, 10.0)
    sender.flush()
    client.flushall()
    sender.sent(HOP, ["last"], 100.0)
    if in_a_transaction:
        sender._asked_at = time.monotonic() - 10.0  # it asks once a second
        with client.pipeline(transaction=True) as pipe:
            sender.flush(pipe)
            pipe.execute()
    else:
        sender.flush()
    (found,) = balance(read(client, "n"))
    assert found.sent == 701
    receiver = Ledger(client, "n", "r#1")
    receiver.received(HOP, ids, 10.0)
    receiver.close()
    (found,) = balance(read(client, "n"))
    assert len(found.missing) == 1
    assert found.undecoded == 0
