"""``manage.py realtime_reconcile comments.Comment --field changed --since …``: names rows whose event was never put."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseError
from django.utils import timezone
from redis.exceptions import RedisError

from realtime_core.errors import ConfigurationError, RealtimeError
from realtime_core.hooks.reconcile import OutboxEvidence, Reconciled, TraceEvidence, reconcile
from realtime_core.hooks.settings import OUTBOX, Settings

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from redis import Redis

    from realtime_core.hooks.reconcile import Evidence

SCHEMA_VERSION: Final = 1
MISSING: Final = 3


class Command(BaseCommand):
    """Reconciles one model; exit code 3 where something is missing."""

    help = "Holds the rows of a table that changed in a period against what was put, and names those that were not."
    requires_system_checks: list[str] = []  # noqa: RUF012 - Django's own form

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("model", metavar="APP.MODEL", help="a model that realtime() connects")
        parser.add_argument("--field", required=True, metavar="NAME", help="its DateTimeField that a save sets")
        parser.add_argument("--since", metavar="TIME", help="ISO 8601 (an hour ago)")
        parser.add_argument("--until", metavar="TIME", help="ISO 8601 (10 s ago)")
        parser.add_argument("--database", default="default", metavar="ALIAS", help="whose table (%(default)s)")
        parser.add_argument("--slack", type=float, default=0.0, metavar="S", help="of the clock that sets NAME (0)")
        parser.add_argument("--json", action="store_true", help="reconcile.v1.json instead of words")

    def handle(self, *_: Any, **options: Any) -> None:
        """Print what was found."""
        try:
            settings = Settings.read()
            with settings.client() as redis:
                found = self._found(settings, redis, options)
        except RealtimeError as error:
            raise CommandError(str(error), returncode=error.exit_code) from error
        except (RedisError, DatabaseError) as error:
            raise CommandError(f"{type(error).__name__}: {error}") from error
        if options["json"]:
            self.stdout.write(json.dumps(as_json(found)))
        else:
            self._say(found)
        if found.missing_total:
            raise CommandError(f"{found.missing_total} row(s) of {found.model} were never put", returncode=MISSING)

    def _found(self, settings: Settings, redis: Redis, options: dict[str, Any]) -> Reconciled:
        evidence: Evidence
        if settings.mode == OUTBOX:
            evidence = OutboxEvidence(settings.keep_s, options["database"])
        else:
            trace = settings.make_trace(redis)
            if trace is None:
                raise ConfigurationError('REALTIME["trace_s"] is 0: nothing is known of what was put, set it')
            evidence = TraceEvidence(trace)
        return reconcile(
            _model(options["model"]),
            field=options["field"],
            since=_moment("--since", options["since"]) or timezone.now() - timedelta(hours=1),
            until=_moment("--until", options["until"]),
            evidence=evidence,
            using=options["database"],
            slack_s=options["slack"],
        )

    def _say(self, found: Reconciled) -> None:
        self.stdout.write(
            f"{found.model}, {found.since.isoformat()} to {found.until.isoformat()}: {found.rows} row(s) changed, "
            f"{found.put} put, {found.waiting} waiting in the outbox, {found.silent} without a channel, "
            f"{found.missing_total} missing"
        )
        for one in found.missing:
            last = f"last put {one.last_put.isoformat()}" if one.last_put else "never put"
            # A key may be text that somebody chose.
            self.stdout.write(f"missing: {one.key!r}, changed {one.changed.isoformat()}, {last}")
        if found.missing_total > len(found.missing):
            self.stdout.write(f"and {found.missing_total - len(found.missing)} more")


def as_json(found: Reconciled) -> dict[str, Any]:
    """The result as reconcile.v1.json has it; times in ISO 8601."""
    words = {**asdict(found), "since": found.since.isoformat(), "until": found.until.isoformat()}
    words["missing"] = [
        {
            "key": one.key,
            "changed": one.changed.isoformat(),
            "last_put": one.last_put.isoformat() if one.last_put else None,
        }
        for one in found.missing
    ]
    return {"kind": "reconcile", "schema_version": SCHEMA_VERSION, **words}


def _model(label: str) -> Any:
    try:
        return apps.get_model(label)
    except (LookupError, ValueError) as error:
        raise ConfigurationError(f"{label}: {error}; write APP.MODEL") from error


def _moment(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"{option} {text}: {error}; write 2026-01-31T12:00:00+00:00") from error
