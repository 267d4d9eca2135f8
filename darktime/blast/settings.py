"""What a run is asked to do, and whether it may: the limits of safety are checked before the first connection."""

from __future__ import annotations

import ipaddress
import math
import re
import resource
import socket
from dataclasses import dataclass, field, fields, replace
from typing import Any
from urllib.parse import urlsplit

from darktime.blast.catalogue import file_of
from darktime.blast.combinations import NUMBERS, numbers_of, refuse_ignored
from darktime.blast.master import Master, Web, check_fleet
from darktime.blast.modest import modest
from darktime.blast.scenario import numbers_beside
from darktime.blast.slo import Slo
from darktime.errors import UsageError

# Descriptors that are not sockets of the run: files, pipes, the poller's, Locust's.
SPARE_FILES = 64
# Far beyond one process of this generator: the search ends here when nothing else ends it.
SAFETY_MAX_PER_S = 200_000.0
PUBLISHERS = 16
MAX_PROCESSES = 64
# Options by their names on the command line. Where no default of ours may stand they were named if they differ from it.
FIELDS = {
    "rate": "rate_per_s",
    "duration": "duration_s",
    "max_rate": "max_rate_per_s",
    "header": "headers",
    "number": "numbers",
    **{name: name for name in ("streams", "channels", "connections", "seed", "path", "channel", "scenario")},
    **{name: name for name in ("closed", "search", "beyond", "fresh", "follow")},
}
OURS_TO_CHANGE = ("duration", "streams", "channels", "connections")  # a modest run has fewer of them
CHANNEL = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BlastSettings:
    """One run. Only ``instance`` has no default."""

    instance: str
    rate_per_s: float | None = None  # None: search for the highest rate that holds
    duration_s: float = 20.0  # of the rate, or of the whole search
    streams: int = 200
    channels: int = 20
    connections: int = 100
    path: str | None = None  # None: find out what the instance is
    closed: bool = False  # every connection sends again when it has its answer
    slo: Slo = field(default_factory=Slo)
    slo_named: bool = False  # somebody said it; else a scenario may bring its own
    allow: tuple[str, ...] = ()
    max_rate_per_s: float | None = None
    timeout_s: float = 5.0
    scenario: str | None = None  # a name, or a .py file
    numbers: dict[str, Any] = field(default_factory=dict)  # of the scenario, in place of its own
    channel: str | None = None  # everything through this one
    processes: int = 1
    search: bool = False  # finer, longer, with confirmation
    beyond: bool = False  # look beyond capacity, and whether it recovers
    seed: int | None = None  # random arrivals of the mean rate instead of even ones
    fresh: bool = False  # a new connection for every request
    follow: bool = False  # redirects on the same host
    headers: dict[str, str] = field(default_factory=dict)
    inconclusive: str | None = None  # "pass" or "fail": what exit code 5 becomes
    canary: bool | None = None  # an independent prober beside the cohort; None: where a limit is searched
    cacert: str | None = None  # TLS: a PEM file of the CA to trust, in place of this machine's
    insecure: bool = False  # TLS: whoever answers is trusted
    metrics: str | None = None  # the instance's own: a path, a URL, or "off"; None: looked for where it is recognised
    sources: tuple[str, ...] = ()  # addresses of this machine that connections come from, or networks of them
    connects_per_s: float | None = None  # no more connections begin in a second
    named: frozenset[str] = frozenset()  # the options that somebody named, as ``rate``; those with a default above all
    command: str = ""  # how to repeat it
    master: Master | None = None  # workers join from outside, instead of processes of this command
    web: Web | None = None  # Locust's page

    @property
    def workers(self) -> int:
        """Who offers the plans together."""
        return self.processes if self.master is None else self.master.workers

    @property
    def asked(self) -> frozenset[str]:
        """The options that somebody named, by their names on the command line."""
        values = {name: getattr(self, of) for name, of in FIELDS.items()}
        differ = {name for name, one in values.items() if one is not None and one is not False and one != {}}
        return self.named | (differ - set(OURS_TO_CHANGE))

    @property
    def searches(self) -> bool:
        """Whether the rate is to be found out."""
        return self.rate_per_s is None and not self.closed and self.scenario is None

    @property
    def with_canary(self) -> bool:
        """Whether somebody independent watches."""
        return self.searches if self.canary is None else self.canary


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where an instance listens, resolved once, and whom to trust there."""

    host: str
    port: int
    family: int
    ip: str
    loopback: bool
    tls: bool = False
    cacert: str | None = None
    insecure: bool = False

    @property
    def authority(self) -> str:
        """HOST:PORT as it stands in a Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def origins(self) -> tuple[str, ...]:
        """What its URLs begin with; the port that its scheme implies may be left out."""
        scheme, usual = ("https", 443) if self.tls else ("http", 80)
        named = f"{scheme}://{self.authority}"
        return (named, named.removesuffix(f":{usual}")) if self.port == usual else (named,)


