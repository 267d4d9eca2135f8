"""What is seen under way is held against rate x time, in real runs."""

import pytest

from darktime.blast.little import TOLERANCE
from tests.darktime.blast.runs import blast


@pytest.mark.parametrize(("rate", "service_ms"), [(200, 4), (430, 2), (60, 15)])
def test_the_law_holds_however_few_are_under_way(instance, rate, service_ms):
    """One request at a time, and none between them: what is seen between two events is all there is to see."""
    worker = instance("fifo", service=f"constant:{service_ms}")
    run = blast(worker.address, "--path", "/", "--rate", str(rate), "--duration", "3")
    [probe] = run.found["probes"]
    assert probe["little_error"] is not None
    assert probe["little_error"] <= TOLERANCE, run.said
