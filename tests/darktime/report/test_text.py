from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from darktime.report import text_summary
from darktime.report.figures import clipped, duration, ms, percent, size, visible

DEMO = """\
VERDICT    clean  GO     · 604 of 612 pairs compared, 0 differ; p99 dark 7.9 ms against 6.2 ms…
           fault  NO-GO  · pipeline>dark: 3 events lost, 2 doubled
           fault  missing, as injected: forum.3 mrq1-1207, thread.12 mrq1-418, and 1 more
           fault  extra, as injected: thread.40 mrq1-88, user.7 mrq1-19
CHECKS     11 of 11 hold
LEDGER                              clean +1     -1                     fault +1     -1
"""
SPLIT = """\
VERDICT    WAIT · push-rewrite
           /thread/: 17 of 50 pairs needed
NEEDS      33 more pairs of /thread/, about 6 minutes at this rate
LEDGER     mirror>relay: 2 missing
           mirror>relay missing: 6f1c9a52e0b4417fa0d2b7a1c3e9d801, and 1 more
"""


def fits(lines: list[str]) -> bool:
    return 0 < len(lines) <= 25 and all(cell_len(line) <= 96 and line.isprintable() for line in lines)


def test_a_summary_fits_a_terminal_and_begins_with_the_verdict(results: dict[str, Any]) -> None:
    lines = text_summary(results)
    assert fits(lines)
    assert lines[0].startswith(("VERDICT", "THRESHOLDS", "OUTCOME", "RECORDED", "REPLAY", "RELAYED"))


def test_the_summaries_of_demo_and_split_read_as_agreed(demo: dict[str, Any], split: dict[str, Any]) -> None:
    assert "\n".join(text_summary(demo)).startswith(DEMO)
    assert "\n".join(text_summary(split)).startswith(SPLIT)


def test_a_summary_holds_nothing_that_a_terminal_would_obey(hostile: dict[str, Any]) -> None:
    assert fits(text_summary(hostile))


def test_no_word_of_others_is_obeyed_in_any_line_of_a_split_and_its_kin(attacked: dict[str, Any]) -> None:
    assert fits(text_summary(attacked))


def test_a_reason_for_which_copies_left_on_both_hops_is_counted_on_both(split: dict[str, Any]) -> None:
    split["way"] |= {"never_came": {"client_abort": 3, "log_lost": 40}, "reasons": {"client_abort": 2, "log_lost": 1}}
    assert "LEFT       41 log_lost, 5 client_abort" in text_summary(split)


def test_checks_that_failed_are_shown_and_what_does_not_fit_is_counted(demo: dict[str, Any]) -> None:
    demo["phases"] = demo["phases"][:1]
    demo["blast"] = None
    demo["checks"] = [{"what": f"promise {at}", "ok": at == 77, "detail": "seen"} for at in range(80)]
    lines = text_summary(demo)
    assert fits(lines)
    assert lines[lines.index("CHECKS     1 of 80 hold") + 1].startswith("  ✗ promise 0: seen")
    shown = sum(line.startswith("  ✗ promise") for line in lines)
    assert any(line.startswith(f"  … {79 - shown} more do not hold") for line in lines)


def test_the_ledger_stands_hop_by_hop_with_what_is_off(demo: dict[str, Any]) -> None:
    lines = text_summary(demo)
    for hop in demo["phases"][0]["ledger"]:
        line = next(line for line in lines if line.split()[:1] == [hop["hop"]])
        assert f"{hop['sent']:,}" in line
    assert next(line for line in lines if line.split()[:1] == ["pipeline>dark"]).endswith("-3 +2")


def test_a_summary_fits_however_many_phases_reasons_and_incidents_there_were(
    demo: dict[str, Any], split: dict[str, Any]
) -> None:
    demo["phases"] *= 20
    demo["incidents"] = ["the relay was restarted"] * 50
    split["verdict"]["reasons"] *= 50
    split["ledger"] *= 50
    assert fits(text_summary(demo))
    assert fits(text_summary(split))


def test_a_search_of_many_probes_shows_the_last_ones_and_says_so(blast: dict[str, Any]) -> None:
    blast["probes"] *= 9
    lines = text_summary(blast)
    assert fits(lines)
    assert any("of 72" in line for line in lines)


def test_a_run_that_ended_early_still_has_a_summary(demo: dict[str, Any], blast: dict[str, Any]) -> None:
    demo |= {"phases": [], "blast": None, "reason": None, "checks": [], "series": [], "exit_code": 130}
    blast |= {"probes": [], "capacity": {"highest_pass_per_s": None, "lowest_fail_per_s": None}}
    blast["latency"] = dict.fromkeys(blast["latency"])
    assert fits(text_summary(demo))
    assert fits(text_summary(blast))
    assert "holds —/s" in "\n".join(text_summary(blast))


def test_ids_that_are_not_those_injected_are_called_so(demo: dict[str, Any]) -> None:
    demo["phases"][1]["exact"] = False
    assert "missing, NOT as injected" in "\n".join(text_summary(demo))


@settings(deadline=None)
@given(st.text())
def test_visible_text_is_one_printable_line_and_leaves_printable_text_alone(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    shown.encode("utf-8")
    if text.isprintable():
        assert shown == text


@settings(deadline=None)
@given(st.text(), st.integers(min_value=2, max_value=40))
def test_clipped_text_never_takes_more_cells_than_it_may(text: str, columns: int) -> None:
    assert cell_len(clipped(text, columns)) <= columns


def test_figures_carry_their_unit() -> None:
    assert [ms(value) for value in (None, 0, 0.9, 12.34, 148.2, 9_999, 10_000)] == [
        "—",
        "<1 ms",
        "0.90 ms",
        "12.3 ms",
        "148 ms",
        "9,999 ms",
        "10.0 s",
    ]
    assert [duration(value) for value in (None, 4.25, 64.3, 1200)] == ["—", "4.2 s", "1m04s", "20m00s"]
    assert [percent(value) for value in (5.0, 0.5)] == ["5 %", "0.5 %"]
    assert [size(value) for value in (0, 999, 61_230_112, 5e15)] == ["0 B", "999 B", "61.2 MB", "5,000.0 TB"]
