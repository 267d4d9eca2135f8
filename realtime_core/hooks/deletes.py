"""What was taken of objects before their rows are deleted, held until Django says that they are gone.

It belongs to the ``atomic`` block that a delete opens around both of its signals: however that block ends, and whoever
keeps the objects, what was taken goes with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from django.db import transaction

if TYPE_CHECKING:
    from django.db.models import Model

    from realtime_core.hooks.event import Captured


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One hook's event of one object; neither of both where it has no channel.

    Attributes:
        event: what is emitted once the object is deleted.
        error: why there is none, as text: an exception would hold its frames, and those the object.
    """

    event: Captured | None = None
    error: str = ""


# By block, then by hook and object. A block belongs to one connection, and so to one thread: there is nothing to lock.
# Objects are held along with what was taken of them, so that no other one can get the same id() meanwhile.
_taken: Final[WeakKeyDictionary[Any, dict[tuple[object, int], tuple[Model, Taken]]]] = WeakKeyDictionary()


def hold(hook: object, instance: Model, using: str | None, taken: Taken) -> None:
    """Keep what a hook has taken until the innermost ``atomic`` block on ``using`` ends: the delete's own.

    A block that is a decorator lives on, and is shared by threads: nothing may be held in one. Outside of any nothing is.
    """
    blocks = _blocks(using)
    if blocks:
        _taken.setdefault(blocks[-1], {})[hook, id(instance)] = instance, taken


def release(hook: object, instance: Model, using: str | None) -> Taken | None:
    """What :func:`hold` was given, once; None where it was given nothing, as when a signal was sent by hand."""
    for block in reversed(_blocks(using)):
        found = _taken.get(block, {}).pop((hook, id(instance)), None)
        if found is not None:
            return found[1]
    return None


def _blocks(using: str | None) -> list[Any]:
    """The open ``atomic`` blocks, the innermost last. Django does not document them: without them nothing is held."""
    return getattr(transaction.get_connection(using), "atomic_blocks", [])
