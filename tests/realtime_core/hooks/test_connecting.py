"""Connecting a model: said twice it is said once, and what could never publish what is meant is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, models

from realtime_core.errors import ConfigurationError
from realtime_core.hooks.django_signals import Outbox, Producer, hooks_of, realtime
from realtime_core.hooks.outbox.models import OutboxRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from realtime_core.queue import Queue


class Tag(models.Model):
    friends = models.ManyToManyField("self")

    class Meta:
        app_label = "hooktests"

    def __str__(self) -> str:
        return str(self.pk)


BOTH = ("thread:{thread_id}", "user:{author}")


@pytest.fixture
def comment(site: Any) -> Iterator[Any]:
    """A comment's class; whatever a test connects to it is disconnected."""
    with connection.schema_editor() as editor:
        editor.create_model(OutboxRow)
    yield site.Comment
    for hook in hooks_of(site.Comment):
        hook.disconnect()
    with connection.schema_editor() as editor:
        editor.delete_model(OutboxRow)


@pytest.fixture
def saved(site: Any, comment: Any) -> Callable[[], Any]:
    return lambda: comment.objects.create(thread=site.Thread.objects.create(title="t"), author="ann", text="hi")


@pytest.fixture(params=["signal", "outbox"])
def emitted(request: pytest.FixtureRequest, queue: Queue) -> tuple[Callable[[], Producer | Outbox], Callable[[], int]]:
    """Each mode's destination, asked for anew by each call of realtime(); and how many events it had."""
    if request.param == "outbox":
        return lambda: Outbox("comments"), OutboxRow.objects.count
    producer = Producer(queue)
    return lambda: producer, lambda: queue.counts().put_total


def test_a_model_that_is_connected_twice_in_the_same_words_emits_once(
    comment: Any, saved: Callable[[], Any], emitted: Any
) -> None:
    to, count = emitted
    first = realtime(comment, channels=BOTH, producer=to())
    assert realtime(comment, channels=list(BOTH), producer=to()) is first
    realtime(channels=(one for one in BOTH), producer=to())(comment)
    assert list(hooks_of(comment)) == [first]
    one = saved()
    assert count() == 1
    one.delete()
    assert count() == 2
    first.disconnect()
    saved()
    assert count() == 2
    assert realtime(comment, channels=BOTH, producer=to()) is not first
    saved()
    assert count() == 3


def test_the_same_function_is_the_same_channels(comment: Any, saved: Callable[[], Any], emitted: Any) -> None:
    to, count = emitted

    def channels(one: Any) -> list[str]:
        return [f"user:{one.author}"]

    realtime(comment, channels=channels, fields=["text", "author"], producer=to())
    realtime(comment, channels=channels, fields=["author", "text"], producer=to())
    saved()
    assert count() == 1


@pytest.mark.parametrize(
    ("channels", "fields"),
    [(BOTH, ["text"]), (tuple(reversed(BOTH)), None)],
    ids=["other fields", "another order"],
)
def test_the_same_channels_with_something_else_are_refused_since_each_would_have_two_events(
    comment: Any, saved: Callable[[], Any], emitted: Any, *, channels: Any, fields: Any
) -> None:
    to, count = emitted
    realtime(comment, channels=BOTH, producer=to())
    with pytest.raises(ConfigurationError, match=r"connected already to the channels of thread:.*say it once"):
        realtime(comment, channels=channels, fields=fields, producer=to())
    saved()
    assert count() == 1


def test_other_channels_and_another_producer_are_hooks_of_their_own(
    comment: Any, saved: Callable[[], Any], queue: Queue, emitted: Any
) -> None:
    to, count = emitted
    realtime(comment, channels=BOTH, producer=to())
    realtime(comment, channels=["moderators"], producer=to())
    realtime(comment, channels=BOTH, producer=Outbox("others"))
    saved()
    assert len(hooks_of(comment)) == 3
    assert queue.counts().put_total + OutboxRow.objects.count() == 3
    assert count() >= 2


def test_a_function_that_returns_a_text_means_one_channel_and_none_means_no_event(
    comment: Any, saved: Callable[[], Any], queue: Queue
) -> None:
    producer = Producer(queue)
    realtime(comment, channels=lambda one: f"user:{one.author}", producer=producer)
    realtime(comment, channels=lambda _: None, producer=producer)
    saved()
    assert [json.loads(claim.body)["channels"] for claim in queue.claim("w", 10)] == [["user:ann"]]
    assert producer.lost == 0


async def later(_: Any) -> list[str]:
    return ["a"]


@pytest.mark.parametrize(
    ("channels", "says"),
    [
        (later, "async"),
        ((), "no template"),
        (["thread:{}"], "names no attribute"),
        (["thread:{0}"], "names no attribute"),
        ([7], "template 7"),
    ],
    ids=["async", "none", "no name", "number", "no text"],
)
def test_channels_that_no_event_could_have_are_refused(comment: Any, channels: Any, says: str, queue: Queue) -> None:
    with pytest.raises(ConfigurationError, match=says):
        realtime(comment, channels=channels, producer=Producer(queue))


@pytest.mark.parametrize("field", ["get_next_by_changed", "objects", "save"])
def test_an_attribute_that_is_no_value_is_not_published_as_its_name_in_memory(
    comment: Any, queue: Queue, field: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"{field} is no value"):
        realtime(comment, channels=["a"], fields=["text", field], producer=Producer(queue))


def test_the_many_side_of_a_relation_is_no_value(site: Any, queue: Queue) -> None:
    with pytest.raises(ConfigurationError, match="comment_set is no value"):
        realtime(site.Thread, channels=["a"], fields=["comment_set"], producer=Producer(queue))
    with pytest.raises(ConfigurationError, match="friends is no value"):
        realtime(Tag, channels=["a"], fields=["friends"], producer=Producer(queue))


def test_a_model_of_which_django_sends_no_signals_is_refused(queue: Queue) -> None:
    class Base(models.Model):
        class Meta:
            app_label = "hooktests"
            abstract = True

    with pytest.raises(ConfigurationError, match="abstract"):
        realtime(Base, channels=["a"], producer=Producer(queue))
    with pytest.raises(ConfigurationError, match="through"):
        realtime(Tag.friends.through, channels=["a"], producer=Producer(queue))
