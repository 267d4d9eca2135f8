"""The outbox on SQLite and PostgreSQL: a row of the same transaction, put once under its own id, in order by key."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager, suppress
from io import StringIO
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.db import Error as DatabaseError
from django.db import IntegrityError, connections, transaction
from django.db.models.signals import post_save
from django.test.utils import CaptureQueriesContext, override_settings
from prometheus_client import REGISTRY
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from realtime_core.errors import ConfigurationError, QueueFull
from realtime_core.hooks.outbox.models import OutboxRow
from realtime_core.hooks.outbox.relay import MOST_BYTES, Relay
from realtime_core.hooks.outbox.running import relay_all, run
from realtime_core.hooks.outbox.turn import only_relay, partition_turn
from realtime_core.queue import Finish, Job, Queue
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from realtime_core.hooks.django_signals import Outbox


@contextmanager
def rolled_back(using: str) -> Iterator[None]:
    with suppress(RuntimeError), transaction.atomic(using=using):
        yield
        raise RuntimeError


def rows(using: str) -> list[Any]:
    return list(OutboxRow.objects.using(using).order_by("number"))


def waiting(using: str) -> int:
    return OutboxRow.objects.using(using).filter(put_at__isnull=True).count()


def relay_to(queue: Queue, using: str, **options: Any) -> Relay:
    return Relay(lambda _: queue, using=using, **options)


def bodies(queue: Queue) -> list[dict[str, Any]]:
    claims = queue.claim("w", 1000)
    queue.settle([Finish(claim) for claim in claims])
    return [json.loads(claim.body) for claim in claims]


def texts(queue: Queue) -> list[str]:
    return [body["data"]["text"] for body in bodies(queue)]


def failures(reason: str) -> float:
    return REGISTRY.get_sample_value("realtime_outbox_failures_total", {"reason": reason}) or 0.0


@pytest.fixture
def save(site: Any, using: str, connect: Callable[..., None], outbox: Outbox) -> Callable[..., Any]:
    """Saves a comment on the database under test, whose events go to the outbox."""
    connect(site.Comment, producer=outbox)
    thread = site.Thread.objects.using(using).create(title="t")

    def save(text: str, author: str = "ann", *, of: Any = None) -> Any:
        return site.Comment.objects.using(using).create(thread=of or thread, author=author, text=text)

    return save


def test_an_event_is_a_row_that_commits_and_rolls_back_with_what_it_tells_about(
    using: str, save: Callable[..., Any]
) -> None:
    with rolled_back(using):
        save("no")
    with transaction.atomic(using=using):
        save("a")
        with rolled_back(using):
            save("no")
        save("b")
    assert [json.loads(bytes(row.body))["data"]["text"] for row in rows(using)] == ["a", "b"]


def test_a_delete_is_a_row_with_the_key_and_the_payload(using: str, save: Callable[..., Any]) -> None:
    comment = save("bye")
    key = comment.pk
    comment.delete()
    row = rows(using)[-1]
    body = json.loads(bytes(row.body))
    assert (row.kind, row.object, body["key"], body["data"]["text"]) == ("post_delete", str(key), key, "bye")


def test_a_save_outside_of_any_transaction_does_not_commit_without_its_row(
    site: Any, using: str, save: Callable[..., Any], outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise IntegrityError

    monkeypatch.setattr(outbox, "write", refuse)
    with pytest.raises(IntegrityError):
        save("half")
    assert site.Comment.objects.using(using).count() == 0


def test_a_hook_that_is_disconnected_leaves_the_model_as_it_was(
    site: Any, connect: Callable[..., None], outbox: Outbox
) -> None:
    from realtime_core.hooks.django_signals import realtime

    before = site.Comment.save_base
    hook = realtime(site.Comment, channels=["a"], producer=outbox)
    assert site.Comment.save_base is not before
    hook.disconnect()
    assert site.Comment.save_base is before
    assert "save_base" not in vars(site.Comment)


@pytest.mark.parametrize("first_ends_first", [True, False])
def test_two_outboxes_leave_the_model_as_it_was_in_whichever_order_they_end(
    site: Any, *, first_ends_first: bool
) -> None:
    from realtime_core.hooks.django_signals import Outbox, realtime

    before = site.Comment.save_base
    hooks = [realtime(site.Comment, channels=["a"], producer=Outbox(name)) for name in ("one", "two")]
    first, last = hooks if first_ends_first else reversed(hooks)
    first.disconnect()
    assert site.Comment.save_base is not before, "the other one still needs its saves to be transactions"
    last.disconnect()
    assert site.Comment.save_base is before
    assert "save_base" not in vars(site.Comment)


def test_a_receiver_that_raises_and_is_caught_does_not_break_the_transaction_around_it(
    site: Any, using: str, save: Callable[..., Any]
) -> None:
    def refuse(**_: object) -> None:
        raise LookupError

    with transaction.atomic(using=using):
        kept = save("before")
        post_save.connect(refuse, sender=site.Comment)
        try:
            with suppress(LookupError):
                kept.save(using=using)
        finally:
            post_save.disconnect(refuse, sender=site.Comment)
        kept.text = "after"
        kept.save(using=using)
    assert site.Comment.objects.using(using).get(pk=kept.pk).text == "after"


def test_the_relay_puts_each_row_once_under_its_own_id_in_order(
    using: str, save: Callable[..., Any], queue: Queue
) -> None:
    for text in "abc":
        save(text)
    expected = [(row.job, json.loads(bytes(row.body))) for row in rows(using)]
    assert relay_all(relay_to(queue, using)) == 3
    claims = queue.claim("w", 10)
    assert [(claim.id, json.loads(claim.body)) for claim in claims] == expected
    assert [claim.key for claim in claims] == [body["channels"][0] for _, body in expected]
    assert relay_all(relay_to(queue, using)) == 0


def test_large_bodies_are_put_in_several_turns_and_stay_in_order(
    using: str, save: Callable[..., Any], queue: Queue
) -> None:
    """A turn of 500 rows of a megabyte each would take half a gigabyte of the relay's memory, and of Redis' at once."""
    large = MOST_BYTES // 9  # and what an event has around it
    with transaction.atomic(using=using):
        for number in range(17):
            save(f"{number:02}" + "x" * large)
        save("17")
    OutboxRow.objects.using(using).update(partition=3)
    relay = relay_to(queue, using)
    moved = [relay.round() for _ in range(4)]
    assert moved == [8, 8, 2, 0]
    assert [int(text[:2]) for text in texts(queue)] == list(range(18))


def test_rows_that_were_put_are_kept_without_their_payload_and_purged_when_their_time_is_over(
    using: str, save: Callable[..., Any], queue: Queue
) -> None:
    save("a")
    relay_all(relay_to(queue, using, keep_s=3600))
    (row,) = rows(using)
    assert (row.put_at > row.at, bytes(row.body)) == (True, b"")
    assert relay_to(queue, using, keep_s=3600).purge() == 0
    OutboxRow.objects.using(using).update(put_at=time.time() - 3601)
    save("waits, whatever its age")
    OutboxRow.objects.using(using).update(at=1.0)
    assert relay_to(queue, using, keep_s=3600).purge() == 1
    assert waiting(using) == len(rows(using)) == 1


def test_what_runs_purges_all_that_is_over_however_much_it_is(
    using: str, save: Callable[..., Any], queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime_core.hooks.outbox.relay.PURGED_AT_ONCE", 2)
    monkeypatch.setattr("realtime_core.hooks.outbox.running.PURGED_AT_ONCE", 2)
    for _ in range(5):
        save("a")
    relay = relay_to(queue, using, keep_s=3600)
    relay_all(relay)
    OutboxRow.objects.using(using).update(put_at=time.time() - 3601)
    stop = threading.Event()
    monkeypatch.setattr(relay, "round", lambda _: stop.set() or 0)
    run(relay, stop, using=using)
    assert rows(using) == []


def test_without_retention_rows_that_were_put_are_gone(using: str, save: Callable[..., Any], queue: Queue) -> None:
    save("a")
    relay_all(relay_to(queue, using, keep_s=0))
    assert (rows(using), texts(queue)) == ([], ["a"])


def test_redis_away_loses_nothing_and_what_waits_is_put_when_it_is_back(
    site: Any, using: str, save: Callable[..., Any], queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as away:
        away.setattr(queue, "put", lambda _: (_ for _ in ()).throw(RedisConnectionError("refused")))
        save("a")
        with pytest.raises(RedisConnectionError):
            relay_to(queue, using).round()
    assert (site.Comment.objects.using(using).count(), waiting(using)) == (1, 1)
    relay_all(relay_to(queue, using))
    assert texts(queue) == ["a"]


def test_a_put_whose_reply_was_lost_is_put_again_and_stays_one_job(
    using: str, save: Callable[..., Any], queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = queue.put

    def unheard(jobs: Sequence[Job]) -> list[bool]:
        put(jobs)
        raise RedisConnectionError("reset")

    save("a")
    with monkeypatch.context() as broken:
        broken.setattr(queue, "put", unheard)
        with pytest.raises(RedisConnectionError):
            relay_to(queue, using).round()
    assert waiting(using) == 1
    relay_all(relay_to(queue, using))
    assert (waiting(using), queue.counts().put_total, queue.counts().duplicate_total) == (0, 1, 1)


def test_a_full_queue_holds_up_its_own_rows_only_and_takes_them_in_smaller_batches(
    site: Any, using: str, save: Callable[..., Any], redis_client: Any, redis_name: str, *, connect: Callable[..., None]
) -> None:
    from realtime_core.hooks.django_signals import Outbox

    full, other = Queue(redis_client, redis_name, max_length=4), Queue(redis_client, f"{redis_name}.other")
    connect(site.Comment, channels=["thread:{thread_id}"], producer=Outbox("other"))
    for n in range(6):
        save(f"c{n}")
    relay = Relay(lambda name: full if name == "comments" else other, using=using, batch=100)
    with pytest.raises(QueueFull):
        relay.round()
    assert (full.counts().put_total, other.counts().put_total, waiting(using)) == (0, 6, 6)

    def until_full() -> bool:
        with suppress(QueueFull):
            relay.round()
        return full.counts().available == 4

    wait_until(until_full, what="four jobs in a queue of four")
    assert texts(full) == ["c0", "c1", "c2", "c3"]
    wait_until(lambda: relay.round() == 0, what="an empty outbox")
    assert texts(full) == ["c4", "c5"]


@pytest.mark.parametrize(
    "refusal", [ConfigurationError("no such name"), ResponseError("NOPERM")], ids=["name", "rights"]
)
def test_a_queue_that_refuses_holds_up_its_own_rows_only(
    site: Any,
    using: str,
    save: Callable[..., Any],
    queue: Queue,
    refusal: Exception,
    *,
    connect: Callable[..., None],
) -> None:
    from realtime_core.hooks.django_signals import Outbox

    connect(site.Comment, channels=["thread:{thread_id}"], producer=Outbox("refuses"))
    for n in range(40):
        save(f"c{n}", of=site.Thread.objects.using(using).create(title=str(n)))

    def queue_of(name: str) -> Queue:
        if name == "refuses":
            raise refusal
        return queue

    relay = Relay(queue_of, using=using, batch=10)
    with pytest.raises(type(refusal)):
        relay.round()
    assert (queue.counts().put_total, waiting(using)) == (40, 40)


@pytest.mark.parametrize("apart", [True, False])
def test_a_queue_whose_server_is_away_holds_up_others_only_where_it_is_theirs_too(
    site: Any, using: str, save: Callable[..., Any], queue: Queue, *, apart: bool, connect: Callable[..., None]
) -> None:
    from realtime_core.hooks.django_signals import Outbox

    connect(site.Comment, channels=["thread:{thread_id}"], producer=Outbox("away"))
    for n in range(40):
        save(f"c{n}", of=site.Thread.objects.using(using).create(title=str(n)))
    rounds = []

    def queue_of(name: str) -> Queue:
        rounds.append(name)
        if name == "away":
            raise RedisConnectionError("away")
        return queue

    relay = Relay(queue_of, using=using, batch=10, apart=apart)
    with pytest.raises(RedisConnectionError):
        relay.round()
    if apart:
        assert (queue.counts().put_total, waiting(using)) == (40, 40)
    else:
        assert rounds.count("away") == 1, "the round ended"


def test_a_row_that_is_no_job_is_set_aside_with_its_reason_and_holds_up_nobody(
    using: str, save: Callable[..., Any], queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    save("bad")
    OutboxRow.objects.using(using).update(job="has a space")
    save("good")
    assert relay_all(relay_to(queue, using)) == 2
    bad, _ = rows(using)
    assert "has a space" in bad.refused
    assert "has a space" in caplog.text
    assert texts(queue) == ["good"]
    OutboxRow.objects.using(using).update(put_at=1.0)
    assert relay_to(queue, using).purge() == 1
    assert [row.number for row in rows(using)] == [bad.number]


def test_an_idle_round_is_one_query(using: str, save: Callable[..., Any], queue: Queue) -> None:
    relay = relay_to(queue, using)
    save("a")
    relay.round()
    with CaptureQueriesContext(connections[using]) as asked:
        assert relay.round() == 0
    assert len(asked) == 1


def test_what_waits_and_the_oldest_age_are_told(using: str, save: Callable[..., Any], queue: Queue) -> None:
    relay = relay_to(queue, using)
    assert relay.waiting() == (0, 0.0)
    for n in range(3):
        save("a", of=None, author=f"u{n}")
    OutboxRow.objects.using(using).filter(number=rows(using)[0].number).update(at=time.time() - 100)
    count, oldest_s = relay.waiting()
    assert count == 3
    assert 100 <= oldest_s < 130


def test_the_migration_makes_what_the_model_says(site: Any) -> None:
    call_command("makemigrations", "realtime_outbox", "--check", "--dry-run", verbosity=0)


def test_what_runs_goes_on_through_errors_counts_them_and_ends_with_what_waits_put(
    using: str, save: Callable[..., Any], queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()
    relay = relay_to(queue, using)
    real, errors = relay.round, [RedisConnectionError("away"), QueueFull("full"), DatabaseError("gone"), OSError("?")]
    asked = []

    def round_() -> int:
        asked.append(time.monotonic())
        if errors:
            raise errors.pop(0)
        # While it runs it sees nothing; what it moves is moved when it ends.
        stop.set()
        return 0

    before = [failures(reason) for reason in ("redis", "queue_full", "database", "other")]
    monkeypatch.setattr("realtime_core.hooks.outbox.running.FIRST_BACKOFF_S", 0.01)
    monkeypatch.setattr(connections[using], "close", lambda: None)  # it is in memory
    monkeypatch.setattr(relay, "round", lambda go_on: real(go_on) if stop.is_set() else round_())
    save("a")
    assert run(relay, stop, using=using, poll_s=0.01, drain_s=5.0) == 1
    assert [failures(reason) for reason in ("redis", "queue_full", "database", "other")] == [n + 1 for n in before]
    waits = [later - earlier for earlier, later in pairwise(asked)]
    assert all(wait_s >= 0.01 * 2**n for n, wait_s in enumerate(waits))
    assert texts(queue) == ["a"]


def test_a_drain_ends_at_its_limit_between_two_partitions_and_the_rest_waits(
    site: Any, using: str, save: Callable[..., Any], queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(4):
        save(f"c{n}", of=site.Thread.objects.using(using).create(title=str(n)))
    stop = threading.Event()
    stop.set()
    put, now = queue.put, [0.0]

    def slow(jobs: Sequence[Job]) -> list[bool]:
        now[0] += 1.0
        return put(jobs)

    monkeypatch.setattr(queue, "put", slow)
    monkeypatch.setattr("realtime_core.hooks.outbox.running.time", SimpleNamespace(monotonic=lambda: now[0]))
    assert len({row.partition for row in rows(using)}) == 4
    assert run(relay_to(queue, using), stop, using=using, drain_s=1.5) == 2
    assert waiting(using) == 2


class Counting:
    """A ledger that keeps what it was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []

    def sent(self, hop: str, ids: Sequence[str], at: Sequence[float]) -> None:
        self.calls.append(("sent", hop, *ids))

    def received(self, hop: str, ids: Sequence[str], at: Sequence[float]) -> None:
        self.calls.append(("received", hop, *ids))

    def name(self, ids: Sequence[str]) -> None:
        self.calls.append(("name", *ids))

    def flush(self) -> None:
        self.calls.append(("flush",))


