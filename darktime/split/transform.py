"""What a function of yours may do with each copy before it goes out: ``def transform(copy: Copy) -> Copy | None``. Pure.

It gets what may leave anyway: allowlists and masks come first. What it gives back is checked here, in what differs from what
it got: it can make no second request of a copy, nothing unmarked, and nothing that its way to the dark instance would break.
What is refused is described and never shown: it may be a credential, and the refusal is kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Self

from darktime.split.settings import BODILESS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

Pairs = tuple[tuple[str, str], ...]
MOST_HEADERS: Final = 100  # and cookies
MOST_HEAD: Final = 131_072  # bytes of method, target, headers and cookies
_NAMED: Final = 40  # characters of a name that are shown
_PATH: Final = re.compile(r"/[!-\"$->@-~\x80-\xff]*")
_QUERY: Final = re.compile(r"[!-\"$-~\x80-\xff]*")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}")
# What may stand in a value: no end of a line, no NUL, nothing that a receiver strips.
_VALUE: Final = re.compile(r"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?")
_COOKIE: Final = re.compile(r"(?:[!-:<-~\x80-\xff](?:[ -:<-~\x80-\xff]*[!-:<-~\x80-\xff])?)?")
_HOST: Final = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")
# They follow from the body and the connection, or are the relay's own; of a coded answer nobody could read the events.
_OURS: Final = frozenset({
    "connection", "content-length", "transfer-encoding", "upgrade", "keep-alive", "te", "trailer", "expect",
    "proxy-connection", "proxy-authorization", "http2-settings", "traceparent", "tracestate", "accept-encoding",
})  # fmt: skip


class NotSendable(ValueError):  # noqa: N818 - what was given back
    """What a function gave back cannot go out; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    r"""One copy as it would go out. Frozen: give back another one, by ``dataclasses.replace`` or by the methods below.

    Texts are the request's own bytes as Latin-1, as they came: a path that is percent-encoded still is.

    Attributes:
        id: the request's id in production's nginx, 32 hex digits; may not be changed, as ``at`` and ``user`` may not.
        at: when the request began, seconds UTC.
        user: who asked: the value of the key (``--key``), as it stood in the request, 1 to 128 letters, digits or ``_ . : -``.
        method: ``GET`` and so on; one of those that may be copied (``--methods``).
        path: begins with ``/``, has no ``?``.
        query: what follows the ``?``, empty where nothing does; values that ``--allow-query`` does not name are masked.
        headers: (name, value) pairs in their order, ``Host`` among them; those that the allowlist passes. No ``Cookie``, and
            nothing that belongs to the sending, as ``Content-Length`` does.
        cookies: (name, value) pairs in their order; those that ``--allow-cookie`` names.
        body: at most ``--max-body`` bytes; empty for GET, HEAD, OPTIONS and TRACE.
    """

    id: str
    at: float
    user: str
    method: str
    path: str
    query: str = ""
    headers: Pairs = ()
    cookies: Pairs = ()
    body: bytes = b""

    def header(self, name: str) -> str:
        """The value of the first header of that name, whatever its case; empty where there is none."""
        return next((value for one, value in self.headers if one.lower() == name.lower()), "")

    def cookie(self, name: str) -> str:
        """The value of the first cookie of that name; empty where there is none."""
        return next((value for one, value in self.cookies if one == name), "")

    def with_header(self, name: str, value: str | None) -> Self:
        """Another copy, with this header in place of all of its name; None: with none."""
        kept = tuple(one for one in self.headers if one[0].lower() != name.lower())
        return replace(self, headers=kept if value is None else (*kept, (name, value)))

    def with_cookie(self, name: str, value: str | None) -> Self:
        """Another copy, with this cookie in place of all of its name; None: with none."""
        kept = tuple(one for one in self.cookies if one[0] != name)
        return replace(self, cookies=kept if value is None else (*kept, (name, value)))


def checked(before: Copy, after: object, *, methods: Collection[str], max_body: int) -> Copy:
    """What a function gave back for ``before``, if it can go out. Raises NotSendable.

    Args:
        before: what the function got; what it left as it was is not looked at.
        after: what it gave back, and not None.
        methods: those that may be copied.
        max_body: bytes.
    """
    if not isinstance(after, Copy):
        raise NotSendable(f"it gave back {type(after).__name__}: a Copy, or None to drop it, please")
    if (after.id, after.at, after.user) != (before.id, before.at, before.user):
        raise NotSendable("id, at and user say whose copy it is: they cannot be changed")
    if after.method not in methods:
        raise NotSendable(f"method {_name(after.method)} is none of those that may be copied: name it with --methods")
    if after.path != before.path and not _fits(_PATH, after.path):
        raise NotSendable(
            f"path ({_fault(_PATH, after.path)}): / and printable characters, percent-encoded, without ? and #"
        )
    if after.query != before.query and not _fits(_QUERY, after.query):
        raise NotSendable(f"query ({_fault(_QUERY, after.query)}): printable characters, percent-encoded, without #")
    headers = _headers(before.headers, after.headers)
    cookies = _cookies(before.cookies, after.cookies)
    _check_body(after, max_body)
    told = replace(after, headers=headers, cookies=cookies)
    size = len(told.method) + len(told.path) + len(told.query)
    size += sum(len(name) + len(value) + 4 for name, value in (*headers, *cookies))  # ": " and the end of a line
    if size > MOST_HEAD:
        raise NotSendable(f"a head of {size:,} bytes: {MOST_HEAD:,} at the most")
    return told


