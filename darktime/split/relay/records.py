"""Records: what is known of each request's two sides, until it is settled. Pure; the caller supplies time.

A request's ways to here are two, in any order: its copy, and production's log line. Every copy that arrives is settled
exactly once: compared (or recorded), or left for a reason. A line that has no copy stays missing unless nginx's sink,
or the client's own abort, explains it, or lines were lost while the request lasted: the sink's may be among them.

What lasts (a stream, a long poll) is waited for as long as one may be held. Once lines were lost while it lasted its end may be
among them, and nobody can ask: then it waits for its line as long as anything else does.
"""

from __future__ import annotations

from collections import Counter
from math import inf
from typing import TYPE_CHECKING, Final, Protocol

from darktime.split.compare import Pair, Side, compare
from darktime.split.compare.endpoint import Endpoints
from darktime.split.compare.pair import ATTRIBUTES, LENGTH, NOT_MODIFIED, STREAM_TYPE
from darktime.split.relay import reasons
from darktime.split.relay.copies import asks_for_a_stream
from darktime.split.relay.lately import Lately
from darktime.split.relay.lost_lines import LostLines

if TYPE_CHECKING:
    from darktime.split.log_format import LogLine
    from darktime.split.relay.copies import Copy

_DENIED: Final = (401, 403)
_TO_LOGIN: Final = (302, 303, 307)
_ERROR_FROM: Final = 400
_OTHER_FROM: Final = 300
MIRROR: Final = "mirror"
COMPARED: Final = "compared"
SAME: Final = "same"
DIFFERS: Final = "differs"
_REMEMBERED: Final = 20_000
# nginx writes a request's line after its mirror has ended: by then the copy is in our socket, if it ever comes.
ORPHAN_WAIT_S: Final = 2.0
# Where lines were lost, and all others have been read: what began before and has no line yet lost it, or production is at it
# still. Few things take longer, and what does (a stream, or what takes the dark instance long, too) is given longer.
LOST_WAIT_S: Final = 5.0


class Counts(Protocol):
    """Who takes what is to be counted; ``hop`` is ``mirror`` or ``compared``."""

    def sent(self, hop: str, request_id: str, at: float) -> None: ...  # noqa: D102
    def received(self, hop: str, request_id: str, at: float) -> None: ...  # noqa: D102
    def explained(self, hop: str, request_id: str, at: float, reason: str) -> None: ...  # noqa: D102
    def paired(self, pair: Pair) -> None: ...  # noqa: D102


class _Record:
    __slots__ = (
        "at", "copy", "dark", "doubted", "endpoint", "gapped", "line", "patient", "settled", "shed", "since", "stream", "user",
    )  # fmt: skip

    def __init__(self, at: float, since: float) -> None:
        self.at = at
        self.since = since  # the caller's clock, when it was last heard of
        self.copy: Copy | None = None
        self.endpoint = self.user = ""
        self.line: LogLine | None = None
        self.dark: Side | None = None
        self.stream = self.settled = self.shed = False
        self.gapped = False  # lines were lost between its beginning and its line
        self.patient = False  # it may last as long as a stream
        self.doubted = inf  # since when its end may have been among lines that were lost


