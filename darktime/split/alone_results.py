"""What a relay that stood alone leaves behind: its results, from the state of its end. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from darktime import __version__
from darktime.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

_MOST_RAMPS: Final = 12


def transform_line(told: Mapping[str, Any]) -> str:
    """What a function did with the copies, and how long it took."""
    done = ", ".join(f"{told[what]:,} {what}" for what in ("rewritten", "dropped", "failed"))
    p99 = 0.0 if told["p99_ms"] is None else told["p99_ms"]
    took = f"p99 {p99:,.3f} ms, at most {told['max_ms']:,.3f} ms"
    slow = f"; {told['slow']:,} beyond 10 ms, and the relay stood still meanwhile" if told["slow"] else ""
    return f"{told['function']}: of {told['called']:,} copies {done}; {took}{slow}"


def alone_results(
    state: Mapping[str, Any],
    asked: Mapping[str, Any],
    *,
    began: datetime,
    ended: datetime,
    why: str,
    ramps: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The results file. There is no verdict in it: nothing was compared, and it says so.

    ``ramps``: every percentage that stood, the first one too; ``percent`` is the last of them at which somebody was in.
    """
    reasons = {reason: count for reason, count in state["reasons"].items() if count}
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
        "users": {"sampled": len(state["users"])},
        "copies": {"received": state["received"], "answered": state["answered"], "reasons": reasons},
        "statuses": dict(state["statuses"]),
        "latency": dict(state["latency"]),
        "events": state["events"],
        **({"transform": state["transform"]} if "transform" in state else {}),
        "note": state["note"],
        "ended": why,
        "exit_code": int(ExitCode.OK),
    }


def summary(results: Mapping[str, Any]) -> list[str]:
    """A few lines for a terminal."""
    copies, requests, times = results["copies"], results["requests"], results["latency"]
    stood = " → ".join(f"{one['to']:g}" for one in results["ramps"][-_MOST_RAMPS:])
    left = ", ".join(f"{reason} {count:,}" for reason, count in sorted(copies["reasons"].items())) or "none"
    told = ", ".join(f"{status}: {count:,}" for status, count in results["statuses"].items()) or "none"
    spread = ", ".join(f"p{at} {times[f'p{at}_ms']:,.1f} ms" for at in (50, 95, 99) if times[f"p{at}_ms"] is not None)
    return [
        f"requests  {requests['seen']:,}; not sampled {requests['outside']:,}, copies themselves {requests['marked']:,}",
        f"percent   {stood} of users",
        f"copies    {copies['received']:,} of {results['users']['sampled']:,} users; answered {copies['answered']:,}",
        f"left      {left}",
        f"statuses  {told}",
        f"dark      {spread or 'no time'}",
        *([f"transform {transform_line(results['transform'])}"] if "transform" in results else []),
        results["note"],
    ]
