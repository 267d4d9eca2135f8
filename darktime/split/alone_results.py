"""What a relay that stood alone leaves behind: its results, from the state of its end. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darktime import __version__
from darktime.errors import ExitCode
from darktime.split.relay.reasons import IN_FLIGHT
from darktime.split.way import instances_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime


def alone_results(
    state: Mapping[str, Any],
    asked: Mapping[str, Any],
    *,
    began: datetime,
    ended: datetime,
    why: str,
    hung: bool = False,
    ramps: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The results file. There is no verdict in it: nothing was compared, and it says so.

    ``hung``: its loop did not end, so that what was on its way is closed here. ``ramps``: every percentage that stood,
    the first one too; ``percent`` is the last of them at which somebody was in.
    """
    reasons = {reason: count for reason, count in state["reasons"].items() if count}
    if state["waiting"]:
        reasons[IN_FLIGHT] = reasons.get(IN_FLIGHT, 0) + state["waiting"]
    return {
        "schema_version": 1,
        "kind": "relay",
        "started": began.isoformat(timespec="seconds"),
        "finished": ended.isoformat(timespec="seconds"),
        "duration_s": round((ended - began).total_seconds(), 1),
        "version": __version__,
        "command": f"darktime relay --percent {asked['percent']:g}",
        "experiment": asked["experiment"],
        "percent": next((one["to"] for one in reversed(ramps) if one["to"]), asked["percent"]),
        "ramps": [dict(one) for one in ramps],
        "listen": asked["listen"],
        "dark": asked["dark"],
        "requests": {"seen": state["requests"], "outside": state["outside"], "marked": state["marked"]},
        "users": {"sampled": len(state["users"]), "at_least": bool(state["users_forgotten"])},
        "copies": {"received": state["received"], "answered": state["answered"], "reasons": reasons},
        "statuses": dict(state["statuses"]),
        "latency": dict(state["latency"]),
        "spectrum": [list(one) for one in state["spectrum"]],
        "instances": instances_of(state),
        "streams_cut": state["streams_cut"],
        "events": state["events"],
        **({"transform": state["transform"]} if "transform" in state else {}),
        "note": state["note"],
        "ended": why,
        "exit_code": int(ExitCode.ERROR if hung else ExitCode.OK),
    }