class Records:
    """All requests that are not yet through."""

    def __init__(
        self,
        counts: Counts,
        *,
        wait_s: float,
        stream_wait_s: float,
        limit: int,
        attributes: tuple[str, ...] = ATTRIBUTES,
        templates: tuple[str, ...] = (),
    ) -> None:
        self._counts = counts
        self._wait_s = wait_s
        self._stream_wait_s = stream_wait_s
        self._limit = limit
        self._attributes = attributes
        without = tuple(one for one in attributes if one != LENGTH)
        self._without_length = without if LENGTH in attributes else attributes
        self._endpoints = Endpoints(templates)
        self._open: dict[str, _Record] = {}
        # Of requests that were let go without their line: a line that comes late must not count again.
        self._let_go = Lately(_REMEMBERED)
        self._lost = LostLines()
        self.offered = self.received = self.compared = self.differing = self.late_lines = self.duplicates = 0
        self.recorded = 0
        self.reasons: Counter[str] = Counter()
        self.mirror_reasons: Counter[str] = Counter()
        self.left: dict[str, Counter[str]] = {}  # the same reasons, by endpoint
        self.judged: dict[str, Counter[str]] = {}  # of what was compared, SAME and DIFFERS, by endpoint

    def __len__(self) -> int:
        return len(self._open)

    def arrived(self, copy: Copy, user: str, now: float) -> bool:
        """A copy has come; False: it has come before, or there is no room, and it must go no further."""
        record = self._open.get(copy.id)
        if copy.id in self._let_go or (record is not None and record.copy is not None):
            # One that nginx sent twice: the second goes to nobody, and the ledger shows it as extra.
            self.duplicates += 1
            self._counts.received(MIRROR, copy.id, copy.at)
            return False
        full = record is None and len(self._open) >= self._limit
        if record is None:
            record = _Record(copy.at, now)
            self._open[copy.id] = record
        record.copy, record.since, record.user = copy, now, user
        record.endpoint = self._endpoints.of(copy.target)
        record.patient = asks_for_a_stream(copy.headers)
        self.received += 1
        self._counts.received(MIRROR, copy.id, record.at)
        self._counts.sent(COMPARED, copy.id, record.at)
        if record.line is not None and record.line.aborted:
            self._leave(copy.id, record, reasons.CLIENT_ABORT)
            return False
        if full:
            self._give_up(copy.id, record, reasons.RELAY_FULL)
            return False
        return True

    def line(self, line: LogLine, now: float) -> None:
        """Production's line, or the sink's, has come."""
        if self._lost.open:
            self._lost.ended(line)
        if line.id in self._let_go:
            self.late_lines += 1
            return
        record = self._open.get(line.id)
        if record is None:
            record = _Record(line.at, now)
            self._open[line.id] = record
        record.since = now
        if line.sink:
            record.shed = True
            return
        if record.line is not None:
            return
        record.line = line
        record.gapped = self._lost.may_hold(record.at)
        self._offer(line.id, record)
        if line.aborted and record.copy is not None and not record.settled:
            self._leave(line.id, record, reasons.CLIENT_ABORT)
        self._finish(line.id, record)

    def gap(self, lost: int, at: float) -> None:
        """The kernel had no room for so many lines, before the next one; ``at``: seconds UTC."""
        self._lost.gap(lost, at)

    def lines_read(self, now: float) -> None:
        """Every line that has come has been read."""
        self._lost.read(now)

    def wanted(self, request_id: str) -> bool:
        """Whether an answer of the dark instance is still of use."""
        record = self._open.get(request_id)
        return record is not None and not record.settled

    def ended(self, request_id: str) -> bool:
        """Whether production has ended this request, or it is no longer waited for."""
        record = self._open.get(request_id)
        return record is None or record.line is not None or record.settled

    def streaming(self, request_id: str) -> None:
        """The copy became a stream: it lasts until production's does."""
        record = self._open.get(request_id)
        if record is not None:
            record.stream = record.patient = True

    def lasting(self, request_id: str) -> None:
        """Both sides take long over it: it may last as long as a stream."""
        record = self._open.get(request_id)
        if record is not None:
            record.patient = True

    def replied(self, request_id: str, dark: Side, now: float) -> None:
        """The dark instance has answered; of a stream, its head is there."""
        record = self._open.get(request_id)
        if record is not None and record.copy is not None and not record.settled:
            record.dark = dark
            record.since = now
            self._finish(request_id, record)

    def failed(self, request_id: str, reason: str) -> None:
        """The copy goes no further, for a reason."""
        record = self._open.get(request_id)
        if record is not None and record.copy is not None and not record.settled:
            self._leave(request_id, record, reason)

    def goes_as(self, copy: Copy) -> None:
        """The copy goes out rewritten; which endpoint it is a case of, production's request says."""
        record = self._open.get(copy.id)
        if record is not None:
            record.copy = copy

    def line_of(self, request_id: str) -> LogLine | None:
        """Production's line, where that came before now and is still remembered."""
        record = self._open.get(request_id)
        return None if record is None else record.line

    def kept(self, request_id: str) -> None:
        """Where there is no dark instance: the copy is in the recording, which is where its way ends."""
        record = self._open.get(request_id)
        if record is None or record.copy is None or record.settled:
            return
        record.settled = True
        self.recorded += 1
        self._counts.received(COMPARED, request_id, record.at)
        if record.line is not None:
            self._forget(request_id)

    def sweep(self, now: float) -> list[str]:
        """Let go of what has waited too long; the ids of those that were still on their way."""
        gone: list[str] = []
        told = self._lost.over_for(now) > LOST_WAIT_S
        for request_id, record in list(self._open.items()):
            reason = self._overdue(record, now, told=told)
            if reason is not None:
                if not record.settled and record.copy is not None:
                    gone.append(request_id)
                self._give_up(request_id, record, reason)
        return gone

    def _overdue(self, record: _Record, now: float, *, told: bool) -> str | None:
        """Why it is waited for no longer; None: it is. ``told``: whose line is not here by now lost it, or lasts."""
        lasts = record.patient and not record.settled
        if record.copy is not None and record.line is None and self._lost.may_hold(record.at):
            if lasts:
                record.doubted = min(record.doubted, now)
            elif told:
                self._lost.explain()
                return reasons.LOG_LOST
        else:
            record.doubted = inf  # every line that was lost is known: its own is none of them
        if now - record.doubted > self._wait_s:
            return reasons.LOG_LOST
        if now - record.since <= self._patience_s(record):
            return None
        return reasons.EXPIRED if lasts and record.copy is not None else reasons.LOG_LOST

    def _patience_s(self, record: _Record) -> float:
        if record.copy is None:
            return ORPHAN_WAIT_S
        return self._stream_wait_s if record.patient else self._wait_s

    def close(self) -> None:
        """The relay stops: what is not through is in flight."""
        for request_id, record in list(self._open.items()):
            self._give_up(request_id, record, reasons.IN_FLIGHT)

    def _give_up(self, request_id: str, record: _Record, reason: str) -> None:
        if record.copy is None:
            self._without_copy(request_id, record)
            return
        if record.line is None:
            # It arrived, so it was sent: only the line that says so is missing.
            self._offer(request_id, record)
        if not record.settled:
            self._leave(request_id, record, reason)
        self._forget(request_id)

    def _without_copy(self, request_id: str, record: _Record) -> None:
        reason = reasons.CLIENT_ABORT if record.line is not None and record.line.aborted else None
        if record.shed:
            reason = reasons.SHED_SINK
            if record.line is None:
                self._offer(request_id, record)
        elif reason is None and record.gapped and self._lost.left:
            self._lost.explain()
            reason = reasons.LOG_LOST
        if reason is not None:
            reason = reasons.listed(reason)
            self.mirror_reasons[reason] += 1
            self._counts.explained(MIRROR, request_id, record.at, reason)
        self._forget(request_id)

    def _offer(self, request_id: str, record: _Record) -> None:
        self.offered += 1
        self._counts.sent(MIRROR, request_id, record.at)

    def _leave(self, request_id: str, record: _Record, reason: str) -> None:
        record.settled = True
        reason = reasons.listed(reason)
        self.reasons[reason] += 1
        left = self.left.get(record.endpoint)
        if left is None:
            left = self.left[record.endpoint] = Counter()
        left[reason] += 1
        self._counts.explained(COMPARED, request_id, record.at, reason)
        if record.line is not None:
            self._forget(request_id)

    def _finish(self, request_id: str, record: _Record) -> None:
        line, dark, copy = record.line, record.dark, record.copy
        if line is None or copy is None:
            return
        if record.settled:
            self._forget(request_id)
            return
        if dark is None:
            return
        if copy.stripped and _asks_who_it_is(dark.status, line.status):
            self._leave(request_id, record, reasons.CREDENTIAL_STRIPPED)
            return
        streamed = record.stream or line.content_type == STREAM_TYPE
        seconds = line.head_seconds if streamed else line.seconds
        compared, length = self._without_length, line.length
        if self._attributes is not compared and line.exact_length is not None and copy.method != "HEAD":
            compared, length = self._attributes, line.exact_length
        production = Side(status=line.status, content_type=line.content_type, length=length, seconds=seconds or 0.0)
        pair = Pair(
            id=request_id,
            endpoint=record.endpoint,
            user=record.user,
            at=record.at,
            production=production,
            dark=dark,
            compared=compared,
        )
        record.settled = True
        self.compared += 1
        differs = bool(compare(pair))
        self.differing += differs
        judged = self.judged.get(pair.endpoint)
        if judged is None:
            judged = self.judged[pair.endpoint] = Counter()
        judged[DIFFERS if differs else SAME] += 1
        self._counts.received(COMPARED, request_id, record.at)
        self._counts.paired(pair)
        self._forget(request_id)

    def _forget(self, request_id: str) -> None:
        self._open.pop(request_id, None)
        self._let_go.add(request_id)


def _asks_who_it_is(dark: int, production: int) -> bool:
    """Whether the dark side refused, or sent to where one logs in, what production answered."""
    if dark in _DENIED:
        return production < _ERROR_FROM
    return dark in _TO_LOGIN and (production < _OTHER_FROM or production == NOT_MODIFIED)