def test_the_ledger_counts_a_row_once_it_was_put_and_marked(
    using: str, save: Callable[..., Any], queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    save("a")
    (row,) = rows(using)
    ledger = Counting()
    relay = relay_to(queue, using, ledger=ledger)
    with monkeypatch.context() as broken:
        broken.setattr(relay, "_mark", lambda _: (_ for _ in ()).throw(DatabaseError("gone")))
        with pytest.raises(DatabaseError):
            relay.round()
    assert ledger.calls == []
    relay.round()
    assert ledger.calls == [
        ("sent", "hooks>queue", row.job),
        ("name", row.job),
        ("received", "hooks>queue", row.job),
        ("sent", "queue>pipeline", row.job),
        ("flush",),
    ]


def test_with_sqlite_there_is_one_relay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site: Any) -> None:
    monkeypatch.setitem(connections["default"].settings_dict, "NAME", str(tmp_path / "site.db"))
    with only_relay("default"), pytest.raises(ConfigurationError, match="another relay"), only_relay("default"):
        pass
    with only_relay("default"):
        pass


@pytest.mark.parametrize(
    ("options", "words"),
    [({"using": "nowhere"}, "nowhere"), ({"batch": 0}, "batch=0"), ({"keep_s": -1}, "keep_s=-1")],
)
def test_a_relay_refuses_what_it_cannot_do(queue: Queue, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Relay(lambda _: queue, **options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"poll": 61}, "--poll 61"),
        ({"drain": -1}, "--drain -1"),
        ({"metrics": "x"}, "--metrics x"),
        ({"database": "b"}, "'b'"),
        ({"batch": 0}, "batch=0"),
    ],
    ids=["poll", "drain", "metrics", "database", "batch"],
)
def test_the_command_refuses_wrong_options_with_2(site: Any, options: dict[str, Any], says: str) -> None:
    with (
        override_settings(REALTIME={"redis": "redis://127.0.0.1:1"}),
        pytest.raises(CommandError, match=says) as refused,
    ):
        call_command("realtime_outbox", once=True, **options)
    assert refused.value.returncode == 2


