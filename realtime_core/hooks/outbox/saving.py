"""Saves that are transactions, so that the outbox's row commits together with what it tells about."""

from __future__ import annotations

from functools import wraps
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from django.db import router, transaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import Model


class _Wrapped:
    """One model whose ``save_base`` is wrapped, and by how many outboxes that is wanted."""

    def __init__(self, model: type[Model]) -> None:
        self.wanted = 0
        self._model = model
        self._own = vars(model).get("save_base")
        self._wrapper = _in_a_transaction(model.save_base)
        model.save_base = self._wrapper

    def undo(self) -> None:
        if vars(self._model).get("save_base") is not self._wrapper:
            return  # somebody wrapped it once more: it does no harm
        if self._own is None:
            del self._model.save_base
        else:
            self._model.save_base = self._own


_wrapped: Final[dict[type[Model], _Wrapped]] = {}
_lock: Final = Lock()


def save_in_a_transaction(model: type[Model]) -> Callable[[], None]:
    """Make each save of ``model`` a transaction where it would be none; returns what takes that back, to be called once.

    In autocommit Django sends post_save after the row has committed: the outbox's row would be a transaction of its own,
    and could be lost between the two. Deletes have a transaction anyway. All outboxes of a model share one wrapper,
    which goes with the last of them, in whichever order they end.
    """
    with _lock:
        wrapped = _wrapped.get(model) or _wrapped.setdefault(model, _Wrapped(model))
        wrapped.wanted += 1

    def take_back() -> None:
        with _lock:
            wrapped.wanted -= 1
            if not wrapped.wanted:
                del _wrapped[model]
                wrapped.undo()

    return take_back


def _in_a_transaction(save_base: Callable[..., None]) -> Callable[..., None]:
    @wraps(save_base)
    def save_base_in_a_transaction(self: Model, *args: Any, **options: Any) -> None:
        # save_base(raw, force_insert, force_update, using, update_fields): Django calls it with keywords.
        using = options.get("using") or router.db_for_write(type(self), instance=self)
        if not transaction.get_autocommit(using):
            # A block around the save would break the transaction that is open when a receiver of post_save raises,
            # though the application catches that and goes on.
            save_base(self, *args, **options)
            return
        with transaction.atomic(using=using):
            save_base(self, *args, **options)

    return save_base_in_a_transaction
