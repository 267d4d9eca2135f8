"""What a save tells is what the database holds, in both modes, on both databases, whichever of Django's ways it takes."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, connections, models, transaction
from django.db.models import F
from django.db.models.functions import Upper
from django.test.utils import CaptureQueriesContext, override_settings

from realtime_core.hooks.bulk import RealtimeManager
from realtime_core.hooks.outbox.models import OutboxRow
from realtime_core.hooks.outbox.relay import Relay
from realtime_core.hooks.outbox.running import relay_all
from realtime_core.queue import Finish, Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from realtime_core.hooks.django_signals import Outbox, Producer


@pytest.fixture(params=["signal", "outbox"])
def to(request: pytest.FixtureRequest, producer: Producer, outbox: Outbox) -> Producer | Outbox:
    """Where the hooks of a test hand their events: each mode's."""
    return producer if request.param == "signal" else outbox


@pytest.fixture
def data(using: str, queue: Queue) -> Callable[[], list[dict[str, Any]]]:
    """Reads the payloads that were emitted since it was last asked."""

    def read() -> list[dict[str, Any]]:
        relay_all(Relay(lambda _: queue, using=using))
        claims = queue.claim("w", 1000)
        queue.settle([Finish(claim) for claim in claims])
        return [json.loads(claim.body)["data"] for claim in claims]

    return read


@pytest.fixture
def thread(site: Any, using: str) -> Any:
    return site.Thread.objects.using(using).create(title="t")


@pytest.fixture
def comment(site: Any, using: str, thread: Any) -> Any:
    """One that was saved before anything is connected."""
    return site.Comment.objects.using(using).create(thread=thread, author="ann", text="a")


def selects(asked: CaptureQueriesContext) -> int:
    return sum(query["sql"].startswith("SELECT") for query in asked)


def test_a_save_of_some_fields_tells_the_others_as_they_are_stored(
    site: Any, using: str, comment: Any, connect: Callable[..., None], data: Any, *, to: Any
) -> None:
    connect(site.Comment, fields=["author", "text"], producer=to)
    site.Comment._base_manager.using(using).update(author="bob")
    comment.author, comment.text = "never saved", "b"
    with CaptureQueriesContext(connections[using]) as asked:
        comment.save(update_fields=["text"])
    assert selects(asked) == 1
    assert data() == [{"author": "bob", "text": "b"}]
    assert comment.author == "never saved", "the application's object is left alone"


def test_a_save_of_all_that_is_told_reads_nothing(
    site: Any, using: str, comment: Any, connect: Callable[..., None], data: Any, *, to: Any
) -> None:
    connect(site.Comment, channels=["thread:{thread_id}"], fields=["thread", "text", "id"], producer=to)
    comment = site.Comment.objects.using(using).get()
    with CaptureQueriesContext(connections[using]) as asked:
        comment.save(update_fields=["text", "thread"])
        comment.save()
    assert selects(asked) == 0
    assert data() == [{"thread": comment.thread_id, "text": "a", "id": comment.pk}] * 2


def test_a_save_of_an_object_whose_columns_were_not_all_loaded_reads_them_in_one_query(
    site: Any, using: str, comment: Any, connect: Callable[..., None], data: Any, *, to: Any
) -> None:
    connect(site.Comment, fields=["author", "text", "score"], producer=to)
    partly = site.Comment.objects.using(using).only("pk", "text").get()
    partly.text = "b"
    with CaptureQueriesContext(connections[using]) as asked:
        partly.save()
    assert selects(asked) == 1
    assert data() == [{"author": "ann", "text": "b", "score": "1.50"}]


def test_each_of_djangos_ways_to_save_emits_once(
    site: Any, using: str, thread: Any, connect: Callable[..., None], data: Any, *, to: Any
) -> None:
    connect(site.Comment, fields=["text"], producer=to)
    comments = site.Comment.objects.using(using)
    comments.get_or_create(author="ann", defaults={"text": "a", "thread": thread})
    comments.get_or_create(author="ann", defaults={"text": "b", "thread": thread})
    comments.update_or_create(author="ann", defaults={"text": "c"})
    comments.update_or_create(author="bob", defaults={"text": "d", "thread": thread})
    with transaction.atomic(using=using, durable=True):
        one = comments.select_for_update().get(author="bob")
        one.text = "e"
        one.save()
    one.refresh_from_db()
    thread.comment_set.using(using).filter(pk=one.pk).update(text="f")
    assert [one["text"] for one in data()] == ["a", "c", "d", "e", "f"]


@pytest.mark.engine("postgresql")
@pytest.mark.parametrize("using", ["pg"], indirect=True)
def test_each_of_djangos_asynchronous_ways_to_save_emits_once(
    site: Any, using: str, thread: Any, connect: Callable[..., None], data: Any, *, to: Any
) -> None:
    connect(site.Comment, fields=["text"], producer=to)
    comments = site.Comment.objects.using(using)

    async def all_of_them() -> None:
        one = await comments.acreate(thread=thread, author="ann", text="a")
        one.text = "b"
        await one.asave(update_fields=["text"])
        await comments.aupdate_or_create(author="ann", defaults={"text": "c"})
        await comments.abulk_create([site.Comment(thread=thread, author="bob", text="d")])
        await comments.filter(author="bob").aupdate(text="e")

    asyncio.run(all_of_them())
    assert [one["text"] for one in data()] == ["a", "b", "c", "d", "e"]


