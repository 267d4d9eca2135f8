"""A Locust user that is a whole cohort: thousands of sockets in one greenlet, one such user a process.

Importing this patches the process (it loads Locust).
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
import time
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from locust import User, constant, events, task
from locust.exception import StopUser
from locust.runners import MasterRunner, WorkerRunner

from darktime.blast.arrivals import Share
from darktime.blast.cohort import Cohort
from darktime.blast.exact import Exact
from darktime.blast.feed import LocustFeed
from darktime.blast.last_words import LastWords, say_last_word
from darktime.blast.offer import Offering
from darktime.blast.probe import check_there
from darktime.blast.scenario import Place, Scenario, numbers_beside
from darktime.blast.settings import BlastSettings, check, check_rate, reserve_open_files
from darktime.blast.sockets import sources_for
from darktime.blast.tally import Tally
from darktime.errors import UsageError


@events.init_command_line_parser.add_listener
def _options(parser: Any) -> None:
    parser.add_argument(
        "--number", action="append", default=[], metavar="NAME=VALUE", help="A number of the scenario, each process"
    )
    parser.add_argument("--exact", default="", metavar="FILE", help="Where the exact figures go as JSON, at the end")


@events.init.add_listener
def _watch_workers(environment: Any, **_: Any) -> None:
    if isinstance(environment.runner, WorkerRunner):
        say_last_word(environment)
    last_words = LastWords(environment) if isinstance(environment.runner, MasterRunner) else None
    file = getattr(environment.parsed_options, "exact", "")
    if file:
        _exact[environment] = exact = Exact(last_words)
        exact.attach(environment, Path(file))


_exact: WeakKeyDictionary[Any, Exact] = WeakKeyDictionary()


class CohortUser(User):
    """Subclass it and name a ``scenario``, or say in ``run_cohort`` yourself what the cohort does.

    Start as many users as there are processes (``--users N --processes N``). Like every run it may go to loopback only;
    the variables DARKTIME_BLAST_ALLOW (hosts, by comma) and DARKTIME_BLAST_MAX_RATE let it go further. With an https host
    DARKTIME_BLAST_CACERT (a file) or DARKTIME_BLAST_INSECURE (1) say whom to trust.
    """

    abstract = True
    wait_time = constant(0)
    scenario: ClassVar[type[Scenario] | None] = None

    def on_start(self) -> None:
        """Make the poller here: after Locust has forked its processes."""
        self.cohort = Cohort()

    def on_stop(self) -> None:
        """Hand on the last counts and close."""
        self.cohort.flush()
        self.cohort.close()

    def run_cohort(self, cohort: Cohort) -> None:
        """What the cohort does until it returns or Locust stops the user: the scenario's plans, one after the other."""
        if self.scenario is None:
            raise NotImplementedError(f"{type(self).__name__} must name a scenario, or override run_cohort")
        options = self.environment.parsed_options
        given = read_numbers(getattr(options, "number", []))
        file = sys.modules[self.scenario.__module__].__file__
        assert file is not None
        scenario = self.scenario(numbers_beside(file, given))
        self._run_scenario(cohort, scenario)

    @task
    def _run(self) -> None:
        try:
            self.run_cohort(self.cohort)
        except UsageError as error:  # said once, and the run is over: Locust would try again and again
            logging.getLogger("locust.darktime").error("%s", error)  # noqa: TRY400 - it is no fault of the program
            self.environment.process_exit_code = int(error.exit_code)
            if self.environment.runner is not None:
                self.environment.runner.quit()
        raise StopUser

    def _run_scenario(self, cohort: Cohort, scenario: Scenario) -> None:
        place = self._place(scenario)
        traffic = scenario.traffic(cohort, place)
        feed = LocustFeed(self.environment, traffic.method, traffic.name)
        exact = _exact.get(self.environment)
        tally = Tally(cohort, traffic, [feed.second, exact.second] if exact is not None else [feed.second])
        cohort.each_second.append(tally.flush)
        never = lambda: False  # noqa: E731 - Locust ends the greenlet itself
        try:
            traffic.open(cohort, place.address.authority, never)
            offering = Offering(cohort, traffic, tally, place.share, never)
            began = time.monotonic()
            for plan in scenario.plans():
                if plan.action:
                    scenario.act(plan.action, traffic)
                offered = offering.offer(plan, began_s=time.monotonic() - began, patient=scenario.patient)
                if offered.aborted:
                    logging.getLogger("locust.darktime").error("nothing more is sent: %s", offered.aborted)
                    return
        finally:
            traffic.load.abandon("unfinished")  # Locust may end it in the middle of a plan
            tally.flush()
            cohort.each_second.remove(tally.flush)
            traffic.close()

    def _place(self, scenario: Scenario) -> Place:
        """Where ``--host`` points, once the limits of safety and of this machine are checked."""
        limit = os.environ.get("DARKTIME_BLAST_MAX_RATE")
        settings = BlastSettings(
            instance=self.host or "",
            allow=tuple(filter(None, os.environ.get("DARKTIME_BLAST_ALLOW", "").split(","))),
            max_rate_per_s=float(limit) if limit else None,
            scenario=type(scenario).__name__,
            cacert=os.environ.get("DARKTIME_BLAST_CACERT") or None,
            insecure=os.environ.get("DARKTIME_BLAST_INSECURE") == "1",
        )
        address = check(settings)
        if address.tls:
            check_there(address)
        check_rate(scenario.peak_rate_per_s(), settings)
        reserve_open_files(scenario.sockets())
        return Place(
            address=address,
            run=secrets.token_hex(4),
            share=Share(),
            source_ips=sources_for(address, scenario.sockets()),
        )


def read_numbers(words: list[str]) -> dict[str, Any]:
    """NAME=VALUE words as a table. Raises UsageError for a word without =."""
    numbers: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"--number {word}: write NAME=VALUE")
        numbers[name.strip()] = value.strip()
    return numbers
