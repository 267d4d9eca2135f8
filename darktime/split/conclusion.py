"""The end of a split: its ledger read, its pairs judged, its results put together, nothing left in a Redis of others."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from redis import RedisError

from darktime import __version__
from darktime.errors import ExitCode
from darktime.split.calibration import calibration_of, calibration_record
from darktime.split.draw import who_was_in
from darktime.split.endpoints_seen import endpoints_seen
from darktime.split.pairs_file import PairsFile
from darktime.split.results import (
    comparison_of,
    copies_of,
    findings_of,
    harmed,
    hop_record,
    latency_of,
    tempered,
    verdict_record,
)
from darktime.split.saved import JUDGED_HOPS, Judged, fields_of
from darktime.split.timeline import timeline
from darktime.split.verdict import Verdict, judge
from darktime.split.vigil import FRONT, read_state
from darktime.split.way import way_of
from realtime_core.ledger import balance, read

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from redis import Redis

    from darktime.split.lookout import Lookout
    from darktime.split.running import RunningSplit
    from darktime.split.verdict import VerdictSettings
    from darktime.split.vigil import Vigil
    from realtime_core.ledger import HopBalance


def ledger_of(client: Callable[[], Redis], name: str, vigil: Vigil) -> list[HopBalance]:
    """The balance of each hop; none, and an incident, when Redis does not answer."""
    try:
        with client() as redis:
            return balance(read(redis, name))
    except RedisError as error:
        vigil.incidents.append(f"the Redis of the ledger does not answer, so nothing is reconciled: {error}")
        return []


def marred(results: dict[str, Any], incident: str) -> dict[str, Any]:
    """Results that were ready when something of ours failed at the very end: never GO, and they say it first."""
    changed = dict(results)
    if "incidents" in results:
        changed["incidents"] = [*results["incidents"], {"at": None, "what": incident}]
    if "judged" in results:
        judged = results["judged"]
        changed["judged"] = {**judged, "incidents": [*judged["incidents"], incident]}
    if "verdict" in results:
        was = Verdict(
            outcome=results["verdict"]["outcome"],
            reasons=tuple(results["verdict"]["reasons"]),
            needs=results["verdict"]["needs"],
        )
        verdict = tempered(was, [incident])
        told = {"outcome": verdict.outcome, "reasons": list(verdict.reasons), "needs": verdict.needs}
        changed["verdict"] = {**results["verdict"], **told}
        if results["exit_code"] == was.exit_code:
            changed["exit_code"] = verdict.exit_code
    elif "outcome" in results:  # of a recording: whole, or not
        changed |= {"outcome": "partial", "reasons": [incident, *results["reasons"]]}
        changed["exit_code"] = results["exit_code"] or int(ExitCode.FAILED)
    return changed


def not_judged(state: Mapping[str, Any], pairs: Path) -> list[str]:
    """The incident that pairs are missing from their file; none where all are there. ``state``: the relay's."""
    dropped = state.get("pairs_dropped")
    return [f"{dropped:,} pairs had no room in {pairs.name} (--pairs-mb), so they are not judged"] if dropped else []


def forget(client: Callable[[], Redis], name: str) -> None:
    """Remove this run's keys. Raises RedisError."""
    with client() as redis:
        for key in redis.scan_iter(match=f"*{{{name}}}*", count=1000):
            redis.unlink(key)


def conclude(
    running: RunningSplit,
    vigil: Vigil,
    asked: Mapping[str, Any],
    *,
    began: datetime,
    balances: Sequence[HopBalance],
    watched: Lookout,
    ramps: Sequence[Mapping[str, Any]],
    settings: VerdictSettings | None = None,
    look: int = 1,
    hosts: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The results, with the verdict over everything that was compared; what died makes it anything but GO, harm NO-GO.

    ``look``: the how many-th verdict of this run it is. ``judged`` in the results is what else it rests on: ``darktime
    verdict`` makes it again. ``hosts``: who takes part in the experiment.
    """
    state = read_state(running.state)
    pairs = PairsFile(running.pairs).read()
    # Streams that production still holds are in flight, and a relay that died closed no account: neither is a loss.
    countable = not state.get("streams") and not vigil.lost_relay
    whole = [one for one in balances if one.hop in JUDGED_HOPS] if countable else []
    vigil.incidents += not_judged(state, running.pairs)
    fields = findings_of(state, look)
    judged = Judged(
        hops=[one.hop for one in whole],
        left=state.get("left", {}),
        fields=fields_of(fields),
        incidents=vigil.incidents,
        look=look,
        reasons={} if countable else dict(state.get("reasons", {})),  # what failed has failed all the same
        never_came={} if countable else dict(state.get("mirror_reasons", {})),
    )
    same = calibration_of(running.pairs, state)
    verdict = judge(
        pairs,
        [*whole, *judged.reasons_alone()],
        settings,
        left=judged.left,
        fields=fields,
        streams=state.get("stream_pairs", ()),
        calibration=same,
        look=look,
    )
    production_watched = watched.record()
    verdict = harmed(tempered(verdict, vigil.incidents), production_watched)
    ended = datetime.now(UTC)
    return {
        "schema_version": 1,
        "kind": "split",
        "started": began.isoformat(timespec="seconds"),
        "finished": ended.isoformat(timespec="seconds"),
        "duration_s": round((ended - began).total_seconds(), 1),
        "version": __version__,
        "command": f"darktime split --percent {asked['percent']:g}",
        "experiment": running.settings.salt,
        "percent": asked["percent"],
        "production": asked["production"],
        "dark": asked["dark"],
        "users": who_was_in(
            state,
            ((pair.user, pair.at) for pair in pairs),
            ramps,
            between=(began.timestamp(), ended.timestamp()),
            most=running.settings.max_percent,
            listed=running.settings.only_listed or running.settings.never_listed,
        ),
        "copies": copies_of(state),
        "way": way_of(state),
        **({} if hosts is None else {"hosts": dict(hosts)}),
        **({"recording": state["recording"]} if state.get("recording") else {}),
        **({"transform": state["transform"]} if state.get("transform") else {}),
        "latency": latency_of(pairs),
        "timeline": timeline(pairs, began=began.timestamp()),
        "endpoints_seen": endpoints_seen(pairs, judged.left, settings, never_came=state.get("mirror_reasons")),
        **calibration_record(state, same),
        **comparison_of(state, look),
        "ledger": [hop_record(one) for one in balances],
        "production_watched": production_watched,
        "ramps": [dict(one) for one in ramps],
        "incidents": vigil.record(),
        **({"cut_short": asked["cut_short"]} if asked.get("cut_short") else {}),
        "verdict": verdict_record(verdict),
        "judged": judged.record(),
        "exit_code": int(ExitCode.ERROR if vigil.lost(FRONT) else verdict.exit_code),
    }
