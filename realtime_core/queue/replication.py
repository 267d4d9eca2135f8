"""A put that counts only once so many replicas have it (Redis' WAIT, on the connection that wrote)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from realtime_core.errors import ConfigurationError, NotReplicated
from realtime_core.queue.keys import queue_keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis
    from redis.client import Pipeline


def put_on_replicas(
    redis: Redis, name: str, put: Callable[[Pipeline], None], *, replicas: int, timeout_s: float
) -> Any:
    """Run ``put`` and wait for its replicas in the same round trip; the reply of the put.

    Raises:
        ConfigurationError: a client of a whole cluster, whose WAIT would ask another node.
        NotReplicated: there are not as many replicas, and nothing was written; or they did not confirm in time.
    """
    if not hasattr(redis, "connection_pool"):
        raise ConfigurationError(
            "wait_replicas needs a client of the node that holds the queue, not of a whole cluster"
        )
    with redis.pipeline(transaction=False) as asking:
        # In a cluster a node is asked whatever names no key, whoever holds the queue by now: a key of it is redirected.
        asking.exists(queue_keys(name)["counts"])
        asking.info("replication")
        connected = asking.execute()[1]["connected_slaves"]
    if connected < replicas:
        raise NotReplicated(
            f"queue {name}: {replicas} replicas are to confirm and {connected} are connected; nothing was written: "
            "look at the replicas, or ask for fewer"
        )
    with redis.pipeline(transaction=False) as pipe:
        put(pipe)
        pipe.execute_command("WAIT", replicas, round(timeout_s * 1000))  # type: ignore[no-untyped-call]
        reply, confirmed = pipe.execute()
    # A put that did not fit wrote nothing: there is nothing to confirm, and its reply is the number that says so.
    if confirmed < replicas and not isinstance(reply, int):
        raise NotReplicated(
            f"queue {name}: {confirmed} of {replicas} replicas confirmed within {timeout_s:g} s; the jobs are in the queue, but "
            "a failover now may lose them: put them again with the same ids, which answers False where they are still there"
        )
    return reply
