"""The demo from its opening to its results: who is started when, what they are told, what is judged."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from darktime import __version__
from darktime.demo import findings
from darktime.demo.cast import Cast
from darktime.demo.front import latency_of, verdict_of
from darktime.demo.opening import measure_opening
from darktime.demo.phase import EVENT_HOPS, Ledgers, Span, begin_on_border, settle, write_for
from darktime.demo.results import SCHEMA_VERSION, pair_lines
from darktime.demo.watch import Watch
from darktime.errors import ExitCode
from realtime_core.stack import Stack

if TYPE_CHECKING:
    from darktime.demo.opening import Opening
    from darktime.demo.settings import DemoSettings
    from darktime.demo.show import Show

ARRIVE_S = 30.0
LEAVE_S = 10.0
DEEDS_S = 5.0
BLAST_GRACE_S = 30.0
WHOLE_RUN_HOPS = ("mirror>relay", "relay>compared")


def run_demo(settings: DemoSettings, show: Show) -> dict[str, Any]:
    """Run the demo; its results. Raises DarktimeError or RealtimeError when it cannot run, KeyboardInterrupt on Ctrl-C."""
    return DemoRun(settings, show).perform()


class DemoRun:
    """One run. ``perform`` once."""

    def __init__(self, settings: DemoSettings, show: Show) -> None:
        self._settings = settings
        self._show = show
        self._began = datetime.now(UTC)
        self._phases: list[dict[str, Any]] = []
        self._checks: list[findings.Check] = []
        self._free_from = 0.0
        self._pairs_read = 0

    def perform(self) -> dict[str, Any]:
        """Everything, in order. Every child is ended on the way out, whatever the way."""
        settings, show = self._settings, self._show
        with Stack(settings.folder / "stack") as stack:
            show.step("why: a hung dark instance behind a naive mirror, and behind ours")
            opening = measure_opening(settings.folder / "opening", settings)
            show.note(
                f"second request on the same connection: {opening.naive_ms:,.0f} ms naive, {opening.ours_ms:.1f} ms ours"
            )
            self._checks.append(findings.check_opening(opening.naive_ms, opening.ours_ms))

            show.step("starting Valkey, push servers, site, pipeline, relay, nginx")
            cast = Cast(stack, settings)
            watch = Watch(show, visitors=cast.visitors_state, relay=cast.relay_state)
            cast.start(watch)
            show.note(f"watch along: http://{cast.front.address}/thread/1")
            self._cast, self._watch = cast, watch
            hops = [hop for hop in EVENT_HOPS if hop != "production>visitors" or not settings.external]
            self._ledgers = Ledgers(cast.redis, cast.name, hops)

            show.step(f"{settings.visitors} visitors come, each with a cookie and a stream")
            self._arrive()
            show.step(
                f"phase A, clean: visitors write for {settings.phase_s:g} s, {settings.percent:g} % of them mirrored"
            )
            self._phase("clean", faulty=False)
            show.step(f"{settings.swapped} visitors leave, as many come: the relay lets go of the dark streams")
            self._swap()
            show.step("phase B, a fault: a proxy before the dark server loses and doubles ids that it draws at random")
            self._phase("fault", faulty=True)
            show.step("everybody leaves; copies are accounted for")
            copies = self._close()
            show.step(f"darkesttime: {settings.blast_s:g} s of blast at the dark instance")
            blast = self._blast()
            self._check_end(copies)
            show.step("stopping everything")
        return self._results(opening, copies, blast)

    def _arrive(self) -> None:
        wanted, watch = self._settings.visitors, self._watch
        self._cast.start_visitors(watch)
        everyone = watch.until(lambda: watch.visitors.get("streams", 0) >= wanted, timeout_s=ARRIVE_S)
        sampled = len(self._cast.front.expected(watch.visitors.get("seen", [])))
        self._show.figures.sampled = sampled
        held = watch.until(lambda: watch.relay.get("streams", 0) >= sampled, timeout_s=ARRIVE_S)
        canaries = watch.until(lambda: watch.visitors.get("canaries_open", True), timeout_s=ARRIVE_S)
        self._checks.append(
            findings.Check(
                what="every visitor has a stream, and every sampled one a dark stream",
                ok=everyone and held and canaries,
                detail=f"{watch.visitors.get('streams', 0)} of {wanted}, dark {watch.relay.get('streams', 0)} of {sampled}",
            )
        )

    def _phase(self, name: str, *, faulty: bool) -> None:
        watch, cast = self._watch, self._cast
        since = begin_on_border(watch, self._free_from)
        if faulty:
            cast.signal("proxy", signal.SIGUSR1)
        until = write_for(watch, cast.order, self._settings.phase_s)
        self._free_from = until
        span = Span(since=since, until=until)
        balances = settle(watch, self._ledgers, span, faulty=faulty)
        deeds = self._deeds() if faulty else None
        pairs = self._new_pairs()
        verdict = verdict_of(pairs, balances)
        found = findings.named(balances, deeds) if deeds is not None else None
        self._checks += findings.check_phase(name, balances, verdict.outcome, found)
        self._show.note(f"{verdict.outcome}: {verdict.reasons[0] if verdict.reasons else ''}")
        self._phases.append(
            {
                "name": name,
                "seconds": until - since,
                "verdict": {"outcome": verdict.outcome, "reasons": list(verdict.reasons), "needs": verdict.needs},
                "ledger": [findings.hop_record(one) for one in balances],
                "latency": latency_of(pairs),
                "injected": deeds,
                "named": {"missing": list(found.missing), "extra": list(found.extra)} if found else None,
                "exact": found.exact if found else None,
            }
        )

    def _deeds(self) -> dict[str, list[str]]:
        """What the proxy did, asked only after the ledger has been read."""
        path = self._cast.deeds
        self._cast.signal("proxy", signal.SIGUSR2)
        if not self._watch.until(path.exists, timeout_s=DEEDS_S):
            return {"lost": [], "doubled": []}
        deeds: dict[str, list[str]] = json.loads(path.read_text())
        return deeds

    def _new_pairs(self) -> list[dict[str, Any]]:
        try:
            text = self._cast.pairs.read_text()[self._pairs_read :]
        except FileNotFoundError:
            return []
        self._pairs_read += text.rfind("\n") + 1
        return pair_lines(text)

    def _swap(self) -> None:
        watch, swapped = self._watch, self._settings.swapped
        self._cast.order(f"swap {swapped}")
        total = self._settings.visitors + swapped
        watch.until(lambda: len(watch.visitors.get("seen", [])) >= total, timeout_s=ARRIVE_S)
        present = watch.visitors.get("seen", [])[swapped:]
        sampled = len(self._cast.front.expected(present))
        watch.until(lambda: watch.visitors.get("streams", 0) == self._settings.visitors, timeout_s=ARRIVE_S)
        let_go = watch.until(lambda: watch.relay.get("streams", 0) == sampled, timeout_s=ARRIVE_S)
        self._show.figures.sampled = sampled
        self._checks.append(
            findings.Check(
                what="dark streams end when production's end, and new ones begin",
                ok=let_go or watch.lost("relay") or watch.lost("dark"),
                detail=f"{watch.relay.get('streams', 0)} held, {sampled} sampled users present",
            )
        )

    def _close(self) -> dict[str, Any]:
        watch = self._watch
        self._cast.order("leave")
        watch.until(
            lambda: not watch.visitors.get("present", 1) and not watch.visitors.get("streams", 1), timeout_s=LEAVE_S
        )
        watch.until(lambda: not watch.relay.get("streams", 1) or watch.lost("relay"), timeout_s=LEAVE_S)
        watch.until(self._copies_settled, timeout_s=LEAVE_S)
        self._ends = self._ledgers.balances(hops=WHOLE_RUN_HOPS)
        return self._copies()

    def _copies_settled(self) -> bool:
        copies = self._copies()
        return bool(findings.check_copies(copies).ok)

    def _copies(self) -> dict[str, Any]:
        relay = self._watch.relay
        return {
            "offered": relay.get("offered", 0),
            "received": relay.get("received", 0),
            "compared": relay.get("compared", 0),
            "reasons": {reason: count for reason, count in relay.get("reasons", {}).items() if count},
        }

    def _blast(self) -> dict[str, Any] | None:
        if self._settings.blast_s <= 0 or self._watch.lost("dark"):
            return None
        service, path = self._cast.start_blast()
        self._watch.until(lambda: not service.alive(), timeout_s=self._settings.blast_s + BLAST_GRACE_S)
        if not path.exists():
            self._watch.incidents.append(f"the blast gave no result: {service.tail(3)}")
            return None
        result: dict[str, Any] = json.loads(path.read_text())
        self._show.note(result["sentence"])
        return result

    def _check_end(self, copies: dict[str, Any]) -> None:
        watch, cast = self._watch, self._cast
        seen = watch.visitors.get("seen", [])
        self._checks += [
            findings.check_users(seen, watch.relay.get("users", []), cast.front.marks(cast.front.expected(seen))),
            findings.check_copies(copies),
            findings.check_production(
                watch.visitors.get("errors", 0),
                watch.visitors.get("broken_streams", 0),
                watch.visitors.get("samples", []),
            ),
        ]
        if not self._settings.external:
            self._checks.append(findings.check_once(cast.production_requests(), watch.visitors.get("asked", {})))
        off = findings.unbalanced(self._ends)
        self._checks.append(
            findings.Check(
                what="the copies' way balances", ok=not off, detail="; ".join(off) or "every copy accounted for"
            )
        )
        if watch.incidents:
            self._checks.append(
                findings.Check(what="nothing died on the way", ok=False, detail="; ".join(watch.incidents))
            )

    def _results(self, opening: Opening, copies: dict[str, Any], blast: dict[str, Any] | None) -> dict[str, Any]:
        settings, watch = self._settings, self._watch
        seen = watch.visitors.get("seen", [])
        ended = datetime.now(UTC)
        good = all(check.ok for check in self._checks)
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "demo",
            "started": self._began.isoformat(timespec="seconds"),
            "finished": ended.isoformat(timespec="seconds"),
            "duration_s": round((ended - self._began).total_seconds(), 1),
            "seed": settings.seed,
            "version": __version__,
            "command": shlex.join(["darktime", *sys.argv[1:]]),
            "reason": {"naive_ms": opening.naive_ms, "ours_ms": opening.ours_ms},
            "users": {
                "seen": len(seen),
                "sampled": len(watch.relay.get("users", [])),
                "percent": settings.percent,
                "agrees_with_function": next(
                    check.ok for check in self._checks if check.what.startswith("nginx sampled")
                ),
            },
            "copies": copies,
            "traffic": {
                "requests": watch.visitors.get("requests", 0),
                "errors": watch.visitors.get("errors", 0) + watch.visitors.get("broken_streams", 0),
                "comments": watch.visitors.get("comments", {"created": 0, "edited": 0, "deleted": 0}),
                "streams": len(seen),
                "deliveries": {"production": watch.visitors.get("deliveries", 0), "dark": watch.relay.get("events", 0)},
            },
            "phases": self._phases,
            "blast": blast,
            "series": watch.series,
            "checks": findings.records(self._checks),
            "incidents": watch.incidents,
            "exit_code": int(ExitCode.OK if good else ExitCode.FAILED),
        }
