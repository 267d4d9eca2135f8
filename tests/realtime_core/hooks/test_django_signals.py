"""Saves and deletes of a real Django with SQLite become jobs after COMMIT, once, in order, and never an error."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

import pytest
from django.core import serializers
from django.db import connection, transaction
from prometheus_client import REGISTRY
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from realtime_core.errors import ConfigurationError
from realtime_core.hooks.django_signals import Producer, realtime
from realtime_core.queue import Finish, Job, Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


class Watched(Queue):
    """A real queue that remembers how it was called."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.batches: list[list[str]] = []

    def put(self, jobs: Sequence[Job]) -> list[bool]:
        self.batches.append([job.id for job in jobs])
        return super().put(jobs)


@pytest.fixture
def queue(redis_client: Redis, redis_name: str) -> Watched:
    return Watched(redis_client, redis_name)


@contextmanager
def rolled_back() -> Iterator[None]:
    """A block whose transaction, or savepoint, is rolled back."""
    with suppress(RuntimeError), transaction.atomic():
        yield
        raise RuntimeError


def bodies(queue: Queue) -> list[dict[str, Any]]:
    claims = queue.claim("w", 1000)
    queue.settle([Finish(claim) for claim in claims])
    return [json.loads(claim.body) for claim in claims]


def texts(queue: Queue) -> list[str]:
    return [body["data"]["text"] for body in bodies(queue)]


def outcome(name: str) -> float:
    return REGISTRY.get_sample_value("realtime_hooks_jobs_total", {"outcome": name}) or 0.0


@pytest.fixture
def thread(site: Any) -> Any:
    return site.Thread.objects.create(title="t")


def test_a_save_is_one_job_with_everything_the_pipeline_needs(
    site: Any, thread: Any, connect: Callable[..., None], queue: Watched, producer: Producer
) -> None:
    connect(site.Comment, fields=("id", "thread_id", "author", "text"), producer=producer)
    before = time.time()
    comment = site.Comment.objects.create(thread=thread, author="ann", text="hi")
    (claim,) = queue.claim("w", 10)
    body = json.loads(claim.body)
    assert before <= body.pop("at") <= time.time()
    assert body == {
        "v": 1,
        "job": claim.id,
        "channels": [f"thread:{thread.pk}", "user:ann"],
        "kind": "post_save",
        "model": "hooktests.Comment",
        "key": comment.pk,
        "data": {"id": comment.pk, "thread_id": thread.pk, "author": "ann", "text": "hi"},
    }
    assert b"\n" not in claim.body


def test_a_transaction_that_rolls_back_emits_nothing(
    site: Any, thread: Any, connect: Callable[..., None], queue: Watched, producer: Producer
) -> None:
    connect(site.Comment, producer=producer)
    with rolled_back():
        site.Comment.objects.create(thread=thread, author="ann", text="never")
    assert queue.batches == []
    site.Comment.objects.create(thread=thread, author="ann", text="kept")
    assert texts(queue) == ["kept"]


def test_a_transaction_emits_once_after_its_commit(
    site: Any, thread: Any, connect: Callable[..., None], queue: Watched, producer: Producer
) -> None:
    connect(site.Comment, producer=producer)
    with transaction.atomic():
        comment = site.Comment.objects.create(thread=thread, author="ann", text="hi")
        assert queue.counts().put_total == 0
    (body,) = bodies(queue)
    assert body["key"] == comment.pk
    assert queue.counts().put_total == 1


def test_all_jobs_of_a_transaction_are_one_batch_in_their_order_whatever_model_they_are_of(
    site: Any, thread: Any, connect: Callable[..., None], queue: Watched, producer: Producer
) -> None:
    connect(site.Comment, producer=producer)
    connect(site.Thread, channels=["thread:{pk}"], fields=["title"], producer=producer)
    with transaction.atomic():
        comment = site.Comment.objects.create(thread=thread, author="ann", text="one")
        thread.title = "changed"
        thread.save()
        comment.text = "two"
        comment.save()
        comment.delete()
    (batch,) = queue.batches
    found = bodies(queue)
    assert [body["job"] for body in found] == batch
    assert batch == sorted(batch), "ids sort by time"
    assert [(body["kind"], body["data"].get("text", body["data"].get("title"))) for body in found] == [
        ("post_save", "one"),
        ("post_save", "changed"),
        ("post_save", "two"),
        ("post_delete", "two"),
    ]


