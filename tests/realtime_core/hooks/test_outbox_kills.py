"""kill -9 where it hurts, on PostgreSQL, in real processes: what signal mode loses is named, what the outbox has is put."""

from __future__ import annotations

import json
import re
import signal
import urllib.request
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from realtime_core.queue import Finish, Queue
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

pytestmark = pytest.mark.engine("postgresql")

SAVE = "import shop.web; from shop.models import Comment; from django.db import transaction\n"
RELAY = ("-m", "realtime_core.hooks.outbox")


def bodies(queue: Queue) -> list[dict[str, Any]]:
    claims = queue.claim("w", 10_000)
    queue.settle([Finish(claim) for claim in claims])
    return [json.loads(claim.body) for claim in claims]


def rows_waiting(database: dict[str, Any]) -> int:
    with psycopg.connect(host=database["HOST"], user="postgres", dbname=database["NAME"]) as client:
        ((count,),) = client.execute("SELECT count(*) FROM realtime_outbox WHERE put_at IS NULL").fetchall()
    return int(count)


@pytest.mark.parametrize("mode", ["signal", "outbox"])
def test_kill_9_between_commit_and_callback_signal_mode_loses_and_names_it_and_the_outbox_delivers(
    make_shop: Callable[..., Any], pg_database: dict[str, Any], redis_client: Redis, redis_name: str, *, mode: str
) -> None:
    shop = make_shop(pg_database, mode=mode)
    shop.run("-c", f"{SAVE}Comment.objects.create(thread=1, text='first')")
    killed = shop.run("-m", "shop.kills", "save_and_die_after_commit", check=False)
    assert killed.returncode == -signal.SIGKILL
    until = "2999-01-01T00:00:00+00:00"
    words = ("-m", "django", "realtime_reconcile", "shop.Comment", "--field", "changed", "--until", until, "--json")
    queue = Queue(redis_client, redis_name)
    if mode == "signal":
        assert [body["data"]["text"] for body in bodies(queue)] == ["first"]
        # The trace begins with the first event, and the period with it.
        since = redis_client.get(f"rth1:{{{redis_name}}}:since")
        assert since is not None
        found = shop.run(*words, "--since", _iso(float(since)), check=False)
        assert found.returncode == 3, found.stderr
        (missing,) = json.loads(found.stdout)["missing"]
        assert missing["key"] == "2"
        assert missing["last_put"] is None
    else:
        assert shop.run(*words).returncode == 0
        shop.run(*RELAY, "--once")
        assert [body["data"]["text"] for body in bodies(queue)] == ["first", "the last"]
        assert json.loads(shop.run(*words).stdout)["put"] == 2


def _iso(seconds: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds + 1e-6, tz=UTC).isoformat()


def test_kill_9_in_a_save_that_nobody_put_into_a_transaction_leaves_neither_the_save_nor_its_event(
    make_shop: Callable[..., Any], pg_database: dict[str, Any]
) -> None:
    shop = make_shop(pg_database, mode="outbox")
    killed = shop.run("-m", "shop.kills", "save_and_die_between_save_and_signal", check=False)
    assert killed.returncode == -signal.SIGKILL
    with psycopg.connect(host=pg_database["HOST"], user="postgres", dbname=pg_database["NAME"]) as client:
        assert client.execute("SELECT * FROM shop_comment").fetchall() == []


def test_a_relay_killed_between_put_and_mark_makes_one_job(
    make_shop: Callable[..., Any], pg_database: dict[str, Any], redis_client: Redis, redis_name: str
) -> None:
    shop = make_shop(pg_database, mode="outbox")
    shop.run("-c", f"{SAVE}Comment.objects.create(thread=1, text='once')")
    assert shop.run("-m", "shop.kills", "relay_and_die_after_put", check=False).returncode == -signal.SIGKILL
    queue = Queue(redis_client, redis_name)
    assert (rows_waiting(pg_database), queue.counts().put_total) == (1, 1)
    shop.run(*RELAY, "--once")
    counts = queue.counts()
    assert (rows_waiting(pg_database), counts.put_total, counts.duplicate_total) == (0, 1, 1)


WRITER = (
    SAVE
    + """
import sys
first, since, until = map(int, sys.argv[1:])
for turn in range(since, until):
    with transaction.atomic():
        for thread in range(first, first + 5):
            Comment.objects.create(thread=thread, turn=turn)
"""
)


BACKLOG = 500


