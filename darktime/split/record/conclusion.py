"""The end of a recording: what was kept, what was not and why. Nothing was compared, so there is no verdict. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from darktime.errors import ExitCode
from darktime.split.results import hop_record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from realtime_core.ledger import HopBalance

_ON_PURPOSE: Final = "it has "  # how a limit that was asked for begins to say so
HOPS: Final = frozenset({"mirror>relay", "relay>recorded"})


def conclude(
    state: Mapping[str, Any], balances: Sequence[HopBalance], incidents: Sequence[str], *, nginx_died: bool
) -> dict[str, Any]:
    """Copies, recording, ledger and how it ended.

    ``state``: the relay's. Whole (0), or a part of what was sampled is missing (3): something died, the disk was full,
    or the ledger names copies that never came. A limit that was asked for is no fault.
    """
    recording = state.get("recording") or {}
    stopped = recording.get("stopped")
    reasons, still_open = list(incidents), state.get("waiting", 0)
    if stopped and not stopped.startswith(_ON_PURPOSE):
        reasons.append(f"nothing was recorded from some moment on: {stopped}")
    reasons += [
        f"{one.hop}: {len(one.missing):,} missing, {len(one.extra):,} too many"
        for one in balances
        if one.hop in HOPS and not accounted(one, still_open)
    ]
    code = ExitCode.ERROR if nginx_died else ExitCode.FAILED if reasons else ExitCode.OK
    return {
        "copies": {
            "offered": state.get("offered", 0),
            "received": state.get("received", 0),
            "recorded": state.get("recorded", 0),
            "open": still_open,
            "streams": state.get("streams", 0),
            "duplicates": state.get("duplicates", 0),
            "reasons": {reason: times for reason, times in state.get("reasons", {}).items() if times},
            "never_came": {reason: times for reason, times in state.get("mirror_reasons", {}).items() if times},
        },
        "recording": {
            "file": recording.get("file", ""),
            "requests": recording.get("requests", 0),
            "answers": recording.get("answers", 0),
            "answers_given_up": recording.get("answers_given_up", 0),
            "bytes": recording.get("bytes", 0),
            "left_out": recording.get("left_out", 0),
            "headers_left_out": recording.get("headers_left_out", 0),
            "stopped": stopped,
        },
        "ledger": [hop_record(one) | {"accounted": accounted(one, still_open)} for one in balances],
        "outcome": "partial" if reasons else "whole",
        "reasons": reasons,
        "exit_code": int(code),
    }


def accounted(hop: HopBalance, still_open: int) -> bool:
    """Whether a hop lacks nothing: it balances, or by so many copies as production has not ended yet (streams, mostly).

    Those have come, and count as sent only when production's line says so.
    """
    arrived = hop.received + sum(hop.explained.values())
    return hop.balanced or (not hop.missing and arrived - hop.sent == still_open > 0)
