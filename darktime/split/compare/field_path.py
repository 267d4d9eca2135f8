"""Names of fields in a JSON body, ``posts[].author.name``. Pure.

Elements of a list are ``[]``. A key that names one thing of many (a number, a uuid, a token) is ``{id}``: an object that
is used as a table is one field, not one an entry.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Final

from darktime.split.compare.endpoint import ID

ELEMENT: Final = "[]"
MAX_KEY: Final = 64
MAX_PATH: Final = 300  # what lies deeper is one field, however long the names in it are
_CUT: Final = "…"
_PLAIN: Final = re.compile(r"[A-Za-z_$@][A-Za-z0-9_$@:-]*")
# Digits only, a uuid, eight hexadecimal digits or more of which some are digits, or four digits in a row and more.
_IDS: Final = re.compile(
    r"[0-9]+|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|(?=[a-fA-F]*[0-9])[0-9a-fA-F]{8,}|.*[0-9]{4,}.*", re.DOTALL
)


@lru_cache(maxsize=4096)
def step(key: str) -> str:
    """How a key of an object stands in a path: as it is, in JSON's quotes where it has other characters, or ``{id}``."""
    if len(key) > MAX_KEY or _IDS.fullmatch(key):
        return ID
    return key if _PLAIN.fullmatch(key) else json.dumps(key)


def below(path: str, key: str) -> str:
    """The path of an object's field."""
    return _bounded(path, f".{step(key)}" if path else step(key))


def element(path: str) -> str:
    """The path of a list's elements."""
    return _bounded(path, ELEMENT)


def _bounded(path: str, more: str) -> str:
    if path.endswith(_CUT):
        return path
    return path + more if len(path) + len(more) < MAX_PATH else path + _CUT
