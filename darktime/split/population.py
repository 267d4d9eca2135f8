"""Who asks production, copied or not: how many requests carry a key, and each bucket's times and errors. Pure.

Times are counted on a logarithmic scale of five steps an octave, from a millisecond on: nginx's clock has no finer ones.
Everything is a sum, so that what came between two moments is the difference of what had come by then.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Self

from darktime.split.log_format import CLIENT_CLOSED, KEYED, LogLine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from darktime.split.log_format import OtherLine

STEPS: Final = 5
LONGEST_STEP: Final = 100  # beyond a quarter of an hour
ERROR_FROM: Final = 500
_STREAM: Final = "text/event-stream"
_UPGRADED: Final = 101


@lru_cache(maxsize=4096)  # nginx tells whole milliseconds: the same few times come again and again
def step_of(seconds: float) -> int:
    """The step in which a time lies: 0 below a millisecond."""
    ms = seconds * 1000
    return 0 if ms < 1 else min(1 + int(STEPS * math.log2(ms)), LONGEST_STEP)


def ms_of(step: int) -> float:
    """The milliseconds at which a step ends."""
    return float(2 ** (step / STEPS))


@dataclass(slots=True)
class Bucket:
    """One bucket's requests. ``took``: until nginx was through with each, by step; ``up``: what production took."""

    requests: int = 0
    errors: int = 0
    took: Counter[int] = field(default_factory=Counter)
    up: Counter[int] = field(default_factory=Counter)

    def add(self, status: int, took: float, up: float) -> None:
        """One request."""
        self.requests += 1
        self.errors += status >= ERROR_FROM
        self.took[step_of(took)] += 1
        self.up[step_of(up)] += 1

    def since(self, before: Bucket) -> Bucket:
        """What has come since then."""
        return Bucket(
            requests=self.requests - before.requests,
            errors=self.errors - before.errors,
            took=self.took - before.took,
            up=self.up - before.up,
        )


class Population:
    """``keyed``: of the census, by what they carry. ``copied`` and ``others``: buckets by name.

    ``others`` are the control group's.
    """

    def __init__(self) -> None:
        self.keyed: Counter[str] = Counter(dict.fromkeys(KEYED, 0))
        self.copied: dict[str, Bucket] = {}
        self.others: dict[str, Bucket] = {}

    def add(self, line: LogLine | OtherLine) -> None:
        """Count a request.

        The times of streams, of upgrades and of what its client gave up say nothing of production, and what it was not
        asked for (a refusal, a cache's answer) may have no copy: those are in no bucket.
        """
        if isinstance(line, LogLine):
            if line.sink:
                return
            keyed, group = KEYED[0], self.copied
        else:
            keyed, group = line.keyed, self.others
        self.keyed[keyed] += line.census
        if not line.part or line.took is None or line.seconds is None:
            return
        if line.content_type == _STREAM or line.status in (CLIENT_CLOSED, _UPGRADED):
            return
        bucket = group.get(line.part)
        if bucket is None:
            bucket = group[line.part] = Bucket()
        bucket.add(line.status, line.took, line.seconds)

    def since(self, before: Population) -> Population:
        """What has come since then."""
        found = Population()
        found.keyed = Counter({name: self.keyed[name] - before.keyed[name] for name in KEYED})
        for new, now, then in (
            (found.copied, self.copied, before.copied),
            (found.others, self.others, before.others),
        ):
            new.update({name: bucket.since(then.get(name, Bucket())) for name, bucket in now.items()})
        return found

    def to_dict(self) -> dict[str, Any]:
        """A copy that JSON can hold: a bucket is a list of requests, errors and the two scales, by step (a whole number)."""
        return {
            "keyed": dict(self.keyed),
            "copied": {name: _saved(bucket) for name, bucket in self.copied.items()},
            "others": {name: _saved(bucket) for name, bucket in self.others.items()},
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """What ``to_dict`` gave."""
        found = cls()
        found.keyed.update(saved["keyed"])
        found.copied = {name: _bucket(one) for name, one in saved["copied"].items()}
        found.others = {name: _bucket(one) for name, one in saved["others"].items()}
        return found


def _saved(bucket: Bucket) -> list[Any]:
    return [bucket.requests, bucket.errors, dict(bucket.took), dict(bucket.up)]


def _bucket(saved: list[Any]) -> Bucket:
    requests, errors, took, up = saved
    scales = [Counter({int(step): count for step, count in scale.items()}) for scale in (took, up)]
    return Bucket(requests=requests, errors=errors, took=scales[0], up=scales[1])