def test_the_command_puts_what_waits_once(using: str, save: Callable[..., Any], valkey: Any, queue: Queue) -> None:
    save("a")
    OutboxRow.objects.using(using).update(queue=queue.name)
    said = StringIO()
    with override_settings(REALTIME={"redis": valkey.url, "mode": "outbox"}):
        call_command("realtime_outbox", once=True, database=using, metrics="0", stdout=said)
    assert said.getvalue() == "1 row(s) put\n"
    assert texts(queue) == ["a"]


def test_other_databases_are_refused_by_name(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections["default"], "vendor", "mysql")
    with pytest.raises(ConfigurationError, match="mysql"):
        relay_to(queue, "default")


@contextmanager
def elsewhere(work: Callable[[], None]) -> Iterator[tuple[threading.Event, threading.Event]]:
    """A second connection: ``work`` is done in a transaction of another thread, which commits when it is told to."""
    done, commit = threading.Event(), threading.Event()

    def other() -> None:
        try:
            with transaction.atomic(using="pg"):
                work()
                done.set()
                assert commit.wait(20)
        finally:
            connections["pg"].close()

    thread = threading.Thread(target=other)
    thread.start()
    try:
        assert done.wait(20)
        yield done, commit
    finally:
        commit.set()
        thread.join(20)


