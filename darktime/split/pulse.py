"""Whether a relay's loop still turns, from the heartbeat in its state. Pure; times are the monotonic clock's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# A turn takes milliseconds, the state is written twice a second. A busy machine may hold both up for a second or two.
SILENT_S: Final = 5.0


def silence(name: str, state: Mapping[str, Any], now: float) -> str:
    """The sentence that says since when a relay's loop stands still; empty while it turns, or where the state is silent on it."""
    turned = turned_at(state)
    if turned is None or now - turned <= SILENT_S:
        return ""
    calling = state["loop"].get("calling")
    function = (state.get("transform") or {}).get("function")
    where = "" if calling is None else f", as long in a call of {function}"
    return f"{name} hangs: its loop has not turned for {now - turned:.0f} s{where}"


def turned_at(state: Mapping[str, Any]) -> float | None:
    """When the loop turned last; None of a relay that does not say."""
    loop = state.get("loop")
    return None if loop is None else float(loop["turned"])
