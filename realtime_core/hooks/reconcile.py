"""The reconciler: which rows of a table changed in a period and have no event that was put since, by name.

It holds the table's own time of change against the evidence of what was put: the trace in Redis (signal mode), or the
outbox. Rows that are gone cannot be looked for, and of several changes of one row only the last counts.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Protocol

from django.conf import settings
from django.core.exceptions import FieldDoesNotExist
from django.db.models import DateTimeField, Max, Model, Q
from django.utils import timezone

from realtime_core.errors import ConfigurationError
from realtime_core.hooks.django_signals import hooks_of
from realtime_core.hooks.trace import Trace, subject

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ROWS_A_LOOK: Final = 1_000
# A trace's times go through Redis as doubles, a column's may be cut to microseconds.
_ROUNDING_S: Final = 2e-6


class Evidence(Protocol):
    """Knows when an object's last event was put."""

    def complete_since(self) -> float | None:
        """From when on it knows everything, seconds UTC; None where it knows nothing."""

    def last_events(self, model: str, keys: Sequence[str]) -> tuple[dict[str, float], dict[str, float]]:
        """The time of the last event by key: of those that were put, and of those that wait to be."""


class TraceEvidence:
    """What signal mode has put."""

    def __init__(self, trace: Trace) -> None:
        """Nothing is read yet."""
        self._trace = trace

    def complete_since(self) -> float | None:
        """As the trace."""
        return self._trace.complete_since()

    def last_events(self, model: str, keys: Sequence[str]) -> tuple[dict[str, float], dict[str, float]]:
        """Nothing waits in signal mode."""
        found = self._trace.last_put([subject(model, key) for key in keys])
        return {key: at for key, at in zip(keys, found, strict=True) if at is not None}, {}


class OutboxEvidence:
    """What the outbox holds, and what it keeps of those that were put."""

    def __init__(self, keep_s: float, using: str = "default") -> None:
        """``keep_s``: as the relay's."""
        self._keep_s = keep_s
        self._using = using

    def complete_since(self) -> float | None:
        """Rows that were put are deleted ``keep_s`` later."""
        return time.time() - self._keep_s

    def last_events(self, model: str, keys: Sequence[str]) -> tuple[dict[str, float], dict[str, float]]:
        """One look into the table's index a thousand keys."""
        from realtime_core.hooks.outbox.models import KEY_LENGTH, OutboxRow  # noqa: PLC0415 - only where it is installed

        cut = {key[:KEY_LENGTH]: key for key in keys}
        rows = OutboxRow._base_manager.using(self._using).filter(model=model, object__in=list(cut), refused="")  # noqa: SLF001
        last = rows.values_list("object").annotate(
            put=Max("at", filter=Q(put_at__isnull=False)), waiting=Max("at", filter=Q(put_at__isnull=True))
        )
        put: dict[str, float] = {}
        waiting: dict[str, float] = {}
        for key, put_at, waiting_at in last:
            if put_at is not None:
                put[cut[key]] = put_at
            if waiting_at is not None:
                waiting[cut[key]] = waiting_at
        return put, waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A row without its event. ``last_put``: when its last event that was put had happened."""

    key: str
    changed: datetime
    last_put: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """A table held against what was put.

    Attributes:
        rows: that changed in the period. Each is one of the following four.
        put: whose event was put.
        waiting: whose event waits in the outbox.
        silent: that have no channel, and so no event.
        missing_total: without an event; ``missing`` names the first of them.
    """

    model: str
    since: datetime
    until: datetime
    rows: int
    put: int
    waiting: int
    silent: int
    missing_total: int
    missing: tuple[Missing, ...]


def reconcile(
    model: type[Model],
    *,
    field: str,
    since: datetime,
    until: datetime | None = None,
    evidence: Evidence,
    using: str = "default",
    slack_s: float = 0.0,
    most: int = 1_000,
) -> Reconciled:
    """Name the rows whose ``field`` is in [``since``, ``until``) and whose last put event is older than that.

    Args:
        model: it has hooks.
        field: a DateTimeField that every save sets (``auto_now``), or one that the first save sets (``auto_now_add``).
        since: begin of the period.
        until: its end; 10 s ago where it is not said, since events are put after COMMIT.
        evidence: of what was put.
        using: the database's alias.
        slack_s: how much later than the application's clock the one may be that sets ``field`` (0 where the application
            sets it). A second change within the slack is not told from the first.
        most: how many of the missing are named.

    Raises:
        ConfigurationError: a field or a model that will not do, or a period that the evidence does not cover.
    """
    label: str = model._meta.label  # noqa: SLF001 - documented
    hooks = hooks_of(model)
    if not hooks:
        raise ConfigurationError(f"{label} has no hook: connect it with realtime() where the site does, then reconcile")
    _check_field(model, field)
    since, until = _aware(since), _aware(until or timezone.now() - timedelta(seconds=10))
    known_since = evidence.complete_since()
    if known_since is None:
        raise ConfigurationError(f"nothing was ever noted of {label}: give its producer a trace, or use an outbox")
    if since.timestamp() < known_since:
        begins = datetime.fromtimestamp(known_since, tz=since.tzinfo).isoformat()
        raise ConfigurationError(f"since {since.isoformat()}: what was put is known from {begins} on, begin there")

    rows = put = waiting = silent = missing_total = 0
    missing: list[Missing] = []
    period = {f"{field}__gte": _as_stored(since), f"{field}__lt": _as_stored(until)}
    changed_rows = model._base_manager.using(using).filter(**period).order_by("pk")  # noqa: SLF001 - documented
    for some in _by(changed_rows.iterator(chunk_size=_ROWS_A_LOOK)):
        rows += len(some)
        was_put, waits = evidence.last_events(label, [str(one.pk) for one in some])
        for one in some:
            key, changed = str(one.pk), _aware(getattr(one, field))
            at_least = changed.timestamp() - slack_s - _ROUNDING_S
            if was_put.get(key, 0.0) >= at_least:
                put += 1
            elif waits.get(key, 0.0) >= at_least:
                waiting += 1
            elif not any(hook.goes_somewhere(one) for hook in hooks):
                silent += 1
            else:
                missing_total += 1
                if len(missing) < most:
                    last = datetime.fromtimestamp(was_put[key], tz=since.tzinfo) if key in was_put else None
                    missing.append(Missing(key=key, changed=changed, last_put=last))
    return Reconciled(
        model=label,
        since=since,
        until=until,
        rows=rows,
        put=put,
        waiting=waiting,
        silent=silent,
        missing_total=missing_total,
        missing=tuple(missing),
    )


def _check_field(model: type[Model], field: str) -> None:
    try:
        found = model._meta.get_field(field)  # noqa: SLF001 - documented
    except FieldDoesNotExist as error:
        raise ConfigurationError(f"{model.__name__}: {error}; name the DateTimeField that a save sets") from error
    if not isinstance(found, DateTimeField):
        raise ConfigurationError(f"{model.__name__}.{field} is {type(found).__name__}: a DateTimeField is needed")


def _aware(moment: datetime) -> datetime:
    return timezone.make_aware(moment) if timezone.is_naive(moment) else moment


def _as_stored(moment: datetime) -> datetime:
    return moment if settings.USE_TZ else timezone.make_naive(moment)


def _by(rows: Iterator[Any]) -> Iterator[list[Any]]:
    while some := list(islice(rows, _ROWS_A_LOOK)):
        yield some
