"""Reading what the scripts reply. Pure."""

from __future__ import annotations

from dataclasses import fields
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Final

from realtime_core.queue.job import Claim, split_record
from realtime_core.queue.state import Audit, Counts, Failure, SeenJob, StalledJob

if TYPE_CHECKING:
    from collections.abc import Sequence

TOTAL: Final = "_total"
SPACE: Final = ord(" ")
TOTALS: Final = tuple(field.name for field in fields(Counts) if field.name.endswith(TOTAL))


def words(reply: bytes) -> tuple[str, ...]:
    """``ID ID …`` as ids."""
    return tuple(reply.decode().split())


def read_claims(reply: Sequence[Any], lease_s: float) -> list[Claim]:
    """The claims that a worker was given, in order."""
    now_ms, _, token, id_words, length_words, records, attempt_words = reply
    ids = words(id_words)
    ends = list(accumulate(map(int, length_words.split()), initial=0))
    attempts = list(map(int, attempt_words.split())) or [1] * len(ids)
    lease_until = now_ms / 1000 + lease_s
    claims = []
    for id_, (start, end), attempt in zip(ids, pairwise(ends), attempts, strict=True):
        # Without a key nothing stands before the body but the space: it is cut out once, not twice.
        if records[start] == SPACE:
            key, body = None, records[start + 1 : end]
        else:
            key, body = split_record(records[start:end])
        claims.append(Claim(id=id_, body=body, token=token, attempt=attempt, key=key, lease_until=lease_until))
    return claims


def read_counts(reply: Sequence[Any]) -> Counts:
    """The numbers in an audit's reply."""
    available, delayed, claimed, stalled, channels, turns, busy, retrying, flat = reply[:9]
    counted = {name.decode(): int(value) for name, value in zip(flat[::2], flat[1::2], strict=True)}
    totals = {name: counted.get(name.removesuffix(TOTAL), 0) for name in TOTALS}
    return Counts(
        available=available,
        delayed=delayed,
        claimed=claimed,
        stalled=stalled,
        channels=channels,
        keys_in_turn=turns,
        keys_claimed=busy,
        retrying=retrying,
        **totals,
    )


def read_audit(reply: Sequence[Any]) -> Audit:
    """An audit's whole reply."""
    lost, phantom, double, left_behind, stuck, crossed = (
        tuple(sorted(id_.decode() for id_ in ids)) for ids in reply[10:16]
    )
    return Audit(
        counts=read_counts(reply),
        complete=reply[9] == 1,
        lost=lost,
        phantom=phantom,
        double=double,
        left_behind=left_behind,
        stuck=stuck,
        crossed=crossed,
    )


def read_stalled(id_: bytes, line: bytes, history: bytes | None) -> StalledJob:
    """One entry of the stalled jobs, and what ended its attempts."""
    at_ms, attempts, worker, place, reason = line.decode(errors="replace").split(" ", 4)
    return StalledJob(
        id=id_.decode(),
        at=int(at_ms) / 1000,
        attempts=int(attempts),
        worker=worker,
        key=place.partition(":")[2] or None,
        reason=reason,
        history=tuple(map(_failure, history.decode(errors="replace").split("\n"))) if history else (),
    )


def _failure(line: str) -> Failure:
    at_ms, attempt, worker, reason = line.split(" ", 3)
    return Failure(at=int(at_ms) / 1000, attempt=int(attempt), worker=worker, reason=reason)


def read_seen(line: Sequence[Any]) -> SeenJob:
    """One job that was looked at."""
    id_, key, state, until_ms, worker, attempts, record_bytes = line
    return SeenJob(
        id=id_.decode(),
        key=_or_none(key),
        state=state.decode(),
        until=float(until_ms) / 1000 or None,
        worker=_or_none(worker),
        attempts=attempts,
        body_bytes=max(0, record_bytes - 1),
    )


def _or_none(word: bytes) -> str | None:
    return None if word == b"/" else word.decode()
