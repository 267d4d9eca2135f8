"""Fields by their path: finding and changing what is inside a message's data. Pure; nothing is changed in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from realtime_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Path = tuple[str, ...]
GONE: Final = object()  # what a change returns to take the field out


def path_of(what: str, text: str) -> Path:
    """The names below ``data`` of ``data.author.email``.

    Raises:
        ConfigurationError: it does not begin with ``data``, or a name is missing.
    """
    root, *names = text.split(".")
    if root != "data" or not names or not all(names):
        raise ConfigurationError(f"{what} {text!r:.200}: a field's path begins with data, as in data.author.email")
    return tuple(names)


def changed(value: Any, path: Path, change: Callable[[Any], Any]) -> Any:
    """A copy in which ``change`` was asked about the field; a path that meets a list goes into each of its items."""
    if isinstance(value, list):
        return [changed(item, path, change) for item in value]
    if not isinstance(value, dict) or path[0] not in value:
        return value
    name, *rest = path
    copy = dict(value)
    made = changed(value[name], tuple(rest), change) if rest else change(value[name])
    if made is GONE:
        del copy[name]
    else:
        copy[name] = made
    return copy


def found(value: Any, path: Path) -> Iterator[Any]:
    """What stands at the path: nothing, one value, or where lists are on the way several."""
    if isinstance(value, list):
        for item in value:
            yield from found(item, path)
    elif isinstance(value, dict) and path[0] in value:
        inner = value[path[0]]
        if len(path) == 1:
            yield inner
        else:
            yield from found(inner, path[1:])


def put_in(data: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """A copy with ``value`` at the path; objects on the way are made where they are missing."""
    name, *rest = path
    inner = data.get(name)
    made = put_in(inner if isinstance(inner, dict) else {}, tuple(rest), value) if rest else value
    return data | {name: made}
