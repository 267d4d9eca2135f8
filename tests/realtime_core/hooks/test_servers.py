"""The hooks under real servers, none of which has gevent: every save is one job, whoever carries it."""

from __future__ import annotations

import http.client
import json
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from realtime_core.ledger import balance, read
from realtime_core.queue import Finish, Queue
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from redis import Redis

SAVES = 40


def turns(queue: Queue) -> list[int]:
    claims = queue.claim("w", 1000)
    queue.settle([Finish(claim) for claim in claims])
    return sorted(json.loads(claim.body)["data"]["turn"] for claim in claims)


def accounted(redis: Redis, name: str) -> dict[str, tuple[int, int]]:
    """What each hop of the ledger sent and received."""
    return {hop.hop: (hop.sent, hop.received) for hop in balance(read(redis, name))}


def still_open(redis: Redis, name: str) -> set[str]:
    """Owners that never said their account was complete."""
    return {owner.name for owner in read(redis, name).owners if owner.closed is None}


def listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as plug:
        return plug.connect_ex(str(path)) == 0


def get(path: Path, target: str) -> str:
    """One request over a unix socket."""
    with socket.socket(socket.AF_UNIX) as plug:
        plug.settimeout(20)
        plug.connect(str(path))
        connection = http.client.HTTPConnection("shop", timeout=20)
        connection.sock = plug
        connection.request("GET", target, headers={"Connection": "close"})
        reply = connection.getresponse()
        body = reply.read().decode()
        assert reply.status == 200, body
        connection.close()
    return body


GUNICORN = ("gunicorn", "shop.web:wsgi", "--no-control-socket", "--bind", "unix:{socket}")


@pytest.mark.parametrize(
    ("server", "mode"),
    [
        pytest.param((*GUNICORN, "-w", "2"), "signal", id="gunicorn-sync"),
        pytest.param((*GUNICORN, "-k", "gthread", "--threads", "4"), "outbox", id="gunicorn-threads"),
        pytest.param(("uvicorn", "shop.web:asgi", "--uds", "{socket}"), "signal", id="uvicorn"),
    ],
)
def test_under_a_server_each_save_is_one_job_and_no_process_has_gevent(
    sqlite_shop: Callable[..., Any],
    tmp_path: Path,
    redis_client: Redis,
    redis_name: str,
    *,
    server: tuple[str, ...],
    mode: str,
) -> None:
    shop = sqlite_shop(mode=mode, ledger=redis_name)
    path = tmp_path / "s"
    process = shop.start("-m", *(word.format(socket=path) for word in server))
    try:
        wait_until(lambda: listens(path), timeout_s=20, what="the server's socket")
        with ThreadPoolExecutor(6) as visitors:
            has_gevent = list(visitors.map(lambda turn: get(path, f"/save/{turn}"), range(SAVES)))
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert set(has_gevent) == {"False"}
    if mode == "outbox":
        shop.run("-m", "realtime_core.hooks.outbox", "--once")
    assert turns(Queue(redis_client, redis_name)) == list(range(SAVES))
    assert accounted(redis_client, redis_name) == {"hooks>queue": (SAVES, SAVES), "queue>pipeline": (SAVES, 0)}


@pytest.mark.parametrize("kind", [("-w", "2"), ("-k", "gthread", "--threads", "4")], ids=["sync", "threads"])
def test_a_worker_of_gunicorn_that_is_told_to_end_accounts_for_all_that_it_put(
    sqlite_shop: Callable[..., Any], tmp_path: Path, redis_client: Redis, redis_name: str, *, kind: tuple[str, ...]
) -> None:
    path = tmp_path / "s"
    process = sqlite_shop(ledger=redis_name).start("-m", *(word.format(socket=path) for word in (*GUNICORN, *kind)))
    try:
        wait_until(lambda: listens(path), timeout_s=20, what="the server's socket")
        assert get(path, "/save-and-end") == "ends"
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert accounted(redis_client, redis_name) == {"hooks>queue": (3, 3), "queue>pipeline": (3, 0)}
    assert not still_open(redis_client, redis_name)


def test_in_celery_tasks_each_save_is_one_job_and_no_process_has_gevent(
    sqlite_shop: Callable[..., Any], tmp_path: Path, redis_client: Redis, redis_name: str
) -> None:
    shop = sqlite_shop(ledger=redis_name)
    report = tmp_path / "report"
    worker = ("-A", "shop.tasks", "worker", "-c", "2", "-l", "WARNING", "--without-gossip", "--without-mingle")
    process = shop.start("-m", "celery", *worker, "--without-heartbeat", "-Q", redis_name)
    try:
        send = f"[save.apply_async((n, {str(report)!r}), queue={redis_name!r}) for n in range({SAVES})]"
        shop.run("-c", f"from shop.tasks import save\n{send}")
        queue = Queue(redis_client, redis_name)
        wait_until(lambda: queue.counts().put_total >= SAVES, timeout_s=25, what="all tasks' jobs")
        wait_until(lambda: report.read_text().count("\n") == SAVES, timeout_s=10)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=25)
    assert {line.split()[1] for line in report.read_text().splitlines()} == {"False"}
    assert turns(queue) == list(range(SAVES))
    assert accounted(redis_client, redis_name) == {"hooks>queue": (SAVES, SAVES), "queue>pipeline": (SAVES, 0)}
