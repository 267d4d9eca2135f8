"""One model's connection: what its signals say becomes events, put after COMMIT or written into the outbox."""

from __future__ import annotations

import logging
import time
import traceback
from threading import Lock
from typing import TYPE_CHECKING, Final

from django.apps import apps
from django.core.exceptions import ObjectDoesNotExist
from django.db.models.signals import ModelSignal, post_delete, post_save, pre_delete

from realtime_core.errors import ConfigurationError
from realtime_core.hooks.channels import Channels, channels_of
from realtime_core.hooks.deletes import Taken, hold, release
from realtime_core.hooks.event import Captured, event_job, new_job_id
from realtime_core.hooks.outbox.saving import save_in_a_transaction
from realtime_core.hooks.outbox.writer import APP, Outbox
from realtime_core.hooks.payload import as_stored, checked_fields, needed_columns, payload
from realtime_core.hooks.transactions import put_on_commit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from django.db.models import Model

    from realtime_core.hooks.producer import Producer

POST_SAVE: Final = "post_save"
POST_DELETE: Final = "post_delete"
# As much of a traceback as a log is the better for.
_ERROR_CHARACTERS: Final = 4_000

_log = logging.getLogger(__name__)

_connected: Final[dict[type[Model], list[Hook]]] = {}
_connecting: Final = Lock()


def hooks_of(model: type[Model]) -> Sequence[Hook]:
    """The hooks that are connected to a model itself."""
    return tuple(_connected.get(model, ()))


