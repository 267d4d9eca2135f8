"""N EventSource subscribers on a push endpoint: every delivery is timed and accounted.

A published event carries its planned time and a number that rises by one a channel and publisher. A subscriber knows by
it what it missed, what came twice and how long it took. Which events a channel owes a subscriber is known here, because
they were published from here.

``ready`` is the hot path. What a server fans out are the same bytes for every subscriber, so bytes that begin and end
between two events are read once and remembered: a stream they arrive on costs one read, one look-up, one comparison and
one look at the clock; latencies and spreads are counted from those in bulk. Every other read (an event in two pieces,
a gap, a stream that is checked) goes the general way, which keeps what a stream has begun. On a sample of the streams
the exact reader reads the same bytes, and every event that the two do not agree on is counted.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from darktime.blast.accounts import DUPLICATE, LATE, NOT_BEGUN, REORDERED
from darktime.blast.crosscheck import Crosscheck, compare
from darktime.blast.delays import Delays
from darktime.blast.deliveries import Deliveries
from darktime.blast.dialer import MAX_CONNECTING, Dialer, refusal, subscribe_requests
from darktime.blast.event_text import EventText
from darktime.blast.link import ASKED, CLOSED, CONNECTING, FAST, OPEN, Link
from darktime.blast.marks import Marks
from darktime.blast.owed import Owed
from darktime.blast.publisher import CHANNEL_PREFIX, Publisher
from darktime.blast.same_bytes import SameBytes
from darktime.blast.slow_readers import SlowReaders
from darktime.blast.sockets import OURS, late_reason, reason_of
from darktime.blast.sums import add
from darktime.wire.errors import WireError
from darktime.wire.poller import IN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from darktime.blast.accounts import Account
    from darktime.blast.cohort import Batch, Cohort
    from darktime.blast.marks import Arrival
    from darktime.blast.publisher import Published
    from darktime.blast.settings import Address
    from darktime.wire.head import Head

__all__ = ["CHANNEL_PREFIX", "Publisher", "Streams"]

SUBSCRIBE_PATH = "/ev/{channel}"
RECEIVE_BYTES = 65_536
RECONNECT_AFTER_S = 0.5
# The wait before a reconnect is drawn between what the stream asked for and half as much again, so that those who were
# cut off together do not come back together.
JITTER = 0.5
TIMEOUT_S = 10.0
CHECK_SHARE = 0.01


class Streams:
    """``count`` subscribers over the publisher's channels, in turn.

    ``me`` of ``publishers``: this process's publisher among those that publish to the same channels. ``clock``: the
    publishers' too. ``path`` is where to subscribe, with ``{channel}`` in it. ``source_ips``: where connections come
    from, in turn. ``connects_per_s`` paces them. ``silence_s``: a stream that says nothing for so long is ended.
    """

    def __init__(
        self,
        cohort: Cohort,
        address: Address,
        publisher: Publisher,
        *,
        count: int,
        run: str,
        publishers: int = 1,
        me: int = 0,
        path: str = SUBSCRIBE_PATH,
        source_ips: Sequence[str] = (),
        connects_per_s: float | None = None,
        max_connecting: int = MAX_CONNECTING,
        timeout_s: float = TIMEOUT_S,
        silence_s: float | None = None,
        check_share: float = CHECK_SHARE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0 <= me < publishers:
            raise ValueError(f"publisher {me} of {publishers}: they are numbered from 0")
        self.deliveries = Deliveries()
        self.open = 0  # subscribers that are being served
        self.turned_away: dict[str, int] = {}  # as in Deliveries, since the beginning
        self._cohort = cohort
        self._publisher = publisher
        self._me = me
        self._publishers = publishers
        self._silence_s = silence_s
        self._clock = clock
        self._marks = Marks(run)
        self._random = random.Random(run)
        self._dialer = Dialer(
            cohort,
            self,
            address,
            subscribe_requests(address, path, publisher.names),
            source_ips=source_ips,
            connects_per_s=connects_per_s,
            max_connecting=max_connecting,
            timeout_s=timeout_s,
            failed=self._failed,
        )
        channels = len(publisher.published)
        self._links = [Link(number % channels, slow=False) for number in range(count)]
        self._chunked: bool | None = None  # how the streams are framed, by the first that opened
        self._shared = count > channels  # several get the same bytes
        self._same = SameBytes(self._marks, me=me, full_read=RECEIVE_BYTES)
        self._delays = Delays(channels)
        self._crosscheck = Crosscheck(self._links, check_share, self._marks)
        self._owed = Owed(self._links, publisher, me=me)
        self._slow = SlowReaders()
        for link in self._links:
            self._dialer.plan(link, 0.0)
        cohort.chores.append(self._chores)

    @property
    def standing(self) -> bool:
        """Every subscriber is being served."""
        return self.open == len(self._links)

    @property
    def never_served(self) -> int:
        """Subscribers that the instance has not taken yet."""
        return sum(link.expected == NOT_BEGUN for link in self._links)

    def owed(self) -> int:
        """Deliveries that are still to come from this process's publisher, to those who read as fast as they can."""
        return self._owed.mine()

    def account(self) -> Published:
        """What this process's publisher owes, for other processes that hear it."""
        return self._publisher.account()

    def owed_by_others(self, others: Mapping[int, Published]) -> int:
        """The same of what other processes published, by publisher."""
        return self._owed.by_others(others)

    def settle(self, others: Mapping[int, Published] | None = None) -> int:
        """Count what is owed as lost, and close the account on both sides; how many were lost.

        ``others``: what was published, by publisher; without it only this process's own publisher is settled.
        """
        lost = self._owed.settle(others or {}, self.deliveries)
        self._fold()
        self._delays.spreads.close()
        self._publisher.settle()
        return lost

    def take(self) -> Deliveries:
        """What was counted since the last time."""
        self._fold()
        taken, self.deliveries = self.deliveries, Deliveries()
        self._delays.take_into(taken)
        return taken

    def slow(self, share: float, bytes_per_s: float, *, at_once: bool = True) -> int:
        """Let a share of the subscribers read so many bytes a second at most; how many they are.

        Unless ``at_once``, not before ``slow_down``; they are never counted among those that read at once.
        Raises ValueError once one has begun to connect: their receive buffers are small.
        """
        if any(link.state != CLOSED for link in self._links):
            raise ValueError("slow readers are chosen before the first subscriber connects: their windows are small")
        wanted = round(share * len(self._links))
        # Those that the exact reader reads are taken last.
        self._slow.choose(self._links, wanted, bytes_per_s, time.monotonic(), rather_not=self._crosscheck.sampled)
        self._slow.begun = at_once
        return wanted

    def slow_down(self) -> None:
        """From now on those that were chosen to be slow are."""
        self._slow.begin(time.monotonic())
        for link in self._slow.links:
            if link.state >= OPEN:
                self._cohort.poller.modify(link.fd, 0)

    def cut(self) -> int:
        """Close every open stream at once; each comes back, and says what it had last. How many they were."""
        now = time.monotonic()
        cut = [link for link in self._links if link.state >= OPEN]
        for link in cut:
            self._come_back(link, now)
        self.deliveries.streams_cut += len(cut)
        return len(cut)

    def close(self) -> None:
        """Close every stream."""
        if self._chores in self._cohort.chores:
            self._cohort.chores.remove(self._chores)
        self._dialer.stop()
        for link in self._links:
            self._drop(link)

    def ready(self, batch: Batch) -> None:  # noqa: C901 - the hot path: one frame, local names
        """Read what has arrived."""
        links, known, clock, shared = self._dialer.by_fd, self._same.arrivals, self._clock, self._shared
        for fd, mask in batch:
            link = links.get(fd)
            if link is None:  # closed by another of this batch
                continue
            if link.state != FAST or mask != IN:
                self._ready(link)
                continue
            try:
                received = link.recv(RECEIVE_BYTES)
            except OSError as error:
                self._unreadable(link, error)
                continue
            arrival = known.get(received) if shared else None
            if arrival is None:
                if not shared and self._took_one(link, received):
                    continue
                arrival = self._learn(received)
                if arrival is None:
                    self._received(link, received)
                    continue
            now = clock()
            link.heard = now
            if arrival.last_id is not None:
                link.last_id = arrival.last_id
            if arrival.first == link.expected and arrival.channel == link.channel:
                link.expected = arrival.next
                arrival.times.append(now)
            elif (
                link.others is not None
                and (account := link.others.get(arrival.publisher)) is not None
                and account.expected == arrival.others_first
                and arrival.channel == link.channel
            ):
                account.expected = arrival.next
                arrival.times.append(now)
            else:
                self.deliveries.bytes += len(received)
                self.deliveries.reads += 1
                self._account(link, arrival, now)

    def _learn(self, received: bytes) -> Arrival | None:
        if not self._same.has_room(len(received)):
            self._fold()
        return self._same.learn(received, chunked=bool(self._chunked))

    def _fold(self) -> None:
        self._same.fold(self.deliveries, self._delays)

    def _took_one(self, link: Link, received: bytes) -> bool:
        """Account one bare event that comes next, where nobody else gets the same bytes."""
        one = self._marks.one(received, chunked=bool(self._chunked))
        if one is None:
            return False
        last_id, channel, publisher, at, number = one
        account: Account | None = link
        if publisher != self._me:
            account = link.others.get(publisher) if link.others is not None else None
        if account is None or number != account.expected or channel != link.channel:
            return False
        account.expected = number + 1
        link.heard = now = self._clock()
        if last_id is not None:
            link.last_id = last_id
        deliveries = self.deliveries
        deliveries.delivered += 1
        deliveries.from_others += publisher != self._me
        deliveries.bytes += len(received)
        deliveries.reads += 1
        self._delays.latencies.append(now - at)
        return True

    def _ready(self, link: Link) -> None:
        """The ways that are not taken at every event."""
        if link.state == CONNECTING:
            self._ask(link)
            return
        try:
            received = link.recv(RECEIVE_BYTES)
        except OSError as error:
            self._unreadable(link, error)
            return
        self._received(link, received)

    def _unreadable(self, link: Link, error: OSError) -> None:
        if not isinstance(error, BlockingIOError):
            self._ended(link, reason_of(error.errno))

    def _received(self, link: Link, received: bytes) -> None:
        if not received:
            self._ended(link, "closed")
            return
        link.heard = now = self._clock()
        self.deliveries.bytes += len(received)
        self.deliveries.reads += 1
        self.deliveries.backlog_reads += len(received) == RECEIVE_BYTES
        try:
            arrival = self._read(link, received)
        except WireError:
            self._ended(link, "not_http")
            return
        if arrival is None:  # no stream yet, or none at all
            return
        self._account(link, arrival, now)
        reader = link.reader
        assert reader is not None
        if reader.done:
            self._ended(link, "closed")
        elif reader.at_border and self._may_be_fast(link, reader):
            link.reader = None
            link.state = FAST

    def _read(self, link: Link, received: bytes) -> Arrival | None:
        """What it says, read as the stream stands; None where none has opened. Raises WireError."""
        exact = self._crosscheck.feed(link, received)
        body = received
        if link.state == ASKED:
            found = self._head(link, received)
            if found is None:
                return None
            body = found
        reader = link.reader
        if reader is None:
            reader = link.reader = EventText(chunked=bool(self._chunked), begun=True)
            link.state = OPEN
        comments = reader.comments
        text = reader.feed(body)
        arrival = self._marks.read(text, reader.comments - comments)
        if arrival.last_id is not None:
            link.last_id = arrival.last_id
        if exact is not None:
            compare(arrival, exact, self.deliveries)
        return arrival

    def _may_be_fast(self, link: Link, reader: EventText) -> bool:
        if link.slow or link in self._crosscheck or reader.chunked != self._chunked:
            return False
        return link not in self._owed.resumes

    def _account(self, link: Link, arrival: Arrival, now: float) -> None:
        """Account what arrived event by event: whatever is not just what comes next."""
        self.deliveries.comments += arrival.comments
        if arrival.retry_s is not None:
            link.retry_s = arrival.retry_s
        if not arrival.marks:
            return
        owed, deliveries, delays = self._owed, self.deliveries, self._delays
        resume = owed.resumes.get(link)
        for mark in arrival.marks:
            if mark.channel != link.channel:
                deliveries.misrouted += 1
                continue
            mine = mark.publisher == self._me
            kind = (link if mine else owed.account(link, mark.publisher, mark.number)).arrived(mark.number)
            if kind == DUPLICATE:
                deliveries.duplicated += 1
            elif link.slow:
                deliveries.slow_delivered += 1
                delays.slow_latencies.append(now - mark.at_s)
            elif kind == LATE:
                deliveries.late += 1
            else:
                deliveries.delivered += 1
                deliveries.from_others += not mine
                deliveries.reordered += kind == REORDERED
                if mine and resume is not None and mark.number <= resume.last:
                    deliveries.replayed += 1
                else:
                    delays.arrived(mark, now)
        if resume is not None:
            owed.caught_up(link, resume)

    def _head(self, link: Link, received: bytes) -> bytes | None:
        """Take the head; the bytes behind it once the stream is open, None while it is not. Raises WireError."""
        found = self._dialer.head(link, received)
        if found is None:
            return None
        head, rest = found
        reason = refusal(head)
        if reason is not None:
            self._ended(link, reason, away=str(head.status) if reason.startswith("status_") else reason)
            return None
        self._opened(link, head)
        return rest

    def _opened(self, link: Link, head: Head) -> None:
        opening = self._dialer.opened(link)
        now = time.monotonic()
        if self._chunked is None:
            self._chunked = head.chunked
        link.reader = EventText(chunked=head.chunked, length=head.length)
        link.state = OPEN
        self.open += 1
        if not link.slow:
            self._delays.readers[link.channel] += 1
        elif self._slow.begun:
            self._cohort.poller.modify(link.fd, 0)  # it is read when it is its time
        self.deliveries.streams_opened += 1
        self.deliveries.connect.add(int((now - opening.since) * 1e6))
        if link.expected == NOT_BEGUN:
            self._owed.began(link, opening.published)
        resume = self._owed.resumes.get(link)
        if resume is not None:
            self.deliveries.reconnect.add(int((now - resume.cut_at) * 1e6))
            self._owed.caught_up(link, resume)
        self._dialer.connect_due()

    def _chores(self) -> None:
        self._fold()
        now = time.monotonic()
        for link in self._dialer.overdue():
            raw = link.raw
            away = late_reason(raw) if raw is not None and link.state == CONNECTING else "timeout"
            self._ended(link, "timeout", away=away)
        if self._slow.links and self._slow.begun:
            self._read_slowly(now)
        if self._silence_s is not None:
            silent = self._clock() - self._silence_s
            for link in self._links:
                if link.state >= OPEN and link.heard < silent:
                    self._ended(link, "silent")
        self._dialer.connect_due()

    def _read_slowly(self, now: float) -> None:
        allowed = self._slow.allowance(now)
        if allowed < 1:
            return
        for link in self._slow.links:
            if link.state != OPEN:
                continue
            try:
                received = link.recv(min(allowed, RECEIVE_BYTES))
            except OSError as error:
                self._unreadable(link, error)
                continue
            self._received(link, received)

    def _failed(self, link: Link, number: int) -> None:
        self.deliveries.errors_of_ours += number in OURS
        self._ended(link, reason_of(number))

    def _ask(self, link: Link) -> None:
        published = self._publisher.published[link.channel]
        if not self._dialer.ask(link, published, link.last_id):
            return
        self._owed.asked_again(link, published)
        self._crosscheck.begin(link)

    def _ended(self, link: Link, reason: str, *, away: str = "") -> None:
        """``away`` names it better, where the subscriber was never served."""
        self.deliveries.streams_ended += 1
        add(self.deliveries.reasons, reason)
        if link.expected == NOT_BEGUN:
            add(self.deliveries.turned_away, away or reason)
            add(self.turned_away, away or reason)
        self._come_back(link, time.monotonic())

    def _come_back(self, link: Link, now: float) -> None:
        if link.state >= OPEN:
            self._owed.cut_off(link, now)
        self._drop(link)
        wait = RECONNECT_AFTER_S if link.retry_s is None else link.retry_s
        again = now + wait * (1 + JITTER * self._random.random())
        self._dialer.plan(link, again)

    def _drop(self, link: Link) -> None:
        if link.state >= OPEN:
            self.open -= 1
            self._delays.readers[link.channel] -= not link.slow
        link.state = CLOSED
        link.reader = None
        self._crosscheck.end(link)
        self._dialer.forget(link)
