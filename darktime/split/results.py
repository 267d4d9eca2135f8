"""What a split's results hold of pairs, copies, hops and the verdict. Pure; the demo's phases use the same."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from darktime.split.compare import FieldFinding
from darktime.split.compare.field_bounds import at, field_bounds
from darktime.split.compare.field_table import FALSE_ALARM
from darktime.split.verdict.looks import alpha

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from darktime.split.compare import Pair
    from darktime.split.verdict import Verdict
    from realtime_core.ledger import HopBalance

_BOUNDS: Final = ("raw_low", "noise_high")  # that results have beside a finding


def percentiles_ms(seconds: Iterable[float]) -> dict[str, float | int | None]:
    """p50, p95 and p99 in milliseconds, and of how many."""
    ordered = sorted(seconds)
    figures: dict[str, float | int | None] = {
        f"p{share}_ms": ordered[min(len(ordered) - 1, len(ordered) * share // 100)] * 1000 if ordered else None
        for share in (50, 95, 99)
    }
    return figures | {"pairs": len(ordered)}


def latency_of(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Both sides' percentiles over some pairs."""
    return {
        "production": percentiles_ms(pair.production.seconds for pair in pairs),
        "dark": percentiles_ms(pair.dark.seconds for pair in pairs),
    }


def pair_lines(text: str) -> list[dict[str, Any]]:
    """The pairs in a part of the relay's file; a line that is still being written is left for the next reading."""
    whole, newline, _ = text.rpartition("\n")
    found = []
    for line in whole.split("\n") if newline else ():
        try:
            found.append(json.loads(line))
        except ValueError:  # what a full disk left of one
            continue
    return found


def copies_of(relay: Mapping[str, Any]) -> dict[str, Any]:
    """What became of the copies, from the relay's state."""
    return {
        "offered": relay.get("offered", 0),
        "received": relay.get("received", 0),
        "compared": relay.get("compared", 0),
        "reasons": {reason: count for reason, count in relay.get("reasons", {}).items() if count},
    }


def findings_of(told: Mapping[str, Any], look: int = 1) -> list[FieldFinding]:
    """The fields in which answers differed, from the relay's state or from results; none where nothing was compared by content.

    What is reported is so at the look-th look at them. Raises UsageError for a look before the first.
    """
    looked_at, spent = _looked_at(told), alpha(1 - FALSE_ALARM, look)
    found = (
        {name: value for name, value in record.items() if name not in _BOUNDS} for record in told.get("fields", ())
    )
    return [at(FieldFinding.from_dict(record), looked_at, spent) for record in found]


def comparison_of(relay: Mapping[str, Any], look: int = 1) -> dict[str, Any]:
    """What the comparison by content came to, as the results file holds it. ``look``: the verdict's."""
    looked_at, spent = _looked_at(relay), alpha(1 - FALSE_ALARM, look)
    return {
        "fields": [{**one.to_dict(), **field_bounds(one, looked_at, spent)} for one in findings_of(relay, look)],
        "stream_pairs": relay.get("stream_pairs", []),
        "comparison": relay.get("comparison"),
    }


def _looked_at(told: Mapping[str, Any]) -> int:
    looked_at: int = (told.get("comparison") or {}).get("looked_at", 0)
    return looked_at


def settled(relay: Mapping[str, Any]) -> bool:
    """Whether every copy that was offered has come, and was compared (or recorded), or has left with a reason; bodies too.

    Of several relays those that are alive.
    """
    if "relays" in relay:
        return all(one["settled"] for one in relay["relays"] if one["alive"])
    out = sum(relay.get("reasons", {}).values())
    through = relay.get("compared", 0) + relay.get("recorded", 0)
    fields = relay.get("comparison")
    told = fields is None or (not fields["open"] and fields["told"] == fields["compared"])
    came = relay.get("offered", 0) - sum(
        relay.get("mirror_reasons", {}).values()
    )  # but what the sink, or its client, ended
    return bool(told and came == relay.get("received", 0) == through + out)


def hop_record(balance: HopBalance) -> dict[str, Any]:
    """A hop as the results file holds it."""
    return {
        "hop": balance.hop,
        "sent": balance.sent,
        "received": balance.received,
        "explained": dict(balance.explained),
        "missing": [{"id": item.id or f"#{item.key:x}", "times": item.times} for item in balance.missing],
        "extra": [{"id": item.id or f"#{item.key:x}", "times": item.times} for item in balance.extra],
        "undecoded": balance.undecoded,
        "open_owners": list(balance.open_owners),
        "balanced": balance.balanced,
    }


def verdict_record(verdict: Verdict) -> dict[str, Any]:
    """A verdict as the results file holds it."""
    return {"outcome": verdict.outcome, "reasons": list(verdict.reasons), "needs": verdict.needs}


def tempered(verdict: Verdict, incidents: Sequence[str]) -> Verdict:
    """The verdict of a run in which something of ours died: never GO, and it says what died first."""
    if not incidents:
        return verdict
    if verdict.outcome == "GO":
        verdict = replace(verdict, outcome="WAIT", needs="a run in which nothing of darktime's dies")
    return replace(verdict, reasons=(*incidents, *verdict.reasons))


def harmed(verdict: Verdict, watched: Mapping[str, Any] | None) -> Verdict:
    """The verdict of a run in which production served the sampled worse than the others: NO-GO, and it says that first."""
    if not watched or watched["harmed"] is not True:
        return verdict
    return replace(verdict, outcome="NO-GO", reasons=(str(watched["sentence"]), *verdict.reasons), needs=None)
