"""Waiting, and when it ends though nobody has answered."""

import time
from pathlib import Path

import pytest

from darktime.demo.show import Figures
from darktime.demo.watch import DemoBroken, Watch


class Show:
    def __init__(self):
        self.figures = Figures()

    def note(self, text):
        pass

    def refresh(self):
        pass


def wait_often(watch):
    for _ in range(100):
        watch.until(lambda: False, timeout_s=0.3)


def test_all_waits_together_end_at_the_one_limit_as_a_failed_run(tmp_path):
    watch = Watch(Show(), visitors=tmp_path / "v", relay=tmp_path / "r", limit_s=0.5)
    began = time.monotonic()
    with pytest.raises(DemoBroken, match=r"0\.5 s") as broken:
        wait_often(watch)
    assert time.monotonic() - began < 2
    assert broken.value.exit_code == 3
    assert len(watch.incidents) == 1


class Dead:
    pid = 1

    def alive(self):
        return False

    def tail(self):
        return "its last line"


def test_a_vital_part_that_dies_makes_a_failed_run_and_any_other_an_incident(tmp_path):
    watch = Watch(Show(), visitors=Path("/nowhere"), relay=Path("/nowhere"))
    watch.add("relay", Dead())
    watch.look()
    assert watch.lost("relay")
    watch.add("production", Dead())
    with pytest.raises(DemoBroken, match="its last line") as broken:
        watch.look()
    assert broken.value.exit_code == 3
