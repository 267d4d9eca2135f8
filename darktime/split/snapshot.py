"""How a running split stands at a moment, put together from what it writes: state folder, relay, pairs, experiment."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from darktime.split import levels
from darktime.split.calibration import beside
from darktime.split.conclusion import not_judged
from darktime.split.experiment import away
from darktime.split.lookout import read_population
from darktime.split.nginx_blocks import CENSUS_PERCENT
from darktime.split.pairs_file import PairsFile
from darktime.split.pairs_room import PairsRoom
from darktime.split.pulse import silence
from darktime.split.results import copies_of, findings_of, latency_of, tempered, verdict_record
from darktime.split.running import ABOUT
from darktime.split.saved import Judged, fields_of
from darktime.split.verdict import VerdictSettings, judge
from darktime.split.vigil import read_state

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from darktime.split.experiment import Experiment
    from darktime.split.ledger_now import LedgerNow
    from darktime.split.population import Population

SCHEMA_VERSION: Final = 1
PAIRS: Final = "pairs.jsonl"
_NEWEST: Final = 2_000  # pairs whose times are shown
_JUDGE_EVERY_S: Final = 5.0
_JUDGE_SHARE: Final = 20  # of a million pairs it takes seconds: it is done that much more rarely
_STALE_S: Final = 5.0


class Snapshots:
    """``take`` one as often as wanted; what has been read is not read again.

    ``about`` is what describes the split, ``run`` its results folder, ``ledger`` where it counts; None where nobody can ask it.
    """

    def __init__(
        self, about: Mapping[str, Any], run: Path, experiment: Experiment | None, ledger: LedgerNow | None = None
    ) -> None:
        self._about = about
        self._run = run
        self._experiment = experiment
        self._ledger = ledger
        self._settings = VerdictSettings(**about.get("margins", {}))
        self._pairs = PairsFile(run / PAIRS)
        self._same = PairsFile(beside(run / PAIRS))
        self._verdict: dict[str, Any] | None = None
        self._next_judged = 0.0

    def take(self) -> dict[str, Any]:
        """How it stands now, JSON-able under schema_version 1."""
        folder, run = Path(self._about["folder"]), self._run
        state = read_state(run / "relay.json")
        self._pairs.read()
        relays = _relays(state, run, now := time.time())
        hung = _hung(state, relays, run)
        alone = state.get("stand_alone") is True  # it is its own lease, and follows no Redis
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "status",
            "experiment": self._about["salt"],
            "percent": levels.percent_of(folder),
            "max_percent": self._about["max_percent"],
            "killed": levels.killed(folder),
            "leased": bool(state["open"])
            if alone
            else any(levels.leased(folder, now, one) for one in (1, 10, 100, 1000)),
            "hosts": [] if alone else self._hosts(),
            "relay_alive": not hung
            and (all(one["alive"] for one in relays) if relays else _fresh(run / "relay.json", now)),
            "relays_hung": hung,
            "traffic": _traffic(read_population(run / "population.json")),
            "users": len(state.get("users", [])),
            "users_at_least": bool(state.get("users_forgotten")),
            "copies": {**copies_of(state), "waiting": state.get("waiting", 0), "in_flight": state.get("in_flight", 0)},
            "streams": state.get("streams", 0),
            "breaker": state.get("breaker"),
            "ledger": None if self._ledger is None else self._ledger.look(state),
            "pairs_file": self._room(state),
            "latency": latency_of(self._pairs.pairs[-_NEWEST:]),
            "verdict": self._judge(state, [*hung, *_silent(relays)]),
            **({"relays": relays} if relays else {}),
        }

    def _hosts(self) -> list[str] | None:
        if self._experiment is None:
            return None
        try:
            standing = self._experiment.standing()
        except away():
            return None
        return [] if standing is None else list(standing.hosts)

    def _room(self, state: Mapping[str, Any]) -> dict[str, Any] | None:
        room = PairsRoom.of(state)
        if room is None:
            return None
        lasts_s = room.lasts_by(self._pairs.pairs, _NEWEST)
        return {
            "written_bytes": room.all_written,
            "limit_bytes": room.all_limit,
            "lasts_s": None if lasts_s is None else round(lasts_s, 1),
        }

    def _judge(self, state: Mapping[str, Any], troubles: Sequence[str]) -> dict[str, Any] | None:
        """What ``split`` would say if it ended now: of all pairs and all reasons, by its margins, its calibration, its look."""
        began = time.monotonic()
        if began >= self._next_judged and self._pairs.pairs:
            looks = read_state(self._run / ABOUT).get("looks", 0)
            judged = Judged(
                left=state.get("left", {}),
                fields=fields_of(findings_of(state, looks + 1)),
                incidents=[*troubles, *not_judged(state, self._run / PAIRS)],
                look=looks + 1,
                reasons=state.get("reasons", {}),
                never_came=state.get("mirror_reasons", {}),
            )
            verdict = judge(
                self._pairs.pairs,
                judged.reasons_alone(),
                self._settings,
                left=judged.left,
                fields=judged.fields,
                streams=state.get("stream_pairs", ()),
                calibration=self._same.read() if state.get("calibration") else (),
                look=judged.look,
            )
            verdict = tempered(verdict, judged.incidents)
            self._verdict = {**verdict_record(verdict), "pairs": len(self._pairs.pairs), "look": judged.look}
            ended = time.monotonic()
            self._next_judged = ended + max(_JUDGE_EVERY_S, _JUDGE_SHARE * (ended - began))
        return self._verdict


def _traffic(people: Population | None) -> dict[str, Any] | None:
    """Requests are counted up from those that were looked at."""
    if people is None:
        return None
    seen = sum(people.keyed.values())
    return {
        "requests": round(seen * 100 / CENSUS_PERCENT),
        "keyed_share": round(people.keyed["valid"] / seen, 4) if seen else None,
        "copied": sum(bucket.requests for bucket in people.copied.values()),
        "control": sum(bucket.requests for bucket in people.others.values()),
    }


def _relays(state: Mapping[str, Any], run: Path, now: float) -> list[dict[str, Any]]:
    """Each of several relays; none where there is one. Alive: its process runs, and it has written lately."""
    return [
        {
            "name": one["name"],
            "alive": one["alive"] and _fresh(run / f"{one['name']}.json", now),
            **{what: one[what] or 0 for what in ("received", "compared", "waiting", "streams")},
        }
        for one in state.get("relays", ())
    ]


def _silent(relays: Sequence[Mapping[str, Any]]) -> list[str]:
    return [f"{one['name']} is dead, or silent for some seconds" for one in relays if not one["alive"]]


def _hung(state: dict[str, Any], relays: list[dict[str, Any]], run: Path) -> list[str]:
    """A sentence for each relay whose loop stands still."""
    names = [one["name"] for one in relays if one["alive"]]
    told = {name: read_state(run / f"{name}.json") for name in names} if relays else {"relay": state}
    return [said for name, own in told.items() if (said := silence(name, own, time.monotonic()))]


def _fresh(path: Path, now: float) -> bool:
    try:
        return now - path.stat().st_mtime < _STALE_S
    except OSError:
        return False