@pytest.mark.parametrize(
    ("turns", "kills"),
    [pytest.param(20, 1, id="short"), pytest.param(2_000, 30, id="full", marks=pytest.mark.long)],
)
def test_three_relays_at_once_of_which_one_is_killed_again_and_again_keep_the_order_of_each_key_and_each_event_is_one_job(
    make_shop: Callable[..., Any],
    pg_database: dict[str, Any],
    redis_client: Redis,
    redis_name: str,
    *,
    turns: int,
    kills: int,
) -> None:
    shop = make_shop(pg_database, mode="outbox")
    # One carries much at a time and the others little, who would overtake it if they worked on one key.
    slow, quick = ((*RELAY, "--batch", batch, "--poll", "0.02") for batch in ("100", "3"))
    # Much waits when the relays begin, so that they meet in the same partitions; more comes while they work.
    backlog = "[Comment(thread=thread, turn=turn) for turn in range(BACKLOG) for thread in range(5)]"
    shop.run("-c", f"{SAVE}Comment.objects.bulk_create({backlog.replace('BACKLOG', str(BACKLOG))})")
    mortal, *steady = shop.start(*quick), shop.start(*quick), shop.start(*slow)
    writers = [
        shop.start("-c", WRITER, *words)
        for words in (("0", str(BACKLOG), str(BACKLOG + turns)), ("5", "0", str(turns)))
    ]
    queue = Queue(redis_client, redis_name)
    try:
        for kill in range(kills):
            share = (5 * BACKLOG + 10 * turns) * (kill + 1) // (kills + 2)
            wait_until(lambda share=share: queue.counts().put_total >= share, timeout_s=120, what="a share of it put")
            mortal.kill()
            mortal.communicate()
            mortal = shop.start(*quick)
        for writer in writers:
            assert writer.wait(300) == 0
        for relay in (*steady, mortal):  # the last one may just have begun, and others have done it all
            assert "relaying" in relay.stdout.readline()
        wait_until(lambda: rows_waiting(pg_database) == 0, timeout_s=60, what="an empty outbox")
    finally:
        ended = []
        for process in (*steady, mortal, *writers):
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)
            ended.append(process.returncode)
    assert ended == [0] * 5
    by_thread: dict[int, list[int]] = {}
    while found := bodies(queue):
        for body in found:
            by_thread.setdefault(body["data"]["thread"], []).append(body["data"]["turn"])
    assert by_thread == {thread: list(range(turns if thread >= 5 else BACKLOG + turns)) for thread in range(10)}


def test_a_relay_goes_on_without_its_connection_tells_prometheus_and_ends_with_0_at_sigterm(
    make_shop: Callable[..., Any], pg_database: dict[str, Any], redis_client: Redis, redis_name: str
) -> None:
    shop = make_shop(pg_database, mode="outbox")
    shop.run("-c", f"{SAVE}Comment.objects.bulk_create([Comment(thread=n, turn=n) for n in range(100)])")
    relay = shop.start(*RELAY, "--batch", "10", "--metrics", "0")
    assert relay.stdout is not None
    assert "relaying" in relay.stdout.readline()
    queue = Queue(redis_client, redis_name)
    wait_until(lambda: queue.counts().put_total == 100, timeout_s=20, what="a hundred put")
    wait_until(lambda: _metric(shop, relay.pid, 'realtime_outbox_rows_total{outcome="put"}') == 100, timeout_s=20)
    # The database takes its connection away: it opens another.
    with psycopg.connect(host=pg_database["HOST"], user="postgres", dbname=pg_database["NAME"]) as client:
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        ((count,),) = client.execute(f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {others}")
    assert count == 1
    shop.run("-c", f"{SAVE}Comment.objects.create(thread=1, text='late')")
    wait_until(lambda: queue.counts().put_total == 101, timeout_s=20, what="the late one put")
    relay.send_signal(signal.SIGTERM)
    out, _ = relay.communicate(timeout=20)
    assert relay.returncode == 0
    assert "101 row(s) put" in out
    assert queue.counts().put_total == 101


def _metric(shop: Any, pid: int, name: str) -> float | None:
    from tests.support.ports import ports_of

    for port in ports_of([pid]):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
            found = re.search(rf"^{re.escape(name)} (\S+)$", page.read().decode(), re.MULTILINE)
        return float(found[1]) if found else None
    return None


def test_once_with_redis_away_ends_with_1_and_everything_still_waits(
    make_shop: Callable[..., Any], pg_database: dict[str, Any]
) -> None:
    shop = make_shop(pg_database, mode="outbox", redis="unix:///nowhere/at.all")
    shop.run("-c", f"{SAVE}Comment.objects.create(thread=1)")
    done = shop.run(*RELAY, "--once", check=False)
    assert done.returncode == 1
    assert "still in the table" in done.stderr
    assert rows_waiting(pg_database) == 1
