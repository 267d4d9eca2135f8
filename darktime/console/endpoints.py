"""``--endpoints``: the application's own endpoints, from a file or from the URLs of a Django project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darktime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

DJANGO = "django:"
KEPT = "endpoints.txt"


def endpoints_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--endpoints``: a Path, a text that begins with ``django:``, or None."""
    return click.option(
        "--endpoints",
        callback=_file_or_project,
        metavar="FILE|django:SETTINGS",
        help="The application's own: OpenAPI in JSON or YAML, one template a line, or a Django project's URLs.",
    )(command)


def _file_or_project(ctx: click.Context, param: click.Parameter, value: str | None) -> Path | str | None:
    if value is None or value.startswith(DJANGO):
        return value
    found: Path = click.Path(path_type=Path, dir_okay=False, exists=True).convert(value, param, ctx)
    return found


def templates(named: Path | str | None) -> tuple[str, ...]:
    """The application's own templates; none where nothing was said. Raises UsageError."""
    from darktime.split.compare.templates import MOST_TEXT, read_templates

    if named is None:
        return ()
    if isinstance(named, str):
        from darktime.split.django_urls import templates_of

        found = templates_of(named)
        try:
            return read_templates("\n".join(found))
        except UsageError as error:
            raise UsageError(f"--endpoints {named}, as a file: {error}") from error
    try:
        with named.open("rb") as file:
            text = file.read(MOST_TEXT + 1)
        return read_templates(text.decode("utf-8", "replace"))
    except OSError as error:
        raise UsageError(f"--endpoints {named}: {error.strerror}; name a file that can be read") from error
    except UsageError as error:
        raise UsageError(f"--endpoints {named}: {error}") from error


def kept(named: Path | str | None, found: tuple[str, ...], folder: Path) -> Path | None:
    """The file that a relay reads them from: the one that was named, or one in the results' folder."""
    if not isinstance(named, str):
        return named
    from darktime.split.folder import write_private

    write_private(folder / KEPT, "\n".join(found) + "\n")
    return folder / KEPT
