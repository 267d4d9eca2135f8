"""Whether a copy really arrives: one request of a user who is in, sent to production's front, is looked for at the relay.

An nginx of our own is asked for a path that it answers and mirrors by itself: neither production nor the dark side hears of
it. Of somebody else's nginx one request goes all the way, as a user's does.
"""

from __future__ import annotations

import http.client
import ssl
import time
from itertools import count, islice
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from darktime.errors import UsageError
from darktime.split.marks import mark
from darktime.split.nginx_blocks import self_probe_path
from darktime.split.sampling import bucket
from darktime.split.vigil import read_state

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from darktime.split.key import UserKey
    from darktime.split.settings import CopySettings, SplitSettings

ARRIVES_WITHIN_S: Final = 5.0
SELF_WITHIN_S: Final = 10.0  # its end is that of production's front: a busy machine gets some more
_TIMEOUT_S: Final = 5.0
_LOOK_S: Final = 0.05
_AGAIN_S: Final = 1.0  # relays write their states twice a second
_A_RELAY: Final = 8  # requests, each of another user, so that every relay has one
_MIRRORED: Final = 200


def probe_user(salt: str, nth: int = 0) -> str:
    """A user who is in at every percentage; nobody else is called so. ``nth``: another one each time."""
    names = (f"darktime-probe-{number}" for number in count())
    return next(islice((name for name in names if bucket(salt, name) == 0), nth, None))


def send_probe(url: str, settings: CopySettings, nth: int = 0) -> str | None:
    """Ask for ``url`` as that user; who it was. None where the key is no name that a request could carry.

    Raises:
        UsageError: nobody answered.
    """
    key, user = settings.user_key, probe_user(settings.salt, nth)
    if key.kind == "ip":
        return None
    try:
        _ask(url, key, user)
    except (OSError, http.client.HTTPException) as error:
        raise UsageError(
            f"--probe {url}: {error}; name the address at which production's nginx takes requests"
        ) from error
    return user


def self_probed(settings: SplitSettings, states: Mapping[str, Path], limit_s: float = SELF_WITHIN_S) -> list[str]:
    """The relays, by their names, at which no copy of our own request arrives within the limit; nginx answers it itself.

    A copy may be shed where a machine is busy for a moment, so it is asked again. Raises UsageError where nginx says that it
    mirrors nobody, or does not answer.
    """
    front = f"{'https' if settings.front.tls else 'http'}://{settings.listen}"
    url = front + self_probe_path(settings.secret)
    until, before, users = time.monotonic() + limit_s, _probed(states), count()
    wanted = 1 if settings.user_key.kind == "ip" else len(states)  # by our address all are one relay's
    while True:
        for _ in range(_A_RELAY * len(states) if len(states) > 1 else 1):
            try:
                status = _ask(url, settings.user_key, f"darktime-probe-{next(users)}")
            except (OSError, http.client.HTTPException) as error:
                raise UsageError(f"{front}: our own nginx does not answer ({error})") from error
            if status != _MIRRORED:
                raise UsageError(
                    f"{front}: nginx mirrors nobody: there is no lease, no level file, or the kill file stands"
                )
        sent = time.monotonic()
        while True:
            came = [name for name, many in _probed(states).items() if many > before[name]]
            if len(came) >= wanted:
                return []
            if time.monotonic() > until:
                return [name for name in states if name not in came]
            if time.monotonic() > sent + _AGAIN_S:
                break
            time.sleep(_LOOK_S)


def _probed(states: Mapping[str, Path]) -> dict[str, int]:
    return {name: read_state(path).get("probed", 0) for name, path in states.items()}


def _ask(url: str, key: UserKey, user: str) -> int:
    """Ask for ``url`` as that user; the status of the answer, which has been read."""
    at = urlsplit(url)
    target = (at.path or "/") + (f"?{at.query}" if at.query else "")
    headers = {"User-Agent": "darktime-probe", "Host": at.netloc}
    if key.kind == "query":
        target += f"{'&' if at.query else '?'}{key.name}={user}"
    elif key.kind == "cookie":
        headers["Cookie"] = f"{key.name}={user}"
    elif key.kind == "header":
        headers[key.name] = user
    host, port = at.hostname or "", at.port or (443 if at.scheme == "https" else 80)
    link: http.client.HTTPConnection
    if at.scheme == "https":  # who it is does not matter: it is asked for nothing that is secret
        link = http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=ssl._create_unverified_context())  # noqa: S323, SLF001
    else:
        link = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    try:
        link.request("GET", target, headers=headers)
        reply = link.getresponse()
        reply.read()
        return reply.status
    finally:
        link.close()


def arrived(user: str, secret: str, states: Sequence[Path], limit_s: float = ARRIVES_WITHIN_S) -> bool:
    """Whether one of the relays has seen a copy of that user's, within the limit."""
    until, wanted = time.monotonic() + limit_s, mark(secret, user)
    while time.monotonic() < until:
        if any(wanted in read_state(state).get("users", ()) for state in states):
            return True
        time.sleep(_LOOK_S)
    return False
