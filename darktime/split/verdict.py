"""The verdict: GO, NO-GO or WAIT, from pairs and the ledger. Pure; the same data always gets the same verdict.

NO-GO needs evidence of harm beyond a margin, GO evidence that there is none; everything between is WAIT, with what is
missing. Users, not requests, are drawn again in the bootstrap: one busy user's requests are no independent evidence.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from darktime.split.compare import compare

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from darktime.split.compare import Pair

Outcome = Literal["GO", "NO-GO", "WAIT"]
EXIT_CODES: Final[dict[Outcome, int]] = {"GO": 0, "NO-GO": 3, "WAIT": 5}
SERVER_ERROR: Final = 500
DARK_FAILURES: Final = ("dark_refused", "dark_timeout", "dark_reset")
_MOST_NAMES: Final = 10
_MOST_ENDPOINTS: Final = 20
_MOST_PAIRS: Final = 20_000  # an endpoint: the newest are kept


class Item(Protocol):
    """An id that does not come to zero."""

    @property
    def id(self) -> str | None: ...  # noqa: D102
    @property
    def key(self) -> int: ...  # noqa: D102


class Hop(Protocol):
    """What is asked of a ledger's hop."""

    @property
    def hop(self) -> str: ...  # noqa: D102
    @property
    def explained(self) -> Mapping[str, int]: ...  # noqa: D102
    @property
    def missing(self) -> Sequence[Item]: ...  # noqa: D102
    @property
    def extra(self) -> Sequence[Item]: ...  # noqa: D102
    @property
    def undecoded(self) -> int: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictSettings:
    """Margins and coverage.

    ``latency_ratio``: how much slower dark's p95 may be; ``latency_slack_s``: a smaller difference is the measurement's
    own (nginx's clock ticks in milliseconds, and the relay shares its machine). ``error_margin``: how much higher
    the share of errors may be. ``compared_hop``: the hop whose reasons say how the dark instance failed.
    """

    latency_ratio: float = 1.10
    latency_slack_s: float = 0.005
    error_margin: float = 0.001
    difference_margin: float = 0.001
    confidence: float = 0.95
    min_pairs: int = 200
    min_users: int = 20
    min_pairs_an_endpoint: int = 20
    resamples: int = 1000
    compared_hop: str = "relay>compared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The outcome, the sentences that say why, and what a WAIT still needs. ``figures`` is JSON-able."""

    outcome: Outcome
    reasons: tuple[str, ...]
    needs: str | None = None
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0, 3 or 5."""
        return EXIT_CODES[self.outcome]


@dataclass(slots=True)
class _Findings:
    """What speaks against, and what is not yet known."""

    against: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)


def judge(pairs: Sequence[Pair], hops: Iterable[Hop], settings: VerdictSettings | None = None) -> Verdict:
    """Judge what was compared and what the ledger says. ``hops``: every hop whose balance matters."""
    settings = settings or VerdictSettings()
    findings = _Findings()
    failures = _judge_ledger(list(hops), settings, findings)
    figures: dict[str, Any] = {"pairs": len(pairs), "users": len({pair.user for pair in pairs}), "failures": failures}
    _judge_errors(pairs, failures, settings, findings, figures)
    _judge_differences(pairs, settings, findings, figures)
    figures["endpoints"] = _judge_latency(pairs, settings, findings)
    _judge_coverage(pairs, settings, findings)
    needs = "; ".join(findings.needs) or None
    if findings.against:
        return Verdict(outcome="NO-GO", reasons=tuple(findings.against), needs=None, figures=figures)
    if findings.unsure or needs:
        return Verdict(outcome="WAIT", reasons=tuple(findings.unsure or findings.needs), needs=needs, figures=figures)
    reason = (
        f"{len(pairs):,} pairs of {figures['users']:,} users: errors, differences and latency are within margins, "
        "and every copy is accounted for"
    )
    return Verdict(outcome="GO", reasons=(reason,), figures=figures)


def _judge_ledger(hops: list[Hop], settings: VerdictSettings, findings: _Findings) -> int:
    for hop in hops:
        for items, words in ((hop.missing, "went missing"), (hop.extra, "came too often")):
            if items:
                names = ", ".join(item.id or f"#{item.key:x}" for item in items[:_MOST_NAMES])
                more = f" and {len(items) - _MOST_NAMES} more" if len(items) > _MOST_NAMES else ""
                findings.against.append(f"{hop.hop}: {len(items)} {words} with no reason: {names}{more}")
        if hop.undecoded:
            findings.against.append(f"{hop.hop}: more than {hop.undecoded} differences, too many to name")
        if hop.explained.get("unknown"):
            findings.against.append(f"{hop.hop}: {hop.explained['unknown']} left for a reason that nobody knows")
    return sum(
        hop.explained.get(reason, 0) for hop in hops for reason in DARK_FAILURES if hop.hop == settings.compared_hop
    )


def _judge_errors(
    pairs: Sequence[Pair], failures: int, settings: VerdictSettings, findings: _Findings, figures: dict[str, Any]
) -> None:
    """Discordant pairs only: where both failed, or neither, nothing speaks for or against the new code."""
    worse = failures + sum(1 for pair in pairs if _bad(pair.dark.status) and not _bad(pair.production.status))
    better = sum(1 for pair in pairs if _bad(pair.production.status) and not _bad(pair.dark.status))
    count = len(pairs) + failures
    worse_low, worse_high = wilson(worse, count, settings.confidence)
    better_low, better_high = wilson(better, count, settings.confidence)
    low, high = worse_low - better_high, worse_high - better_low
    figures["errors"] = {"worse": worse, "better": better, "low": low, "high": high}
    if not count:
        return
    if low > settings.error_margin:
        findings.against.append(
            f"{worse:,} of {count:,} requests failed on the dark side only ({failures:,} of them without an answer): "
            f"{low:.2%} more errors at least, {settings.error_margin:.2%} may be"
        )
    elif high > settings.error_margin:
        # Even when none fails, a bound of 0.1 % needs some thousands.
        findings.unsure.append(
            f"{worse:,} of {count:,} requests failed on the dark side only: {high:.2%} more errors at most"
        )
        findings.needs.append(
            f"about {_more(worse, settings.error_margin, count):,} more pairs to bound the share of errors"
        )


def _judge_differences(
    pairs: Sequence[Pair], settings: VerdictSettings, findings: _Findings, figures: dict[str, Any]
) -> None:
    """Answers that differ without being errors: 200 against 404, JSON against HTML."""
    found: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    differing = 0
    for pair in pairs:
        counts[pair.endpoint] += 1
        differences = () if _bad(pair.dark.status) or _bad(pair.production.status) else compare(pair)
        differing += bool(differences)
        for one in differences:
            found[f"{pair.endpoint}: {one.what} {one.dark or 'none'} instead of {one.production or 'none'}"] += 1
    figures["differences"] = dict(found.most_common(_MOST_ENDPOINTS))
    if not differing:
        return
    low, high = wilson(differing, len(pairs), settings.confidence)
    words = "; ".join(f"{words} ({count:,} times)" for words, count in found.most_common(3))
    if low > settings.difference_margin:
        findings.against.append(f"{differing:,} of {len(pairs):,} answers differ: {words}")
    elif high > settings.difference_margin:
        findings.unsure.append(f"{differing:,} of {len(pairs):,} answers differ, too few to say: {words}")


def _judge_latency(pairs: Sequence[Pair], settings: VerdictSettings, findings: _Findings) -> dict[str, Any]:
    """Each endpoint on its own, so that a shift of traffic between them is not taken for slowness."""
    by_endpoint: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_endpoint.setdefault(pair.endpoint, []).append(pair)
    largest = sorted(by_endpoint.items(), key=lambda item: -len(item[1]))[:_MOST_ENDPOINTS]
    judged = [(name, some[-_MOST_PAIRS:]) for name, some in largest if len(some) >= settings.min_pairs_an_endpoint]
    figures: dict[str, Any] = {}
    for endpoint, some in judged:
        # The chance of a false alarm is shared out among the endpoints.
        figure = _latency(some, settings, 1 - (1 - settings.confidence) / len(judged))
        figures[endpoint] = figure
        words = (
            f"{endpoint}: p95 {figure['dark_p95_ms']:.1f} ms dark, {figure['production_p95_ms']:.1f} ms production "
            f"({len(some):,} pairs)"
        )
        if figure["excess_low_ms"] > 0:
            findings.against.append(f"{words}: slower than {settings.latency_ratio:.2f} times production's")
        elif figure["excess_high_ms"] > 0:
            findings.unsure.append(f"{words}: may be slower than {settings.latency_ratio:.2f} times production's")
            findings.needs.append(f"about {3 * len(some):,} more pairs of {endpoint}")
    return figures


def _latency(pairs: Sequence[Pair], settings: VerdictSettings, confidence: float) -> dict[str, float]:
    import numpy as np  # noqa: PLC0415 - a command that judges nothing must not pay for it

    dark = np.array([pair.dark.seconds for pair in pairs])
    production = np.array([pair.production.seconds for pair in pairs])
    users = {user: number for number, user in enumerate(dict.fromkeys(pair.user for pair in pairs))}
    owner = np.array([users[pair.user] for pair in pairs])
    orders = [(values[order := np.argsort(values, kind="stable")], owner[order]) for values in (dark, production)]
    draw = np.random.default_rng(1)
    ones = np.ones(len(users))
    dark_p95, production_p95 = (_p95(*one, ones) for one in orders)
    excess = np.empty(settings.resamples)
    for index in range(settings.resamples):
        weights = np.bincount(draw.integers(0, len(users), len(users)), minlength=len(users)).astype(float)
        again = [_p95(*one, weights) for one in orders]
        excess[index] = again[0] - settings.latency_ratio * again[1] - settings.latency_slack_s
    tail = (1 - confidence) / 2
    low, high = np.quantile(excess, [tail, 1 - tail])
    return {
        "pairs": len(pairs),
        "dark_p95_ms": dark_p95 * 1000,
        "production_p95_ms": production_p95 * 1000,
        "excess_low_ms": float(low) * 1000,
        "excess_high_ms": float(high) * 1000,
    }


def _p95(values: NDArray[np.float64], owner: NDArray[np.int64], weights: NDArray[np.float64]) -> float:
    """The 95th percentile of sorted values, each as often as its owner was drawn."""
    reached = weights[owner].cumsum()
    return float(values[min(int(reached.searchsorted(0.95 * reached[-1])), len(values) - 1)])


def _judge_coverage(pairs: Sequence[Pair], settings: VerdictSettings, findings: _Findings) -> None:
    users = len({pair.user for pair in pairs})
    if len(pairs) < settings.min_pairs:
        findings.needs.append(
            f"{settings.min_pairs - len(pairs):,} more pairs ({len(pairs):,} of {settings.min_pairs:,})"
        )
    if users < settings.min_users:
        findings.needs.append(f"{settings.min_users - users:,} more users ({users:,} of {settings.min_users:,})")
    thin = [
        f"{endpoint} ({count:,} of {settings.min_pairs_an_endpoint:,})"
        for endpoint, count in Counter(pair.endpoint for pair in pairs).most_common(_MOST_ENDPOINTS)
        if count < settings.min_pairs_an_endpoint
    ]
    if thin:
        findings.needs.append(f"more pairs of {', '.join(thin)}")


def wilson(hits: int, count: int, confidence: float) -> tuple[float, float]:
    """The bounds of a share that was seen ``hits`` times in ``count``."""
    if not count:
        return 0.0, 1.0
    z = _z(confidence)
    share = hits / count
    middle = share + z * z / (2 * count)
    spread = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def _z(confidence: float) -> float:
    from statistics import NormalDist  # noqa: PLC0415 - it is slow to import

    return NormalDist().inv_cdf((1 + confidence) / 2)


def _more(worse: int, margin: float, count: int) -> int:
    return max(count if worse else 1, math.ceil(4 * (1 + worse) / max(margin, 1e-6)) - count)


def _bad(status: int) -> bool:
    return status >= SERVER_ERROR or status == 0