def resolve(instance: str, *, cacert: str | None = None, insecure: bool = False) -> Address:
    """Read ``HOST:PORT``, ``http://…`` or ``https://HOST:PORT`` and look the host up. Raises UsageError."""
    url = instance if "://" in instance else f"http://{instance}"
    try:
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        host, port = parts.hostname, (443 if tls else 80) if parts.port is None else parts.port
    except ValueError as error:
        raise UsageError(f"--instance {instance!r}: {error}; write HOST:PORT") from error
    if port == 0:
        raise UsageError(f"--instance {instance!r}: nobody listens at port 0; write the port of the instance")
    if parts.scheme not in ("http", "https"):
        raise UsageError(f"--instance {instance!r}: only http:// and https:// are spoken")
    if not tls and (cacert is not None or insecure):
        flag = "--cacert" if cacert is not None else "--insecure"
        raise UsageError(f"{flag} is about TLS: write --instance https://{parts.netloc}, or leave it out")
    if cacert is not None and insecure:
        raise UsageError(
            "--cacert with --insecure: the one says whom to trust, the other to trust anybody; leave one out"
        )
    if not host or parts.path not in ("", "/") or parts.query or parts.username:
        raise UsageError(f"--instance {instance!r}: write HOST:PORT (the path goes into --path)")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise UsageError(f"--instance {instance!r}: {host} is not found ({error.strerror}); correct it") from error
    family, _, _, _, sockaddr = found[0]
    ip = str(sockaddr[0])
    loopback = ipaddress.ip_address(ip.partition("%")[0]).is_loopback
    return Address(
        host=host,
        port=port,
        family=int(family),
        ip=ip,
        loopback=loopback,
        tls=tls,
        cacert=cacert,
        insecure=insecure,
    )


def check(settings: BlastSettings) -> Address:
    """Whether the run is possible and allowed; where it goes to. Raises UsageError, having opened nothing."""
    for name, value, low in (
        ("--duration", settings.duration_s, 0.1),
        ("--streams", settings.streams, 1),
        ("--channels", settings.channels, 1),
        ("--connections", settings.connections, 1),
        ("--processes", settings.processes, 1),
        ("--timeout", settings.timeout_s, 0.001),
    ):
        if not low <= value < math.inf:  # nan is neither
            raise UsageError(f"{name} {value:g}: a number of at least {low:g}, please")
    for name, rate in (
        ("--rate", settings.rate_per_s),
        ("--max-rate", settings.max_rate_per_s),
        ("--connects-per-s", settings.connects_per_s),
    ):
        if rate is not None and not 0 < rate < math.inf:
            raise UsageError(f"{name} {rate:g}: it must be a number above 0")
    if settings.path is not None and (
        not settings.path.startswith("/") or not settings.path.isascii() or " " in settings.path
    ):
        raise UsageError(f"--path {settings.path!r}: it begins with / and is percent-encoded")
    if settings.processes > MAX_PROCESSES:
        raise UsageError(f"--processes {settings.processes}: at most {MAX_PROCESSES} on one machine")
    if settings.channel is not None and not CHANNEL.fullmatch(settings.channel):
        raise UsageError(f"--channel {settings.channel!r}: 1 to 128 letters, digits and _.:-")
    if settings.fresh and settings.connects_per_s is not None:
        raise UsageError("--connects-per-s with --fresh: a connection for every request comes at --rate; leave one out")
    if settings.master is not None and settings.sources:
        raise UsageError("--source with --master: workers have addresses of their own; leave it out")
    check_fleet(settings.master, settings.web, settings.processes)
    refuse_ignored(settings.asked)
    address = resolve(settings.instance, cacert=settings.cacert, insecure=settings.insecure)
    check_allowed(settings, address)
    return address


