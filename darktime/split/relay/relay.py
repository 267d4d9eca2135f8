"""The relay's loop: one process, one poller; who is ready, what has come, what has taken too long."""

from __future__ import annotations

import math
import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import orjson

from darktime.errors import UsageError
from darktime.split.dark_side import DarkSide, Instance
from darktime.split.log_format import OtherLine
from darktime.split.marks import mark
from darktime.split.nginx_blocks import self_probe_path
from darktime.split.population import Population
from darktime.split.relay import reasons
from darktime.split.relay.books import Books, NoBooks
from darktime.split.relay.calibrating import Calibrating
from darktime.split.relay.channels import Channels
from darktime.split.relay.copies import CopyReader, Room, request_bytes
from darktime.split.relay.darks import Darks
from darktime.split.relay.files import Files
from darktime.split.relay.heartbeat import Heartbeat
from darktime.split.relay.intake import CopySocket, LineSocket, listen_unix
from darktime.split.relay.later import Later
from darktime.split.relay.lost_lines import Gap
from darktime.split.relay.nowhere import Nowhere
from darktime.split.relay.records import Records
from darktime.wire.poller import Poller

if TYPE_CHECKING:
    from collections.abc import Mapping

    from darktime.split.compare import Pair, Side
    from darktime.split.log_format import LogLine
    from darktime.split.relay.alone import NoLines
    from darktime.split.relay.answers import Answers
    from darktime.split.relay.comparison import Comparison
    from darktime.split.relay.copies import Copy
    from darktime.split.relay.recording import Recording
    from darktime.split.relay.settings import RelaySettings
    from darktime.split.relay.transforming import Transforming
    from darktime.wire.eventsource import ServerEvent
    from darktime.wire.http1 import Reply

_TURN_S: Final = 0.05
_SWEEP_EVERY_S: Final = 0.05
_RECORDS_EVERY_S: Final = 0.5  # and the population is written
_FAREWELL_S: Final = 0.5
_CLOSE_S: Final = 1.0
_MOST_UNCOUNTED: Final = 1_000  # lines
STATE_VERSION: Final = 1


