"""post_save and post_delete of a Django model to the queue, or to an outbox in the same transaction.

Signals see what ``save`` and ``delete`` do. ``bulk_create``, ``bulk_update`` and ``QuerySet.update`` send none: what does
for them is ``realtime_core.hooks.bulk``. What each mode loses and when is in docs/hooks.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

from realtime_core.hooks.channels import Channels
from realtime_core.hooks.hook import POST_DELETE, POST_SAVE, Hook, hooks_of
from realtime_core.hooks.outbox.writer import Outbox
from realtime_core.hooks.producer import Producer
from realtime_core.hooks.settings import default_producer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django.db.models import Model

__all__ = ["POST_DELETE", "POST_SAVE", "Channels", "Hook", "Outbox", "Producer", "hooks_of", "realtime"]


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

    Said twice in the same words it is said once: the second call returns the first one's hook.

    Args:
        model: the class itself; subclasses and proxies are connected apart.
        channels: templates such as ``thread:{thread_id}``, filled from the object's attributes, or a function of the
            object that returns channels. No channel: no event. The order of events is kept by the first channel.
        fields: attributes to publish; without them every column. What the page must not see is left out here or taken
            off in the pipeline.
        producer: a ``Producer`` puts the jobs after COMMIT (signal mode); an ``Outbox`` writes a row in the same
            transaction, which the relay puts (outbox mode). Without one ``REALTIME`` in the settings says which.

    Raises:
        ConfigurationError: a template that is none, a field that the model does not have, a model of which nothing is
            ever saved, an outbox whose application is not installed, settings that say too little, or the model is
            connected already to the same channels, with other fields.
    """

    def connected(target: type[Model]) -> Hook:
        return Hook(target, channels=channels, fields=fields, producer=producer or default_producer()).connect()

    if model is not None:
        return connected(model)

    def decorate(target: type[Model]) -> type[Model]:
        connected(target)
        return target

    return decorate
