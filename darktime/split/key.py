"""What makes a user: a cookie, a header, a query parameter, or the client's address; as people write it and as nginx does. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from darktime.errors import UsageError

# Only names that a variable of nginx can have.
_NAMES: Final = {
    "cookie": re.compile(r"[A-Za-z0-9_]{1,64}"),
    "header": re.compile(r"[A-Za-z0-9_-]{1,64}"),
    "query": re.compile(r"[A-Za-z0-9_]{1,64}"),
}
ADDRESS: Final = "ip"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserKey:
    """``kind`` is cookie, header, query or ip; ``name`` is empty for the last."""

    kind: str
    name: str = ""

    @property
    def variable(self) -> str:
        """Its variable in nginx, with the ``$``."""
        if self.kind == "header":
            return f"$http_{self.name.lower().replace('-', '_')}"
        return {"cookie": f"$cookie_{self.name}", "query": f"$arg_{self.name}"}.get(self.kind, "$remote_addr")


def parse_key(text: str) -> UserKey:
    """Read ``cookie:NAME``, ``header:NAME``, ``query:NAME`` or ``ip``. Raises UsageError."""
    if text == ADDRESS:
        return UserKey(kind=ADDRESS)
    kind, _, name = text.partition(":")
    pattern = _NAMES.get(kind)
    if pattern is None or not pattern.fullmatch(name):
        raise UsageError(
            f"key {text!r}: cookie:NAME, header:NAME, query:NAME or ip, as in cookie:uid (of a cookie or a parameter nginx "
            "takes letters, digits and _ only, so a name without -)"
        )
    return UserKey(kind=kind, name=name)
