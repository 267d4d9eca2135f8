"""The endpoints of a Django project: its URL resolver, walked into templates.

``python -m darktime.split.django_urls NAME`` is a process of its own. NAME is a settings module, or a URL configuration;
without one DJANGO_SETTINGS_MODULE says which. Importing a project configures logging, opens what it opens and may end the
process: so nothing of that happens in the one that asks. Nothing but ``main`` imports Django.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from darktime.errors import UsageError
from darktime.extras import remedy
from darktime.split.compare.regex_template import forms, kind_of, literal
from darktime.split.compare.templates import MOST_TEMPLATES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PREFIX: Final = "django:"
SETTINGS: Final = "DJANGO_SETTINGS_MODULE"
_LIMIT_S: Final = 60.0
_LAST: Final = 3  # lines of what a child said
_MOST_WALKED: Final = 100_000  # the same one may come from many patterns
_DEEPEST: Final = 50
_PARAMETER: Final = re.compile(r"<(?:[^>:]+:)?([^>]+)>")
_MODULE: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)


def templates_of(named: str) -> tuple[str, ...]:
    """The templates of the project that ``django:NAME`` means, in the order of its URLs. Raises UsageError."""
    name = named.removeprefix(PREFIX)
    if name and not _MODULE.fullmatch(name):
        raise UsageError(f"--endpoints {named}: django:PROJECT.settings, please, or django:PROJECT.urls")
    command = [sys.executable, "-m", "darktime.split.django_urls", name]
    # Files, not pipes: what a project leaves running would hold a pipe open.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, timeout=_LIMIT_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise UsageError(
                f"--endpoints {named}: importing it took more than {_LIMIT_S:g} s; name a file of templates instead"
            ) from error
        out.seek(0)
        err.seek(0)
        try:
            told = json.loads(out.read())
        except ValueError:
            last = " | ".join(err.read().decode(errors="replace").strip().splitlines()[-_LAST:])
            raise UsageError(
                f"--endpoints {named}: importing it ended the process ({done.returncode}): {last}"
            ) from None
    if "error" in told:
        raise UsageError(f"--endpoints {named}: {told['error']}")
    return tuple(told["templates"])


def main(argv: list[str] | None = None) -> int:
    """Write the templates, or the error, as JSON; what the project prints goes to stderr."""
    name = (sys.argv[1:] if argv is None else argv)[0]
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if os.getcwd() not in sys.path:  # noqa: PTH109 - as it stands there
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    try:
        told: dict[str, Any] = {"templates": _templates(name)}
    except UsageError as error:
        told = {"error": str(error)}
    with out:
        json.dump(told, out)
    return 0


def _templates(name: str) -> list[str]:
    urlconf = _urlconf(name)
    try:
        from django.conf import settings  # noqa: PLC0415 - nobody else loads it
        from django.urls import get_resolver  # noqa: PLC0415

        script = (settings.FORCE_SCRIPT_NAME or "").rstrip("/") if settings.configured else ""
        found = dict.fromkeys(
            islice((f"{literal(script)}/{one}" for one in walk(get_resolver(urlconf).url_patterns, [""])), _MOST_WALKED)
        )
    except Exception as error:
        raise UsageError(f"the URLs of {urlconf} cannot be read: {_said(error)}") from error
    if len(found) > MOST_TEMPLATES:
        raise UsageError(
            f"the URLs of {urlconf} make more than {MOST_TEMPLATES:,} templates; name a urls module of a part, or a file"
        )
    return list(found)


def _urlconf(name: str) -> str:
    """Set Django up; the name of the URL configuration. Raises UsageError."""
    try:
        import django  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise UsageError(
            f"Django is not installed for {sys.executable}: install darktime where your project is, or {remedy(['django'])}"
        ) from error
    from_environment = os.environ.get(SETTINGS, "")
    if not name and not from_environment:
        raise UsageError(f"say django:PROJECT.settings, or set {SETTINGS}")
    name = name or from_environment
    is_settings = any(part.startswith("settings") for part in name.split("."))
    try:
        if from_environment and not is_settings:
            django.setup()
        found = importlib.import_module(name)
        if hasattr(found, "ROOT_URLCONF") and (is_settings or not from_environment):
            os.environ[SETTINGS] = name
            django.setup()
    except BaseException as error:  # whatever a project does when it is imported, SystemExit too
        more = (
            ""
            if is_settings or from_environment
            else f"; name the settings instead, django:PROJECT.settings, or set {SETTINGS}"
        )
        raise UsageError(f"{name} cannot be imported: {_said(error)}{more}") from error
    if hasattr(found, "ROOT_URLCONF"):
        return str(found.ROOT_URLCONF)
    if hasattr(found, "urlpatterns"):
        return name
    raise UsageError(f"{name} has neither urlpatterns nor ROOT_URLCONF: name a settings module or a urls module")


def _said(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def walk(patterns: Iterable[Any], before: list[str], depth: int = 0) -> Iterator[str]:
    """The templates of Django's URL patterns, without the first slash, in their order. ``before``: what they stand behind.

    Raises:
        RecursionError: more than 50 includes within one another.
    """
    if depth > _DEEPEST:
        raise RecursionError(f"more than {_DEEPEST} includes within one another")
    for one in patterns:
        inner = getattr(one, "url_patterns", None)
        made = (start + form for start in before for form in _of(one.pattern, leaf=inner is None))
        there = list(dict.fromkeys(made))[: MOST_TEMPLATES + 1]  # so many are refused; each level could multiply them
        if inner is None:
            yield from there
        else:
            yield from walk(inner, there, depth + 1)


def _of(pattern: Any, *, leaf: bool) -> list[str]:
    from django.urls.resolvers import LocalePrefixPattern, RoutePattern  # noqa: PLC0415

    if isinstance(pattern, LocalePrefixPattern):
        return ["{language:lang}/"] if pattern.prefix_default_language else ["{language:lang}/", ""]
    if isinstance(pattern, RoutePattern):
        return [_route(str(pattern), pattern.converters)]
    found, anchored = forms(str(pattern))
    return found if anchored or not leaf else [form + "{rest:path}" for form in found]


def _route(route: str, converters: Any) -> str:
    pieces = _PARAMETER.split(route)
    made = [literal(pieces[0])]
    for name, text in zip(pieces[1::2], pieces[2::2], strict=True):
        kind = kind_of(converters[name].regex)
        made += [f"{{{name}}}" if kind == "str" else f"{{{name}:{kind}}}", literal(text)]
    return "".join(made)


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # whatever threads the project has started
