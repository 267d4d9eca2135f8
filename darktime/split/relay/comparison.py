"""Comparison by content: a share of the copies goes to a second instance of today's code too, twice.

Production is never asked again, and its bodies nobody knows: what two answers of today's code differ in is noise, what the
dark answer differs in beyond that is the new code's. The secondary has a pool, a queue and a breaker of its own: whatever
it does is counted apart, and the dark instance's copies go on as if it were not there.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from darktime.errors import UsageError
from darktime.split.compare.answer import Answer
from darktime.split.compare.chosen import chosen
from darktime.split.compare.difference import EVENTS
from darktime.split.compare.endpoint import Endpoints
from darktime.split.compare.pair import STREAM_TYPE
from darktime.split.compare.stream_pair import stream_record
from darktime.split.dark_side import Instance
from darktime.split.log_format import plain_type
from darktime.split.relay import triples
from darktime.split.relay.comparer import Comparer
from darktime.split.relay.copies import request_bytes
from darktime.split.relay.dark import Dark
from darktime.split.relay.dial import Dialer
from darktime.split.relay.triples import AGAIN, DARK, TODAY, Triples
from darktime.split.settings import SAFE

if TYPE_CHECKING:
    from collections.abc import Callable

    from darktime.split.compare import Side
    from darktime.split.relay.copies import Copy
    from darktime.split.relay.settings import CompareSettings, RelaySettings
    from darktime.wire.eventsource import ServerEvent
    from darktime.wire.http1 import Reply
    from darktime.wire.poller import Poller

_SLACK_S: Final = 1.0
_TRIAL: Final = "trial"


class Comparison:
    """Made, it knows where the secondary is. ``held``: whether the dark instance's stream of a copy is held.

    It is told of the dark side by the relay, and of the secondary, whose copies have names of their own, by ``Dark``.
    Raises UsageError for a secondary that has no address.
    """

    def __init__(
        self, settings: RelaySettings, compare: CompareSettings, poller: Poller, *, held: Callable[[str], bool]
    ) -> None:
        limits = replace(settings.limits, streams=compare.streams, queue_copies=2 * compare.most, lasting=0)
        host, port = compare.secondary
        try:
            dialer = Dialer(Instance(host=host, port=port), None)
            self._legs = Dark(dialer, limits, poller, self, connections=compare.connections)
        except UsageError as error:
            raise UsageError(str(error).replace("the dark instance", "the secondary")) from error
        self._settings = settings
        self._compare = compare
        self._dark_held = held
        self._endpoints = Endpoints(settings.endpoints)
        self._comparer = Comparer(compare)
        self._triples = Triples(
            wait_s=limits.queue_age_s + limits.connect_s + limits.reply_s + _SLACK_S,
            hand_over=self._comparer.put,
            release=self._no_longer,
        )
        self._released: list[str] = []
        self._allowed, self._allowed_at = 1.0, 0.0
        self.chosen = 0
        self.failures: Counter[str] = Counter()

    def start(self) -> None:
        """Begin to compare."""
        self._comparer.start()

    def take(self, copy: Copy, now: float) -> None:
        """A copy is about to go to the dark instance: if it is one of the share, it goes to the secondary as well."""
        if copy.method not in SAFE or not chosen(copy.id, self._compare.share):
            return
        self.chosen += 1
        if not self._may(now):
            self._triples.left[triples.PER_SECOND] += 1
        elif len(self._triples) + self._comparer.waiting >= self._compare.most:
            self._triples.left[triples.FULL] += 1
        elif self._legs.breaker.reason is not None:
            # One request at most tries whether it has recovered; nothing that ends a triple may end that.
            self._triples.left[triples.SECONDARY] += 1
            self._submit(copy, _TRIAL, now)
        else:
            self._triples.begin(copy, self._endpoints.of(copy.origin or copy.target), now)
            for leg in (TODAY, AGAIN):
                self._submit(copy, leg, now)

    def _may(self, now: float) -> bool:
        """Whether one more comparison keeps to so many a second; what a quiet second leaves over is good for another."""
        per_s = self._compare.per_s
        self._allowed = min(max(per_s, 1.0), self._allowed + (now - self._allowed_at) * per_s)
        self._allowed_at = now
        if self._allowed < 1:
            return False
        self._allowed -= 1
        return True

    def _submit(self, copy: Copy, leg: str, now: float) -> None:
        payload = request_bytes(copy, self._settings.allow_query, self._settings.secret)
        self._legs.submit(replace(copy, id=_name(copy.id, leg)), payload, now)

    def ready(self, fd: int, mask: int, now: float) -> bool:
        """A descriptor is ready; False if it is none of the secondary's."""
        ours = self._legs.ready(fd, mask, now)
        self._release(now)
        return ours

    def sweep(self, now: float) -> None:
        """End what has taken too long."""
        self._legs.sweep(now)
        self._triples.sweep(now, held=self._all_held, farewell_s=self._settings.limits.farewell_s)
        self._release(now)

    def production_ended(self, request_id: str, now: float, *, aborted: bool) -> None:
        """Production has ended a request."""
        triple = self._triples.get(request_id)
        if triple is None:
            return
        if triple.streams is not None:
            self._triples.production_ended(request_id, now)
            self._no_longer(request_id)
        elif aborted:
            self._triples.leave(request_id, triples.ABORTED)
        self._release(now)

    def close(self, now: float, timeout_s: float) -> None:
        """The relay stops: name what is not through, compare what is."""
        self._triples.close(now)
        self._legs.close()
        self._comparer.close(timeout_s)

    def state(self) -> dict[str, Any]:
        """What the state file holds of it: ``fields``, ``stream_pairs`` and the figures of the comparison."""
        told = self._comparer.told
        return {
            "fields": told["fields"],
            "stream_pairs": [
                stream_record(endpoint, noise, raw, ignored=bool(self._rules_of_events(endpoint)))
                for endpoint, (noise, raw) in self._triples.streams_so_far().items()
            ],
            "comparison": {
                **{name: told[name] for name in ("v", "totals", "looked_at", "overflow", "left_out")},
                "secondary": "{}:{}".format(*self._compare.secondary),
                "share": self._compare.share,
                "chosen": self.chosen,
                "compared": self._comparer.compared,
                "told": sum(told["totals"].values()),  # the fields are as they were after so many
                "cut": self._comparer.cut,
                "left": {**self._triples.left, **self._comparer.left},
                "unread": dict(self._comparer.unread),
                "open": len(self._triples) + self._comparer.waiting,
                "streams": self._triples.held,
                "secondary_failures": dict(self.failures),
                "secondary_breaker": self._legs.breaker.reason,
                "rules": self._rules_used(),
                "cpu_s": round(self._comparer.cpu_s, 3),
            },
        }

    def _rules_of_events(self, endpoint: str) -> list[str]:
        """The rules that leave a stream's events out."""
        return [
            rule.text for rule in self._compare.ignore if rule.field == (EVENTS,) and rule.holds_for("GET", endpoint)
        ]

    def _rules_used(self) -> dict[str, int]:
        used = self._comparer.rules_used
        for endpoint, (_, raw) in self._triples.streams_so_far().items():
            for text in self._rules_of_events(endpoint):
                used[text] += raw.pairs
        return used

    # What the relay tells of the dark side.

    def kept_of(self, request_id: str) -> int:
        """How much of the dark answer's body is kept."""
        return 0 if self._triples.get(request_id) is None else self._compare.body_bytes

    def dark_answered(self, request_id: str, reply: Reply) -> None:
        """The dark answer is there."""
        self._triples.answered(request_id, DARK, _answer(reply), time.monotonic())

    def dark_streams(self, request_id: str, status: int, now: float) -> None:
        """The dark answer is a stream, and held."""
        self._triples.answered(request_id, DARK, Answer(status=status, content_type=STREAM_TYPE), now, held=True)

    def dark_events(self, request_id: str, events: list[ServerEvent]) -> None:
        """The dark stream brought events."""
        self._triples.events(request_id, DARK, events, time.monotonic())

    def dark_failed(self, request_id: str) -> None:
        """The copy goes no further."""
        self._triples.leave(request_id, triples.DARK_FAILED)

    # What the way to the secondary tells, of copies whose names have a leg at their end.

    def wanted(self, request_id: str) -> bool:
        """Whether an answer is still of use."""
        whose, leg = _whose(request_id)
        return leg == _TRIAL or self._triples.get(whose) is not None

    def ended(self, request_id: str) -> bool:  # noqa: ARG002 - the comparison ends streams itself
        """Whether production has ended the request."""
        return False

    def streaming(self, request_id: str) -> None:
        """A copy became a stream."""

    def replied(self, request_id: str, dark: Side, now: float) -> None:
        """The secondary has answered; what it answered with has been told before, unless it is a stream."""
        if self._legs.holds(request_id):
            whose, leg = _whose(request_id)
            if leg == _TRIAL or self._triples.get(whose) is None:
                self._no_longer(whose)
                return
            answer = Answer(status=dark.status, content_type=STREAM_TYPE)
            self._triples.answered(whose, leg, answer, now, held=True)

    def failed(self, request_id: str, reason: str) -> None:
        """The secondary has not answered."""
        self.failures[reason.removeprefix("dark_")] += 1
        self._triples.leave(_whose(request_id)[0], triples.SECONDARY)

    def events(self, request_id: str, events: list[ServerEvent]) -> None:
        """A stream of the secondary brought events."""
        whose, leg = _whose(request_id)
        self._triples.events(whose, leg, events, time.monotonic())

    def lasting(self, request_id: str) -> None:
        """A comparison waits for no leg that takes long, whatever its original does."""

    def body_bytes(self, request_id: str) -> int:  # noqa: ARG002 - of every one
        """How much of the answer's body is kept."""
        return self._compare.body_bytes

    def answered(self, request_id: str, reply: Reply) -> None:
        """The secondary's answer is there."""
        whose, leg = _whose(request_id)
        self._triples.answered(whose, leg, _answer(reply), time.monotonic())

    def _all_held(self, request_id: str) -> bool:
        return self._dark_held(request_id) and all(self._legs.holds(_name(request_id, leg)) for leg in (TODAY, AGAIN))

    def _no_longer(self, request_id: str) -> None:
        # Not at once: who says so may stand in the middle of the way to the secondary.
        self._released.append(request_id)

    def _release(self, now: float) -> None:
        released, self._released = self._released, []
        for request_id in released:
            for leg in (TODAY, AGAIN, _TRIAL):
                self._legs.end(_name(request_id, leg), now, aborted=True)


def _name(request_id: str, leg: str) -> str:
    return f"{request_id}/{leg}"


def _whose(name: str) -> tuple[str, str]:
    request_id, _, leg = name.rpartition("/")
    return request_id, leg


def _answer(reply: Reply) -> Answer:
    headers: dict[bytes, bytes] = {}
    for name, value in reply.headers:
        headers.setdefault(name, value)
    content_type = plain_type(headers.get(b"content-type", b"").decode("latin-1"))
    if content_type == STREAM_TYPE:  # it ended at once: its events have ids and times of their own
        return Answer(status=reply.status, content_type=content_type)
    return Answer(
        status=reply.status,
        content_type=content_type,
        coding=headers.get(b"content-encoding", b"").decode("latin-1").strip().lower(),
        body=reply.body,
        length=reply.length,
    )
