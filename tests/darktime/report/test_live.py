from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from darktime.report.live import plain, render, sparkline

SNAPSHOT = {
    "title": "blast 127.0.0.1:8001",
    "stage": "bisect 1,834/s",
    "elapsed_s": 41.2,
    "budget_s": 60,
    "planned_per_s": 1_834,
    "achieved_per_s": 1_829,
    "p50_ms": 16.5,
    "p99_ms": 57.1,
    "requests": 48_213,
    "failures": 12,
    "reason": "status 503",
    "streams": 1_000,
    "streams_planned": 1_000,
    "deliveries_per_s": 182_900,
    "deliveries": 4_821_300,
    "lost": 3,
    "in_flight": 34,
    "send_lag_p99_ms": 0.61,
    "cpu_share": 0.41,
    "rates": [100 * 2 ** (second // 8) for second in range(66)],
    "p99s_ms": [8 + (second / 6) ** 3 for second in range(40)] + [None],
}
GOLDEN = {
    60: """\
blast 127.0.0.1:8001 · bisect 1,834/s        41.2 s of 1m00s
rate      1,829/s of 1,834/s planned
          ▁▁▁▁▁▁▁▁▂▂▂▂▂▂▂▂▃▃▃▃▃▃▃▃▅▅▅▅▅▅▅▅▆▆▆▆▆▆▆▆▇▇▇▇▇▇▇▇██
latency   p50 16.5 ms  p99 57.1 ms
          ▁▁▁▁▁▁▁▁▂▂▂▂▂▃▃▃▃▄▄▄▄▅▅▅▅▆▆▆▆▆▇▇▇▇▇▇████·
requests  48,213   ✗ 12 failed (status 503)
streams   1,000 open of 1,000   182,900 deliveries/s
          4,821,300 delivered   ✗ 3 lost
generator send lag p99 0.61 ms   cpu 41 %   34 in flight
""",
    80: """\
blast 127.0.0.1:8001 · bisect 1,834/s                 ━━━━━━━─── 41.2 s of 1m00s
rate      1,829/s of 1,834/s planned
          ▁▁▂▂▂▂▂▂▂▂▃▃▃▃▃▃▃▃▄▄▄▄▄▄▄▄▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▆▆▆▆▆▆▆▆▇▇▇▇▇▇▇▇██
latency   p50 16.5 ms  p99 57.1 ms
          ▁▁▁▁▁▁▁▁▂▂▂▂▂▃▃▃▃▄▄▄▄▅▅▅▅▆▆▆▆▆▇▇▇▇▇▇████·
requests  48,213   ✗ 12 failed (status 503)
streams   1,000 open of 1,000   182,900 deliveries/s   4,821,300 delivered
          ✗ 3 lost
generator send lag p99 0.61 ms   cpu 41 %   34 in flight
""",
    120: """\
blast 127.0.0.1:8001 · bisect 1,834/s                                                         ━━━━━━━─── 41.2 s of 1m00s
rate      1,829/s of 1,834/s planned
          ▁▁▂▂▂▂▂▂▂▂▃▃▃▃▃▃▃▃▄▄▄▄▄▄▄▄▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▆▆▆▆▆▆▆▆▇▇▇▇▇▇▇▇██
latency   p50 16.5 ms  p99 57.1 ms
          ▁▁▁▁▁▁▁▁▂▂▂▂▂▃▃▃▃▄▄▄▄▅▅▅▅▆▆▆▆▆▇▇▇▇▇▇████·
requests  48,213   ✗ 12 failed (status 503)
streams   1,000 open of 1,000   182,900 deliveries/s   4,821,300 delivered   ✗ 3 lost
generator send lag p99 0.61 ms   cpu 41 %   34 in flight
""",
}
PLAIN = (
    "41.2 s  bisect 1,834/s: 1,829/s of 1,834/s planned, p50 16.5 ms  p99 57.1 ms, ✗ 12 failed (status 503), "
    "1,000 open of 1,000, 182,900 deliveries/s, 4,821,300 delivered, ✗ 3 lost, send lag p99 0.61 ms, cpu 41 %, 34 in flight"
)


@pytest.mark.parametrize("width", GOLDEN)
def test_the_screen_reads_as_agreed(width: int) -> None:
    assert "\n".join(render(SNAPSHOT, width)) + "\n" == GOLDEN[width]


def test_what_the_kernel_holds_and_refuses_is_on_the_screen() -> None:
    lines = render(SNAPSHOT | {"backlog_share": 0.31, "errors_of_ours": 4}, 100)
    assert "backlog 31 %" in "\n".join(lines)
    assert "✗ 4 sockets refused here" in "\n".join(lines)


def test_elsewhere_than_on_a_terminal_it_is_one_line() -> None:
    assert plain(SNAPSHOT) == PLAIN


def test_what_is_not_known_yet_is_not_shown() -> None:
    shown = "\n".join(render({"title": "blast", "elapsed_s": 0.2, "p99_ms": None, "rates": [], "lost": None}, 80))
    for word in ("rate", "latency", "requests", "streams", "generator", "lost", "p99"):
        assert word not in shown
    assert plain({}) == "starting"


def test_failures_losses_and_lost_workers_carry_a_sign_and_their_absence_none() -> None:
    shown = render(SNAPSHOT | {"workers": 4, "workers_lost": 1}, 120)
    assert sum(line.count("✗") for line in shown) == 3
    assert not any("✗" in line for line in render(SNAPSHOT | {"failures": 0, "lost": 0, "workers": 4}, 120))


def test_a_sparkline_shows_the_newest_minute_its_peak_and_its_gaps() -> None:
    assert sparkline([1, 2, 4, None, 8], 60) == "▂▃▅·█"
    assert sparkline([8] + [1] * 60, 60) == "█" * 60
    assert sparkline([1, 10, 100, 10_000], 60) == "▁▃▅█"  # over a wide span by its logarithm
    assert sparkline([0, 0], 60) == "▁▁"
    assert sparkline([None, None], 60) == ""


FIGURES = st.none() | st.floats(min_value=0, max_value=1e12) | st.integers(min_value=0, max_value=10**12)
NUMBERS = sorted(set(SNAPSHOT) - {"title", "stage", "reason", "rates", "p99s_ms"})
SNAPSHOTS: Any = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(NUMBERS, FIGURES)
    | {name: st.none() | st.text() for name in ("title", "stage", "reason")}
    | {name: st.lists(FIGURES, max_size=80) for name in ("rates", "p99s_ms")},
)


@settings(deadline=None)
@given(SNAPSHOTS, st.integers(min_value=1, max_value=200))
def test_whatever_the_figures_the_screen_fits_and_holds_nothing_that_a_terminal_would_obey(
    snapshot: dict[str, Any], width: int
) -> None:
    lines = render(snapshot, width)
    assert len(lines) <= 16
    assert all(cell_len(line) <= max(width, 40) and line.isprintable() for line in lines)
    assert plain(snapshot).isprintable()
