"""Bulk operations through RealtimeManager emit what they wrote, in both modes; what does not emit is known by name."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, models, transaction
from django.db.models import F, Value
from django.db.models.functions import Concat

from realtime_core.errors import ConfigurationError
from realtime_core.hooks.bulk import RealtimeManager
from realtime_core.hooks.outbox.models import OutboxRow
from realtime_core.hooks.outbox.relay import Relay
from realtime_core.hooks.outbox.running import relay_all
from realtime_core.queue import Finish, Queue

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_core.hooks.django_signals import Outbox, Producer


class Reader(models.Model):
    follows = models.ManyToManyField("self", through="Following", symmetrical=False)

    class Meta:
        app_label = "hooktests"

    def __str__(self) -> str:
        return str(self.pk)


class Following(models.Model):
    who = models.ForeignKey(Reader, on_delete=models.CASCADE, related_name="+")
    whom = models.ForeignKey(Reader, on_delete=models.CASCADE, related_name="+")

    objects = RealtimeManager()

    class Meta:
        app_label = "hooktests"

    def __str__(self) -> str:
        return str(self.pk)


@pytest.fixture(params=["signal", "outbox"])
def events(
    request: pytest.FixtureRequest,
    *,
    site: Any,
    connect: Callable[..., None],
    queue: Queue,
    producer: Producer,
    outbox: Outbox,
) -> Any:
    """Connects Comment, and reads (kind, text) of what was emitted since it was last asked."""
    connect(site.Comment, producer=producer if request.param == "signal" else outbox)
    with connection.schema_editor() as editor:
        editor.create_model(OutboxRow)

    def read() -> list[tuple[str, str]]:
        relay_all(Relay(lambda _: queue))
        claims = queue.claim("w", 10_000)
        queue.settle([Finish(claim) for claim in claims])
        found = [json.loads(claim.body) for claim in claims]
        return [(body["kind"], body["data"]["text"]) for body in found]

    yield read
    with connection.schema_editor() as editor:
        editor.delete_model(OutboxRow)


@pytest.fixture
def thread(site: Any) -> Any:
    return site.Thread.objects.create(title="t")


def three(site: Any, thread: Any) -> list[Any]:
    return [site.Comment(thread=thread, author="ann", text=text) for text in "abc"]


def test_bulk_create_emits_each_object_once(site: Any, thread: Any, events: Callable[[], Any]) -> None:
    site.Comment.objects.bulk_create(three(site, thread))
    assert events() == [("post_save", "a"), ("post_save", "b"), ("post_save", "c")]


def test_bulk_create_with_update_conflicts_emits_the_rows_as_they_are_stored(
    site: Any, thread: Any, events: Callable[[], Any]
) -> None:
    (first,) = site.Comment.objects.bulk_create([site.Comment(thread=thread, author="ann", text="old")])
    assert events() == [("post_save", "old")]
    again = site.Comment(pk=first.pk, thread=thread, author="bob", text="not written", score=2)
    site.Comment.objects.bulk_create([again], update_conflicts=True, unique_fields=["id"], update_fields=["author"])
    assert events() == [("post_save", "old")]


def test_bulk_create_that_ignores_conflicts_is_refused_since_nobody_knows_what_it_wrote(
    site: Any, thread: Any, events: Callable[[], Any]
) -> None:
    with pytest.raises(ConfigurationError, match="ignore_conflicts"):
        site.Comment.objects.bulk_create(three(site, thread), ignore_conflicts=True)
    assert site.Comment.objects.count() == 0


def test_update_emits_each_row_as_it_is_stored_and_none_that_it_did_not_write(
    site: Any, thread: Any, events: Callable[[], Any]
) -> None:
    site.Comment.objects.bulk_create(three(site, thread))
    events()
    chosen = site.Comment.objects.exclude(text="b")
    assert chosen.update(text=Concat(F("text"), Value("!"))) == 2
    assert events() == [("post_save", "a!"), ("post_save", "c!")]


def test_an_update_of_more_rows_than_one_query_names_writes_each_once(
    site: Any, thread: Any, events: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime_core.hooks.bulk._KEYS_A_QUERY", 2)
    site.Comment.objects.bulk_create(three(site, thread))
    events()
    assert site.Comment.objects.update(text=Concat(F("text"), Value("!"))) == 3
    assert events() == [("post_save", "a!"), ("post_save", "b!"), ("post_save", "c!")]


def test_an_update_that_changes_what_it_filters_by_emits_what_it_wrote(
    site: Any, thread: Any, events: Callable[[], Any]
) -> None:
    site.Comment.objects.bulk_create(three(site, thread))
    events()
    assert site.Comment.objects.filter(text__in=["a", "b"]).update(text="z") == 2
    assert events() == [("post_save", "z")] * 2
    assert site.Comment.objects.distinct().filter(text="z").update(text="y") == 2
    assert events() == [("post_save", "y")] * 2
    assert site.Comment.objects.filter(text="y").values("pk").update(text="x") == 2
    assert events() == [("post_save", "x")] * 2


def test_bulk_update_and_managers_of_related_objects_emit(site: Any, thread: Any, events: Callable[[], Any]) -> None:
    created = site.Comment.objects.bulk_create(three(site, thread))
    events()
    for comment in created:
        comment.text += "2"
    site.Comment.objects.bulk_update(created, ["text"], batch_size=2)
    assert events() == [("post_save", "a2"), ("post_save", "b2"), ("post_save", "c2")]
    thread.comment_set.update(text="all")
    assert events() == [("post_save", "all")] * 3


def test_delete_of_a_queryset_emits_each_object(site: Any, thread: Any, events: Callable[[], Any]) -> None:
    site.Comment.objects.bulk_create(three(site, thread))
    events()
    site.Comment.objects.filter(text__in=["a", "c"]).delete()
    assert sorted(events()) == [("post_delete", "a"), ("post_delete", "c")]


def test_what_a_rollback_takes_back_is_not_emitted(site: Any, thread: Any, events: Callable[[], Any]) -> None:
    with suppress(RuntimeError), transaction.atomic():
        site.Comment.objects.bulk_create(three(site, thread))
        site.Comment.objects.update(text="x")
        raise RuntimeError
    assert events() == []


def test_a_save_with_an_expression_emits_the_value_that_was_stored(
    site: Any, thread: Any, events: Callable[[], Any]
) -> None:
    comment = site.Comment.objects.create(thread=thread, author="ann", text="n")
    comment.text = Concat(F("text"), Value("+1"))
    comment.save()
    assert events() == [("post_save", "n"), ("post_save", "n+1")]


def test_many_to_many_emits_where_a_model_of_ones_own_stands_between_and_is_connected(
    connect: Callable[..., None], queue: Queue, producer: Producer
) -> None:
    tables = (Reader, Following)
    with connection.schema_editor() as editor:
        for table in tables:
            editor.create_model(table)
    try:
        connect(Following, channels=["reader:{who_id}"], producer=producer)
        ann, bob = Reader.objects.create(), Reader.objects.create()
        ann.follows.add(bob)
        ann.follows.add(bob)
        ann.follows.clear()
        found = [json.loads(claim.body) for claim in queue.claim("w", 10)]
        assert [body["kind"] for body in found] == ["post_save", "post_delete"]
    finally:
        with connection.schema_editor() as editor:
            for table in reversed(tables):
                editor.delete_model(table)


def test_what_docs_say_does_not_emit_does_not(site: Any, thread: Any, events: Callable[[], Any]) -> None:
    site.Comment._base_manager.bulk_create(three(site, thread))
    site.Comment._base_manager.update(text="x")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE hooktests_comment SET text = 'raw'")
    site.Comment.objects.all()._raw_delete("default")
    assert events() == []


@pytest.mark.engine("postgresql")
def test_on_postgresql_an_update_locks_what_it_emits(
    site: Any, pg: str, connect: Callable[..., None], producer: Producer, queue: Queue
) -> None:
    from django.db import connections
    from django.test.utils import CaptureQueriesContext

    connect(site.Comment, producer=producer)
    thread = site.Thread.objects.using(pg).create(title="t")
    site.Comment.objects.using(pg).bulk_create(three(site, thread))
    with CaptureQueriesContext(connections[pg]) as asked:
        assert site.Comment.objects.using(pg).select_related("thread").filter(thread__title="t").update(text="u") == 3
    assert any('FOR UPDATE OF "hooktests_comment"' in one["sql"] for one in asked)
    assert queue.counts().put_total == 6


def test_a_model_without_hooks_is_djangos_own(site: Any, thread: Any) -> None:
    site.Comment.objects.bulk_create(three(site, thread), ignore_conflicts=True)
    with pytest.raises(TypeError, match="slice"):
        site.Comment.objects.all()[:1].update(text="x")
    assert site.Comment.objects.update(text="x") == 3
