"""Requests with ``${NAME}`` in them, filled in for one user after the other: an identity each. Pure.

The names are the columns of a table of users. A value is percent-encoded in a path, escaped as in a JSON string in a
body of JSON, and put as it is into a header or any other body.
"""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from darktime.blast.sources import request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from darktime.blast.access_log import Listed
    from darktime.blast.settings import Address

PLACEHOLDER = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
MAX_USERS = 1_000_000
# Requests that are made before the run; of more, each is made when it is sent.
MAX_MADE = 100_000
LATIN_1 = 0xFF
BYTE_ORDER_MARK = "\ufeff"  # spreadsheets put it before the first name


def read_users(text: str) -> list[dict[str, str]]:
    """Users of CSV whose first line names the columns. Raises ValueError for a line that does not fit, and for none."""
    rows = csv.reader(io.StringIO(text.removeprefix(BYTE_ORDER_MARK), newline=""), strict=True)
    users = []
    try:
        columns = [name.strip() for name in next(rows, [])]
        if not columns or not all(columns) or len(set(columns)) < len(columns):
            raise ValueError("its first line names the columns, each once, as in uid,token")
        for values in rows:
            if not values:
                continue
            if len(values) != len(columns):
                raise ValueError(f"line {rows.line_num} has {len(values)} values for {len(columns)} columns")
            if any(not value.isprintable() for value in values):
                raise ValueError(f"line {rows.line_num} has a character that cannot be printed")
            users.append(dict(zip(columns, values, strict=True)))
            if len(users) > MAX_USERS:
                raise ValueError(f"it has more than {MAX_USERS:,} users")
    except csv.Error as error:
        raise ValueError(f"line {rows.line_num}: {error}") from error
    if not users:
        raise ValueError("it has no user below the names of the columns")
    return users


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """One request of a list, with the headers that all have (``fields``)."""

    listed: Listed
    fields: Mapping[str, str]

    def names(self) -> set[str]:
        """The columns it needs."""
        one = self.listed
        return {name for text in (one.path, one.body, *self.fields.values()) for name in PLACEHOLDER.findall(text)}

    def fill(self, address: Address, user: Mapping[str, str]) -> bytes:
        """The request of this user."""
        kind = next((value for name, value in self.fields.items() if name.lower() == "content-type"), "")
        in_body = _in_json if "json" in kind else str
        fields = {name: _filled(value, user, str) for name, value in self.fields.items()}
        path = _filled(self.listed.path, user, lambda value: quote(value, safe=""))
        body = _filled(self.listed.body, user, in_body).encode()
        return request(address, self.listed.method, path, headers=fields, body=body)


class ForUsers:
    """Each user in turn makes all requests of the list, one after the other. A source of requests.

    Raises ValueError for a request that needs a column which the users do not have.
    """

    def __init__(self, address: Address, templates: Sequence[Template], users: Sequence[Mapping[str, str]]) -> None:
        known = set(users[0])
        for template in templates:
            for name in sorted(template.names() - known):
                raise ValueError(
                    f"{template.listed.method} {template.listed.path} needs ${{{name}}}: users have {', '.join(sorted(known))}"
                )
            _check_headers(template, users)
        self.fixed: bytes | None = None
        self._address = address
        self._templates = tuple(templates)
        self._users = users
        self._at = -1
        self._size = len(templates) * len(users)
        self._made: list[bytes] | None = None
        if self._size <= MAX_MADE:
            self._made = [template.fill(address, user) for user in users for template in templates]

    def next(self, planned_s: float) -> tuple[bytes, int]:  # noqa: ARG002 - part of the protocol
        """The next request; its number is user times requests plus request."""
        self._at = at = (self._at + 1) % self._size
        if self._made is not None:
            return self._made[at], at
        user, number = divmod(at, len(self._templates))
        return self._templates[number].fill(self._address, self._users[user]), at

    def ended(self, number: int, *, ok: bool) -> None:
        """Nothing to remember."""


def _check_headers(template: Template, users: Sequence[Mapping[str, str]]) -> None:
    for name in {name for text in template.fields.values() for name in PLACEHOLDER.findall(text)}:
        for number, user in enumerate(users, 1):
            if any(ord(letter) > LATIN_1 for letter in user[name]):
                raise ValueError(f"user {number}: {name} {user[name]!r} cannot stand in a header; encode it")


def _filled(text: str, user: Mapping[str, str], escape: Callable[[str], str]) -> str:
    return PLACEHOLDER.sub(lambda found: escape(user[found[1]]), text)


def _in_json(value: str) -> str:
    return json.dumps(value)[1:-1]
