"""The ledger's part in a verdict: whatever it cannot explain is against, and its reasons say how the dark instance failed. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from darktime.split.verdict.inputs import Hop
    from darktime.split.verdict.outcome import Findings

DARK_FAILURES: Final = ("dark_refused", "dark_timeout", "dark_reset")
_MOST_NAMES: Final = 10


def judge_ledger(hops: Sequence[Hop], findings: Findings) -> None:
    """Every residual that no reason explains speaks against, by its name."""
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


def dark_failures(hops: Sequence[Hop], compared_hop: str) -> dict[str, int]:
    """How often the dark instance gave no answer, by the reason."""
    found = {
        reason: sum(hop.explained.get(reason, 0) for hop in hops if hop.hop == compared_hop) for reason in DARK_FAILURES
    }
    return {reason: count for reason, count in found.items() if count}
