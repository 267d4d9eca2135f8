"""What a test makes again, and what it does not, where the machine stood still."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.support.pauses import again_if_paused


def stand_still(seconds: float) -> None:
    """This whole process is stopped for so long, as by a machine that has no time for it."""
    me = os.getpid()
    subprocess.run(["sh", "-c", f"(sleep {seconds}; kill -CONT {me}) & kill -STOP {me}"], check=True, timeout=10)


def test_a_check_that_failed_while_the_machine_stood_still_is_made_again_and_its_failure_then_counts() -> None:
    made = []

    def check() -> None:
        made.append(1)
        if len(made) == 1:
            stand_still(0.3)
        assert len(made) == 2

    again_if_paused(check, 0.2)
    assert len(made) == 2
    made[:] = [1, 1]
    with pytest.raises(AssertionError):
        again_if_paused(check, 5.0)
    assert len(made) == 3


def test_it_is_made_so_often_and_no_more() -> None:
    made = []

    def check() -> None:
        made.append(1)
        stand_still(0.3)
        raise AssertionError("as always")

    with pytest.raises(AssertionError, match="as always"):
        again_if_paused(check, 0.2, tries=2)
    assert len(made) == 2
