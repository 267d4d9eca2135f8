"""What a demo run found, held against what was injected. Pure: values in, checks out."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from darktime.split.verdict import Verdict
    from realtime_core.ledger import HopBalance

FAULT_HOP = "pipeline>dark"
NAIVE_AT_LEAST = 10.0  # the naive mirror must be this many times slower than ours, or the opening showed nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that must be so at the end; ``detail`` says what was seen."""

    what: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What the ledger names at the faulty hop, and whether that is exactly what was injected there."""

    missing: tuple[str, ...]
    extra: tuple[str, ...]
    exact: bool


def named(balances: Iterable[HopBalance], deeds: Mapping[str, Sequence[str]]) -> Named:
    """Hold the ledger's names against the proxy's deeds; ``deeds`` has the lists ``lost`` and ``doubled``."""
    missing: Counter[str] = Counter()
    extra: Counter[str] = Counter()
    undecoded = 0
    for balance in balances:
        if balance.hop != FAULT_HOP:
            continue
        undecoded += balance.undecoded
        for item in balance.missing:
            missing[item.id or f"#{item.key:x}"] += item.times
        for item in balance.extra:
            extra[item.id or f"#{item.key:x}"] += item.times
    exact = not undecoded and missing == Counter(deeds["lost"]) and extra == Counter(deeds["doubled"])
    return Named(missing=tuple(sorted(missing)), extra=tuple(sorted(extra)), exact=exact)


def unbalanced(balances: Iterable[HopBalance], *, besides: Sequence[str] = ()) -> list[str]:
    """The hops that do not balance, in words, besides those that are meant not to."""
    return [
        f"{balance.hop}: {len(balance.missing)} missing, {len(balance.extra)} extra, {balance.undecoded} undecoded"
        for balance in balances
        if not balance.balanced and balance.hop not in besides
    ]


def check_opening(naive_ms: float, ours_ms: float) -> Check:
    """The reason, measured: the second request on the same connection while the dark instance hangs."""
    return Check(
        what="a hung dark instance delays production behind a naive mirror, and not behind ours",
        ok=naive_ms >= NAIVE_AT_LEAST * ours_ms,
        detail=f"second request on the same connection: {naive_ms:,.0f} ms naive, {ours_ms:.1f} ms ours",
    )


def idle(balances: Iterable[HopBalance], expected: Iterable[str]) -> list[str]:
    """The hops over which nothing went: what balances at nothing has shown nothing."""
    sent = {balance.hop: balance.sent for balance in balances}
    return [f"{hop}: nothing was sent" for hop in expected if not sent.get(hop)]


def check_phase(
    name: str, balances: Sequence[HopBalance], verdict: Verdict, found: Named | None, *, hops: Sequence[str]
) -> list[Check]:
    """The clean phase balances and is not a NO-GO; the faulty one is, with exactly the injected ids.

    ``hops``: those over which something must have gone.
    """
    outcome = verdict.outcome
    said = f"{outcome}: {'; '.join(verdict.reasons)}"
    nothing = idle(balances, hops)
    if found is None:
        off = nothing + unbalanced(balances)
        return [
            Check(
                what=f"{name}: every hop balances", ok=not off, detail="; ".join(off) or f"{len(balances)} hops at 0"
            ),
            Check(what=f"{name}: the verdict is GO or WAIT", ok=outcome in {"GO", "WAIT"}, detail=said),
        ]
    off = nothing + unbalanced(balances, besides=[FAULT_HOP])
    count = f"{len(found.missing)} lost, {len(found.extra)} doubled"
    injected = bool(found.missing or found.extra)
    return [
        Check(what=f"{name}: the ledger names exactly the injected ids", ok=found.exact and injected, detail=count),
        Check(what=f"{name}: every other hop balances", ok=not off, detail="; ".join(off) or "all at 0"),
        Check(what=f"{name}: the verdict is NO-GO", ok=outcome == "NO-GO", detail=said),
    ]


def check_users(seen: Iterable[str], copied: Iterable[str], expected: Iterable[str]) -> Check:
    """The users of whom copies came are exactly those that the Python function samples."""
    seen, copied, expected = set(seen), set(copied), set(expected)
    return Check(
        what="nginx sampled exactly the users that the function names",
        ok=copied == expected and bool(expected),
        detail=f"{len(copied)} of {len(seen)} users; {len(copied ^ expected)} differ",
    )


def check_copies(copies: Mapping[str, Any]) -> Check:
    """There were copies, and every one was compared, or left with a reason."""
    left = sum(copies["reasons"].values())
    return Check(
        what="every copy was compared or has a reason",
        ok=0 < copies["offered"] == copies["received"] == copies["compared"] + left
        and "unknown" not in copies["reasons"],
        detail=f"{copies['offered']} offered, {copies['received']} received, {copies['compared']} compared, {left} with a reason",
    )


def check_copies_way(balances: Sequence[HopBalance], hops: Sequence[str], *, relay_lost: bool) -> Check:
    """The hops of the copies balance, with something on them. A relay that died counted nothing afterwards."""
    off = idle(balances, hops) + unbalanced(balances)
    if relay_lost:
        off.insert(0, f"{hops[0]}: the relay died, and copies from then on went to nginx's sink")
    return Check(what="the copies' way balances", ok=not off, detail="; ".join(off) or "every copy accounted for")


def check_production(requests: int, errors: int, broken: int, samples: Sequence[str]) -> Check:
    """There were requests, none of production's failed, and no stream broke."""
    return Check(
        what="no production request failed, no production stream broke",
        ok=requests > 0 and not errors and not broken,
        detail=f"{errors} of {requests:,} failed, {broken} broken" + (f" ({samples[0]})" if samples else ""),
    )


def check_once(served: Mapping[str, float], asked: Mapping[str, int]) -> Check:
    """Production's own counters saw each of the visitors' requests exactly once; by route."""
    return Check(
        what="production saw every request exactly once",
        ok=bool(asked) and all(served.get(route, 0) == count for route, count in asked.items()),
        detail=", ".join(f"{route} {served.get(route, 0):,.0f} of {count:,}" for route, count in sorted(asked.items())),
    )


def records(checks: Iterable[Check]) -> list[dict[str, Any]]:
    """The checks as the results file holds them."""
    return [asdict(check) for check in checks]
