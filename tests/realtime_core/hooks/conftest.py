"""Django with SQLite, set up once; a producer and a connected model for each test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import django
import psycopg
import pytest
from django.apps import AppConfig
from django.conf import settings
from django.core.management import call_command
from django.db import connection, connections

from realtime_core.hooks.django_signals import Outbox, Producer, realtime
from realtime_core.queue import Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.db.models import Model
    from redis import Redis

    from realtime_core.stack import Valkey
    from tests.support.postgres import Postgres


class HookTests(AppConfig):
    path = str(Path(__file__).parent)


settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["realtime_core.hooks.outbox", HookTests("hooktests", ModuleType("hooktests"))],
    MIGRATION_MODULES={"hooktests": None},
    USE_TZ=True,
)
django.setup()

from django.db import models  # noqa: E402 - a model class needs the settings

from realtime_core.hooks.bulk import RealtimeManager  # noqa: E402
from realtime_core.hooks.outbox.models import OutboxRow  # noqa: E402


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
    changed = models.DateTimeField(auto_now=True)

    objects = RealtimeManager()

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


@pytest.fixture
def outbox() -> Outbox:
    return Outbox("comments")


ALIASES = [
    pytest.param("default", id="sqlite"),
    pytest.param("pg", id="postgresql", marks=pytest.mark.engine("postgresql")),
]


@pytest.fixture(params=ALIASES)
def using(request: pytest.FixtureRequest) -> Iterator[str]:
    """The alias of a database with the site's tables and the outbox, empty."""
    request.getfixturevalue("site" if request.param == "default" else "pg")
    if request.param == "pg":
        yield "pg"
        return
    with connection.schema_editor() as editor:
        editor.create_model(OutboxRow)
    yield "default"
    with connection.schema_editor() as editor:
        editor.delete_model(OutboxRow)


@pytest.fixture(scope="session")
def pg_tables(postgres: Postgres) -> str:
    """The site's tables and the outbox on PostgreSQL."""
    databases = {"default": {}, "pg": postgres.database()}
    connections.settings["pg"] = connections.configure_settings(databases)["pg"]
    call_command("migrate", "realtime_outbox", database="pg", verbosity=0)
    with connections["pg"].schema_editor() as editor:
        editor.create_model(Thread)
        editor.create_model(Comment)
    connections["pg"].close()
    return "pg"


@pytest.fixture
def pg(pg_tables: str) -> Iterator[str]:
    """PostgreSQL's alias, with empty tables."""
    yield pg_tables
    connections[pg_tables].close()
    with connections[pg_tables].cursor() as cursor:
        cursor.execute("TRUNCATE hooktests_comment, hooktests_thread, realtime_outbox RESTART IDENTITY CASCADE")
    connections[pg_tables].close()


@dataclass(frozen=True, slots=True)
class Shop:
    """The site in tests/realtime_core/hooks/shop, in processes of its own."""

    environment: dict[str, str]
    folder: Path

    def python(self, *words: str) -> list[str]:
        return [sys.executable, *words]

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.python(*words),
            check=False,
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    def start(self, *words: str) -> subprocess.Popen[str]:
        with (self.folder / "stderr").open("ab") as errors:
            return subprocess.Popen(
                self.python(*words),
                env=self.environment,
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )


def shop_environment(database: dict[str, Any], realtime_settings: dict[str, Any], broker: str = "") -> dict[str, str]:
    here = Path(__file__).parent
    return {
        **os.environ,
        "PYTHONPATH": f"{here.parents[2]}:{here}",
        "DJANGO_SETTINGS_MODULE": "shop.settings",
        "SHOP_DATABASE": json.dumps(database),
        "SHOP_REALTIME": json.dumps(realtime_settings),
        "SHOP_BROKER": broker,
    }


MIGRATE = ("-m", "django", "migrate", "--run-syncdb", "-v", "0")


@pytest.fixture
def make_shop(tmp_path: Path, valkey: Valkey, redis_name: str) -> Callable[..., Shop]:
    """The site in processes of its own, on a database that has its tables."""

    def make(database: dict[str, Any], **realtime_settings: Any) -> Shop:
        settings = {"redis": valkey.url, "queue": redis_name, "redis_timeout_s": 10.0, **realtime_settings}
        return Shop(shop_environment(database, settings), tmp_path)

    return make


@pytest.fixture(scope="session")
def shop_template(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with the site's tables, from which others are copied."""
    environment = shop_environment(postgres.database("shop_template"), {"redis": "redis://nowhere"})
    with psycopg.connect(host=str(postgres.folder), user="postgres", autocommit=True) as admin:
        admin.execute("CREATE DATABASE shop_template")
    Shop(environment, tmp_path_factory.mktemp("template")).run(*MIGRATE)
    return "shop_template"


@pytest.fixture
def pg_database(postgres: Postgres, shop_template: str) -> Iterator[dict[str, Any]]:
    """A database of the test's own with the site's tables, empty."""
    name = f"shop{os.urandom(4).hex()}"
    with psycopg.connect(host=str(postgres.folder), user="postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {shop_template} STRATEGY file_copy")
        yield postgres.database(name)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def sqlite_shop(make_shop: Callable[..., Shop], tmp_path: Path, valkey: Valkey) -> Callable[..., Shop]:
    """The site on a file of SQLite."""

    def make(**realtime_settings: Any) -> Shop:
        database = {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(tmp_path / "shop.db"),
            "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=wal"},
        }
        shop = make_shop(database, **realtime_settings)
        shop.environment["SHOP_BROKER"] = f"{valkey.url.replace('unix://', 'redis+socket://')}?virtual_host=1"
        shop.run(*MIGRATE)
        return shop

    return make