@pytest.fixture
def pg_save(site: Any, pg: str, connect: Callable[..., None], outbox: Outbox) -> Callable[[str], Any]:
    connect(site.Comment, producer=outbox, channels=["thread:{thread_id}"])
    thread = site.Thread.objects.using(pg).create(title="t")
    return lambda text: site.Comment.objects.using(pg).create(thread=thread, author="ann", text=text)


@pytest.mark.engine("postgresql")
def test_a_row_that_commits_after_a_later_one_was_put_is_not_passed_over(
    pg: str, pg_save: Callable[[str], Any], queue: Queue
) -> None:
    with elsewhere(lambda: pg_save("slow")) as (_, commit):
        pg_save("fast")
        relay_all(relay_to(queue, pg))
        assert texts(queue) == ["fast"]
        commit.set()
        wait_until(lambda: waiting(pg) == 1)
    assert rows(pg)[0].put_at is None, "it has the lower number"
    relay_all(relay_to(queue, pg))
    assert texts(queue) == ["slow"]


@pytest.mark.engine("postgresql")
def test_a_partition_that_another_relay_holds_is_left_to_it_until_its_transaction_ends(
    pg: str, pg_save: Callable[[str], Any], queue: Queue
) -> None:
    pg_save("a")
    (row,) = rows(pg)

    def hold() -> None:
        turn = partition_turn("pg", row.partition)
        assert turn.__enter__()
        held.append(turn)

    held: list[Any] = []
    with elsewhere(hold) as (_, commit):
        assert relay_to(queue, pg).round() == 0
        assert waiting(pg) == 1
        commit.set()
    # The thread has closed its connection without ending the block, as a relay does that is killed.
    assert wait_until(lambda: relay_to(queue, pg).round()) == 1
    held.clear()


@pytest.mark.engine("postgresql")
def test_a_row_that_somebody_has_locked_is_left_for_later_and_nobody_waits_for_it(
    pg: str, pg_save: Callable[[str], Any], queue: Queue
) -> None:
    pg_save("locked")
    pg_save("free")
    first = rows(pg)[0].number
    with elsewhere(lambda: list(OutboxRow.objects.using("pg").select_for_update().filter(number=first)).clear()):
        assert relay_to(queue, pg).round() == 1
        assert texts(queue) == ["free"]
    assert relay_to(queue, pg).round() == 1
