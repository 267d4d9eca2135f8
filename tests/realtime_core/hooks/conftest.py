"""Django with SQLite, set up once; a producer and a connected model for each test."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import django
import pytest
from django.apps import AppConfig
from django.conf import settings
from django.db import connection

from realtime_core.hooks.django_signals import Producer, realtime
from realtime_core.queue import Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.db.models import Model
    from redis import Redis


class HookTests(AppConfig):
    path = str(Path(__file__).parent)


settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[HookTests("hooktests", ModuleType("hooktests"))],
    USE_TZ=True,
)
django.setup()

from django.db import models  # noqa: E402 - a model class needs the settings


class Thread(models.Model):
    title = models.CharField(max_length=200)

    class Meta:
        app_label = "hooktests"

    def __str__(self) -> str:
        return self.title


class Comment(models.Model):
    thread = models.ForeignKey(Thread, on_delete=models.CASCADE)
    author = models.CharField(max_length=64)
    text = models.TextField()
    score = models.DecimalField(max_digits=6, decimal_places=2, default="1.50")

    class Meta:
        app_label = "hooktests"

    def __str__(self) -> str:
        return self.text


class Models:
    Thread: type[Any] = Thread
    Comment: type[Any] = Comment


@pytest.fixture
def site() -> Iterator[type[Models]]:
    """The two models, with empty tables."""
    with connection.schema_editor() as editor:
        editor.create_model(Thread)
        editor.create_model(Comment)
    yield Models
    connection.set_autocommit(True)
    with connection.schema_editor() as editor:
        editor.delete_model(Comment)
        editor.delete_model(Thread)
    connection.close()


@pytest.fixture
def queue(redis_client: Redis, redis_name: str) -> Queue:
    return Queue(redis_client, redis_name)


@pytest.fixture
def connect() -> Iterator[Callable[..., None]]:
    """``realtime`` for one test."""
    hooks = []

    def connect(model: type[Model], **options: Any) -> None:
        options.setdefault("channels", ("thread:{thread_id}", "user:{author}"))
        hooks.append(realtime(model, **options))

    yield connect
    for hook in hooks:
        hook.disconnect()


@pytest.fixture
def producer(queue: Queue) -> Producer:
    return Producer(queue)
