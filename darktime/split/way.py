"""The copies' way, hop by hop, as a run's results keep it: what left where and why, what is still on it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_OF_AN_INSTANCE: Final = ("submitted", "answered", "streams_cut", "breaker_trips")
_MOST_SAID: Final = 200


def way_of(relay: Mapping[str, Any]) -> dict[str, Any]:
    """The way from the relay's state.

    offered = never_came + received, but for the ``open``: requests that either side has not ended yet, ``streams`` of
    them held. received = reasons + compared + recorded, but for those. ``duplicates`` came a second time and went no further.
    """
    return {
        "offered": relay.get("offered", 0),
        "never_came": _counted(relay.get("mirror_reasons", {})),
        "received": relay.get("received", 0),
        "duplicates": relay.get("duplicates", 0),
        "reasons": _counted(relay.get("reasons", {})),
        "compared": relay.get("compared", 0),
        "recorded": relay.get("recorded", 0),
        "open": relay.get("waiting", 0),
        "streams": relay.get("streams", 0),
        "instances": instances_of(relay),
    }


def instances_of(relay: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each dark instance was sent, and what became of it; none where copies go nowhere."""
    return [
        {
            "dark": str(one["dark"]),
            **{name: one[name] for name in _OF_AN_INSTANCE},
            "failures": _counted(one["failures"]),
            "breaker": one["breaker"],
            "last_error": str(one["last_error"])[:_MOST_SAID],
        }
        for one in relay.get("instances", ())
    ]


def _counted(reasons: Mapping[str, int]) -> dict[str, int]:
    return {reason: times for reason, times in reasons.items() if times}
