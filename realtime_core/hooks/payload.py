"""What is published of an object: its columns or the attributes that were named, as they stand now."""

from __future__ import annotations

from contextlib import suppress
from inspect import isroutine
from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import ForeignKey, Manager, Model, QuerySet
from django.db.models.fields.related_descriptors import ReverseManyToOneDescriptor

from realtime_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence


def checked_fields(model: type[Model], fields: Iterable[str] | None) -> tuple[str, ...]:
    """The attributes to publish; every column where none are named.

    Raises:
        ConfigurationError: the model has no such attribute, or it is no value (a method, a manager of many objects).
    """
    columns = _columns(model)
    if fields is None:
        return columns
    names = (fields,) if isinstance(fields, str) else tuple(fields)
    for name in names:
        if name in columns:
            continue
        if not hasattr(model, name):
            raise ConfigurationError(f"{model.__name__} has no field {name!r}: it has {', '.join(columns)}")
        found = getattr(model, name)
        if isroutine(found) or isinstance(found, Manager | ReverseManyToOneDescriptor):
            raise ConfigurationError(
                f"{model.__name__}.{name} is no value of one object: publish a property that returns what is meant"
            )
    return names


def needed_columns(model: type[Model], fields: Sequence[str], others: Iterable[str] | None) -> frozenset[str]:
    """The columns that ``fields`` and ``others`` are made of.

    All of them where one of those is no column, or where ``others`` is None: nobody knows what a property reads.
    """
    meta: Any = model._meta  # noqa: SLF001 - Django's documented API
    known = {"pk": meta.pk.attname} if meta.pk in meta.concrete_fields else {}
    for field in meta.concrete_fields:
        known[field.name] = known[field.attname] = field.attname
    names = None if others is None else {*fields, *others}
    if names is None or not names <= known.keys():
        return frozenset(_columns(model))
    return frozenset(known[name] for name in names)


def payload(instance: Model, fields: Sequence[str]) -> dict[str, Any]:
    """The attributes' values; a related object is published as its key."""
    return {name: _value(instance, name) for name in fields}


def as_stored(
    instance: Model,
    using: str | None,
    columns: Collection[str],
    *,
    written: Collection[str] | None = None,
    fresh: bool = False,
) -> Model:
    """The object; read again where only the database knows what stands in one of the columns.

    That is so of a column that was set to an expression, ``F("votes") + 1``, of one that was not loaded, of one that the
    database generates unless the object is ``fresh`` from there, and, where only ``written`` was saved, of the others.

    Raises:
        django.core.exceptions.ObjectDoesNotExist: its row is gone.
    """
    if not _is_stale(instance, columns, written, fresh=fresh):
        return instance
    # No manager of the model's: it might leave out what is marked as deleted.
    return QuerySet(type(instance), using=using).get(pk=instance.pk)


def _is_stale(instance: Model, columns: Collection[str], written: Collection[str] | None, *, fresh: bool) -> bool:
    known = vars(instance)
    for field in instance._meta.concrete_fields:  # noqa: SLF001 - Django's documented API
        if field.attname not in columns:
            continue
        if field.attname not in known or hasattr(known[field.attname], "resolve_expression"):
            return True
        if field.generated and not fresh:
            return True
        if written is not None and not (field.primary_key or field.name in written or field.attname in written):
            return True
    return False


def _value(instance: Model, name: str) -> Any:
    if name not in vars(instance):
        with suppress(FieldDoesNotExist):
            field: Any = instance._meta.get_field(name)  # noqa: SLF001 - Django's documented API
            # The key stands in the object's own column: its other side need not be fetched.
            if isinstance(field, ForeignKey) and field.target_field.primary_key:
                return getattr(instance, field.attname)
    value = getattr(instance, name)
    return value.pk if isinstance(value, Model) else value


def _columns(model: type[Model]) -> tuple[str, ...]:
    return tuple(field.attname for field in model._meta.concrete_fields)  # noqa: SLF001 - Django's documented API