def test_an_update_of_a_queryset_that_prefetches_is_like_any_other(
    site: Any, using: str, comment: Any, connect: Callable[..., None], data: Any, *, to: Any
) -> None:
    connect(site.Comment, fields=["text"], producer=to)
    assert site.Comment.objects.using(using).prefetch_related("thread__comment_set").update(text="b") == 1
    assert data() == [{"text": "b"}]


class ReadsElsewhere:
    """A router that reads from a replica."""

    def db_for_read(self, model: type[models.Model], **_: object) -> str:
        return "default"

    def db_for_write(self, model: type[models.Model], **_: object) -> str:
        return "pg"

    def allow_relation(self, *_: object, **__: object) -> bool:
        return True


@pytest.mark.engine("postgresql")
@pytest.mark.parametrize("using", ["pg"], indirect=True)
def test_bulk_operations_with_a_router_are_one_transaction_of_the_database_they_write(
    site: Any, using: str, thread: Any, connect: Callable[..., None], data: Any, *, to: Any
) -> None:
    connect(site.Comment, fields=["text"], producer=to)
    open_blocks: list[tuple[bool, bool]] = []
    original = to.write if hasattr(to, "write") else None

    def watched(*args: Any) -> Any:
        open_blocks.append((connections["pg"].in_atomic_block, connections["default"].in_atomic_block))
        return original(*args)

    if original:
        to.write = watched
    with override_settings(DATABASE_ROUTERS=[ReadsElsewhere()]):
        site.Comment.objects.bulk_create([site.Comment(thread_id=thread.pk, author="ann", text="a")])
        one = site.Comment.objects.using(using).get()
        assert site.Comment.objects.update(text="b") == 1
        one.text = "c"
        site.Comment.objects.bulk_update([one], ["text"])
        one.text, one.author = "d", "not saved"
        one.save(update_fields=["text"])
        site.Comment.objects.using(using).only("pk").get().delete()
    assert [one["text"] for one in data()] == ["a", "b", "c", "d", "d"]
    assert all(block == (True, False) for block in open_blocks)
    assert to.lost == 0


class Kept(models.Manager):  # type: ignore[type-arg]
    def get_queryset(self) -> Any:
        return super().get_queryset().filter(gone=False)


class Memo(models.Model):
    """One that is marked as deleted, and whose manager leaves out what is."""

    text = models.TextField()
    gone = models.BooleanField(default=False)
    loud = models.GeneratedField(expression=Upper("text"), output_field=models.TextField(), db_persist=True)

    kept = Kept()
    objects = RealtimeManager()

    class Meta:
        app_label = "hooktests"
        base_manager_name = "kept"

    def __str__(self) -> str:
        return self.text


@pytest.fixture
def note(site: Any) -> Iterator[Any]:
    tables = (Memo, OutboxRow)
    with connection.schema_editor() as editor:
        for table in tables:
            editor.create_model(table)
    yield Memo.objects.create(text="a")
    with connection.schema_editor() as editor:
        for table in tables:
            editor.delete_model(table)


def emitted(queue: Queue) -> list[dict[str, Any]]:
    relay_all(Relay(lambda _: queue))
    return [json.loads(claim.body)["data"] for claim in queue.claim("w", 10)]


def test_a_column_that_the_database_generates_is_told_as_it_generated_it(
    note: Any, connect: Callable[..., None], queue: Queue, *, to: Any
) -> None:
    connect(Memo, channels=["n"], fields=["text", "loud"], producer=to)
    note.text = "b"
    note.save()
    note.delete()
    assert emitted(queue) == [{"text": "b", "loud": "B"}] * 2


def test_what_a_manager_leaves_out_is_told_all_the_same(
    note: Any, connect: Callable[..., None], queue: Queue, *, to: Any
) -> None:
    connect(Memo, channels=["n"], fields=["text", "gone"], producer=to)
    note.gone = True
    note.save(update_fields=["gone"])
    Memo.objects.update(text=Upper(F("text")))
    assert emitted(queue) == [{"text": "a", "gone": True}, {"text": "A", "gone": True}]
    assert to.lost == 0


def test_what_the_database_generates_is_read_once_a_batch_where_the_batch_is_read_anyway(
    note: Any, connect: Callable[..., None], queue: Queue, *, to: Any
) -> None:
    connect(Memo, channels=["n"], fields=["loud"], producer=to)
    with CaptureQueriesContext(connection) as asked:
        Memo.objects.bulk_create([Memo(text="b"), Memo(text="c")])
    assert selects(asked) == 0
    with CaptureQueriesContext(connection) as asked:
        Memo.objects.filter(text__in="bc").update(text="d")
    assert selects(asked) == 2, "the keys, and the rows as they are stored"
    with CaptureQueriesContext(connection) as asked:
        Memo.objects.filter(text="d").delete()
    assert selects(asked) == 1, "the rows that are deleted"
    assert [one["loud"] for one in emitted(queue)] == ["B", "C", "D", "D", "D", "D"]


def test_an_update_of_many_rows_writes_all_that_it_chose_though_the_first_ones_change_the_choice(
    site: Any, using: str, comment: Any, connect: Callable[..., None], data: Any, *, to: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("realtime_core.hooks.bulk._KEYS_A_QUERY", 1)
    connect(site.Comment, fields=["text"], producer=to)
    for text in "bc":
        site.Comment._base_manager.using(using).create(thread=comment.thread, author="ann", text=text)
    data()
    assert site.Comment.objects.using(using).filter(thread__comment__text="a").update(text="z") == 3
    assert data() == [{"text": "z"}] * 3
