"""post_save and post_delete of a Django model to the queue.

Signals see what ``save`` and ``delete`` do. ``bulk_create``, ``bulk_update`` and ``QuerySet.update`` send none, and an
event is lost when the process dies between COMMIT and the put, or when another on_commit callback of the same
transaction raises.
"""

from __future__ import annotations

import string
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from django.db.models import Model
from django.db.models.signals import ModelSignal, post_delete, post_save

from realtime_core.errors import ConfigurationError
from realtime_core.hooks.event import event_job, new_job_id
from realtime_core.hooks.producer import Producer
from realtime_core.hooks.transactions import put_on_commit

__all__ = ["Channels", "Hook", "Producer", "realtime"]

Channels: TypeAlias = Callable[[Any], Iterable[str]] | Iterable[str]

POST_SAVE: Final = "post_save"
POST_DELETE: Final = "post_delete"


def realtime(
    model: type[Model], *, channels: Channels, fields: Iterable[str] | None = None, producer: Producer
) -> Hook:
    """Publish what happens to the objects of ``model``; connects the signals.

    Args:
        model: the class itself; subclasses and proxies are connected apart.
        channels: templates such as ``thread:{thread_id}``, filled from the object's attributes, or a function of the
            object that returns channels. No channel: no event. The order of events is kept by the first channel.
        fields: attributes to publish; without them every column. What the page must not see is left out here or taken
            off in the pipeline.
        producer: puts the jobs.

    Raises:
        ConfigurationError: a template that is none, or a field that the model does not have.
    """
    hook = Hook(model, channels=channels, fields=fields, producer=producer)
    hook.connect()
    return hook


class Hook:
    """One model's connection to the queue."""

    def __init__(
        self, model: type[Model], *, channels: Channels, fields: Iterable[str] | None, producer: Producer
    ) -> None:
        self._model = model
        self._label: str = model._meta.label  # noqa: SLF001 - Django's documented name for it
        self._fields = _checked_fields(model, fields)
        self._channels = channels if callable(channels) else _templates(channels)
        self._producer = producer

    def connect(self) -> None:
        """Listen; a second time changes nothing."""
        post_save.connect(self._saved, sender=self._model, weak=False, dispatch_uid=self._uid(POST_SAVE))
        post_delete.connect(self._deleted, sender=self._model, weak=False, dispatch_uid=self._uid(POST_DELETE))

    def disconnect(self) -> None:
        """Stop listening. What was captured in an open transaction is still put when that commits."""
        signal: ModelSignal
        for signal, kind in ((post_save, POST_SAVE), (post_delete, POST_DELETE)):
            signal.disconnect(sender=self._model, dispatch_uid=self._uid(kind))

    def _uid(self, kind: str) -> tuple[int, str]:
        return id(self), kind

    def _saved(self, *, instance: Model, raw: bool = False, using: str | None = None, **_: object) -> None:
        # Fixtures come raw: related rows may not be there yet, and nothing has happened to anybody.
        if not raw:
            self._capture(POST_SAVE, instance, using)

    def _deleted(self, *, instance: Model, using: str | None = None, **_: object) -> None:
        self._capture(POST_DELETE, instance, using)

    def _capture(self, kind: str, instance: Model, using: str | None) -> None:
        """Take the payload now: later saves change the object, and a delete clears its key."""
        try:
            channels = list(self._channels(instance))
            if not channels:
                return
            at = time.time()
            job = event_job(
                job_id=new_job_id(),
                channels=channels,
                kind=kind,
                model=self._label,
                key=instance.pk,
                at=at,
                fields={name: _plain(getattr(instance, name)) for name in self._fields},
            )
            put_on_commit(self._producer, job, at, using)
        except Exception:  # noqa: BLE001 - the application's save must not fail for what is published about it
            self._producer.lose(1, f"{kind} of {self._label} could not be captured")


def _plain(value: Any) -> Any:
    """A related object is published as its key."""
    return value.pk if isinstance(value, Model) else value


def _checked_fields(model: type[Model], fields: Iterable[str] | None) -> tuple[str, ...]:
    columns = tuple(field.attname for field in model._meta.concrete_fields)  # noqa: SLF001 - Django's documented API
    if fields is None:
        return columns
    names = tuple(fields)
    for name in names:
        if name not in columns and not hasattr(model, name):
            raise ConfigurationError(f"{model.__name__} has no field {name!r}: it has {', '.join(columns)}")
    return names


def _templates(channels: Iterable[str]) -> Callable[[Model], list[str]]:
    templates = [channels] if isinstance(channels, str) else list(channels)
    for template in templates:
        try:
            list(string.Formatter().parse(template))
        except ValueError as error:
            raise ConfigurationError(f"channel template {template!r}: {error}; write thread:{{thread_id}}") from error

    def fill(instance: Model) -> list[str]:
        return [template.format_map(_Attributes(instance)) for template in templates]

    return fill


class _Attributes(Mapping[str, Any]):
    """An object's attributes by name, for ``str.format_map``."""

    def __init__(self, instance: Model) -> None:
        self._instance = instance

    def __getitem__(self, name: str) -> Any:
        return getattr(self._instance, name)

    def __iter__(self) -> Any:
        return iter(vars(self._instance))

    def __len__(self) -> int:
        return len(vars(self._instance))