@pytest.mark.parametrize("last", ["kept", "rolled back"])
def test_what_a_savepoint_takes_back_is_not_emitted_and_the_rest_is_still_one_batch(
    site: Any, thread: Any, connect: Callable[..., None], queue: Watched, producer: Producer, *, last: str
) -> None:
    connect(site.Comment, producer=producer)

    def comment(text: str) -> None:
        site.Comment.objects.create(thread=thread, author="ann", text=text)

    with transaction.atomic():
        comment("a")
        with transaction.atomic():
            comment("b")
            with rolled_back():
                comment("no")
        with rolled_back():
            comment("no")
            with transaction.atomic():
                comment("no")
        if last == "kept":
            comment("c")
    assert len(queue.batches) == 1
    assert texts(queue) == ["a", "b", *(["c"] if last == "kept" else [])]


def test_a_rolled_back_transaction_leaves_nothing_for_the_next_one(
    site: Any, thread: Any, connect: Callable[..., None], queue: Watched, producer: Producer
) -> None:
    connect(site.Comment, producer=producer)
    for _ in range(3):
        with rolled_back():
            site.Comment.objects.create(thread=thread, author="ann", text="no")
        with transaction.atomic():
            site.Comment.objects.create(thread=thread, author="ann", text="yes")
    assert [len(batch) for batch in queue.batches] == [1, 1, 1]
    assert texts(queue) == ["yes"] * 3


def test_a_delete_carries_the_key_and_the_payload(
    site: Any, thread: Any, connect: Callable[..., None], queue: Watched, producer: Producer
) -> None:
    comment = site.Comment.objects.create(thread=thread, author="ann", text="bye")
    key = comment.pk
    connect(site.Comment, producer=producer)
    comment.delete()
    assert comment.pk is None
    (body,) = bodies(queue)
    assert (body["kind"], body["key"], body["data"]["text"], body["data"]["score"]) == (
        "post_delete",
        key,
        "bye",
        "1.50",
    )


def test_a_cascade_is_one_batch(
    site: Any, thread: Any, connect: Callable[..., None], queue: Watched, producer: Producer
) -> None:
    for text in "abc":
        site.Comment.objects.create(thread=thread, author="ann", text=text)
    connect(site.Comment, producer=producer)
    thread.delete()
    assert [len(batch) for batch in queue.batches] == [3]


def test_the_payload_is_taken_at_the_save_not_at_the_commit(
    site: Any, thread: Any, connect: Callable[..., None], queue: Watched, producer: Producer
) -> None:
    connect(site.Comment, producer=producer)
    with transaction.atomic():
        comment = site.Comment.objects.create(thread=thread, author="ann", text="as saved")
        comment.text = "changed afterwards and not saved"
    assert texts(queue) == ["as saved"]


def test_fixtures_are_ignored(
    site: Any, thread: Any, connect: Callable[..., None], queue: Watched, producer: Producer
) -> None:
    connect(site.Comment, producer=producer)
    fields = {"thread": thread.pk, "author": "a", "text": "raw", "changed": "2026-01-01T00:00:00Z"}
    fixture = [{"model": "hooktests.comment", "pk": 5, "fields": fields}]
    for loaded in serializers.deserialize("json", json.dumps(fixture)):
        loaded.save()
    assert site.Comment.objects.count() == 1
    assert queue.batches == []


def test_channels_may_be_a_function_and_none_means_no_event(
    site: Any, thread: Any, connect: Callable[..., None], queue: Watched, producer: Producer
) -> None:
    connect(
        site.Comment, channels=lambda one: [f"a:{one.author}"] * 2 if one.author != "spam" else [], producer=producer
    )
    site.Comment.objects.create(thread=thread, author="ann", text="x")
    site.Comment.objects.create(thread=thread, author="spam", text="y")
    assert [body["channels"] for body in bodies(queue)] == [["a:ann"]]
    assert producer.lost == 0


