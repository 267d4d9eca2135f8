"""The plan itself: what ``percent`` of the users would mean on the traffic of an access log. Pure.

The log is read twice, so that it may be of any length: once to see which key would serve and what the traffic is, and
once to count the copies of the users that this key would sample, by the arithmetic that nginx will use.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from darktime.errors import UsageError
from darktime.split.compare.endpoint import OTHER, Endpoints
from darktime.split.copied_paths import told
from darktime.split.gate import normalized, parts
from darktime.split.key import parse_key
from darktime.split.plan.keys import LEAST_SHARE, Key, Keys, values
from darktime.split.plan.risks import secrets, unsafe_word
from darktime.split.sampling import buckets_for, sampled, valid_user
from darktime.wire.access_line import read_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from darktime.split.copied_paths import CopiedPaths
    from darktime.wire.access_line import Logged

_MOST_ROWS: Final = 1000  # of a table that hostile targets could make long
_MOST_SECONDS: Final = 400_000  # whose copies are counted apart: more than four days
_MOST_DRAWN: Final = 1_000_000  # users whose lot is remembered


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRow:
    """One endpoint: requests, those of them that would be copied, and the methods seen."""

    endpoint: str
    requests: int
    copies: int
    methods: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """``what`` was seen ``times`` at ``endpoint``; ``excluded``: no copy is made of these by default."""

    what: str
    endpoint: str
    times: int
    example: str
    excluded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would happen. Rates are a second, over the log's span; a peak is the fullest second.

    ``key`` is None where none of ``keys`` would serve. ``users`` and what follows are of the requests that carry it.
    """

    percent: float
    lines: int
    left_out: int
    requests: int
    began_at_s: float
    span_s: float
    per_s: float
    peak_per_s: int
    key: str | None
    keys: tuple[Key, ...]
    users: int
    sampled_users: int
    copies: int
    copies_per_s: float
    peak_copies_per_s: int
    refused: tuple[tuple[str, int], ...]
    endpoints: tuple[EndpointRow, ...]
    unsafe: tuple[Risk, ...]
    secrets: tuple[Risk, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def make_plan(
    read: Callable[[], Iterable[str]],
    *,
    percent: float,
    key: str | None,
    salt: str,
    methods: Sequence[str],
    paths: CopiedPaths,
    templates: Iterable[str] = (),
) -> Plan:
    """Read the log (``read`` begins anew each time it is called) and plan.

    ``key``: the one to sample by, else the one that serves best. ``paths``: which are copied. Raises UsageError for a
    percentage that cannot be, a log without a request, and a ``key`` that fewer than one request in a hundred carries.
    """
    buckets_for(percent)
    if key is not None:
        parse_key(key)
    traffic = _Traffic(paths, templates)
    for line in read():
        traffic.add(line)
    if not traffic.keys.requests:
        raise UsageError(
            f"none of the log's {traffic.lines:,} lines is a request: name an access log in combined, common or JSON format"
        )
    keys = tuple(traffic.keys.found())
    chosen = _choose(key, keys)
    copies = _Copies(chosen, percent=percent, salt=salt, methods=methods, paths=paths, endpoints=traffic.endpoints)
    if chosen is not None:
        for line in read():
            copies.add(line)
    span_s = max(traffic.last - traffic.first, 1.0)
    return Plan(
        percent=percent,
        lines=traffic.lines,
        left_out=traffic.lines - traffic.keys.requests,
        requests=traffic.keys.requests,
        began_at_s=traffic.first,
        span_s=span_s,
        per_s=traffic.keys.requests / span_s,
        peak_per_s=max(traffic.seconds.values()),
        key=chosen,
        keys=keys,
        users=len(copies.drawn),
        sampled_users=sum(copies.drawn.values()),
        copies=copies.copies,
        copies_per_s=copies.copies / span_s,
        peak_copies_per_s=max(copies.seconds.values(), default=0),
        refused=tuple(copies.refused.most_common()),
        endpoints=traffic.rows(copies.by_endpoint),
        unsafe=traffic.unsafe_rows(),
        secrets=traffic.secret_rows(),
    )


def _choose(key: str | None, keys: Sequence[Key]) -> str | None:
    if key is None:
        return next((one.name for one in keys if not one.why_not), None)
    found = next((one for one in keys if one.name == key), None)
    if found is None or found.share < LEAST_SHARE:
        seen = ", ".join(f"{one.name} ({one.share:.0%})" for one in keys[:5]) or "none"
        share = found.share if found is not None else 0.0
        raise UsageError(
            f"--key {key}: {share:.1%} of the log's requests carry it, {LEAST_SHARE:.0%} must; the log shows {seen}"
        )
    return key


class _Traffic:
    """What the first reading counts."""

    def __init__(self, paths: CopiedPaths, templates: Iterable[str]) -> None:
        self.keys = Keys()
        self.endpoints = Endpoints(templates)
        self.lines = 0
        self.first, self.last = float("inf"), 0.0
        self.seconds: Counter[int] = Counter()
        self._paths = paths
        self._requests: Counter[str] = Counter()
        self._methods: dict[str, set[str]] = {}
        self._unsafe: dict[tuple[str, str, bool], list[Any]] = {}
        self._secrets: dict[tuple[str, str], list[Any]] = {}

    def add(self, text: str) -> None:
        if not text.strip() or text.startswith("#"):
            return
        self.lines += 1
        line = read_line(text)
        if line is None:
            return
        self.keys.add(line)
        self.first, self.last = min(self.first, line.at_s), max(self.last, line.at_s)
        if int(line.at_s) in self.seconds or len(self.seconds) < _MOST_SECONDS:
            self.seconds[int(line.at_s)] += 1
        endpoint = self.endpoints.of(line.target)
        self._requests[endpoint] += 1
        self._methods.setdefault(endpoint, set()).add(line.method)
        self._look(line, endpoint)

    def _look(self, line: Logged, endpoint: str) -> None:
        if line.method in ("GET", "HEAD"):
            out = self._paths.excludes(told_of(line.target))
            word = unsafe_word(line.target) or out
            if word is not None:  # an example is its endpoint: a path may hold a secret
                _count(self._unsafe, (word, endpoint, out is not None), f"{line.method} {endpoint}")
        for where, what, masked in secrets(line.target):
            _count(self._secrets, (f"{where}: {what}", endpoint), masked)

    def rows(self, copies: Counter[str]) -> tuple[EndpointRow, ...]:
        ordered = sorted(self._requests.items(), key=lambda item: (item[0] == OTHER, -item[1], item[0]))
        return tuple(
            EndpointRow(
                endpoint=name, requests=many, copies=copies[name], methods=tuple(sorted(self._methods[name])[:10])
            )
            for name, many in ordered
        )

    def unsafe_rows(self) -> tuple[Risk, ...]:
        ordered = sorted(self._unsafe.items(), key=lambda item: (item[0][2], -item[1][0], item[0]))
        return tuple(
            Risk(what=word, endpoint=endpoint, times=times, example=example, excluded=out)
            for (word, endpoint, out), (times, example) in ordered
        )

    def secret_rows(self) -> tuple[Risk, ...]:
        ordered = sorted(self._secrets.items(), key=lambda item: (-item[1][0], item[0]))
        return tuple(
            Risk(what=what, endpoint=endpoint, times=times, example=example)
            for (what, endpoint), (times, example) in ordered
        )


class _Copies:
    """What the second reading counts."""

    def __init__(
        self,
        key: str | None,
        *,
        percent: float,
        salt: str,
        methods: Sequence[str],
        paths: CopiedPaths,
        endpoints: Endpoints,
    ) -> None:
        self.copies = 0
        self.drawn: dict[str, bool] = {}
        self.seconds: Counter[int] = Counter()
        self.by_endpoint: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._key = key
        self._percent = percent
        self._salt = salt
        self._methods = frozenset(methods)
        self._paths = paths
        self._endpoints = endpoints

    def add(self, text: str) -> None:
        line = read_line(text)
        if line is None:
            return
        user = dict(values(line)).get(self._key or "")
        if user is None or not valid_user(user.encode("utf-8", "surrogateescape")) or not self._draw(user):
            return
        if line.method not in self._methods:
            self.refused[f"method {line.method}"] += 1
            return
        asked = told_of(line.target)
        if self._paths.excludes(asked) is not None:
            self.refused["excluded path"] += 1
        elif not self._paths.names(asked):
            self.refused["other path"] += 1
        else:
            self.copies += 1
            self.by_endpoint[self._endpoints.of(line.target)] += 1
            if int(line.at_s) in self.seconds or len(self.seconds) < _MOST_SECONDS:
                self.seconds[int(line.at_s)] += 1

    def _draw(self, user: str) -> bool:
        found = self.drawn.get(user)
        if found is None:
            found = sampled(self._salt, user, self._percent)
            if len(self.drawn) < _MOST_DRAWN:
                self.drawn[user] = found
        return found


def told_of(target: str) -> str:
    """What nginx looks at of it; a path that nginx would not take is looked at as it came."""
    raw, args = parts(target)
    return told(normalized(raw) or raw, args, target)


def _count(table: dict[Any, list[Any]], key: Any, example: str) -> None:
    row = table.get(key)
    if row is not None:
        row[0] += 1
    elif len(table) < _MOST_ROWS:
        table[key] = [1, example]
