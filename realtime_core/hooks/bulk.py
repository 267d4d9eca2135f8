"""Bulk operations that emit: ``objects = RealtimeManager()``.

``update``, ``bulk_update`` and ``bulk_create`` of a Django queryset send no signals. These emit a post_save for each row, to
the hooks that ``realtime`` connected and to nobody else. ``delete`` sends post_delete by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.db import models, transaction

from realtime_core.errors import ConfigurationError
from realtime_core.hooks.django_signals import POST_SAVE, hooks_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["RealtimeManager", "RealtimeQuerySet"]

_KEYS_A_QUERY: Final = 10_000


class RealtimeQuerySet(models.QuerySet[Any]):
    """A queryset whose bulk operations emit, each in one transaction, with what it writes."""

    def update(self, **values: Any) -> int:
        """As Django's, then one event a row, with the row as it is stored afterwards. ``bulk_update`` comes here too.

        The rows are looked up and locked first, so that exactly those are updated that events are emitted of.
        """
        # Django's own refusals come first: of slices and combined queries.
        if not hooks_of(self.model) or self.query.is_sliced or self.query.combinator:
            return int(super().update(**values))
        updated = 0
        self._for_write = True  # a router may read from another database
        with transaction.atomic(using=self.db, savepoint=False):
            keys = self._locked_keys()
            for first in range(0, len(keys), _KEYS_A_QUERY):
                some = keys[first : first + _KEYS_A_QUERY]
                # Of more rows than one query names the first ones' new values might change what the filters find. Values
                # that are made of annotations need the query they are of.
                base = self if self.query.annotations else type(self)(self.model, using=self.db)
                chosen: Any = base.filter(pk__in=some)
                updated += super(RealtimeQuerySet, chosen).update(**values)
            self._emit(keys)
        self._result_cache = None
        return updated

    update.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Iterable[Any], *args: Any, **options: Any) -> list[Any]:
        """As Django's, then one event an object.

        Raises:
            ConfigurationError: ``ignore_conflicts``, after which nobody can say which rows were written.
        """
        if not hooks_of(self.model):
            return list(super().bulk_create(objs, *args, **options))
        ignore = options.get("ignore_conflicts") or (len(args) > 1 and args[1])
        if ignore:
            raise ConfigurationError(
                f"{self.model.__name__}: bulk_create(ignore_conflicts=True) does not say which rows it wrote, so none can "
                "be published: leave it off, use update_conflicts, or call it on a manager that does not emit"
            )
        self._for_write = True  # a router may read from another database
        with transaction.atomic(using=self.db, savepoint=False):
            created = list(super().bulk_create(objs, *args, **options))
            if options.get("update_conflicts") or (len(args) > 2 and args[2]):  # noqa: PLR2004 - its place in Django
                self._emit([one.pk for one in created])
            else:
                for hook in hooks_of(self.model):
                    hook.capture(POST_SAVE, created, self.db, fresh=True)
        return created

    bulk_create.alters_data = True  # type: ignore[attr-defined]

    def _locked_keys(self) -> list[Any]:
        """The keys of the rows, locked until the transaction ends where the database and the query allow it."""
        query = self.query
        if query.distinct or query.group_by is not None or self._fields is not None:
            return list(dict.fromkeys(self.order_by().values_list("pk", flat=True)))
        locked = self.only("pk").select_related(None).prefetch_related(None).select_for_update(of=("self",))
        return list(dict.fromkeys(one.pk for one in locked.iterator()))

    def _emit(self, keys: Sequence[Any]) -> None:
        """Events of rows as they are stored now, in the order of ``keys``."""
        rows: models.QuerySet[Any] = models.QuerySet(self.model, using=self.db)
        for first in range(0, len(keys), _KEYS_A_QUERY):
            found = rows.in_bulk(keys[first : first + _KEYS_A_QUERY])
            instances = [found[key] for key in keys[first : first + _KEYS_A_QUERY] if key in found]
            for hook in hooks_of(self.model):
                hook.capture(POST_SAVE, instances, self.db, fresh=True)


class RealtimeManager(models.Manager.from_queryset(RealtimeQuerySet)):  # type: ignore[misc]
    """``objects = RealtimeManager()``: bulk operations of the model, and of managers of related objects, emit."""
