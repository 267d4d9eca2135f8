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

from darktime.blast.accounts import DUPLICATE, LATE, NOT_BEGUN, REORDERED, Account, within, without
from darktime.blast.deliveries import Deliveries
from darktime.blast.dialer import MAX_CONNECTING, Dialer, refusal
from darktime.blast.event_text import EventText, whole_text
from darktime.blast.link import ASKED, CLOSED, CONNECTING, FAST, OPEN, Link, Resume
from darktime.blast.marks import NOTHING, Arrival, Mark, Marks
from darktime.blast.publisher import CHANNEL_PREFIX, Publisher
from darktime.blast.sockets import OURS, late_reason, reason_of
from darktime.blast.spread import Spreads
from darktime.blast.sums import add
from darktime.wire.errors import WireError
from darktime.wire.poller import IN
from darktime.wire.stream import StreamReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from darktime.blast.accounts import Range
    from darktime.blast.cohort import Batch, Cohort
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
SLOW_ALLOWANCE_S = 0.2  # no more time than this is made up for: a slow reader does not catch up in a burst
# Bytes that are remembered between two chores, at most.
_MAX_KNOWN_BYTES = 1_048_576


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
        channels = len(publisher.published)
        requests = [
            (
                f"GET {path.format(channel=name)} HTTP/1.1\r\nHost: {address.authority}\r\nUser-Agent: darkesttime\r\n"
                f"Accept: text/event-stream\r\nAccept-Encoding: identity\r\nCache-Control: no-cache\r\n"
                f"X-Darktime: 1\r\n"
            ).encode("ascii")
            for name in publisher.names
        ]
        self._dialer = Dialer(
            cohort,
            self,
            address,
            requests,
            source_ips=source_ips,
            connects_per_s=connects_per_s,
            max_connecting=max_connecting,
            timeout_s=timeout_s,
            failed=self._failed,
        )
        self._links = [Link(number % channels, slow=False) for number in range(count)]
        self._in_channel = [0] * channels  # open subscribers that are not slow
        self._others_settled: dict[int, list[int]] = {}
        self._chunked: bool | None = None  # how the streams are framed, by the first that opened
        self._shared = count > channels  # several get the same bytes
        self._known: dict[bytes, Arrival] = {}
        self._known_bytes = 0
        self._latencies: list[float] = []
        self._slow_latencies: list[float] = []
        self._spreads = Spreads()
        every = max(round(1 / check_share), 1) if check_share > 0 else count + 1
        self._sampled = set(self._links[::every])
        self._checks: dict[Link, StreamReader] = {}  # of the sampled ones that have a connection
        self._resumes: dict[Link, Resume] = {}
        self._pardoned: dict[Link, int] = {}  # who joined while this was published: not owed, but welcome
        self._slow: list[Link] = []
        self._slow_bytes_per_s = 0.0
        self._slow_read_at = 0.0
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
        published, refused = self._publisher.published, self._publisher.refused
        total = 0
        for link in self._links:
            channel = link.channel
            if (link.expected <= published[channel] or link.missing) and not link.slow:
                total += without(self._outstanding(link), refused[channel])
        return total

    def account(self) -> Published:
        """What this process's publisher owes, for other processes that hear it."""
        return self._publisher.account()

    def owed_by_others(self, others: Mapping[int, Published]) -> int:
        """The same of what other processes published, by publisher."""
        total = 0
        for publisher, published in others.items():
            for link, account in self._accounts_of(publisher):
                if not link.slow:
                    total += without(account.outstanding(published.last[link.channel]), published.refused[link.channel])
        return total

    def settle(self, others: Mapping[int, Published] | None = None) -> int:
        """Count what is owed as lost, and close the account on both sides; how many were lost.

        ``others``: what was published, by publisher; without it only this process's own publisher is settled.
        """
        lost = 0
        deliveries = self.deliveries
        published, refused = self._publisher.published, self._publisher.refused
        for link in self._links:
            channel = link.channel
            if link.expected <= published[channel] or link.missing:
                outstanding = self._outstanding(link)
                owed = without(outstanding, refused[channel])
                link.settle(published[channel])
                if link.slow:
                    deliveries.slow_behind += owed
                else:
                    lost += owed
                    resume = self._resumes.get(link)
                    if resume is not None:
                        deliveries.unreplayed += within(outstanding, resume.first, resume.last)
        for publisher, theirs in (others or {}).items():
            if publisher != self._me:
                lost += self._settle_other(publisher, theirs)
        deliveries.lost += lost
        self._resumes = {link: resume for link, resume in self._resumes.items() if link.state < OPEN}
        self._pardoned.clear()
        self._fold()
        self._spreads.close()
        self._publisher.settle()
        return lost

    def take(self) -> Deliveries:
        """What was counted since the last time."""
        self._fold()
        taken, self.deliveries = self.deliveries, Deliveries()
        latencies, self._latencies = self._latencies, []
        slow, self._slow_latencies = self._slow_latencies, []
        spans, self._spreads.spans_s = self._spreads.spans_s, []
        taken.clock_skew += _clamp(latencies) + _clamp(slow)
        taken.latency.add_seconds(latencies)
        taken.slow_latency.add_seconds(slow)
        taken.spread.add_seconds(spans)
        return taken

    def slow(self, share: float, bytes_per_s: float) -> int:
        """Let a share of the subscribers read so many bytes a second at most; how many they are.

        Raises ValueError once one has begun to connect: their receive buffers are small.
        """
        self._slow_bytes_per_s = bytes_per_s
        self._slow_read_at = time.monotonic()
        wanted = round(share * len(self._links))
        if any(link.state != CLOSED for link in self._links):
            raise ValueError("slow readers are chosen before the first subscriber connects: their windows are small")
        # Evenly over the channels; those that the exact reader reads are taken last.
        for link in sorted(self._links, key=self._sampled.__contains__)[:wanted]:
            link.slow = True
            self._slow.append(link)
        return wanted

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
        links, known, clock, shared = self._dialer.by_fd, self._known, self._clock, self._shared
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
                self._account(link, arrival, now)

    def _learn(self, received: bytes) -> Arrival | None:
        """Read bytes that begin between two events, and remember them; None when they do not end so."""
        again = self._known.get(received)
        if again is not None:  # the same bytes twice on a stream that shares them with nobody: a duplicate
            return again
        chunked = bool(self._chunked)
        one = self._marks.one(received, chunked=chunked)
        if one is not None:
            last_id, channel, publisher, at, number = one
            arrival = Arrival([Mark(channel, publisher, at, number)], last_id, None, 0)
        else:
            found = whole_text(received, chunked=chunked)
            if found is None:
                return None
            arrival = self._marks.read(*found)
        arrival.size = len(received)
        if arrival.retry_s is not None:  # a wait is kept with the stream
            arrival.first = NOTHING
        elif arrival.publisher != self._me:  # and so is another's account
            arrival.others_first, arrival.first = arrival.first, NOTHING
        if self._known_bytes + arrival.size > _MAX_KNOWN_BYTES:
            self._fold()
        self._known_bytes += arrival.size
        self._known[received] = arrival
        return arrival

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
        self._latencies.append(now - at)
        return True

    def _fold(self) -> None:
        """Count what the remembered bytes brought, and forget them."""
        deliveries, latencies, seen, me = self.deliveries, self._latencies, self._spreads.seen, self._me
        for arrival in self._known.values():
            times = arrival.times
            if not times:
                continue
            many = len(times)
            deliveries.bytes += arrival.size * many
            deliveries.backlog_reads += many if arrival.size == RECEIVE_BYTES else 0
            deliveries.comments += arrival.comments * many
            deliveries.delivered += len(arrival.marks) * many
            of = self._in_channel[arrival.channel]
            first, last = times[0], times[-1]
            for channel, publisher, at, number in arrival.marks:
                if publisher != me:
                    deliveries.from_others += many
                if many == 1:
                    latencies.append(first - at)
                else:
                    latencies += [now - at for now in times]
                if of > 1:
                    seen((publisher, channel, number), first, last, times=many, of=of)
        self._known.clear()
        self._known_bytes = 0

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
        exact = self._checks.get(link)
        checked = exact.feed(received) if exact is not None else []
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
            self._compare(arrival, [number for event in checked for number in self._marks.numbers(event.data)])
        return arrival

    def _may_be_fast(self, link: Link, reader: EventText) -> bool:
        if link.slow or link in self._checks or reader.chunked != self._chunked:
            return False
        return not self._resumes or link not in self._resumes

    def _compare(self, arrival: Arrival, exact: list[int]) -> None:
        """Count what the exact reader read, and what the two do not agree on."""
        fast = [mark.number for mark in arrival.marks]
        self.deliveries.checked += len(exact)
        if fast != exact:
            same = sum(one == other for one, other in zip(fast, exact, strict=False))
            self.deliveries.differed += max(len(fast), len(exact)) - same

    def _account(self, link: Link, arrival: Arrival, now: float) -> None:
        """Account what arrived event by event: whatever is not just what comes next."""
        self.deliveries.comments += arrival.comments
        if arrival.retry_s is not None:
            link.retry_s = arrival.retry_s
        if not arrival.marks:
            return
        resume = self._resumes.get(link) if self._resumes else None
        for mark in arrival.marks:
            if mark.channel != link.channel:
                self.deliveries.misrouted += 1
                continue
            mine = mark.publisher == self._me
            kind = (link if mine else self._other(link, mark.publisher, mark.number)).arrived(mark.number)
            if kind == DUPLICATE:
                self.deliveries.duplicated += 1
            elif link.slow:
                self.deliveries.slow_delivered += 1
                self._slow_latencies.append(now - mark.at_s)
            elif kind == LATE:
                self.deliveries.late += 1
            else:
                self.deliveries.delivered += 1
                self.deliveries.from_others += not mine
                self.deliveries.reordered += kind == REORDERED
                if mine and resume is not None and mark.number <= resume.last:
                    self.deliveries.replayed += 1
                else:
                    self._timed(mark, now)
        if resume is not None and link.expected > resume.last and not link.missing:
            del self._resumes[link]

    def _timed(self, mark: Mark, now: float) -> None:
        self._latencies.append(now - mark.at_s)
        of = self._in_channel[mark.channel]
        if of > 1:
            self._spreads.seen((mark.publisher, mark.channel, mark.number), now, now, times=1, of=of)

    def _other(self, link: Link, publisher: int, number: int | None) -> Account:
        """The account of another process's publisher; it begins with ``number`` where the beginning is not known."""
        if link.others is None:
            link.others = {}
        account = link.others.get(publisher)
        if account is None:
            settled = self._others_settled.get(publisher)
            begin = (settled[link.channel] if settled else 0) + 1
            if link in self._pardoned and number is not None:
                begin = number
            account = link.others[publisher] = Account(begin)
        return account

    def _accounts_of(self, publisher: int) -> Iterator[tuple[Link, Account]]:
        """Another process's accounts with who is owed something by it."""
        if publisher == self._me:
            return
        for link in self._links:
            if link.expected != NOT_BEGUN and (link not in self._pardoned or publisher in (link.others or ())):
                yield link, self._other(link, publisher, None)

    def _settle_other(self, publisher: int, published: Published) -> int:
        lost = 0
        for link, account in self._accounts_of(publisher):
            last = published.last[link.channel]
            owed = without(account.outstanding(last), published.refused[link.channel])
            account.settle(last)
            if link.slow:
                self.deliveries.slow_behind += owed
            else:
                lost += owed
        self._others_settled[publisher] = list(published.last)
        return lost

    def _outstanding(self, link: Link) -> list[Range]:
        outstanding = link.outstanding(self._publisher.published[link.channel])
        pardoned = self._pardoned.get(link, 0) if self._pardoned else 0
        if not pardoned:
            return outstanding
        return [(max(start, pardoned + 1), stop) for start, stop in outstanding if stop > pardoned + 1]

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
        if link.slow:
            self._cohort.poller.modify(link.fd, 0)  # it is read when it is its time
        else:
            self._in_channel[link.channel] += 1
        self.deliveries.streams_opened += 1
        self.deliveries.connect.add(int((now - opening.since) * 1e6))
        published = self._publisher.published[link.channel]
        if link.expected == NOT_BEGUN:
            link.expected = opening.published + 1
            if published > self._publisher.settled[link.channel]:
                self._pardoned[link] = published
        resume = self._resumes.get(link)
        if resume is not None:
            self.deliveries.reconnect.add(int((now - resume.cut_at) * 1e6))
            if link.expected > resume.last and not link.missing:
                del self._resumes[link]
        self._dialer.connect_due()

    def _chores(self) -> None:
        self._fold()
        now = time.monotonic()
        for link in self._dialer.overdue():
            raw = link.raw
            away = late_reason(raw) if raw is not None and link.state == CONNECTING else "timeout"
            self._ended(link, "timeout", away=away)
        if self._slow:
            self._read_slowly(now)
        if self._silence_s is not None:
            silent = self._clock() - self._silence_s
            for link in self._links:
                if link.state >= OPEN and link.heard < silent:
                    self._ended(link, "silent")
        self._dialer.connect_due()

    def _read_slowly(self, now: float) -> None:
        allowed = int(min(now - self._slow_read_at, SLOW_ALLOWANCE_S) * self._slow_bytes_per_s)
        if allowed < 1:
            return
        self._slow_read_at = now
        for link in self._slow:
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
        resume = self._resumes.get(link)
        if resume is not None:
            resume.last = published
        if link in self._sampled:
            self._checks[link] = StreamReader()

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
            before = self._resumes.get(link)
            self._resumes[link] = Resume(now, link.expected if before is None else before.first)
        self._drop(link)
        wait = RECONNECT_AFTER_S if link.retry_s is None else link.retry_s
        again = now + wait * (1 + JITTER * self._random.random())
        self._dialer.plan(link, again)

    def _drop(self, link: Link) -> None:
        if link.state >= OPEN:
            self.open -= 1
            self._in_channel[link.channel] -= not link.slow
        link.state = CLOSED
        link.reader = None
        self._checks.pop(link, None)
        self._dialer.forget(link)


def _clamp(spans_s: list[float]) -> int:
    """Make negative spans 0; how many there were."""
    if not spans_s or min(spans_s) >= 0:
        return 0
    skewed = 0
    for at, span in enumerate(spans_s):
        if span < 0:
            spans_s[at] = 0.0
            skewed += 1
    return skewed
