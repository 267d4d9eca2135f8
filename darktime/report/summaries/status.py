"""How a running split stands, as lines of text for a terminal. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darktime.report import figures as fig
from darktime.report.draw_block import sampled
from darktime.report.lines import MAX_COLUMNS, row, wrapped

if TYPE_CHECKING:
    from collections.abc import Mapping


def tell(status: Mapping[str, Any], width: int = MAX_COLUMNS) -> list[str]:
    """At most two dozen lines of at most ``width`` columns."""
    copies = status["copies"]
    on_the_way = copies["waiting"] + copies["in_flight"]
    lines = [
        row("SPLIT", status["experiment"], _mirroring(status)),
        *_hosts(status["hosts"]),
        *_traffic(status),
        row(
            "COPIES",
            f"{fig.count(copies['offered'])} offered",
            f"{fig.count(copies['received'])} received",
            f"{fig.count(copies['compared'])} compared",
            f"{fig.count(on_the_way)} on their way" if on_the_way else "",
        ),
        *(row("", f"{fig.count(count):>8} {reason}") for reason, count in _most(copies["reasons"])),
        *_ledger(status.get("ledger")),
        row("STREAMS", f"{fig.count(status['streams'])} held") if status["streams"] else "",
        row("BREAKER", f"open: {status['breaker']}") if status["breaker"] else "",
        *_pairs_file(status.get("pairs_file")),
        *_latency(status["latency"]),
        *_verdict(status["verdict"]),
        *_watched(status),
    ]
    return [fig.clipped(line, width).rstrip() for line in lines if line]


def _mirroring(status: Mapping[str, Any]) -> str:
    most = f"of users, at most {fig.percent(status['max_percent'])}"
    if status["killed"]:
        return "KILLED: nothing is mirrored until 'darktime kill --resume'"
    if not status["leased"]:
        return "NO LEASE: nothing is mirrored; its time is over, or its agent is not alive"
    return f"mirrors {fig.percent(status['percent'])} {most}"


def _hosts(hosts: list[str] | None) -> list[str]:
    if hosts is None:
        return [row("HOSTS", "the Redis of the experiment does not answer: it stays as it is until its time is over")]
    return [row("HOSTS", ", ".join(hosts))] if len(hosts) > 1 else []


def _traffic(status: Mapping[str, Any]) -> list[str]:
    traffic = status["traffic"]
    if traffic is None:
        return [row("TRAFFIC", "none was seen yet")]
    share = traffic["keyed_share"]
    users = sampled({"sampled": status["users"], "at_least": status.get("users_at_least")})
    keyed = "" if share is None else f"{share:.0%} carry the key"
    return [row("TRAFFIC", f"about {fig.count(traffic['requests'])} requests", keyed, f"{users} users sampled")]


def _most(reasons: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:6]


def _ledger(ledger: Mapping[str, Any] | None) -> list[str]:
    if ledger is None or not ledger["hops"]:
        return []
    lines = [
        row(
            "" if at else "LEDGER",
            hop["hop"],
            f"{fig.count(hop['sent'])} sent",
            f"{fig.count(hop['received'])} received",
            f"{fig.count(hop['explained'])} explained" if hop["explained"] else "",
            _differences(hop),
        )
        for at, hop in enumerate(ledger["hops"])
    ]
    held = ledger["held"]
    if held and any(hop["residual"] for hop in ledger["hops"]):
        lines.append(
            row("", f"{fig.count(held)} streams or long replies are held: what is on its way is in one hop only")
        )
    return lines


def _differences(hop: Mapping[str, Any]) -> str:
    parts = [f"{fig.count(hop[what])} {what}" for what in ("missing", "extra", "undecoded") if hop[what]]
    return ", ".join(parts) or ("balanced" if hop["balanced"] else "a reason is unknown")


def _pairs_file(room: Mapping[str, Any] | None) -> list[str]:
    if room is None:
        return []
    lasts = (
        "" if room["lasts_s"] is None else f"lasts {fig.duration(room['lasts_s'])} more at this rate, then the run ends"
    )
    return [row("PAIRS", f"{fig.size(room['written_bytes'])} of {fig.size(room['limit_bytes'])}", lasts)]


def _latency(latency: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = []
    for at, side in enumerate(("production", "dark")):
        seen = latency[side]
        figures = " ".join(f"{name} {fig.ms(seen[f'{name}_ms']):<9}" for name in ("p50", "p95", "p99"))
        lines.append(row("" if at else "LATENCY", f"{side:<10} {figures} of the last {fig.count(seen['pairs'])} pairs"))
    return lines


def _verdict(verdict: Mapping[str, Any] | None) -> list[str]:
    if verdict is None:
        return [row("SO FAR", "nothing was compared yet")]
    why = verdict["needs"] if verdict["outcome"] == "WAIT" and verdict["needs"] else "; ".join(verdict["reasons"])
    return wrapped("SO FAR", f"{verdict['outcome']}: {why}")


def _watched(status: Mapping[str, Any]) -> list[str]:
    relays, hung = status.get("relays", ()), status.get("relays_hung", ())
    if hung:
        return [line for said in hung for line in wrapped("RELAY", said)]
    quiet = [one["name"] for one in relays if not one["alive"]]
    if quiet:
        said = f"{', '.join(quiet)} of {len(relays)}: dead, or silent for some seconds; copies of its users are not compared"
        return wrapped("RELAYS", said)
    return [] if status["relay_alive"] else [row("RELAY", "it has written nothing for some seconds: it may be dead")]
