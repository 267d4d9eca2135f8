"""What one relay is told, and its limits. Frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from darktime.errors import UsageError
from darktime.split.compare.pair import ATTRIBUTES
from darktime.split.relay import line_room

if TYPE_CHECKING:
    from pathlib import Path

    from darktime.split.compare.rules import Rule
    from darktime.split.dark_side import DarkSide
    from darktime.split.record.recorder import RecordSettings
    from darktime.split.settings import CopySettings

MOST_PER_S = 10_000
LEAST_BODY = 1_024
MOST_BODY = 1_048_576
MOST_CALIBRATION_S = 86_400.0
MOST_STREAM_LIFE_S = 7 * 86_400.0  # as long as a split may last


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Times in seconds, sizes in bytes. Everything that can grow has one; what falls out is counted by its reason."""

    queue_copies: int = 2_000
    queue_bytes: int = 33_554_432  # of copies that wait or are being sent
    intake_bytes: int = 33_554_432  # of bodies that are still coming in
    body_bytes: int = 65_536  # of one body
    queue_age_s: float = 2.0
    head_bytes: int = 131_072
    lines_bytes: int = line_room.WANTED  # of log lines that wait; the kernel takes twice that, and may give less
    streams: int = 50_000  # held at one dark instance; open_files.py lowers it to what this process may have open
    connect_s: float = 1.0
    reply_s: float = 10.0  # for a reply; where production's own takes long, this much longer than production's
    lasting_after_s: float = 1.0  # such a copy then leaves its connection's place to others
    lasting: int = 1_000  # of them
    idle_s: float = 1.0  # a kept connection that long unused is closed, before the dark instance does it
    line_wait_s: float = 60.0  # how long a copy waits for production's line, and a line for its copy
    stream_life_s: float = 3_600.0  # no stream is held longer, nor a reply that lasts as long as production's
    farewell_s: float = 0.5  # how long a stream that production has ended may still be read to its end
    open_records: int = 100_000
    pairs_bytes: int = 600_000_000  # an hour of 500 a second
    pairs_waiting: int = 20_000
    known_users: int = 20_000
    channels: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Hops:
    """What the relay's three hops are called in the ledger."""

    mirror: str = "mirror>relay"
    compared: str = "relay>compared"
    events: str = "dark>relay"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareSettings:
    """How answers are compared by content. ``secondary``: (host, port) of a second instance of today's code.

    ``share``: of the copies. ``body_bytes``: what is kept of a body. ``per_s``: comparisons begun a second, ``cpu_share``: of
    one core that they may take. ``most``: comparisons at once, from the first request to the result. ``connections`` and
    ``streams`` at the secondary, which a hung one fills. ``calibrate_s``: so long at first copies go there in place of the dark
    instance, and nothing is compared by content.
    """

    secondary: tuple[str, int]
    share: float = 0.1
    body_bytes: int = 65_536
    per_s: float = 50.0
    ignore: tuple[Rule, ...] = ()
    unordered: tuple[Rule, ...] = ()
    html_whitespace: bool = False
    cpu_share: float = 0.1
    most: int = 100
    connections: int = 16
    streams: int = 100
    fields: int = 200
    calibrate_s: float = 0.0

    def __post_init__(self) -> None:
        """Raise UsageError for what cannot be."""
        # Written so that what is no number is refused as well.
        if not 0 < self.share <= 1:
            raise UsageError(f"compare share {self.share:g}: more than 0 and at most 1 of the copies, please")
        if not 0 < self.per_s <= MOST_PER_S:
            raise UsageError(f"{self.per_s:g} comparisons a second: more than 0 and at most {MOST_PER_S:,}, please")
        if not LEAST_BODY <= self.body_bytes <= MOST_BODY:
            raise UsageError(f"compare bytes {self.body_bytes:,}: {LEAST_BODY:,} to {MOST_BODY:,} of a body, please")
        if not 0 <= self.calibrate_s <= MOST_CALIBRATION_S:
            raise UsageError(f"calibrate {self.calibrate_s:g}: 0 to {MOST_CALIBRATION_S:,.0f} seconds, please")


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaySettings:
    """One relay. ``dark``: None to record only. ``ledger``: URL of the Redis, None to count without one.

    ``socket``: where nginx sends copies. ``socket_owner``: who may send copies besides the relay's own user, where root runs it.
    ``attributes``: what is compared of every pair. ``compare``: None where nothing is compared by content. ``endpoints``: the
    application's own templates; others are named by their look. ``transform``: MODULE:FUNCTION that each copy goes through.
    """

    socket: Path | None = None
    log_port: int = 0
    dark: DarkSide | None
    secret: str
    state: Path
    pairs: Path | None = None
    population: Path | None = None
    record: RecordSettings | None = None
    allow_query: frozenset[str] = frozenset()
    methods: frozenset[str] = frozenset({"GET", "HEAD"})
    ledger: str | None = None
    ledger_name: str = "darktime"
    owner: str = "relay"
    hops: Hops = Hops()
    metrics_port: int | None = None
    socket_owner: str | None = None
    attributes: tuple[str, ...] = ATTRIBUTES
    compare: CompareSettings | None = None
    endpoints: tuple[str, ...] = ()
    transform: str | None = None
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class AloneSettings(RelaySettings):
    """A relay behind somebody else's mirror.

    ``listen``: (host, port), 0 for any port. ``copy``: whose requests are copied and what of them; its sockets and port mean
    nothing here. ``folder``: of the level files. ``ttl_s``: then it stops by itself. ``limits.stream_life_s`` is how long a
    stream is held.
    """

    dark: DarkSide
    listen: tuple[str, int]
    copy: CopySettings
    folder: Path
    ttl_s: float
