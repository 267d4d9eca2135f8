"""post_save and post_delete of a Django model to the queue, or to an outbox in the same transaction.

Signals see what ``save`` and ``delete`` do. ``bulk_create``, ``bulk_update`` and ``QuerySet.update`` send none: what does
for them is ``realtime_core.hooks.bulk``. What each mode loses and when is in docs/hooks.md.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, overload

from django.apps import apps
from django.db.models.signals import ModelSignal, post_delete, post_save

from realtime_core.errors import ConfigurationError
from realtime_core.hooks.channels import Channels, channels_of
from realtime_core.hooks.event import Captured, event_job, new_job_id
from realtime_core.hooks.outbox.saving import save_in_a_transaction
from realtime_core.hooks.outbox.writer import APP, Outbox
from realtime_core.hooks.payload import as_stored, checked_fields, payload
from realtime_core.hooks.producer import Producer
from realtime_core.hooks.settings import default_producer
from realtime_core.hooks.transactions import put_on_commit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from django.db.models import Model

__all__ = ["POST_DELETE", "POST_SAVE", "Channels", "Hook", "Outbox", "Producer", "hooks_of", "realtime"]

POST_SAVE: Final = "post_save"
POST_DELETE: Final = "post_delete"

_connected: Final[dict[type[Model], list[Hook]]] = {}


@overload
def realtime(
    model: type[Model],
    /,
    *,
    channels: Channels,
    fields: Iterable[str] | None = None,
    producer: Producer | Outbox | None = None,
) -> Hook: ...


@overload
def realtime(
    model: None = None,
    /,
    *,
    channels: Channels,
    fields: Iterable[str] | None = None,
    producer: Producer | Outbox | None = None,
) -> Callable[[type[Model]], type[Model]]: ...


def realtime(
    model: type[Model] | None = None,
    /,
    *,
    channels: Channels,
    fields: Iterable[str] | None = None,
    producer: Producer | Outbox | None = None,
) -> Hook | Callable[[type[Model]], type[Model]]:
    """Publish what happens to the objects of ``model``; connects the signals. Without a model it is a class decorator.

    Args:
        model: the class itself; subclasses and proxies are connected apart.
        channels: templates such as ``thread:{thread_id}``, filled from the object's attributes, or a function of the
            object that returns channels. No channel: no event. The order of events is kept by the first channel.
        fields: attributes to publish; without them every column. What the page must not see is left out here or taken
            off in the pipeline.
        producer: a ``Producer`` puts the jobs after COMMIT (signal mode); an ``Outbox`` writes a row in the same
            transaction, which the relay puts (outbox mode). Without one ``REALTIME`` in the settings says which.

    Raises:
        ConfigurationError: a template that is none, a field that the model does not have, an outbox whose application
            is not installed, or settings that say too little.
    """

    def connected(target: type[Model]) -> Hook:
        hook = Hook(target, channels=channels, fields=fields, producer=producer or default_producer())
        hook.connect()
        return hook

    if model is not None:
        return connected(model)

    def decorate(target: type[Model]) -> type[Model]:
        connected(target)
        return target

    return decorate


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
        self._fields = checked_fields(model, fields)
        self._channels = channels_of(channels)
        self._producer = producer
        self._in_transactions: Callable[[], None] | None = None
        if isinstance(producer, Outbox) and apps.apps_ready and not apps.is_installed(APP):
            raise ConfigurationError(
                f'{self._label} has an outbox and INSTALLED_APPS has no "{APP}": add it, then run migrate'
            )

    def connect(self) -> None:
        """Listen; a second time changes nothing."""
        hooks = _connected.setdefault(self._model, [])
        if self in hooks:
            return
        hooks.append(self)
        if isinstance(self._producer, Outbox):
            self._in_transactions = save_in_a_transaction(self._model)
        post_save.connect(self._saved, sender=self._model, weak=False, dispatch_uid=self._uid(POST_SAVE))
        post_delete.connect(self._deleted, sender=self._model, weak=False, dispatch_uid=self._uid(POST_DELETE))

    def disconnect(self) -> None:
        """Stop listening. What was captured in an open transaction is still put when that commits."""
        if self in _connected.get(self._model, []):
            _connected[self._model].remove(self)
        if self._in_transactions is not None:
            self._in_transactions()
            self._in_transactions = None
        signal: ModelSignal
        for signal, kind in ((post_save, POST_SAVE), (post_delete, POST_DELETE)):
            signal.disconnect(sender=self._model, dispatch_uid=self._uid(kind))

    def goes_somewhere(self, instance: Model) -> bool:
        """Whether an event of this object has a channel."""
        return any(True for _ in self._channels(instance))

    def capture(self, kind: str, instances: Iterable[Model], using: str | None) -> None:
        """Take the payloads now: later saves change the objects, and a delete clears their keys.

        Raises:
            django.db.Error: an outbox that cannot be written, like any other write of the transaction.
        """
        events = [event for one in instances if (event := self._captured(kind, one, using)) is not None]
        if not events:
            return
        if isinstance(self._producer, Outbox):
            self._producer.write(events, using)
            return
        try:
            put_on_commit(self._producer, events, using)
        except Exception:  # noqa: BLE001 - the application's save must not fail for what is published about it
            self._producer.lose(len(events), f"{kind} of {self._label} could not be captured")

    def _captured(self, kind: str, instance: Model, using: str | None) -> Captured | None:
        try:
            if kind == POST_SAVE:
                instance = as_stored(instance, using)
            channels = list(self._channels(instance))
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
        except Exception:  # noqa: BLE001 - the application's save must not fail for what is published about it
            self._producer.lose(1, f"{kind} of {self._label} could not be captured")
            return None
        return Captured(job=job, at=at, kind=kind, model=self._label, key=str(instance.pk))

    def _uid(self, kind: str) -> tuple[int, str]:
        return id(self), kind

    def _saved(self, *, instance: Model, raw: bool = False, using: str | None = None, **_: object) -> None:
        # Fixtures come raw: related rows may not be there yet, and nothing has happened to anybody.
        if not raw:
            self.capture(POST_SAVE, [instance], using)

    def _deleted(self, *, instance: Model, using: str | None = None, **_: object) -> None:
        self.capture(POST_DELETE, [instance], using)
