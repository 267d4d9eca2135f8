"""What the live screen is told: at every second the plan that is being offered then."""

import json
import os
import subprocess
import sys

import pytest

from darktime.blast.offered import Second
from darktime.blast.plan import Plan
from darktime.blast.result import judge
from darktime.blast.settings import BlastSettings
from darktime.blast.slo import Slo
from darktime.blast.snapshot import Snapshots
from tests.darktime.blast.simulated import offered

SETTINGS = BlastSettings(instance="127.0.0.1:9")


def stage(snapshots, at_s):
    return snapshots.of(Second(at_s=at_s))["stage"]


@pytest.mark.parametrize(
    ("plan", "shown"),
    [
        (Plan(stage="hold", rate_per_s=1234.0, duration_s=9), "hold: 1,234/s"),
        (Plan(stage="hold", duration_s=9), "hold: closed"),
        (Plan(stage="spike", duration_s=2, points=((0, 0), (2, 10))), "spike: 5/s"),
    ],
)
def test_the_stage_is_the_plan_that_is_offered_and_not_the_one_before(plan, shown):
    snapshots = Snapshots(SETTINGS)
    assert stage(snapshots, 1) == "opening"
    snapshots.begin(Plan(stage="double", rate_per_s=500.0, duration_s=1))
    assert stage(snapshots, 2) == "double: 500/s"
    snapshots.note(judge(offered((5, 500), rate=500.0, stage="double"), Slo()))
    assert stage(snapshots, 3) == "double: 500/s pass", "until another begins"
    snapshots.begin(plan)
    assert stage(snapshots, 4) == shown


def test_all_through_a_rate_the_screen_names_it(instance):
    read, write = os.pipe()
    command = [sys.executable, "-m", "darktime.blast", "--instance", instance("null").address, "--live-fd", str(write)]
    process = subprocess.Popen(
        [*command, "--path", "/", "--rate", "50", "--duration", "3", "--slo", "p99<5s"],
        pass_fds=(write,),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    try:
        with os.fdopen(read) as lines:
            shown = [json.loads(line) for line in lines]
    finally:
        process.wait(30)
    stages = [one["stage"] for one in shown if one["planned_per_s"]]
    assert len(stages) >= 3
    assert all(one.startswith("hold: 50/s") for one in stages), stages