class Relay:
    """Made, it listens; ``run`` until ``stop``. Raises UsageError where it cannot listen."""

    def __init__(self, settings: RelaySettings) -> None:
        limits = settings.limits
        self._settings = settings
        self.heartbeat = Heartbeat()
        self._transforming = self._make_transforming()
        self._poller = Poller(cooperative=False, coarse=True)
        self._later = Later(self._poller)
        self._files = Files(settings, self.state)
        self._books = (Books if settings.ledger else NoBooks)(settings, self._paired)
        # Before anything listens: a host may have no address.
        self._dark = self._make_way()
        self.records: Records | Answers = self._make_records()
        self._recording = self._make_recording()
        self.population = Population()
        self._uncounted: list[LogLine | OtherLine | Gap] = []
        self._comparison: Comparison | None = None
        if settings.compare is not None:
            from darktime.split.relay.comparison import Comparison  # noqa: PLC0415 - nobody else pays for it

            self._comparison = Comparison(settings, settings.compare, self._poller, held=self._dark.holds)
        self._copies = self._make_ear()
        self._lines: LineSocket | NoLines = self._make_lines()
        self._users: dict[str, str] = {}
        self._stopping = False
        self._channels = Channels(limits.channels)
        self.events_read = self.events_unnamed = self.users_forgotten = self.probed = 0
        self._self_probe = self_probe_path(settings.secret)

    def _make_way(self) -> Darks | Nowhere | Calibrating:
        settings, compare = self._settings, self._settings.compare
        if settings.dark is None:
            return Nowhere()
        dark = Darks(settings.dark, settings.limits, self._poller, self, self._later)
        if compare is None or not compare.calibrate_s:
            return dark
        host, port = compare.secondary
        side = DarkSide(instances=(Instance(host=host, port=port),), connections=settings.dark.connections)
        today = Darks(side, settings.limits, self._poller, self, self._later)
        most = settings.limits.open_records
        return Calibrating(today, dark, seconds=compare.calibrate_s, most=most, wanted=self.wanted)

    def _make_records(self) -> Records | Answers:
        limits = self._settings.limits
        return Records(
            self._books,
            wait_s=limits.line_wait_s,
            stream_wait_s=limits.stream_life_s,
            limit=limits.open_records,
            attributes=self._settings.attributes,
            templates=self._settings.endpoints,
        )

    def _make_recording(self) -> Recording | None:
        if not isinstance(self.records, Records) or self._settings.record is None:
            return None
        from darktime.split.relay.recording import Recording  # noqa: PLC0415 - nobody else pays for it

        return Recording(self._settings, self.records)

    def _make_transforming(self) -> Transforming | None:
        if self._settings.transform is None:
            return None
        from darktime.split.relay.transforming import Transforming  # noqa: PLC0415 - nobody else pays for it

        return Transforming(self._settings.transform, self._settings)

    def _make_ear(self) -> CopySocket:
        settings, limits = self._settings, self._settings.limits
        if settings.socket is None:
            raise UsageError("a relay behind our nginx takes copies on a socket: name one, --socket PATH")
        reader = partial(
            CopyReader,
            max_head=limits.head_bytes,
            methods=settings.methods,
            max_body=limits.body_bytes,
            room=Room(limits.intake_bytes),
        )
        return CopySocket(listen_unix(settings.socket, settings.socket_owner), self._poller, reader)

    def _make_lines(self) -> LineSocket | NoLines:
        settings = self._settings
        return LineSocket(settings.log_port, self._later.poller, settings.secret, settings.limits.lines_bytes)

    @property
    def log_port(self) -> int:
        """The port on which log lines come in."""
        return self._lines.port

    def stop(self) -> None:
        """End soon; safe in a signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Until ``stop``; then end the streams, name what is in flight, and close the account, within two seconds."""
        self._files.start()
        if self._recording is not None:
            self._recording.start()
        if self._comparison is not None:
            self._comparison.start()
        swept = judged = time.monotonic()
        while not self._stopping:
            now = self._turn(_TURN_S)
            if now - swept >= _SWEEP_EVERY_S:
                swept = now
                self._later.weigh(now)
                self._dark.sweep(now)
                if self._comparison is not None:
                    self._comparison.sweep(now)
            if now - judged >= _RECORDS_EVERY_S:
                judged = now
                self._judge(now)
            if self._recording is not None:
                self._recording.settle()
            self._books.settle()
        self._close()

    def _turn(self, wait_s: float) -> float:
        ready = self._poller.poll(self._later.wait_s(wait_s))
        now = self.heartbeat.turned = time.monotonic()
        look = self._later.due(now)
        for fd, mask in ready:
            copies = self._copies.ready(fd, mask)
            if copies is not None:
                for copy in copies:
                    self._take(copy, now)
            elif fd == self._later.fd:
                look = True
            elif not self._dark.ready(fd, mask, now) and self._comparison is not None:
                self._comparison.ready(fd, mask, now)
        if look:
            self._look(now)
        return now

    def _look(self, now: float) -> None:
        for fd, mask in self._later.look(now):
            if fd == self._lines.fd:
                self._take_lines(now)
            else:
                self._dark.ready(fd, mask, now)

    def _take_lines(self, now: float) -> None:
        lines = self._lines.read()
        self._uncounted += lines
        if len(self._uncounted) >= _MOST_UNCOUNTED:
            self._count_people()
        for line in lines:
            if isinstance(line, OtherLine):
                continue
            if isinstance(line, Gap):
                self.records.gap(line.lost, time.time())
                continue
            self.records.line(line, now)
            if self._recording is not None:
                self._recording.line(line)
            if not line.sink:
                self._dark.end(line.id, now, aborted=line.aborted)
                if self._comparison is not None:
                    self._comparison.production_ended(line.id, now, aborted=line.aborted)
        if not self._lines.full:
            self.records.lines_read(now)

    def _count_people(self) -> None:
        """All at once, twice a second: one by one, between other things, it takes longer."""
        lines, self._uncounted = self._uncounted, []
        for line in lines:
            if not isinstance(line, Gap):
                self.population.add(line)

    def _take(self, copy: Copy, now: float) -> None:
        if copy.target.startswith(self._self_probe):  # it was only to arrive
            self.probed += 1
            return
        user = self._users.get(copy.user) or self._mark_of(copy.user)
        if not self.records.arrived(copy, user, now):
            return
        if copy.unfit is not None:
            self.records.failed(copy.id, copy.unfit)
        elif time.time() - copy.at > self._settings.limits.queue_age_s:
            self.records.failed(copy.id, reasons.EXPIRED)  # of a relay that was stopped: no burst of old requests
        elif self._transforming is not None:
            self._transform(self._transforming, copy, user, now)
        else:
            self._send(copy, user, now)

    def _send(self, copy: Copy, user: str, now: float, came: Copy | None = None) -> None:
        """Send a copy on. ``came``: as it was before a function rewrote it, which is what may be recorded of it."""
        settings = self._settings
        payload = request_bytes(copy, settings.allow_query, settings.secret)
        if self._recording is not None:
            kept = payload if came is None else request_bytes(came, settings.allow_query, settings.secret)
            self._recording.take(copy, user, kept)
        if self._comparison is not None and not (isinstance(self._dark, Calibrating) and self._dark.lasts(now)):
            self._comparison.take(copy, now)
        self._dark.submit(copy, payload, user, now)

    def _transform(self, transforming: Transforming, copy: Copy, user: str, now: float) -> None:
        with self.heartbeat.call():
            going = transforming.of(copy)
        if going.unfit is not None:
            self.records.failed(copy.id, going.unfit)
        elif going is copy:
            self._send(copy, user, now)
        else:
            self.records.goes_as(going)
            self._send(going, user, now, came=copy)

    def _judge(self, now: float) -> None:
        self._copies.sweep(now)
        if self._lines.full:  # or it was: of a burst that has ended nobody says that it was read
            self._take_lines(now)
        self._count_people()
        self._files.population = self.population.to_dict()
        for request_id in self.records.sweep(now):
            self._dark.end(request_id, now, aborted=True)

    def _mark_of(self, user: str) -> str:
        found = mark(self._settings.secret, user)
        if len(self._users) < self._settings.limits.known_users:
            self._users[user] = found
        else:
            self.users_forgotten += 1
        return found

    def _paired(self, pair: Pair) -> None:
        self._files.pair(pair, calibrates=isinstance(self._dark, Calibrating) and self._dark.paired(pair.id))

    def _close(self) -> None:
        self._copies.close()
        deadline = time.monotonic() + _FAREWELL_S
        while not self._dark.let_all_go(time.monotonic()) and time.monotonic() < deadline:
            self._dark.sweep(self._turn(_TURN_S))
        if self._comparison is not None:
            self._comparison.close(time.monotonic(), _CLOSE_S / 5)
        self._lines.close()
        self._dark.close()
        if self._recording is not None:
            self._recording.close()
        self.records.close()
        self._books.close(_CLOSE_S)
        self._count_people()
        self._files.population = self.population.to_dict()
        self._files.close(_CLOSE_S / 4)
        self._later.close()
        self._poller.close()

    # What the way to the dark instance tells.

    def wanted(self, request_id: str) -> bool:
        """Whether an answer is still of use."""
        return self.records.wanted(request_id)

    def ended(self, request_id: str) -> bool:
        """Whether production has ended the request."""
        return self.records.ended(request_id)

    def streaming(self, request_id: str) -> None:
        """A copy became a stream."""
        self.records.streaming(request_id)

    def lasting(self, request_id: str) -> None:
        """A copy takes long, as its original does."""
        self.records.lasting(request_id)

    def replied(self, request_id: str, dark: Side, now: float) -> None:
        """The dark instance has answered."""
        self.records.replied(request_id, dark, now)
        if isinstance(self._dark, Calibrating):
            self._dark.settled(request_id)
        if self._comparison is not None and self._dark.holds(request_id):
            self._comparison.dark_streams(request_id, dark.status, now)

    def failed(self, request_id: str, reason: str) -> None:
        """A copy goes no further."""
        if isinstance(self._dark, Calibrating) and self._dark.failed(request_id):
            reason = reasons.CALIBRATION  # nothing that the dark instance did
        self.records.failed(request_id, reason)
        if self._comparison is not None:
            self._comparison.dark_failed(request_id)

    def body_bytes(self, request_id: str) -> int:
        """How much of the answer's body is kept."""
        return 0 if self._comparison is None else self._comparison.kept_of(request_id)

    def answered(self, request_id: str, reply: Reply) -> None:
        """The dark instance has answered a copy that is compared by content."""
        if self._comparison is not None:
            self._comparison.dark_answered(request_id, reply)

    def events(self, request_id: str, events: list[ServerEvent]) -> None:
        """A held stream brought events; those that are ours say who they are."""
        self.events_read += len(events)
        if self._comparison is not None:
            self._comparison.dark_events(request_id, events)
        for event in events:
            try:
                told = orjson.loads(event.data)
                channel = str(told["channel"])
                name, at = f"{channel} {told['id']}", _finite(told["at"])
            except (ValueError, TypeError, KeyError):
                self.events_unnamed += 1
                continue
            self._channels.count(channel)
            self._books.event(name, at)

    def state(self) -> dict[str, Any]:
        """The counters as they stand, for the state file and the exporter."""
        records, dark, lines = self.records, self._dark, self._lines
        return {
            "v": STATE_VERSION,
            "pid": os.getpid(),
            "loop": self.heartbeat.told(),
            "offered": records.offered,
            "received": records.received,
            "compared": records.compared,
            "recorded": records.recorded if isinstance(records, Records) else 0,
            "recording": None if self._recording is None else self._recording.state(),
            "differing": records.differing,
            "reasons": dict(records.reasons),
            "left": _by_endpoint(records.left) if isinstance(records, Records) else {},
            "judged": _by_endpoint(records.judged) if isinstance(records, Records) else {},
            "mirror_reasons": dict(records.mirror_reasons),
            "duplicates": records.duplicates,
            "waiting": len(records),
            **dark.told(),
            "events": self.events_read,
            "events_unnamed": self.events_unnamed,
            "channels": dict(self._channels.counts),
            "log_lines": lines.lines,
            "log_lost": lines.lost,
            "log_room": lines.room,
            "log_refused": lines.refused,
            "late_lines": records.late_lines,
            "probed": self.probed,
            "strangers": self._copies.strangers,
            "pairs_dropped": self._files.pairs_dropped,
            "pairs_file": self._files.room(),
            "ledger_failures": self._books.flush_failures,
            "ledger_closed": self._books.closed,
            "users_forgotten": self.users_forgotten,
            "users": list(self._users.values()),
            **({} if self._transforming is None else {"transform": self._transforming.state()}),
            **({} if self._comparison is None else self._comparison.state()),
        }


def _by_endpoint(counts: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    return {endpoint: dict(of_it) for endpoint, of_it in list(counts.items())}  # from another thread as well


def _finite(told: Any) -> float:
    number = float(told)
    if not math.isfinite(number):
        raise ValueError(number)
    return number