def test_a_dead_redis_never_breaks_the_request_and_what_is_lost_is_counted(
    site: Any, thread: Any, connect: Callable[..., None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Redis(unix_socket_path=str(tmp_path / "nobody"), retry=Retry(NoBackoff(), 0)) as redis:
        producer = Producer(Queue(redis, "dead"), ledger=Refusing())
        connect(site.Comment, producer=producer)
        before = outcome("lost")
        with caplog.at_level(logging.ERROR), transaction.atomic():
            for text in "abc":
                site.Comment.objects.create(thread=thread, author="ann", text=text)
        assert site.Comment.objects.count() == 3
        assert producer.lost == outcome("lost") - before == 3
        assert "3 event(s) lost" in caplog.text


class Refusing:
    """A ledger that fails whatever is asked of it."""

    def sent(self, hop: str, ids: Sequence[str], at: Sequence[float]) -> None:
        raise OSError(hop)

    received = sent

    def name(self, ids: Sequence[str]) -> None:
        raise OSError

    def flush(self) -> None:
        raise OSError

    close = flush


def test_a_ledger_that_fails_holds_up_no_event(
    site: Any, thread: Any, connect: Callable[..., None], queue: Watched
) -> None:
    producer = Producer(queue, ledger=Refusing())
    connect(site.Comment, producer=producer)
    site.Comment.objects.create(thread=thread, author="ann", text="x")
    assert texts(queue) == ["x"]
    assert producer.lost == 0


@pytest.mark.parametrize("author", ["has a space", "é", "x" * 200, ""])
def test_an_event_that_cannot_be_captured_is_counted_and_the_save_is_fine(
    site: Any, thread: Any, connect: Callable[..., None], queue: Watched, producer: Producer, *, author: str
) -> None:
    connect(site.Comment, channels=["{author}"], producer=producer)
    with transaction.atomic():
        site.Comment.objects.create(thread=thread, author=author, text="x")
        site.Comment.objects.create(thread=thread, author="fine", text="y")
    assert site.Comment.objects.count() == 2
    assert producer.lost == 1
    assert texts(queue) == ["y"]


@pytest.mark.engine("postgresql")
def test_an_event_belongs_to_the_transaction_of_the_database_it_was_saved_on(
    site: Any, pg: str, thread: Any, connect: Callable[..., None], queue: Watched, *, producer: Producer
) -> None:
    connect(site.Comment, producer=producer)
    there = site.Thread.objects.using(pg).create(title="there")
    with rolled_back():
        site.Comment.objects.create(thread=thread, author="ann", text="no")
        with transaction.atomic(using=pg):
            site.Comment.objects.using(pg).create(thread=there, author="ann", text="kept there")
            assert queue.batches == []
        assert texts(queue) == ["kept there"]
    with suppress(RuntimeError), transaction.atomic(using=pg):
        site.Comment.objects.using(pg).create(thread=there, author="ann", text="no")
        site.Comment.objects.create(thread=thread, author="ann", text="kept here")
        raise RuntimeError
    assert texts(queue) == ["kept here"]


def test_manual_transactions_are_refused_and_counted_not_raised(
    site: Any, thread: Any, connect: Callable[..., None], queue: Watched, producer: Producer
) -> None:
    connect(site.Comment, producer=producer)
    connection.set_autocommit(False)
    try:
        site.Comment.objects.create(thread=thread, author="ann", text="x")
        connection.commit()
    finally:
        connection.set_autocommit(True)
    assert (producer.lost, queue.batches) == (1, [])
    site.Comment.objects.create(thread=thread, author="ann", text="y")
    assert texts(queue) == ["y"]


def test_what_was_saved_before_a_callback_that_breaks_is_put_with_the_next_transaction_and_what_came_after_it_is_lost(
    site: Any, thread: Any, connect: Callable[..., None], queue: Watched, producer: Producer
) -> None:
    connect(site.Comment, producer=producer)

    def broken() -> None:
        raise RuntimeError

    with suppress(RuntimeError), transaction.atomic():
        site.Comment.objects.create(thread=thread, author="ann", text="one")
        transaction.on_commit(broken)
        site.Comment.objects.create(thread=thread, author="ann", text="cut off")
    assert queue.batches == []
    site.Comment.objects.create(thread=thread, author="ann", text="two")
    assert texts(queue) == ["one", "two"]


@pytest.mark.parametrize("in_a_block", [False, True])
def test_a_save_in_a_callback_of_a_commit_holds_up_no_event_of_that_commit(
    site: Any, thread: Any, connect: Callable[..., None], queue: Watched, producer: Producer, *, in_a_block: bool
) -> None:
    connect(site.Comment, channels=["all"], producer=producer)

    def callback() -> None:
        with transaction.atomic() if in_a_block else nullcontext():
            site.Comment.objects.create(thread=thread, author="ann", text="callback")

    with transaction.atomic():
        site.Comment.objects.create(thread=thread, author="ann", text="before")
        transaction.on_commit(callback)
        site.Comment.objects.create(thread=thread, author="ann", text="after")
    assert sorted(texts(queue)) == ["after", "before", "callback"]


class Counting:
    """A ledger that keeps what it was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def sent(self, hop: str, ids: Sequence[str], at: Sequence[float]) -> None:
        self.calls.append(("sent", hop, list(ids), list(at)))

    def received(self, hop: str, ids: Sequence[str], at: Sequence[float]) -> None:
        self.calls.append(("received", hop, list(ids), list(at)))

    def name(self, ids: Sequence[str]) -> None:
        self.calls.append(("name", list(ids)))

    def flush(self) -> None:
        self.calls.append(("flush",))

    def close(self) -> None:
        self.calls.append(("close",))


def test_the_ledger_counts_each_event_out_of_the_hook_and_into_and_out_of_the_queue(
    site: Any, thread: Any, connect: Callable[..., None], queue: Watched
) -> None:
    ledger = Counting()
    connect(site.Comment, producer=Producer(queue, ledger=ledger))
    with transaction.atomic():
        site.Comment.objects.create(thread=thread, author="ann", text="a")
        site.Comment.objects.create(thread=thread, author="ann", text="b")
        assert ledger.calls == []
    found = bodies(queue)
    ids, at = [body["job"] for body in found], [body["at"] for body in found]
    assert ledger.calls == [
        ("sent", "hooks>queue", ids, at),
        ("name", ids),
        ("received", "hooks>queue", ids, at),
        ("sent", "queue>pipeline", ids, at),
        ("flush",),
    ]


def test_what_the_queue_did_not_take_stays_open_in_the_ledger(
    site: Any, thread: Any, connect: Callable[..., None], redis_client: Redis, redis_name: str
) -> None:
    ledger = Counting()
    full = Queue(redis_client, redis_name, max_length=1)
    full.put([Job(id="there", body=b"")])
    producer = Producer(full, ledger=ledger)
    connect(site.Comment, producer=producer)
    site.Comment.objects.create(thread=thread, author="ann", text="a")
    assert [call[0] for call in ledger.calls] == ["sent", "name"]
    assert producer.lost == 1


def test_a_put_whose_reply_was_lost_and_that_was_repeated_counts_as_in_the_queue(
    site: Any, thread: Any, connect: Callable[..., None], queue: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Counting()
    producer = Producer(queue, ledger=ledger)
    connect(site.Comment, producer=producer)
    put = queue.put
    monkeypatch.setattr(queue, "put", lambda jobs: (put(jobs), put(jobs))[1])
    before = outcome("duplicate")
    site.Comment.objects.create(thread=thread, author="ann", text="a")
    assert outcome("duplicate") - before == 1
    assert producer.lost == 0
    assert [call[0] for call in ledger.calls] == ["sent", "name", "received", "sent", "flush"]


def test_accepted_jobs_are_counted_for_prometheus(
    site: Any, thread: Any, connect: Callable[..., None], producer: Producer
) -> None:
    connect(site.Comment, producer=producer)
    before = outcome("accepted")
    with transaction.atomic():
        for _ in range(3):
            site.Comment.objects.create(thread=thread, author="ann", text="a")
    assert outcome("accepted") - before == 3


def test_threads_do_not_mix_their_transactions(
    site: Any, thread: Any, connect: Callable[..., None], queue: Watched, producer: Producer
) -> None:
    connect(site.Comment, producer=producer)
    with transaction.atomic():
        site.Comment.objects.create(thread=thread, author="ann", text="mine")

        def other() -> None:
            try:
                with transaction.atomic():
                    site.Comment(pk=1, author="x", text="unsaved")
                with connection.schema_editor() as editor:
                    editor.create_model(site.Thread)
                    editor.create_model(site.Comment)
                its = site.Thread.objects.create(title="other")
                site.Comment.objects.create(thread=its, author="bob", text="theirs")
            finally:
                connection.close()

        beside = threading.Thread(target=other)
        beside.start()
        beside.join(20)
        assert texts(queue) == ["theirs"]
    assert texts(queue) == ["mine"]


def test_wrong_templates_and_fields_are_refused_when_the_hook_is_made(site: Any, producer: Producer) -> None:
    with pytest.raises(ConfigurationError, match="no field 'nothing'"):
        realtime(site.Comment, channels=["a"], fields=["nothing"], producer=producer)
    with pytest.raises(ConfigurationError, match="template"):
        realtime(site.Comment, channels=["a:{"], producer=producer)


@pytest.mark.parametrize("module", ["realtime_core.queue", "realtime_core.hooks.django_signals"])
def test_importing_it_brings_neither_gevent_nor_numpy(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{'gevent', 'greenlet', 'numpy', 'locust'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=25, check=True)
    assert done.stdout == "\n"
