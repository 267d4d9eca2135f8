"""One line a model: the decorator, REALTIME in the settings, and what tests of an application see."""

from __future__ import annotations

import json
import unittest
from typing import TYPE_CHECKING, Any

import pytest
from django.apps import apps
from django.db import connection, models, transaction
from django.test import TestCase
from django.test.utils import override_settings
from redis.crc import key_slot

from realtime_core.errors import ConfigurationError
from realtime_core.hooks.django_signals import Outbox, Producer, hooks_of, realtime
from realtime_core.hooks.outbox.models import OutboxRow
from realtime_core.hooks.settings import Settings, default_producer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redis import Redis

    from realtime_core.queue import Queue
    from realtime_core.stack import Valkey


@pytest.fixture
def by_settings(valkey: Valkey, redis_name: str) -> Iterator[Callable[..., None]]:
    """REALTIME for one test."""
    overridden = []

    def use(**words: Any) -> None:
        override = override_settings(REALTIME={"redis": valkey.url, "queue": redis_name, **words})
        override.enable()
        overridden.append(override)
        default_producer.cache_clear()

    yield use
    for override in overridden:
        override.disable()
    default_producer.cache_clear()


def test_a_decorated_model_emits_by_the_settings(
    site: Any, by_settings: Callable[..., None], queue: Queue, redis_name: str, redis_client: Redis
) -> None:
    by_settings(ledger=redis_name)

    @realtime(channels="note:{id}")
    class Note(models.Model):
        text = models.TextField()

        class Meta:
            app_label = "hooktests"

        def __str__(self) -> str:
            return self.text

    try:
        with connection.schema_editor() as editor:
            editor.create_model(Note)
        note = Note.objects.create(text="hi")
        (claim,) = queue.claim("w", 10)
        assert json.loads(claim.body)["channels"] == [f"note:{note.pk}"]
        # One put is in the trace, and in the ledger.
        assert redis_client.zscore(f"rth1:{{{redis_name}}}:put", f"hooktests.Note {note.pk}") is not None
        assert redis_client.exists(f"led1:{{{redis_name}}}:owners")
    finally:
        for hook in hooks_of(Note):
            hook.disconnect()
        with connection.schema_editor() as editor:
            editor.delete_model(Note)
        apps.all_models["hooktests"].pop("note")
        apps.clear_cache()


def test_all_models_of_a_process_share_the_settings_producer(by_settings: Callable[..., None]) -> None:
    by_settings()
    assert default_producer() is default_producer()
    assert isinstance(default_producer(), Producer)
    by_settings(mode="outbox")
    producer = default_producer()
    assert isinstance(producer, Outbox)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({}, "has no REALTIME|have no REALTIME"),
        ({"queue": "q"}, "redis"),
        ({"redis": "redis://x", "que": "q"}, "'que' is no setting|que"),
        ({"redis": "redis://x", "mode": "trigger"}, '"signal" or "outbox"'),
        ({"redis": "redis://x", "keep_s": -1}, "keep_s"),
        ({"redis": "redis://x", "redis_timeout_s": 0}, "redis_timeout_s"),
        ({"redis": "redis://x", "ledger_keep_s": 1}, "ledger_keep_s"),
        ({"redis": "redis+cluster://x", "ledger": "books"}, r'\["ledger"\] books: in a cluster .* call it events'),
    ],
    ids=["none", "redis", "unknown", "mode", "seconds", "timeout", "keep", "cluster"],
)
def test_settings_that_say_too_little_or_too_much_are_refused(words: dict[str, Any], says: str) -> None:
    with override_settings(REALTIME=words), pytest.raises(ConfigurationError, match=says):
        Settings.read()


def test_a_url_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="redis://HOST:PORT"):
        Settings.read({"redis": "nothing"}).client()


def test_in_a_cluster_each_queue_has_a_client_of_its_own_node_and_with_a_ledger_there_is_one_queue() -> None:
    settings = Settings.read({"redis": "redis+cluster://x"})
    with settings.client() as redis:
        assert settings.make_queue(redis).redis is redis
        assert settings.make_queue(redis, "events").redis is redis
        with settings.make_queue(redis, "other").redis as another:
            slots = [one.connection_pool.connection_kwargs["owner"]._slot for one in (redis, another)]
    assert slots == [key_slot(b"events"), key_slot(b"other")]
    with_ledger = Settings.read({"redis": "redis+cluster://x", "ledger": "events"})
    with with_ledger.client() as redis, pytest.raises(ConfigurationError, match=r"in a cluster .* call it other"):
        with_ledger.make_queue(redis, "other")


def test_an_outbox_without_its_application_is_refused_with_the_remedy(
    site: Any, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apps, "is_installed", lambda _: False)
    with pytest.raises(ConfigurationError, match="INSTALLED_APPS"):
        realtime(site.Comment, channels=["a"], producer=outbox)


def test_a_testcase_sees_signal_mode_by_capturing_callbacks_and_the_outbox_as_rows(
    site: Any, connect: Callable[..., None], queue: Queue, producer: Producer, outbox: Outbox
) -> None:
    class Theirs(TestCase):
        def test(self) -> None:
            with self.captureOnCommitCallbacks(execute=True):
                thread = site.Thread.objects.create(title="t")
                site.Comment.objects.create(thread=thread, author="ann", text="a")
                site.Comment.objects.create(thread=thread, author="ann", text="b")
            assert queue.counts().put_total == 2
            assert OutboxRow.objects.count() == 2

    connect(site.Comment, producer=producer)
    connect(site.Comment, producer=outbox)
    with connection.schema_editor() as editor:
        editor.create_model(OutboxRow)
    try:
        result = unittest.TestResult()
        unittest.TestSuite([Theirs("test")]).run(result)
        assert result.wasSuccessful(), result.failures + result.errors
        assert site.Comment.objects.count() == OutboxRow.objects.count() == 0
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(OutboxRow)


def test_callbacks_that_a_testcase_captures_twice_or_within_each_other_put_each_event_once(
    site: Any, connect: Callable[..., None], queue: Queue, producer: Producer
) -> None:
    class Theirs(TestCase):
        def test(self) -> None:
            thread = site.Thread.objects.create(title="t")

            def comment(text: str) -> None:
                site.Comment.objects.create(thread=thread, author="ann", text=text)

            comment("never, since no commit is simulated")
            with self.captureOnCommitCallbacks(execute=True):
                comment("a")
                with self.captureOnCommitCallbacks(execute=True):
                    comment("b")
                transaction.on_commit(lambda: comment("callback"))
                comment("c")
            with self.captureOnCommitCallbacks() as callbacks:
                comment("d")
            for callback in callbacks:
                callback()

    connect(site.Comment, channels=["all"], producer=producer)
    result = unittest.TestResult()
    unittest.TestSuite([Theirs("test")]).run(result)
    assert result.wasSuccessful(), result.failures + result.errors
    found = [json.loads(claim.body)["data"]["text"] for claim in queue.claim("w", 20)]
    assert sorted(found) == ["a", "b", "c", "callback", "d"]
    assert producer.lost == 0
