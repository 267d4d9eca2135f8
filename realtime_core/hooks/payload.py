"""What is published of an object: its columns or the attributes that were named, as they stand now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import Model

from realtime_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def checked_fields(model: type[Model], fields: Iterable[str] | None) -> tuple[str, ...]:
    """The attributes to publish; every column where none are named.

    Raises:
        ConfigurationError: the model has no such attribute.
    """
    columns = _columns(model)
    if fields is None:
        return columns
    names = (fields,) if isinstance(fields, str) else tuple(fields)
    for name in names:
        if name not in columns and not hasattr(model, name):
            raise ConfigurationError(f"{model.__name__} has no field {name!r}: it has {', '.join(columns)}")
    return names


def payload(instance: Model, fields: Sequence[str]) -> dict[str, Any]:
    """The attributes' values; a related object is published as its key."""
    return {name: _plain(getattr(instance, name)) for name in fields}


def as_stored(instance: Model, using: str | None) -> Model:
    """The object; read again where a column is an expression, ``F("votes") + 1``: only the database knows its value."""
    known = vars(instance)
    if any(hasattr(known.get(column), "resolve_expression") for column in _columns(type(instance))):
        stored: Model = type(instance)._base_manager.using(using).get(pk=instance.pk)  # noqa: SLF001 - documented
        return stored
    return instance


def _plain(value: Any) -> Any:
    return value.pk if isinstance(value, Model) else value


def _columns(model: type[Model]) -> tuple[str, ...]:
    return tuple(field.attname for field in model._meta.concrete_fields)  # noqa: SLF001 - Django's documented API
