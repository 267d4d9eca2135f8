"""A relay that stands alone: behind somebody else's mirror it samples by itself, and stops by itself."""

from __future__ import annotations

import threading
import time
from math import inf
from typing import TYPE_CHECKING, Any, Final

from darktime.split.dark_side import ask
from darktime.split.gate import Gate
from darktime.split.levels import lets_in, lists_let_in
from darktime.split.nginx_blocks import probe_path
from darktime.split.relay.answers import Answers
from darktime.split.relay.copies import Room
from darktime.split.relay.open_ear import OpenEar, listen_tcp
from darktime.split.relay.relay import Relay
from darktime.split.relay.requests import Door

if TYPE_CHECKING:
    from darktime.split.gate import Passed
    from darktime.split.log_format import LogLine
    from darktime.split.relay.settings import AloneSettings

_PROBE_TIMEOUT_S: Final = 2.0
PROBE_BACK_S: Final = 0.5  # a mirror sends its copy beside the request
_MOST_BYTES: Final = 64


class NoLines:
    """Nobody tells how production answered."""

    fd: Final = -1
    port: Final = 0
    lines: Final = 0
    refused: Final = 0
    lost: Final = 0
    room: Final = 0
    full: Final = False

    def read(self) -> list[LogLine]:
        """None."""
        return []

    def close(self) -> None:
        """Nothing to close."""


class AloneRelay(Relay):
    """As ``Relay``. It takes no copy before it has asked the dark instance whether that leads back to itself.

    ``looped``: it does, so the relay has stopped.
    """

    def __init__(self, settings: AloneSettings) -> None:
        self._alone = settings
        self._takes_from = self._until = inf
        super().__init__(settings)

    @property
    def port(self) -> int:
        """The port on which requests come in."""
        return self._ear.port

    @property
    def looped(self) -> bool:
        """Whether the dark instance leads to where production's requests go."""
        return self._door.seen.looped

    def run(self) -> None:
        """Until ``stop``, or its time is over, or the probe has come back."""
        self._until = time.monotonic() + self._alone.ttl_s
        probe = threading.Thread(target=self._probe, name="probe", daemon=True)
        probe.start()
        super().run()
        probe.join(_PROBE_TIMEOUT_S)

    def state(self) -> dict[str, Any]:
        """The counters, and that nothing is compared."""
        seen, now = self._door.seen, time.monotonic()
        return {
            **super().state(),
            **self._answers.told(),
            "stand_alone": True,
            "open": self._takes_from <= now < self._until,
            "requests": seen.requests,
            "marked": seen.marked,
            "outside": seen.outside,
            "silent": self._ear.silent,
        }

    def _make_records(self) -> Answers:
        limits = self._settings.limits
        self._answers = Answers(stream_life_s=limits.stream_life_s, limit=limits.open_records)
        return self._answers

    def _make_ear(self) -> OpenEar:
        settings, limits = self._alone, self._alone.limits
        self._door = Door(
            Gate(settings.copy),
            secret=settings.secret,
            let_in=self._lets_in,
            clock=time.time,
            max_head=limits.head_bytes,
            max_body=limits.body_bytes,
            room=Room(limits.intake_bytes),
        )
        self._ear = OpenEar(listen_tcp(*settings.listen), self._poller, self._door)
        return self._ear

    def _make_lines(self) -> NoLines:
        return NoLines()

    def _lets_in(self, passed: Passed) -> bool:
        if not self._takes_from <= time.monotonic() < self._until or not lets_in(self._alone.folder, passed.bucket):
            return False
        copy = self._alone.copy
        return lists_let_in(self._alone.folder, passed.user, only=copy.only_listed, never=copy.never_listed)

    def _judge(self, now: float) -> None:
        super()._judge(now)
        if self.looped or now >= self._until:
            self.stop()

    def _probe(self) -> None:
        path = probe_path(self._alone.secret)
        for instance in self._alone.dark.instances:
            ask(instance, path, host=instance.at, timeout_s=_PROBE_TIMEOUT_S, most_bytes=_MOST_BYTES)
        self._takes_from = time.monotonic() + PROBE_BACK_S
