"""What a delete tells is taken while the rows are there, and told once Django has deleted them: both modes, both databases."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

import pytest
from django.db import IntegrityError, connections, models, transaction
from django.db.models import F, Value
from django.db.models.functions import Concat
from django.db.models.signals import post_delete, pre_delete
from django.test.utils import CaptureQueriesContext

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
def events(using: str, queue: Queue) -> Callable[[], list[dict[str, Any]]]:
    """Reads what was emitted since it was last asked, as the pipeline does."""

    def read() -> list[dict[str, Any]]:
        relay_all(Relay(lambda _: queue, using=using))
        claims = queue.claim("w", 1000)
        queue.settle([Finish(claim) for claim in claims])
        return [json.loads(claim.body) for claim in claims]

    return read


@pytest.fixture
def thread(site: Any, using: str) -> Any:
    """A thread with three comments, saved before anything is connected."""
    thread = site.Thread.objects.using(using).create(title="t")
    for author, text in (("ann", "a"), ("bob", "b"), ("cy", "c")):
        site.Comment.objects.using(using).create(thread=thread, author=author, text=text)
    return thread


@contextmanager
def receiver(signal: Any, sender: type[models.Model], does: Callable[..., Any]) -> Iterator[None]:
    signal.connect(does, sender=sender, weak=False)
    try:
        yield
    finally:
        signal.disconnect(does, sender=sender)


def refuse(**_: object) -> None:
    raise LookupError


def texts(found: list[dict[str, Any]]) -> list[str]:
    return [body["data"]["text"] for body in found]


@pytest.mark.parametrize("loaded", ["defer", "only"])
def test_a_delete_of_an_object_whose_columns_were_not_all_loaded_tells_all_of_them(
    site: Any, using: str, thread: Any, connect: Callable[..., None], events: Any, *, to: Any, loaded: str
) -> None:
    connect(site.Comment, producer=to)
    comments = site.Comment.objects.using(using).filter(author="bob")
    one = (comments.defer("text", "score") if loaded == "defer" else comments.only("pk")).get()
    key = one.pk
    with CaptureQueriesContext(connections[using]) as asked:
        one.delete()
    (body,) = events()
    assert (body["kind"], body["key"]) == ("post_delete", key)
    assert (body["channels"], body["data"]["text"]) == ([f"thread:{thread.pk}", "user:bob"], "b")
    assert sum(query["sql"].startswith("SELECT") for query in asked) == 1, "all columns in one query"
    assert to.lost == 0


def test_a_delete_tells_the_channels_that_are_found_in_rows_which_go_with_it(
    site: Any, using: str, thread: Any, connect: Callable[..., None], events: Any, *, to: Any
) -> None:
    connect(site.Thread, channels=lambda one: [f"user:{its.author}" for its in one.comment_set.all()], producer=to)
    thread.delete()
    (body,) = events()
    assert sorted(body["channels"]) == ["user:ann", "user:bob", "user:cy"]
    assert to.lost == 0


def test_a_cascade_and_a_queryset_emit_each_object_in_the_order_in_which_django_deletes(
    site: Any, using: str, thread: Any, connect: Callable[..., None], events: Any, *, to: Any
) -> None:
    # One channel: the order of its events is the order in which they were put.
    connect(site.Comment, channels=["all"], producer=to)
    connect(site.Thread, channels=["all"], producer=to)
    deleted: list[tuple[str, int]] = []

    def note(instance: Any, **_: object) -> None:
        deleted.append((instance._meta.label, instance.pk))

    with receiver(post_delete, site.Comment, note), receiver(post_delete, site.Thread, note):
        site.Comment.objects.using(using).filter(author="bob").delete()
        thread.delete()
    assert len(deleted) == 4
    assert [(body["model"], body["key"]) for body in events()] == deleted


def test_a_queryset_of_a_connected_model_is_not_deleted_unseen(
    site: Any, using: str, thread: Any, connect: Callable[..., None], events: Any, *, to: Any
) -> None:
    connect(site.Comment, producer=to)
    site.Comment.objects.using(using).filter(thread=thread).only("pk").delete()
    assert sorted(texts(events())) == ["a", "b", "c"]


@pytest.mark.parametrize("signal", [pre_delete, post_delete], ids=["pre_delete", "post_delete"])
def test_a_delete_that_another_receiver_refuses_emits_nothing_and_leaves_nothing_behind(
    site: Any, using: str, thread: Any, connect: Callable[..., None], events: Any, *, to: Any, signal: Any
) -> None:
    class Picture:
        """A value that knows its object, as a FieldFile does."""

        def __init__(self, of: Any) -> None:
            self.of = of

    connect(site.Comment, fields=["text", "picture"], producer=to)
    comment = site.Comment.objects.using(using).get(author="bob")
    pictures: list[weakref.ref[Any]] = []

    def picture(one: Any) -> Picture:
        made = Picture(one)
        pictures.append(weakref.ref(made))
        return made

    site.Comment.picture = property(picture)
    kept = dict(vars(comment))
    with receiver(signal, site.Comment, refuse), pytest.raises(LookupError):
        comment.delete()
    assert events() == []
    assert vars(comment) == kept
    assert pictures
    gc.collect()
    assert [one() for one in pictures] == [None] * len(pictures)
    assert site.Comment.objects.using(using).filter(pk=comment.pk).exists()
    comment.text = "later"
    comment.delete()
    assert texts(events()) == ["later"]


@pytest.fixture(autouse=True)
def _no_picture(site: Any) -> Iterator[None]:
    site.Comment.picture = None
    yield
    del site.Comment.picture


def test_what_was_taken_of_a_refused_delete_goes_with_it_though_the_object_stays(
    site: Any, using: str, thread: Any, connect: Callable[..., None], *, to: Any
) -> None:
    connect(site.Comment, producer=to)
    comment = site.Comment.objects.using(using).get(author="bob")
    held = len(gc.get_referrers(comment))
    with receiver(pre_delete, site.Comment, refuse):
        for _ in range(50):
            with suppress(LookupError):
                comment.delete()
    assert len(gc.get_referrers(comment)) == held


@pytest.mark.parametrize("around", ["transaction", "savepoint"])
def test_a_delete_that_is_rolled_back_emits_nothing(
    site: Any, using: str, thread: Any, connect: Callable[..., None], events: Any, *, to: Any, around: str
) -> None:
    connect(site.Comment, producer=to)
    comments = site.Comment.objects.using(using)
    with transaction.atomic(using=using) if around == "savepoint" else nullcontext():
        with suppress(RuntimeError), transaction.atomic(using=using):
            comments.get(author="bob").delete()
            raise RuntimeError
        if around == "savepoint":
            comments.get(author="ann").delete()
    assert texts(events()) == (["a"] if around == "savepoint" else [])


def test_a_delete_that_the_database_refuses_emits_nothing(
    site: Any, using: str, thread: Any, connect: Callable[..., None], events: Any, *, to: Any
) -> None:
    connect(site.Comment, producer=to)

    def violate(**_: object) -> None:
        raise IntegrityError

    with transaction.atomic(using=using):
        with suppress(IntegrityError), transaction.atomic(using=using), receiver(post_delete, site.Thread, violate):
            thread.delete()
        site.Comment.objects.using(using).get(author="cy").delete()
    assert texts(events()) == ["c"]


def test_a_payload_that_cannot_be_taken_is_lost_only_where_the_object_is_deleted(
    site: Any, using: str, thread: Any, connect: Callable[..., None], *, to: Any, caplog: pytest.LogCaptureFixture
) -> None:
    connect(site.Comment, channels=lambda _: ["has a space"], producer=to)
    comment = site.Comment.objects.using(using).get(author="bob")
    with receiver(pre_delete, site.Comment, refuse), suppress(LookupError):
        comment.delete()
    assert (to.lost, caplog.text) == (0, "")
    comment.delete()
    assert to.lost == 1
    assert "has a space" in caplog.text


def test_a_channel_that_is_found_in_no_row_is_a_loss(
    site: Any, using: str, thread: Any, connect: Callable[..., None], events: Any, *, to: Any
) -> None:
    connect(site.Comment, channels=lambda _: [site.Thread.objects.using(using).get(title="none").title], producer=to)
    site.Comment.objects.using(using).get(author="bob").delete()
    assert (events(), to.lost) == ([], 1)


def test_an_object_that_somebody_else_has_deleted_meanwhile_is_no_loss(
    site: Any, using: str, thread: Any, connect: Callable[..., None], events: Any, *, to: Any
) -> None:
    connect(site.Comment, producer=to)
    first, second = (site.Comment.objects.using(using).defer("text").get(author="bob") for _ in range(2))
    first.delete()
    second.delete()
    assert (texts(events()), to.lost) == (["b"], 0)


def test_a_delete_within_a_receiver_of_a_delete_tells_its_own(
    site: Any, using: str, thread: Any, connect: Callable[..., None], events: Any, *, to: Any
) -> None:
    connect(site.Comment, channels=["all"], producer=to)

    def sibling(instance: Any, **_: object) -> None:
        if instance.author == "ann":
            site.Comment.objects.using(using).defer("text").get(author="bob").delete()

    with receiver(pre_delete, site.Comment, sibling):
        site.Comment.objects.using(using).defer("text").get(author="ann").delete()
    assert texts(events()) == ["b", "a"]


def test_a_column_that_was_saved_as_an_expression_is_told_as_it_was_stored(
    site: Any, using: str, thread: Any, connect: Callable[..., None], events: Any, *, to: Any
) -> None:
    comment = site.Comment.objects.using(using).get(author="bob")
    comment.text = Concat(F("text"), Value("!"))
    comment.save()
    comment.text = Concat(F("text"), Value("?"))
    connect(site.Comment, producer=to)
    comment.delete()
    assert texts(events()) == ["b!"]


@pytest.mark.engine("postgresql")
@pytest.mark.parametrize("using", ["pg"], indirect=True)
def test_asynchronous_deletes_tell_the_same(
    site: Any, using: str, thread: Any, connect: Callable[..., None], events: Any, *, to: Any
) -> None:
    connect(site.Comment, producer=to)

    async def both() -> None:
        comment = await site.Comment.objects.using(using).defer("text").aget(author="bob")
        await comment.adelete()
        await site.Comment.objects.using(using).filter(author="ann").adelete()

    asyncio.run(both())
    assert texts(events()) == ["b", "a"]


def test_a_post_delete_that_somebody_sends_by_hand_is_told_as_the_object_stands(
    site: Any, using: str, thread: Any, connect: Callable[..., None], events: Any, *, to: Any
) -> None:
    connect(site.Comment, producer=to)
    comment = site.Comment.objects.using(using).get(author="bob")
    pre_delete.send(site.Comment, instance=comment, using=using)
    post_delete.send(site.Comment, instance=comment, using=using)
    assert texts(events()) == ["b"]


def test_a_delete_without_autocommit_tells_what_was_there(
    site: Any, using: str, thread: Any, connect: Callable[..., None], events: Any, *, to: Any
) -> None:
    connect(site.Comment, producer=to)
    connections[using].set_autocommit(False)
    try:
        site.Comment.objects.using(using).defer("text").get(author="ann").delete()
        connections[using].rollback()
        site.Comment.objects.using(using).defer("text").get(author="bob").delete()
        connections[using].commit()
    finally:
        connections[using].set_autocommit(True)
    assert texts(events()) == ["b"]


def test_a_pre_delete_that_somebody_sends_by_hand_and_nothing_after_it_leaves_nothing_behind(
    site: Any, using: str, thread: Any, connect: Callable[..., None], events: Any, *, to: Any
) -> None:
    connect(site.Comment, producer=to)

    # As a decorator one block serves all calls, and lives as long as the function.
    @transaction.atomic(using=using)
    def mark_as_deleted() -> weakref.ref[Any]:
        comment = site.Comment.objects.using(using).get(author="bob")
        pre_delete.send(site.Comment, instance=comment, using=using)
        return weakref.ref(comment)

    comment = mark_as_deleted()
    gc.collect()
    assert comment() is None
    assert events() == []
