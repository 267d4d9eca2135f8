"""How the answers to replayed requests differ from the recorded ones. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from darktime.split.compare import Pair, Side, compare
from darktime.split.compare.endpoint import Endpoints
from darktime.split.record.course import spectrum
from darktime.split.results import percentiles_ms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from darktime.split.compare import Difference
    from darktime.split.record.lines import Answer, Recorded

UNSENT: Final = "not sent"
_SERVER_ERROR: Final = 500
_EXAMPLES: Final = 3
_CHANGES: Final = 20  # kinds of them an endpoint


class Outcome(Protocol):
    """How a replayed request ended; ``status`` 0 and a ``reason`` where no answer came."""

    @property
    def status(self) -> int: ...  # noqa: D102
    @property
    def content_type(self) -> str: ...  # noqa: D102
    @property
    def latency_s(self) -> float: ...  # noqa: D102
    @property
    def service_s(self) -> float: ...  # noqa: D102
    @property
    def reason(self) -> str: ...  # noqa: D102


def differences(answer: Answer, outcome: Outcome) -> tuple[Difference, ...]:
    """How an answer differs from the recorded one: its status, or else its type where that was recorded."""
    kind = outcome.content_type if answer.content_type is None else answer.content_type
    recorded = Side(status=answer.status, content_type=kind, length=0, seconds=0.0)
    replayed = Side(status=outcome.status, content_type=outcome.content_type, length=0, seconds=0.0)
    return compare(Pair(id="", endpoint="", user="", at=0.0, production=recorded, dark=replayed))


def is_failure(answer: Answer | None, outcome: Outcome) -> bool:
    """Whether an outcome counts against the instance: no answer, another status, or, where none is known, a 5xx."""
    if not outcome.status:
        return True
    if answer is None:
        return outcome.status >= _SERVER_ERROR
    return any(one.what == "status" for one in differences(answer, outcome))


@dataclass(slots=True)
class _Endpoint:
    requests: int = 0
    compared: int = 0
    differing: int = 0
    unanswered: int = 0
    changes: dict[tuple[str, str, str], list[str]] = field(default_factory=dict)  # examples
    times: Counter[tuple[str, str, str]] = field(default_factory=Counter)


def figures(
    requests: Sequence[Recorded], answers: Mapping[str, Answer], outcomes: Sequence[Outcome | None]
) -> dict[str, Any]:
    """What the results hold of statuses, differences and times: see replay.v1.json. Examples are ids: no path, no user."""
    statuses: dict[str, Counter[str]] = {"recorded": Counter(), "replayed": Counter()}
    unanswered: Counter[str] = Counter()
    names, endpoints = Endpoints(), dict[str, _Endpoint]()
    times: dict[str, list[float]] = {"recorded": [], "replayed": [], "service": []}
    compared = differing = failures = answered = 0
    for request, outcome in zip(requests, outcomes, strict=True):
        answer, endpoint = answers.get(request.id), endpoints.setdefault(names.of(request.target), _Endpoint())
        endpoint.requests += 1
        if answer is not None:
            statuses["recorded"][f"{answer.status // 100}xx"] += 1
            if answer.seconds is not None:
                times["recorded"].append(answer.seconds)
        if outcome is None or not outcome.status:
            unanswered[UNSENT if outcome is None else outcome.reason] += 1
            endpoint.unanswered += 1
            failures += 1
            continue
        answered += 1
        statuses["replayed"][f"{outcome.status // 100}xx"] += 1
        times["replayed"].append(outcome.latency_s)
        times["service"].append(outcome.service_s)
        failures += is_failure(answer, outcome)
        if answer is None:
            continue
        compared, endpoint.compared = compared + 1, endpoint.compared + 1
        found = differences(answer, outcome)
        differing, endpoint.differing = differing + bool(found), endpoint.differing + bool(found)
        for one in found:
            change = (one.what, one.production, one.dark)
            if change in endpoint.changes or len(endpoint.changes) < _CHANGES:
                endpoint.times[change] += 1
                examples = endpoint.changes.setdefault(change, [])
                if len(examples) < _EXAMPLES:
                    examples.append(request.id)
    return {
        "answered": answered,
        "unanswered": dict(unanswered),
        "failures": failures,
        "compared": compared,
        "differing": differing,
        "statuses": {side: dict(sorted(counts.items())) for side, counts in statuses.items()},
        "differences": [
            _told(name, one)
            for name, one in sorted(endpoints.items(), key=lambda pair: (-pair[1].differing, -pair[1].unanswered))
            if one.differing or one.unanswered
        ],
        "endpoints": len(endpoints),
        "latency": {name: _percentiles(seconds) for name, seconds in times.items()},
        "spectrum": {name: spectrum(seconds) for name, seconds in times.items()},
    }


def _told(name: str, endpoint: _Endpoint) -> dict[str, Any]:
    return {
        "endpoint": name,
        "requests": endpoint.requests,
        "compared": endpoint.compared,
        "differing": endpoint.differing,
        "unanswered": endpoint.unanswered,
        "changes": [
            {
                "what": change[0],
                "recorded": change[1],
                "replayed": change[2],
                "times": times,
                "ids": endpoint.changes[change],
            }
            for change, times in endpoint.times.most_common()
        ],
    }


def _percentiles(seconds: Sequence[float]) -> dict[str, Any]:
    told = percentiles_ms(seconds)
    told["requests"] = told.pop("pairs")
    return told
