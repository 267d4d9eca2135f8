from __future__ import annotations

import io

import pytest
from rich.console import Console

from darktime.console.live import LiveScreen


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def drawn(*, terminal: bool, seconds: float, every_s: float) -> tuple[str, int]:
    """What a screen wrote while a snapshot came ``every_s``, and how many came."""
    written, clock, came = io.StringIO(), Clock(), 0
    console = Console(file=written, force_terminal=terminal, width=80, height=40, color_system=None)
    with LiveScreen(console, clock) as screen:
        while clock.now_s < 100.0 + seconds:
            screen.show({"title": "blast", "stage": "double", "elapsed_s": came, "requests": came, "failures": 0})
            came += 1
            clock.now_s += every_s
    return written.getvalue(), came


def test_a_terminal_is_redrawn_four_times_a_second_at_most_and_keeps_the_last_snapshot() -> None:
    written, came = drawn(terminal=True, seconds=3, every_s=0.05)
    frames = written.count("requests")
    assert came >= 60
    assert 10 <= frames <= 3 * 4 + 4  # the first, the last and rich's own parting redraw stand beside the four a second
    assert f"requests  {came - 1}" in written


def test_elsewhere_a_plain_line_is_written_every_ten_seconds() -> None:
    written, _ = drawn(terminal=False, seconds=60, every_s=0.5)
    lines = written.splitlines()
    assert len(lines) == 5
    assert lines[0] == "20.0 s  double: 0 failed"
    assert "\x1b" not in written


def test_a_run_that_fails_gives_the_terminal_back() -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=80, height=40)
    with pytest.raises(ZeroDivisionError), LiveScreen(console, Clock()) as screen:
        screen.show({"requests": 1 / 0})
    assert written.getvalue().endswith("\x1b[?25h")  # the cursor is shown again


def test_nothing_at_all_may_be_shown() -> None:
    written = io.StringIO()
    with LiveScreen(Console(file=written, force_terminal=True), Clock()):
        pass
    assert "Traceback" not in written.getvalue()
