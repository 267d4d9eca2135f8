"""``manage.py realtime_outbox``: puts what waits in the outbox into the queue."""

from __future__ import annotations

import contextlib
import logging
import signal
from threading import Event, current_thread, main_thread
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseError
from prometheus_client import start_http_server
from redis.exceptions import RedisError

from realtime_core.errors import ConfigurationError, RealtimeError
from realtime_core.hooks.outbox.relay import Relay
from realtime_core.hooks.outbox.running import relay_all, run
from realtime_core.hooks.outbox.turn import check_database, only_relay
from realtime_core.hooks.settings import Settings
from realtime_core.redis_url import is_cluster

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator


class Command(BaseCommand):
    """Runs a relay until SIGTERM or Ctrl-C."""

    help = "Puts the rows of the outbox into the queue, in their order by key. Any number may run on PostgreSQL."
    requires_system_checks: list[str] = []  # noqa: RUF012 - Django's own form

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--database", default="default", metavar="ALIAS", help="whose outbox (%(default)s)")
        parser.add_argument("--once", action="store_true", help="end when nothing waits any more")
        parser.add_argument("--batch", type=int, default=500, metavar="N", help="most rows of one turn (%(default)s)")
        parser.add_argument("--poll", type=float, default=0.25, metavar="S", help="longest wait for rows (%(default)s)")
        parser.add_argument("--drain", type=float, default=5.0, metavar="S", help="to end at SIGTERM (%(default)s)")
        parser.add_argument("--metrics", metavar="[HOST:]PORT", help="serve Prometheus, on loopback if no host is said")

    def handle(self, *_: Any, **options: Any) -> None:
        """Run; exit code 2 for settings that will not do, 1 where ``--once`` met an error."""
        if not logging.getLogger().handlers:
            logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        try:
            self._relay(options)
        except RealtimeError as error:
            raise CommandError(str(error), returncode=error.exit_code) from error
        except (RedisError, DatabaseError) as error:
            raise CommandError(f"{type(error).__name__}: {error}; what waits is still in the table") from error

    def _relay(self, options: dict[str, Any]) -> None:
        for name, most in (("poll", 60.0), ("drain", 600.0)):
            if not 0 <= options[name] <= most:
                raise ConfigurationError(f"--{name} {options[name]}: give 0 to {most:g} seconds")
        settings = Settings.read()
        using: str = options["database"]
        check_database(using)
        with settings.client() as redis, only_relay(using):
            relay = Relay(
                lambda name: settings.make_queue(redis, name),
                using=using,
                batch=options["batch"],
                keep_s=settings.keep_s,
                ledger=settings.make_ledger(redis, "outbox"),
                apart=is_cluster(settings.redis),
            )
            with _metrics(options["metrics"]):
                if options["once"]:
                    moved = relay_all(relay)
                else:
                    with _until_signal() as stop:
                        self.stdout.write(f"relaying the outbox of {using}")
                        self.stdout.flush()
                        moved = run(relay, stop, using=using, poll_s=options["poll"], drain_s=options["drain"])
        self.stdout.write(f"{moved} row(s) put")


@contextlib.contextmanager
def _until_signal() -> Iterator[Event]:
    stop = Event()
    if current_thread() is not main_thread():
        yield stop
        return
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _metrics(listen: str | None) -> Iterator[None]:
    if listen is None:
        yield
        return
    host, _, port = listen.rpartition(":")
    if not port.isdecimal() or int(port) > 65_535:  # noqa: PLR2004 - ports are 16 bits
        raise ConfigurationError(f"--metrics {listen}: write PORT, or HOST:PORT")
    try:
        server, thread = start_http_server(int(port), host or "127.0.0.1")
    except OSError as error:
        raise ConfigurationError(f"--metrics {listen}: {error}: choose another port") from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