def check_allowed(settings: BlastSettings, address: Address) -> None:
    """Loopback is free; another host must be named, and with a limit, for more than a modest run. Raises UsageError."""
    check_rate(settings.rate_per_s or 0.0, settings)
    if address.loopback:
        return
    if not is_named(settings, address):
        modest(settings, address.host)
        return
    if settings.max_rate_per_s is None:
        raise UsageError(f"{address.host} is not this machine: --max-rate is required, in requests a second")
    if settings.closed:
        raise UsageError(f"{address.host} is not this machine: --closed has no rate to limit; leave it out")


def is_named(settings: BlastSettings, address: Address) -> bool:
    """Whether it may be saturated: it is this machine, or somebody says that it is his to load."""
    return address.loopback or address.host in {host.lower() for host in settings.allow}


def admitted(settings: BlastSettings) -> tuple[BlastSettings, Address]:
    """The run that is done, the one that was asked for or a modest one, and where. Raises UsageError as ``check``."""
    address = check(settings)
    if settings.scenario is not None:
        settings = with_numbers(settings, settings.scenario)
    return (settings if is_named(settings, address) else modest(settings, address.host)), address


def with_numbers(settings: BlastSettings, scenario: str) -> BlastSettings:
    """The run in which what was asked for of a scenario is among its numbers. Raises UsageError where it has none."""
    asked = {name: getattr(settings, FIELDS[name]) for name in NUMBERS if name in settings.asked}
    known = numbers_beside(str(file_of(scenario)), {})
    defaults: dict[str, Any] = {field.name: field.default for field in fields(settings)}
    return replace(
        settings,
        numbers=numbers_of(scenario, settings.numbers, asked, known),
        named=settings.named - set(NUMBERS),
        **{FIELDS[name]: defaults[FIELDS[name]] for name in asked},
    )


def check_rate(rate_per_s: float, settings: BlastSettings) -> None:
    """Raises UsageError for a rate beyond the limit."""
    if rate_per_s > max_rate(settings):
        raise UsageError(f"--rate {rate_per_s:g}: the limit is {max_rate(settings):g}/s; raise --max-rate")


def max_rate(settings: BlastSettings) -> float:
    """The highest rate that may be tried, per second."""
    return settings.max_rate_per_s if settings.max_rate_per_s is not None else SAFETY_MAX_PER_S


def check_open_files(needed_sockets: int, soft: int, hard: int) -> int:
    """The soft limit that the run needs (pure). Raises UsageError when the hard limit is below it."""
    needed = needed_sockets + SPARE_FILES
    if needed > hard:
        raise UsageError(
            f"{needed_sockets:,} sockets need {needed:,} open files, and this process may have {hard:,} (hard limit of "
            f"'ulimit -n'): ask for at most {max(hard - SPARE_FILES, 0):,}, use more processes, or raise the limit"
        )
    return max(soft, needed)


def reserve_open_files(needed_sockets: int) -> None:
    """Raise this process's soft limit of open files as far as the run needs. Raises UsageError beyond the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = 1 << 30
    wanted = check_open_files(needed_sockets, soft, hard)
    if wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