def _headers(before: Pairs, after: object) -> Pairs:
    if after is before:
        return before
    found = _pairs(after, "headers")
    for name, value in found:
        if (name, value) in before:
            continue
        low = name.lower().replace("_", "-")  # many servers take one for the other
        if low.startswith("x-darktime") or low in _OURS:
            raise NotSendable(f"header {_name(name)} is the relay's own, or follows from the body: leave it out")
        if low == "cookie":
            raise NotSendable("header Cookie: cookies go into cookies, as (name, value) pairs")
        if not _TOKEN.fullmatch(name):
            raise NotSendable(f"a header's name ({_fault(_TOKEN, name)}): letters, digits and -, please")
        if not _VALUE.fullmatch(value):
            raise NotSendable(
                f"header {_name(name)} ({_fault(_VALUE, value)}): no line break, no end in blanks, please"
            )
        if low == "host" and not _HOST.fullmatch(value):
            raise NotSendable(f"header Host ({_fault(_HOST, value)}) is no host")
    hosts = [sum(name.lower() == "host" for name, _ in some) for some in (before, found)]
    if hosts[1] != max(hosts[0], min(hosts[1], 1)):
        raise NotSendable(f"{hosts[1]} Host headers: one, please")
    return found


def _cookies(before: Pairs, after: object) -> Pairs:
    if after is before:
        return before
    found = _pairs(after, "cookies")
    for name, value in found:
        if (name, value) in before:
            continue
        if not _TOKEN.fullmatch(name):
            raise NotSendable(f"a cookie's name ({_fault(_TOKEN, name)}): letters, digits, - and _, please")
        if not _COOKIE.fullmatch(value):
            raise NotSendable(
                f"cookie {_name(name)} ({_fault(_COOKIE, value)}): printable characters without ; in its value, please"
            )
    return found


def _pairs(after: object, what: str) -> Pairs:
    if not isinstance(after, tuple | list) or len(after) > MOST_HEADERS:
        raise NotSendable(f"{what}: at most {MOST_HEADERS} (name, value) pairs, please, in a tuple")
    for number, one in enumerate(after, 1):
        if not isinstance(one, tuple | list) or len(one) != 2 or not all(isinstance(part, str) for part in one):  # noqa: PLR2004
            raise NotSendable(f"{what}: number {number} is no (name, value) pair of texts")
    return tuple((name, value) for name, value in after)


def _check_body(after: Copy, max_body: int) -> None:
    if not isinstance(after.body, bytes):
        raise NotSendable(f"a body of type {type(after.body).__name__}: bytes, please")
    if after.body and after.method in BODILESS:
        raise NotSendable(f"a {after.method} with a body: another method, or body=b'', please")
    if len(after.body) > max_body:
        raise NotSendable(f"a body of {len(after.body):,} bytes: --max-body is {max_body:,}")


def _fits(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _name(name: object) -> str:
    """A name as it is shown; what is none may be anything."""
    is_one = isinstance(name, str) and len(name) <= _NAMED and _TOKEN.fullmatch(name)
    return str(name) if is_one else f"({_fault(_TOKEN, name)})"


def _fault(pattern: re.Pattern[str], value: object) -> str:
    """Why a value does not fit, without the value: how long it is, the character that it fails at, and where that stands."""
    if not isinstance(value, str):
        return f"of type {type(value).__name__}"
    if not value:
        return "empty"
    first = "/" if pattern is _PATH else "x"
    bad = (at for at, char in enumerate(value[:MOST_HEAD]) if not pattern.fullmatch(f"{first}{char}x"))
    # Where each may stand somewhere, it is the first or the last that may not stand there.
    ends = (at for at in (0, len(value) - 1) if not pattern.fullmatch(first * (at > 0) + value[at]))
    at = next(bad, next(ends, None))
    size = f"length {len(value):,}"
    return size if at is None else f"{size}, character {at + 1:,} is {value[at]!r}"


def cookie_pairs(values: Iterable[str]) -> Pairs:
    """The cookies of ``Cookie`` headers; what has no ``=`` is a value without a name."""
    parts = (part.strip() for value in values for part in value.split(";"))
    cut = (part.partition("=") if "=" in part else ("", "", part) for part in parts if part)
    return tuple((name, value) for name, _, value in cut)


def cookie_header(cookies: Pairs) -> str:
    """One header's value of them."""
    return "; ".join(f"{name}={value}" if name else value for name, value in cookies)
