"""Settings of one split: what is mirrored, by which key, and what may be copied. Frozen; checked when made."""

from __future__ import annotations

import getpass
import os
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, get_args

from darktime.errors import UsageError
from darktime.split.conditions import only_maps
from darktime.split.copied_paths import EXCLUDED
from darktime.split.front import Front
from darktime.split.key import parse_key
from darktime.split.sampling import buckets_for, valid_salt
from darktime.split.workers import check_log_ports, check_workers, workers_of

if TYPE_CHECKING:
    from pathlib import Path

    from darktime.split.key import UserKey
    from darktime.split.production import UpstreamTls

DarkState = Literal["isolated", "readonly", "shared"]

ALLOWED_HEADERS: Final = (
    "Accept", "Accept-Language", "Cache-Control", "If-Modified-Since", "If-None-Match", "Last-Event-ID", "Range",
    "User-Agent",
)  # fmt: skip
# Their requests have no body that would mean anything. Every other method's body goes with its copy.
SAFE: Final = ("GET", "HEAD")  # what alone is asked of a second instance of today's code
BODILESS: Final = ("GET", "HEAD", "OPTIONS", "TRACE")
MAX_BODY: Final = 65_536
MOST_BODY: Final = 16_777_216
MAX_SOCKET_PATH: Final = 107  # bytes: what the kernel has room for
_ADDRESS: Final = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):([0-9]{1,5})")
_PREFIX: Final = re.compile(r"/[A-Za-z0-9_.~/-]{0,200}")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_COOKIE: Final = re.compile(r"[A-Za-z0-9_]{1,64}")
_WORD: Final = re.compile(r"[A-Za-z0-9_./-]{1,64}")
_QUERY: Final = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")
_METHOD: Final = re.compile(r"[A-Z]{1,16}")
_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{16,128}")
_PATH: Final = re.compile(r"/[A-Za-z0-9_.+=@,:/-]+")
_MOST_PORT: Final = 65_535


def user_of_root() -> str | None:
    """Who nginx's workers are to be when root starts it: its default could not read a private folder."""
    return getpass.getuser() if os.geteuid() == 0 else None


