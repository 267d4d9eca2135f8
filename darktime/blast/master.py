"""What a run is told about workers that join it, and about its page: pure settings, checked before anything listens."""

from __future__ import annotations

from dataclasses import dataclass

from darktime.errors import UsageError

PORT = 5557  # Locust's own
HOST = "127.0.0.1"
WAIT_S = 60.0
WEB_PORT = 8089  # Locust's own
MAX_WORKERS = 1000
HIGHEST_PORT = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class Master:
    """The head sends nothing itself: ``workers`` processes join it at ``host``:``port`` within ``wait_s``."""

    workers: int
    host: str = HOST
    port: int = PORT
    wait_s: float = WAIT_S

    def check(self) -> None:
        """Raises UsageError."""
        if not 1 <= self.workers <= MAX_WORKERS:
            raise UsageError(f"--expect-workers {self.workers}: 1 to {MAX_WORKERS:,}")
        _check_port("--master-bind-port", self.port)
        if self.wait_s <= 0:
            raise UsageError(f"--expect-workers-max-wait {self.wait_s:g}: it must be above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """The page listens at ``host``:``port`` while the run goes on, and ``stay_s`` after it."""

    host: str = HOST
    port: int = WEB_PORT
    stay_s: float = 0.0

    def check(self) -> None:
        """Raises UsageError."""
        _check_port("--web-port", self.port)
        if self.stay_s < 0:
            raise UsageError(f"--autoquit {self.stay_s:g}: 0 or more seconds")


def check_fleet(master: Master | None, web: Web | None, processes: int) -> None:
    """Whether the two are possible, and together with so many processes. Raises UsageError."""
    if master is not None:
        master.check()
        if processes > 1:
            raise UsageError("--master sends nothing itself: give --processes to --worker, beside it or elsewhere")
    if web is not None:
        web.check()


def _check_port(flag: str, port: int) -> None:
    if not 0 <= port <= HIGHEST_PORT:
        raise UsageError(f"{flag} {port}: 0 to {HIGHEST_PORT:,}")
