"""What a worker does for a master, and what it refuses, by name and with the remedy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from darktime.blast.machine import here
from darktime.blast.master import Master, Web, check_fleet
from darktime.blast.permit import permit, permit_plan
from darktime.blast.plan import Plan
from darktime.blast.task import Task
from darktime.errors import UsageError

HERE = here()
FAR = replace(HERE, name="far", boot="another")


def task(ip: str = "10.0.0.7", **more: Any) -> Task:
    address = {"host": ip, "port": 80, "family": 2, "ip": ip, "loopback": False}
    return Task(address=address, run="r", **{"allowed_host": ip, "max_rate_per_s": 100.0, **more})


def test_a_host_that_the_master_was_allowed_is_allowed_to_its_workers() -> None:
    permit(task(), FAR, HERE)
    permit(task(), FAR, HERE, ["10.0.0.7", "10.0.0.8"])


@pytest.mark.parametrize("allowed", ["", "10.0.0.8"])
def test_a_host_that_the_master_was_not_allowed_is_refused(allowed: str) -> None:
    with pytest.raises(UsageError, match=r"10\.0\.0\.7 came without its master's allowance"):
        permit(task(allowed_host=allowed), FAR, HERE)


def test_a_worker_that_was_started_for_some_hosts_loads_no_other() -> None:
    with pytest.raises(UsageError, match=r"not what this worker was started for \(10\.0\.0\.8\)"):
        permit(task(), FAR, HERE, ["10.0.0.8"])


@pytest.mark.parametrize("ip", ["127.0.0.1", "127.3.2.1", "::1"])
def test_loopback_is_this_machine_whatever_the_task_says_of_it(ip: str) -> None:
    permit(task(ip, allowed_host=""), HERE, HERE)
    with pytest.raises(UsageError, match="is loopback, which is another machine"):
        permit(task(ip), FAR, HERE)


def test_a_plan_beyond_the_limit_that_travelled_is_refused() -> None:
    permit_plan(Plan(stage="hold", duration_s=1, rate_per_s=100), task())
    permit_plan(Plan(stage="hold", duration_s=1), task())
    with pytest.raises(UsageError, match=r"goes to 101/s, beyond the master's own limit of 100/s"):
        permit_plan(Plan(stage="hold", duration_s=1, rate_per_s=101), task())
    with pytest.raises(UsageError, match=r"beyond the master's own limit"):
        permit_plan(Plan(stage="ramp", duration_s=9, points=((0.0, 1.0), (9.0, 150.0))), task())


@pytest.mark.parametrize(
    ("master", "web", "processes", "named"),
    [
        (Master(workers=0), None, 1, "--expect-workers 0"),
        (Master(workers=1, port=70_000), None, 1, "--master-bind-port 70000"),
        (Master(workers=1, wait_s=0), None, 1, "--expect-workers-max-wait 0"),
        (Master(workers=1), None, 2, "--master sends nothing itself"),
        (None, Web(port=-1), 1, "--web-port -1"),
        (None, Web(stay_s=-1), 1, "--autoquit -1"),
    ],
)
def test_what_is_not_possible_is_refused_by_the_flags_name(
    master: Master | None, web: Web | None, processes: int, named: str
) -> None:
    with pytest.raises(UsageError, match=named):
        check_fleet(master, web, processes)