def safe_path(path: Path, what: str) -> str:
    """The path as it may stand in nginx's configuration. Raises UsageError for one that would need quoting there."""
    text = str(path)
    if not _PATH.fullmatch(text):
        raise UsageError(
            f"{what} {text!r}: nginx's configuration takes an absolute path of letters, digits and _ . + = @ , : - ; "
            "choose another folder"
        )
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A path prefix, the servers (HOST:PORT) that answer it, and whether its sampled users' requests are mirrored.

    ``tls``: how they are reached by TLS; None: they are not.
    """

    prefix: str
    upstreams: tuple[str, ...]
    mirrored: bool = False
    tls: UpstreamTls | None = None

    def __post_init__(self) -> None:
        """Raise UsageError for what cannot be."""
        if not _PREFIX.fullmatch(self.prefix):
            raise UsageError(
                f"route {self.prefix!r}: a prefix begins with / and has letters, digits and _ . ~ / - only"
            )
        if not self.upstreams:
            raise UsageError(f"route {self.prefix}: name at least one server, HOST:PORT")
        for upstream in self.upstreams:
            check_address(upstream, f"server of route {self.prefix}")
        if self.tls is not None and self.tls.cacert is not None:
            safe_path(self.tls.cacert, "file of CAs")


@dataclass(frozen=True, slots=True, kw_only=True)
class CopySettings:
    """Whose requests are copied, what of them, and where the copies go.

    ``key``: what makes a user, as ``parse_key`` reads it. ``salt``: the experiment's name; another salt hits other
    users. ``max_percent`` can never be exceeded without a new configuration. ``slot_s``: seconds a lease's slot lasts, 1,
    10, 100 or 1000. ``excluded``, ``unless_named``, ``only_paths``: as ``exclusions`` takes them.
    ``only``: conditions, as ``only_maps`` reads them. ``only_listed``, ``never_listed``: there is a list
    of users who alone may be in, or who never are; it is in files, as the levels are. ``log_port``: where the relay
    listens for production's log lines, on 127.0.0.1. ``mirror_timeout_ms``: how long a stopped relay may hold a sampled
    request's connection. ``run_as``: user of nginx's workers, where root starts it. ``max_body``: bytes;
    of a longer body the copy goes without, and is named ``too_big``. ``copy_bodies``: False, and a request of a method that
    may have a body is not copied at all. ``more_log_ports``: of the second relay and those after it, where several share the
    copies; their sockets are those of the first with a number.
    """

    relay_socket: Path
    sink_socket: Path
    log_port: int
    dark_state: DarkState
    key: str = "cookie:uid"
    salt: str = "darktime"
    max_percent: float = 10.0
    methods: tuple[str, ...] = ("GET", "HEAD")
    excluded: tuple[str, ...] = ()
    unless_named: tuple[str, ...] = EXCLUDED
    only_paths: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    only_listed: bool = False
    never_listed: bool = False
    allow_headers: tuple[str, ...] = ALLOWED_HEADERS
    allow_cookies: tuple[str, ...] = ()
    allow_query: tuple[str, ...] = ()
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    slot_s: int = 100
    mirror_timeout_ms: int = 50
    run_as: str | None = field(default_factory=user_of_root)
    max_body: int = MAX_BODY
    copy_bodies: bool = True
    more_log_ports: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Raise UsageError for what cannot work."""
        self._check_key()
        self._check_what_is_copied()
        self._check_numbers()
        for one in workers_of(self):
            for path, what in ((one.relay_socket, "relay socket"), (one.sink_socket, "sink socket")):
                if len(os.fsencode(safe_path(path, what))) > MAX_SOCKET_PATH:
                    raise UsageError(f"{what} {path}: longer than {MAX_SOCKET_PATH} bytes, choose a shorter folder")
        if not _SECRET.fullmatch(self.secret):
            raise UsageError("the run's secret: 16 to 128 letters, digits, _ or -, please")

    @property
    def user_key(self) -> UserKey:
        """What makes a user."""
        return parse_key(self.key)

    @property
    def buckets(self) -> int:
        """How many buckets of 0.1 % the configuration can ever mirror."""
        return buckets_for(self.max_percent)

    @property
    def body_methods(self) -> tuple[str, ...]:
        """The methods whose copies carry bodies."""
        return tuple(one for one in self.methods if one not in BODILESS) if self.copy_bodies else ()

    @property
    def copied_methods(self) -> tuple[str, ...]:
        """The methods that are copied."""
        return self.methods if self.copy_bodies else tuple(one for one in self.methods if one in BODILESS)

    def _check_key(self) -> None:
        parse_key(self.key)
        if not valid_salt(self.salt):
            raise UsageError(f"salt {self.salt!r}: the experiment's name has 1 to 64 letters, digits or _ . -")

    def _check_what_is_copied(self) -> None:
        for values, pattern, what in (
            (self.methods, _METHOD, "method"),
            ((*self.excluded, *self.unless_named), _WORD, "excluded word"),
            (self.allow_headers, _NAME, "header"),
            (self.allow_cookies, _COOKIE, "cookie"),
            (self.allow_query, _QUERY, "query parameter"),
        ):
            for value in values:
                if not pattern.fullmatch(value):
                    raise UsageError(f"{what} {value!r} has characters that are not taken here: {pattern.pattern}")
        for path in self.only_paths:
            check_prefix(path)
        only_maps(self.only)
        if not self.methods:
            raise UsageError("no method may be copied: name at least one, as in GET")
        if self.dark_state not in get_args(DarkState):
            raise UsageError(f"dark state {self.dark_state!r}: say isolated, readonly or shared")
        if self.dark_state == "shared" and not self.only_paths:
            raise UsageError(
                "a dark instance that shares state with production gets listed paths only: name them, as in --path /thread/"
            )

    def _check_numbers(self) -> None:
        if not 0.1 <= self.max_percent <= 100:  # noqa: PLR2004 - percent
            raise UsageError(f"max percent {self.max_percent:g}: 0.1 to 100, please")
        buckets_for(self.max_percent)
        if self.slot_s not in {1, 10, 100, 1000}:
            raise UsageError(f"lease slots of {self.slot_s} s: 1, 10, 100 or 1000 (nginx cuts digits off its clock)")
        ports = (self.log_port, *self.more_log_ports)
        check_workers(len(ports))
        for port in ports:
            check_range(port, 1, _MOST_PORT, "log port")
        check_log_ports(ports)
        check_range(self.mirror_timeout_ms, 1, 60_000, "mirror timeout in ms")
        check_range(self.max_body, 1, MOST_BODY, "bytes of a body")
        if self.run_as is not None and not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", self.run_as):
            raise UsageError(f"run as {self.run_as!r}: the name of a user, please")


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSettings(CopySettings):
    """One split with a whole nginx of its own: where and how that listens, and who answers which path."""

    listen: str
    routes: tuple[Route, ...]
    front: Front = field(default_factory=Front)
    worker_processes: int = 1
    worker_connections: int = 16_384

    def __post_init__(self) -> None:
        """Raise UsageError for what cannot work."""
        CopySettings.__post_init__(self)
        check_address(self.listen, "listen address")
        self._check_routes()
        for path, what in ((self.front.certificate, "certificate"), (self.front.certificate_key, "certificate's key")):
            if path is not None:
                safe_path(path, what)
        check_range(self.worker_processes, 1, 256, "worker processes")
        check_range(self.worker_connections, 64, 1_000_000, "worker connections")

    def _check_routes(self) -> None:
        prefixes = [route.prefix for route in self.routes]
        if "/" not in prefixes:
            raise UsageError(f"routes {prefixes}: one must be /, for everything that no other takes")
        if len(set(prefixes)) != len(prefixes):
            raise UsageError(f"routes {prefixes}: each prefix once, please")
        if not any(route.mirrored for route in self.routes):
            raise UsageError(f"routes {prefixes}: none is mirrored, so there is nothing to split")


def check_address(address: str, what: str) -> None:
    """Raise UsageError for what is no HOST:PORT."""
    match = _ADDRESS.fullmatch(address)
    if match is None or not 0 < int(match[1]) <= _MOST_PORT:
        raise UsageError(f"{what} {address!r}: HOST:PORT, please, as in 127.0.0.1:8000")


def check_prefix(path: str) -> None:
    """Raise UsageError for what is no prefix of paths."""
    if not _PREFIX.fullmatch(path):
        raise UsageError(
            f"path {path!r} has characters that are not taken here: it begins with / and has letters, digits and _ . ~ / - only"
        )


def check_range(value: int, low: int, high: int, what: str) -> None:
    """Raise UsageError for a number outside its limits."""
    if not low <= value <= high:
        raise UsageError(f"{what} {value}: {low} to {high}, please")
