"""Which key could tell users apart: for each, who carries it, how many users that makes, and what speaks against it. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus

from darktime.errors import UsageError
from darktime.split.key import parse_key
from darktime.split.sampling import valid_user

if TYPE_CHECKING:
    from collections.abc import Iterator

    from darktime.wire.access_line import Logged

MOST_KEYS: Final = 200
MOST_USERS: Final = 200_000  # of one key that are told apart; more is "more than"
MOST_VALUES: Final = 2_000_000  # of all keys together: some 300 MB
LEAST_SHARE: Final = 0.01  # of the requests must carry a key
LEAST_USERS: Final = 20
MOST_OF_ONE: Final = 0.05  # of the requests: with such a user in or out the sample is not the percentage
LEAST_REQUESTS: Final = 1.5  # a user: less is one made anew with every request
_USER_NAMES: Final = ("uid", "user", "session", "sid", "visitor", "client", "account", "member", "device")
_NEVER: Final = frozenset({"http_user_agent", "http_referer", "http_x_forwarded_for", "http_host", "http_accept"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """``name`` as ``--key`` takes it. Shares are of all requests. ``why_not`` is empty where it would serve."""

    name: str
    share: float
    malformed_share: float
    users: int
    more_users: bool
    requests_a_user: float
    largest_share: float
    why_not: str


class Keys:
    """Counts every key that the lines carry, at most ``MOST_KEYS`` of them."""

    def __init__(self) -> None:
        self.requests = 0
        self.left_out = 0  # values of keys beyond the most that are counted
        self._told = 0
        self._users: dict[str, Counter[str]] = {}
        self._malformed: Counter[str] = Counter()
        self._beyond: Counter[str] = Counter()  # requests of users beyond the most that are told apart

    def add(self, line: Logged) -> None:
        """Count one request."""
        self.requests += 1
        for name, value in dict(values(line)).items():
            users = self._users.get(name)
            if users is None:
                if len(self._users) >= MOST_KEYS:
                    self.left_out += 1
                    continue
                users = self._users[name] = Counter()
            if not valid_user(value.encode("utf-8", "surrogateescape")):
                self._malformed[name] += 1
            elif value in users:
                users[value] += 1
            elif len(users) < MOST_USERS and self._told < MOST_VALUES:
                users[value] = 1
                self._told += 1
            else:
                self._beyond[name] += 1

    def found(self) -> list[Key]:
        """All that at least one request in a hundred carries (or would, well formed), those that serve best first."""
        keys = [self._key(name, users) for name, users in self._users.items()]
        kept = [key for key in keys if key.share + key.malformed_share >= LEAST_SHARE]
        return sorted(kept, key=lambda key: (bool(key.why_not), -_rank(key), key.name))

    def _key(self, name: str, users: Counter[str]) -> Key:
        told, beyond = sum(users.values()), self._beyond[name]
        share = (told + beyond) / max(self.requests, 1)
        largest = max(users.values(), default=0) / max(self.requests, 1)
        a_user = told / max(len(users), 1)
        malformed = self._malformed[name] / max(self.requests, 1)
        return Key(
            name=name,
            share=share,
            malformed_share=malformed,
            users=len(users),
            more_users=beyond > 0,
            requests_a_user=a_user,
            largest_share=largest,
            why_not=_why_not(name, share, len(users), a_user),
        )


def values(line: Logged) -> Iterator[tuple[str, str]]:
    """Each key that a request could be sampled by, and its value there; of a name that comes twice the first counts."""
    query = line.target.partition("?")[2]
    for name, equals, value in reversed([part.partition("=") for part in query.split("&")] if query else []):
        if equals and value:
            yield f"query:{unquote_plus(name)}", value
    for name, value in line.fields.items():
        if name.startswith("cookie_"):
            yield f"cookie:{name.removeprefix('cookie_')}", value
        elif name.startswith("http_") and name not in _NEVER:
            yield f"header:{name.removeprefix('http_').replace('_', '-').title()}", value
    if line.client:
        yield "ip", line.client


def _why_not(name: str, share: float, users: int, a_user: float) -> str:
    try:
        parse_key(name)
    except UsageError:
        return "nginx has no variable of this name"
    if share < LEAST_SHARE:
        return f"only {share:.1%} carry a valid one"
    if users < LEAST_USERS:
        return f"tells only {users} apart"
    if a_user < LEAST_REQUESTS:
        return "new with almost every request"
    return ""


def _rank(key: Key) -> float:
    """Of keys that serve: the more requests carry it the better, and a name that says so is one.

    An address is shared by many, and its owner changes; a query parameter mostly names what is looked at, not who looks.
    """
    named = 0.3 if any(word in key.name.lower() for word in _USER_NAMES) else 0.0
    doubt = {"ip": 0.6, "query": 0.4}.get(key.name.partition(":")[0], 0.0)
    return key.share + named - doubt - 0.2 * (key.largest_share > MOST_OF_ONE)
