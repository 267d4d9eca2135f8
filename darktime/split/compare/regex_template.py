"""What a regular expression of a URL configuration says as templates. Pure.

``page/(?P<n>[0-9]+)/?$`` is ``page/{n:int}`` and ``page/{n:int}/``: what is optional, or one of several, makes a template
each; what is not in a group and no literal becomes ``{}``, one for all of it that has nothing between.
"""

from __future__ import annotations

import re
from itertools import product
from typing import Any, Final
from urllib.parse import quote

from darktime.split.compare.wildcards import KINDS, PATH

# The parser is CPython's own; its names stand in the documentation of no version, and are those of every one since 3.11.
_parser: Any = getattr(re, "_parser")  # noqa: B009 - typeshed does not know it
MOST_FORMS: Final = 16  # of one expression
_SLASH: Final = ord("/")
# As Django writes a literal in a URL, and browsers ask for it.
_SAFE: Final = "!$&'()*+,;=/~:@"
_NAMELESS: Final = re.compile(r"\{(?::[a-z]+)?\}(?:\{(?::[a-z]+)?\})+")
_BY_TEXT: Final = {expression: kind for kind, expression in KINDS.items() if kind in {"uuid", "slug"}}


def literal(text: str) -> str:
    """A literal as it stands in a request's path."""
    return quote(text, safe=_SAFE)


def kind_of(expression: str) -> str:
    """What of ``KINDS`` a group stands for: digits, what has no slash, or what may have one."""
    return _BY_TEXT.get(expression) or _kind(_parser.parse(expression))


def forms(expression: str) -> tuple[list[str], bool]:
    """The templates of an expression, 16 at most, and whether its end is anchored. Raises ``re.error``."""
    parsed = _parser.parse(expression)
    names = {number: name for name, number in parsed.state.groupdict.items()}
    items = list(parsed)
    anchored = bool(items) and str(items[-1][0]) == "AT" and str(items[-1][1]).startswith("AT_END")
    return _forms(parsed, names)[:MOST_FORMS], anchored


def _forms(parsed: Any, names: dict[int, str]) -> list[str]:
    found = [""]
    for op, argument in parsed:
        some = _of(str(op), argument, names)
        found = list(dict.fromkeys(_NAMELESS.sub(_one, a + b) for a, b in product(found, some)))[:MOST_FORMS]
    return found


def _one(several: re.Match[str]) -> str:
    return _named("", PATH if f":{PATH}" in several[0] else "str")


def _of(op: str, argument: Any, names: dict[int, str]) -> list[str]:
    if op == "LITERAL":
        return [literal(chr(argument))]
    if op in {"AT", "ASSERT", "ASSERT_NOT"}:
        return [""]
    if op == "SUBPATTERN":
        group, _, _, inner = argument
        # Where one is named, those without a name give the view nothing.
        if group is None or (names and group not in names):
            return _forms(inner, names)
        return [_named(names.get(group, str(group)), _kind(inner))]
    if op == "ATOMIC_GROUP":
        return _forms(argument, names)
    if op == "BRANCH":
        return [form for branch in argument[1] for form in _forms(branch, names)]
    if op in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
        least, _, inner = argument
        some = _forms(inner, names)
        return ["", *some] if least == 0 else some
    return [_named("", PATH if _may_be(_SLASH, [(op, argument)]) else "str")]


def _named(name: str, kind: str) -> str:
    return f"{{{name}}}" if kind == "str" else f"{{{name}:{kind}}}"


def _kind(parsed: Any) -> str:
    if _may_be(_SLASH, parsed):
        return PATH
    others = (number for number in range(0x21, 0x7F) if not chr(number).isdigit())
    return "str" if any(_may_be(number, parsed) for number in others) or not _may_be(ord("1"), parsed) else "int"


def _may_be(number: int, parsed: Any) -> bool:
    """Whether a character may stand anywhere in what matches."""
    return any(_may_be_in(number, str(op), argument) for op, argument in parsed)


def _may_be_in(number: int, op: str, argument: Any) -> bool:
    match op:
        case "LITERAL":
            return bool(argument == number)
        case "NOT_LITERAL":
            return bool(argument != number)
        case "ANY" | "GROUPREF" | "GROUPREF_EXISTS":
            return True
        case "IN":
            return _in_set(number, argument)
        case "SUBPATTERN":
            return _may_be(number, argument[3])
        case "ATOMIC_GROUP":
            return _may_be(number, argument)
        case "BRANCH":
            return any(_may_be(number, branch) for branch in argument[1])
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            return _may_be(number, argument[2])
        case _:
            return False


def _in_set(number: int, members: Any) -> bool:
    negated = found = False
    for op, argument in members:
        match str(op):
            case "NEGATE":
                negated = True
            case "LITERAL":
                found = found or argument == number
            case "RANGE":
                found = found or argument[0] <= number <= argument[1]
            case "CATEGORY":
                found = found or _in_category(number, str(argument))
    return found is not negated


def _in_category(number: int, category: str) -> bool:
    char = chr(number)
    name = category.removeprefix("CATEGORY_").removeprefix("NOT_")
    found = {"DIGIT": char.isdigit(), "SPACE": char.isspace(), "WORD": char.isalnum() or char == "_"}.get(name, True)
    return found is not ("NOT_" in category)
