"""Whether a copy really arrives: one request of a user who is in, sent to production's front, is looked for at the relay."""

from __future__ import annotations

import http.client
import ssl
import time
from itertools import count
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from darktime.errors import UsageError
from darktime.split.marks import mark
from darktime.split.sampling import bucket
from darktime.split.vigil import read_state

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from darktime.split.settings import CopySettings

ARRIVES_WITHIN_S: Final = 5.0
_TIMEOUT_S: Final = 5.0
_LOOK_S: Final = 0.05


def probe_user(salt: str) -> str:
    """A user who is in at every percentage; nobody else is called so."""
    return next(name for name in (f"darktime-probe-{number}" for number in count()) if bucket(salt, name) == 0)


def send_probe(url: str, settings: CopySettings) -> str | None:
    """Ask for ``url`` as that user; who it was. None where the key is no name that a request could carry.

    Raises:
        UsageError: nobody answered.
    """
    key, user = settings.user_key, probe_user(settings.salt)
    if key.kind == "ip":
        return None
    at = urlsplit(url)
    target = (at.path or "/") + (f"?{at.query}" if at.query else "")
    headers = {"User-Agent": "darktime-probe", "Host": at.netloc}
    if key.kind == "query":
        target += f"{'&' if at.query else '?'}{key.name}={user}"
    else:
        headers["Cookie" if key.kind == "cookie" else key.name] = f"{key.name}={user}" if key.kind == "cookie" else user
    host, port = at.hostname or "", at.port or (443 if at.scheme == "https" else 80)
    link: http.client.HTTPConnection
    if at.scheme == "https":  # who it is does not matter: it is asked for nothing that is secret
        link = http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=ssl._create_unverified_context())  # noqa: S323, SLF001
    else:
        link = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    try:
        link.request("GET", target, headers=headers)
        link.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        raise UsageError(
            f"--probe {url}: {error}; name the address at which production's nginx takes requests"
        ) from error
    finally:
        link.close()
    return user


def arrived(user: str, secret: str, states: Sequence[Path], limit_s: float = ARRIVES_WITHIN_S) -> bool:
    """Whether one of the relays has seen a copy of that user's, within the limit."""
    until, wanted = time.monotonic() + limit_s, mark(secret, user)
    while time.monotonic() < until:
        if any(wanted in read_state(state).get("users", ()) for state in states):
            return True
        time.sleep(_LOOK_S)
    return False