class Hook:
    """One model's connection to the queue."""

    def __init__(
        self, model: type[Model], *, channels: Channels, fields: Iterable[str] | None, producer: Producer | Outbox
    ) -> None:
        self._model = model
        self._label: str = model._meta.label  # noqa: SLF001 - Django's documented name for it
        _check_model(model)
        self._fields = checked_fields(model, fields)
        self._channels = channels_of(channels)
        self._columns = needed_columns(model, self._fields, self._channels.attributes)
        self._producer = producer
        self._in_transactions: Callable[[], None] | None = None
        if isinstance(producer, Outbox) and apps.apps_ready and not apps.is_installed(APP):
            raise ConfigurationError(
                f'{self._label} has an outbox and INSTALLED_APPS has no "{APP}": add it, then run migrate'
            )

    def connect(self) -> Hook:
        """Listen; a second time changes nothing. Returns the hook that listens: this one, or one that does the same.

        Raises:
            ConfigurationError: one listens already that tells the same channels with other fields.
        """
        with _connecting:
            hooks = _connected.setdefault(self._model, [])
            for other in hooks:
                if other is self or other.does_the_same(self):
                    return other
            hooks.append(self)
            if isinstance(self._producer, Outbox):
                self._in_transactions = save_in_a_transaction(self._model)
            for signal, receiver, uid in self._receivers():
                signal.connect(receiver, sender=self._model, weak=False, dispatch_uid=uid)
        return self

    def disconnect(self) -> None:
        """Stop listening. What was captured in an open transaction is still put when that commits."""
        with _connecting:
            if self in _connected.get(self._model, []):
                _connected[self._model].remove(self)
            if self._in_transactions is not None:
                self._in_transactions()
                self._in_transactions = None
            for signal, _, uid in self._receivers():
                signal.disconnect(sender=self._model, dispatch_uid=uid)

    def goes_somewhere(self, instance: Model) -> bool:
        """Whether an event of this object has a channel, or should have one: what cannot be told was to be told."""
        try:
            return bool(self._channels(instance))
        except Exception:  # noqa: BLE001 - an object whose channels cannot be told must not end who asks
            _log.exception("channels of %s %s", self._label, instance.pk)
            return True

    def capture(
        self,
        kind: str,
        instances: Iterable[Model],
        using: str | None,
        *,
        written: Collection[str] | None = None,
        fresh: bool = False,
    ) -> None:
        """Take the payloads now: later saves change the objects.

        Args:
            kind: ``post_save`` or ``post_delete``.
            instances: the objects.
            using: the alias of the database that they were written to.
            written: the fields that were saved, if not all.
            fresh: they hold what the database generates.

        Raises:
            django.db.Error: an outbox that cannot be written, like any other write of the transaction.
        """
        events = []
        for one in instances:
            try:
                event = self._event(kind, as_stored(one, using, self._columns, written=written, fresh=fresh))
            except Exception:  # noqa: BLE001 - the application's save must not fail for what is published about it
                self._producer.lose(1, f"{kind} of {self._label} could not be captured")
                continue
            if event is not None:
                events.append(event)
        self._emit(kind, events, using)

    def _emit(self, kind: str, events: Sequence[Captured], using: str | None) -> None:
        if not events:
            return
        if isinstance(self._producer, Outbox):
            self._producer.write(events, using)
            return
        try:
            put_on_commit(self._producer, events, using)
        except Exception:  # noqa: BLE001 - the application's save must not fail for what is published about it
            self._producer.lose(len(events), f"{kind} of {self._label} could not be captured")

    def _event(self, kind: str, instance: Model) -> Captured | None:
        """The event of an object as it stands; None where it has no channel. Raises whatever is wrong with it."""
        channels = self._channels(instance)
        if not channels:
            return None
        at = time.time()
        job = event_job(
            job_id=new_job_id(),
            channels=channels,
            kind=kind,
            model=self._label,
            key=instance.pk,
            at=at,
            fields=payload(instance, self._fields),
        )
        return Captured(job=job, at=at, kind=kind, model=self._label, key=str(instance.pk))

    def does_the_same(self, other: Hook) -> bool:
        """Whether the other one tells the same to the same.

        Raises:
            ConfigurationError: it tells the same channels, with other fields or in another order.
        """
        mine, its = self._producer, other._producer
        one_outbox = isinstance(mine, Outbox) and isinstance(its, Outbox) and mine.queue == its.queue
        if not (mine is its or one_outbox):
            return False
        if self._channels == other._channels and set(self._fields) == set(other._fields):
            return True
        by, its_by = self._channels.by, other._channels.by
        if by == its_by or (isinstance(by, tuple) and isinstance(its_by, tuple) and set(by) == set(its_by)):
            where = ", ".join(by) if isinstance(by, tuple) else getattr(by, "__qualname__", repr(by))
            raise ConfigurationError(
                f"{self._label} is connected already to the channels of {where}, with the fields "
                f"{', '.join(self._fields)}: each channel would have two events a save; say it once, with all fields"
            )
        return False

    def _receivers(self) -> Sequence[tuple[ModelSignal, Callable[..., None], tuple[int, str]]]:
        return (
            (post_save, self._saved, (id(self), POST_SAVE)),
            (pre_delete, self._about_to_be_deleted, (id(self), "pre_delete")),
            (post_delete, self._deleted, (id(self), POST_DELETE)),
        )

    def _saved(
        self,
        *,
        instance: Model,
        created: bool = False,
        raw: bool = False,
        using: str | None = None,
        update_fields: Collection[str] | None = None,
        **_: object,
    ) -> None:
        # Fixtures come raw: related rows may not be there yet, and nothing has happened to anybody.
        if not raw:
            self.capture(POST_SAVE, [instance], using, written=update_fields, fresh=created)

    def _about_to_be_deleted(
        self, *, instance: Model, using: str | None = None, origin: object = None, **_: object
    ) -> None:
        # Django's own deletes name their origin. Who sends the signal by hand may have no block that ends with it, and no
        # second signal: that is told as it stands when post_delete comes.
        if origin is None:
            return
        # Afterwards its row is gone, and with it what was not loaded; in a cascade other rows of its are gone too.
        try:
            # What a queryset or a cascade deletes Django has fetched for that.
            taken = self._taken(instance, using, fresh=origin is not instance)
        except Exception:  # noqa: BLE001 - the application's delete must not fail for what is published about it
            taken = Taken(error=traceback.format_exc()[-_ERROR_CHARACTERS:])
        hold(self, instance, using, taken)

    def _taken(self, instance: Model, using: str | None, *, fresh: bool) -> Taken:
        try:
            instance = as_stored(instance, using, self._columns, fresh=fresh)
        except ObjectDoesNotExist:
            # Django deletes what is gone, and says so: whoever was first has told of it.
            return Taken()
        return Taken(event=self._event(POST_DELETE, instance))

    def _deleted(self, *, instance: Model, using: str | None = None, **_: object) -> None:
        taken = release(self, instance, using)
        if taken is None:
            self.capture(POST_DELETE, [instance], using)
        elif taken.event is not None:
            self._emit(POST_DELETE, [taken.event], using)
        elif taken.error:
            self._producer.lose(1, f"{POST_DELETE} of {self._label} could not be captured: {taken.error}")


def _check_model(model: type[Model]) -> None:
    meta = model._meta  # noqa: SLF001 - Django's documented name for it
    if meta.abstract:
        raise ConfigurationError(
            f"{model.__name__} is abstract, nothing is saved of it: connect each model that inherits it"
        )
    if meta.auto_created:
        raise ConfigurationError(
            f"{model.__name__} is a table that Django made for a many-to-many field, and sends no signals of it: "
            "give the field a through model of your own, and connect that"
        )
    if meta.swapped:
        raise ConfigurationError(f"{model.__name__} is swapped out for {meta.swapped}: connect that")
