"""What a cohort does: its traffic, its plans one after the other, and what is to be found in what they counted.

A scenario file subclasses :class:`Scenario`; ``darkesttime blast --scenario NAME`` drives its plans over all workers,
plain Locust runs them in each process. Numbers stand in a .toml beside the file, one key a number, and can be named on
the command line.
"""

from __future__ import annotations

import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from darktime.blast.plan import Plan
from darktime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from darktime.blast.arrivals import Share
    from darktime.blast.cohort import Cohort
    from darktime.blast.offered import Offered
    from darktime.blast.settings import Address
    from darktime.blast.traffic import Traffic

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing a scenario is about. ``ok`` is None where nothing was promised; False ends the run in 3.

    ``metric``: what of an objective is about the same. A limit that somebody names for that (``--slo lost<1%``) is what
    counts instead; it then stands in ``judged_by``.
    """

    name: str
    value: float | None
    unit: str
    text: str
    ok: bool | None = None
    metric: str = ""
    judged_by: str = ""

    @classmethod
    def lost(cls, count: int, text: str = "", *, name: str = "lost") -> Finding:
        """That nothing may be lost, unless somebody's objective says how much may."""
        return cls(name=name, value=count, unit="deliveries", text=text, ok=not count, metric="lost")

    @property
    def failed(self) -> bool:
        """Whether a promise was not kept, and nobody said another."""
        return self.ok is False and not self.judged_by


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a worker's traffic goes, and which of the workers it is. ``run`` is in every message of the run."""

    address: Address
    run: str
    share: Share
    timeout_s: float = 5.0
    source_ips: tuple[str, ...] = ()
    connects_per_s: float | None = None  # of this worker's streams, and of its connections
    clock: Callable[[], float] = time.monotonic  # the same for all workers, where they hear each other

    def part(self, whole: int) -> int:
        """How many of ``whole`` things (connections, streams) are this worker's."""
        return whole // self.share.workers + (self.share.index < whole % self.share.workers)


class Scenario:
    """Subclass it. ``numbers`` are those of its .toml file, with what was named on the command line in their place."""

    doc: ClassVar[str] = ""  # one line for --help and reports
    listens: ClassVar[bool] = False  # whether it needs a push endpoint
    # Whether it goes on however many requests fail; otherwise an instance that answers with errors is left in peace. A
    # stream that is cut is no request.
    patient: ClassVar[bool] = False

    def __init__(self, numbers: dict[str, Any]) -> None:
        self.numbers = numbers

    def traffic(self, cohort: Cohort, place: Place) -> Traffic:
        """Make what this worker has open; nothing is connected yet."""
        raise NotImplementedError(f"{type(self).__name__} must say what its traffic is")

    def sockets(self) -> int:
        """How many sockets all workers hold at once."""
        return int(self.numbers.get("connections", 0)) + int(self.numbers.get("streams", 0))

    def plans(self) -> Sequence[Plan]:
        """What is offered, one after the other; even arrivals at ``rate`` for ``duration`` unless said otherwise."""
        rate = float(self.numbers["rate"])
        return [Plan(stage="hold", rate_per_s=rate, duration_s=float(self.numbers["duration"]), drain_s=5.0)]

    def peak_rate_per_s(self) -> float:
        """The most that its plans offer in any second; it may not be beyond ``--max-rate``."""
        return max((plan.peak_rate_per_s() for plan in self.plans()), default=0.0)

    def read(self, suffix: str, parse: Callable[[str], T]) -> T:
        """What ``parse`` makes of the file that the number ``file`` names; empty, of that beside the scenario's own.

        Raises UsageError for a file that cannot be read, and where ``parse`` raises ValueError.
        """
        return self.read_bytes(suffix, lambda raw: parse(_text(raw)))

    def read_bytes(self, suffix: str, parse: Callable[[bytes], T]) -> T:
        """The same of what need not be text."""
        own = sys.modules[type(self).__module__].__file__
        assert own is not None
        return self._read("file", parse, Path(own).with_suffix(suffix))

    def read_named(self, number: str, parse: Callable[[str], T]) -> T:
        """What ``parse`` makes of the file that the number of this name names. Raises UsageError as ``read``."""
        return self._read(number, lambda raw: parse(_text(raw)), None)

    def _read(self, number: str, parse: Callable[[bytes], T], default: Path | None) -> T:
        path = Path(self.numbers.get(number) or default or "")
        try:
            return parse(path.read_bytes())
        except OSError as error:
            raise UsageError(f"{number}={path}: {error.strerror}; name one that can be read") from error
        except ValueError as error:
            raise UsageError(f"{number}={path}: {error}") from error

    def objective(self) -> str:
        """What holds it to account where nobody says ``--slo``; empty: what holds for everybody."""
        return ""

    def act(self, action: str, traffic: Traffic) -> None:
        """Do what a plan's ``action`` names, just before the plan."""
        raise NotImplementedError(f"{type(self).__name__} knows no action {action!r}")

    def findings(self, offered: Sequence[Offered]) -> Sequence[Finding]:  # noqa: ARG002 - for subclasses
        """What it is about, from what all workers counted together, plan by plan."""
        return ()


def _text(raw: bytes) -> str:
    """As a file of text is read, whatever its lines end in."""
    return raw.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")


def numbers_beside(file: str, given: dict[str, Any]) -> dict[str, Any]:
    """The numbers of a scenario file's .toml, those of ``given`` in their place. Raises UsageError for a name unknown."""
    path = Path(file).with_suffix(".toml")
    numbers: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for name, value in given.items():
        if name not in numbers:
            known = ", ".join(sorted(numbers)) or "none"
            raise UsageError(f"{path.stem}: it has no number {name!r}; it has {known}")
        kind = type(numbers[name])
        try:
            numbers[name] = kind(value)
        except ValueError as error:
            raise UsageError(f"{path.stem}: {name}={value!r} is no {kind.__name__}") from error
    return numbers
