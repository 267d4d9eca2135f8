"""The demo from its opening to its results: who is started when, what they are told, what is judged."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

from redis import RedisError

from darktime import __version__
from darktime.demo import findings
from darktime.demo.cast import Cast
from darktime.demo.front import verdict_of
from darktime.demo.opening import measure_opening
from darktime.demo.phase import Ledgers, Span, begin_on_border, hops_of, settle, write_for
from darktime.demo.preflight import preflight
from darktime.demo.processes import Processes
from darktime.demo.results import SCHEMA_VERSION, traffic_of
from darktime.demo.watch import DemoBroken, Watch
from darktime.errors import ExitCode
from darktime.split.compare import Pair
from darktime.split.results import copies_of, hop_record, latency_of, pair_lines, settled, verdict_record
from realtime_core.stack import Stack

if TYPE_CHECKING:
    from darktime.demo.opening import Opening
    from darktime.demo.settings import DemoSettings
    from darktime.demo.show import Show

ARRIVE_S = 30.0
LEAVE_S = 15.0
DEEDS_S = 5.0
BLAST_GRACE_S = 30.0
WHOLE_RUN_HOPS = ("mirror>relay", "relay>compared")


class DemoRun:
    """One run: ``perform`` it once; ``results`` are what there is by then, however it ended."""

    def __init__(self, settings: DemoSettings, show: Show) -> None:
        self._settings = settings
        self._show = show
        self._began = datetime.now(UTC)
        self._ending: ExitCode | None = None
        self._folder = settings.folder / "stack"
        self._processes = Processes(settings.folder / "processes.json")
        self._watch = Watch(
            show, visitors=self._folder / "visitors.json", relay=self._folder / "relay.json", within_s=settings.within_s
        )
        self._cast: Cast
        self._ledgers: Ledgers
        self._opening: Opening | None = None
        self._phases: list[dict[str, Any]] = []
        self._checks: list[findings.Check] = []
        self._blast: dict[str, Any] | None = None
        self._agrees: bool | None = None
        self._copies_ledger: list[dict[str, Any]] = []
        self._free_from = 0.0
        self._pairs_read = 0

    def perform(self) -> None:
        """Everything, in order. Every child is ended on the way out, whatever the way.

        Raises:
            DemoBroken: a part without which it cannot go on has died, or its time is over.
            DarktimeError, RealtimeError: it cannot run.
            KeyboardInterrupt: Ctrl-C.
        """
        settings = self._settings
        try:
            preflight(settings)
            self._open()
            with Stack(self._folder) as stack:
                self._cast = Cast(stack, settings, self._processes)
                try:
                    self._play()
                except (RedisError, URLError) as error:
                    self._watch.look()  # who has died is said by name
                    raise DemoBroken(f"a server of the demo does not answer any more: {error}") from error
            self._cast.forget()
        except KeyboardInterrupt:
            self._ending = ExitCode.INTERRUPTED
            self._watch.incidents.append("interrupted before the end: what follows is what there was by then")
            raise
        except Exception as error:
            self._ending = ExitCode(getattr(error, "exit_code", ExitCode.ERROR))
            said = str(error).partition("\n")[0] or type(error).__name__
            self._checks.append(findings.Check(what="the run comes to its end", ok=False, detail=said))
            raise

    def _open(self) -> None:
        self._show.step("why: a hung dark instance behind a naive mirror, and behind ours")
        opening = self._opening = measure_opening(self._settings.folder / "opening", self._settings, self._processes)
        self._processes.clear()
        self._show.note(
            f"second request on the same connection: {opening.naive_ms:,.0f} ms naive, {opening.ours_ms:.1f} ms ours"
        )
        self._checks.append(findings.check_opening(opening.naive_ms, opening.ours_ms))

    def _play(self) -> None:
        settings, show = self._settings, self._show
        show.step("starting Valkey, push servers, site, pipeline, relay, nginx")
        self._cast.start(self._watch)
        show.note(f"watch along: http://{self._cast.window}/thread/1")
        self._ledgers = Ledgers(self._cast.redis, self._cast.name, hops_of(external=settings.external))

        show.step(f"{settings.visitors} visitors come, each with a cookie and a stream")
        self._arrive()
        show.step(f"phase A, clean: visitors write for {settings.phase_s:g} s, {settings.percent:g} % of them mirrored")
        self._phase("clean", faulty=False)
        show.step(f"{settings.swapped} visitors leave, as many come: the relay lets go of the dark streams")
        self._swap()
        show.step("phase B, a fault: a proxy before the dark server loses and doubles ids that it draws at random")
        self._phase("fault", faulty=True)
        show.step("everybody leaves; copies are accounted for")
        self._leave()
        if settings.blast_s > 0 and not self._watch.lost("dark"):
            show.step(f"darkesttime: {settings.blast_s:g} s of blast at the dark instance")
            self._blast_dark()
        self._check_end()
        show.step("stopping everything")

    def _arrive(self) -> None:
        wanted, watch = self._settings.visitors, self._watch
        self._cast.start_visitors(watch)
        everyone = watch.until(lambda: watch.visitors.get("streams", 0) >= wanted, timeout_s=ARRIVE_S)
        sampled = self._sampled_now()
        held = self._until_held(sampled)
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
        self._new_pairs()  # set aside: while people arrived, channels that one side had were still new on the other
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
        self._checks += findings.check_phase(
            name, balances, verdict, found, hops=hops_of(external=self._settings.external)
        )
        self._show.note(f"{verdict.outcome}: {verdict.reasons[0] if verdict.reasons else ''}")
        self._phases.append(
            {
                "name": name,
                "seconds": until - since,
                "verdict": verdict_record(verdict),
                "ledger": [hop_record(one) for one in balances],
                "latency": latency_of([Pair.from_record(one) for one in pairs]),
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
        watch.until(lambda: watch.visitors.get("streams", 0) == self._settings.visitors, timeout_s=ARRIVE_S)
        sampled = self._sampled_now(gone=swapped)
        self._checks.append(
            findings.Check(
                what="dark streams end when production's end, and new ones begin",
                ok=self._until_held(sampled),
                detail=f"{watch.relay.get('streams', 0)} held, {sampled} sampled users present",
            )
        )

    def _sampled_now(self, *, gone: int = 0) -> int:
        """How many of those who are there, without the first that have gone, the function samples."""
        sampled = len(self._cast.front.expected(self._watch.visitors.get("seen", [])[gone:]))
        self._show.figures.sampled = sampled
        return sampled

    def _until_held(self, sampled: int) -> bool:
        """Wait until the relay holds a dark stream for each; False when it does not, or cannot any more."""
        watch = self._watch
        hopeless = ("relay", "dark")
        watch.until(
            lambda: watch.relay.get("streams", 0) == sampled or any(map(watch.lost, hopeless)), timeout_s=ARRIVE_S
        )
        return bool(watch.relay.get("streams", 0) == sampled)

    def _leave(self) -> None:
        watch = self._watch
        self._cast.order("leave")
        watch.until(
            lambda: not watch.visitors.get("present", 1) and not watch.visitors.get("streams", 1), timeout_s=LEAVE_S
        )
        watch.until(
            lambda: watch.lost("relay") or (not watch.relay.get("streams", 1) and settled(watch.relay)),
            timeout_s=LEAVE_S,
        )
        balances = self._ledgers.balances(hops=WHOLE_RUN_HOPS)
        self._copies_ledger = [hop_record(one) for one in balances]
        self._checks.append(findings.check_copies_way(balances, WHOLE_RUN_HOPS, relay_lost=watch.lost("relay")))

    def _blast_dark(self) -> None:
        service, path = self._cast.start_blast()
        self._watch.until(lambda: not service.alive(), timeout_s=self._settings.blast_s + BLAST_GRACE_S)
        if not path.exists():
            self._watch.incidents.append(f"the blast gave no result: {service.tail(3)}")
            return
        self._blast = json.loads(path.read_text())
        self._show.note(self._blast["sentence"])

    def _check_end(self) -> None:
        watch, cast = self._watch, self._cast
        seen = watch.visitors.get("seen", [])
        users = findings.check_users(seen, watch.relay.get("users", []), cast.front.marks(cast.front.expected(seen)))
        self._agrees = users.ok
        self._checks += [
            users,
            findings.check_copies(copies_of(watch.relay)),
            findings.check_production(
                watch.visitors.get("requests", 0),
                watch.visitors.get("errors", 0),
                watch.visitors.get("broken_streams", 0),
                watch.visitors.get("samples", []),
            ),
        ]
        if not self._settings.external:
            self._checks.append(findings.check_once(cast.production_requests(), watch.visitors.get("asked", {})))
        if watch.incidents:
            self._checks.append(
                findings.Check(what="nothing died on the way", ok=False, detail="; ".join(watch.incidents))
            )

    def results(self) -> dict[str, Any]:
        """As ``results.json`` holds them, by the schema of a demo."""
        settings, watch = self._settings, self._watch
        opening, ended = self._opening, datetime.now(UTC)
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
            "reason": {"naive_ms": opening.naive_ms, "ours_ms": opening.ours_ms} if opening else None,
            "users": {
                "seen": len(watch.visitors.get("seen", [])),
                "sampled": len(watch.relay.get("users", [])),
                "percent": settings.percent,
                "agrees_with_function": self._agrees,
            },
            "copies": copies_of(watch.relay) | {"ledger": self._copies_ledger},
            "traffic": traffic_of(watch.visitors, watch.relay),
            "phases": self._phases,
            "blast": self._blast,
            "series": watch.series,
            "checks": findings.records(self._checks),
            "incidents": watch.incidents,
            "exit_code": int(self._ending if self._ending is not None else ExitCode.OK if good else ExitCode.FAILED),
        }
