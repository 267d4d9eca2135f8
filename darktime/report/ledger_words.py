"""What the ledger found, in words: which hops balance, and which ids went missing or came twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

UNNAMED = "(id not known)"


def names(items: Iterable[Mapping[str, Any]]) -> list[str]:
    """The ids of a hop's missing or extra items; one that is off several times says how often."""
    return [(item["id"] or UNNAMED) + (f" x{item['times']}" if item["times"] > 1 else "") for item in items]


def total(items: Iterable[Mapping[str, Any]]) -> int:
    """How many messages the items are."""
    return sum(item["times"] for item in items)


def differences(hop: Mapping[str, Any]) -> str:
    """A hop's state in a few words: ``balanced``, or what is off."""
    parts = [
        f"{number:,} {word}"
        for number, word in (
            (total(hop["missing"]), "missing"),
            (total(hop["extra"]), "extra"),
            (hop["undecoded"], "undecoded"),
        )
        if number
    ]
    return ", ".join(parts) or ("balanced" if hop["balanced"] else "not balanced")


def summary(hops: Sequence[Mapping[str, Any]]) -> str:
    """A ledger in one sentence."""
    off = [hop for hop in hops if not hop["balanced"]]
    if not hops:
        return "no hop was counted"
    if not off:
        return f"all {len(hops)} hops balance"
    return "; ".join(f"{hop['hop']}: {differences(hop)}" for hop in off)


def open_owners(hops: Iterable[Mapping[str, Any]]) -> list[str]:
    """Accounts that were never closed, each once, in order."""
    return list(dict.fromkeys(owner for hop in hops for owner in hop["open_owners"]))
