"""The summaries of blast and compare, whole: they are what people read, and reviewed like code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from darktime.report import text_summary

from .conftest import of_before

SAMPLES = Path(__file__).parent / "samples"
GOLDEN = {
    "blast-http": """\
THRESHOLDS ✓ p99 < 200 ms ..... 149 ms
           ✓ errors < 0.1 % ... 0 %
RESULT     The instance held 1,912 requests/s (p99 < 200 ms, errors < 0.1 %) and failed at
           1,992: p99 282 ms. Generator 9 % busy, canary slow too: the instance is the limit.
CAPACITY   holds 1,912/s · fails at 1,992/s · limit: instance
PROBES, the last 10 of 14         rate/s   reached        p50        p99   errors    lost
  ✗ p99 282 ms                     2,000     1,946     111 ms     282 ms        0       0
  ✓ held                           1,414     1,414    4.57 ms    16.0 ms        0       0
  ✓ held                           1,682     1,682    8.05 ms    27.5 ms        0       0
  ✓ held                           1,834     1,834    17.2 ms    59.4 ms        0       0
  ✗ p99 282 ms                     1,992     1,944     110 ms     282 ms        0       0
  ✓ held                           1,912     1,912    39.9 ms     143 ms        0       0
  ✓ held                           1,912     1,912    42.2 ms     149 ms        0       0
  ✗ p99 1,560 ms                   2,294     1,950     819 ms   1,560 ms        0       0
  ✗ p99 4,454 ms                   3,824     1,911   3,666 ms   4,454 ms      304       0
  ✗ p99 1,090 ms                     956       956    3.81 ms   1,090 ms        0       0
LATENCY    p50 42.2 ms  p90 84.6 ms  p99 149 ms  p99.9 238 ms  max 319 ms · from planned time
SERVICE    p50 42.2 ms  p90 84.6 ms  p99 149 ms  p99.9 238 ms  max 319 ms · from sending
COUNTS     104,572 requests · 304 failed, most of them status 503 · 32.6 MB
GENERATOR  send lag p99 0.53 ms · cpu 13.5 % · sent 100 % of the plan · healthy
           canary p50 2.40 ms, p99 11.8 ms · used 12 % of this generator's 41,200/s
OVERLOAD   collapse: At twice the capacity nothing was answered in time any more; at half of it,
           it was well after 2 s.
INSTANCE   at most memory 55.2 MB, cpu 99 %, open files 212 · 2 more on the page
RUN        blast · 127.0.0.1:8001 · http · open · 1m09s · exit 0
""",
    "blast-push": """\
THRESHOLDS ✗ lost = 0 ......... 28
           ✓ p99 < 200 ms ..... 16.4 ms
           ✓ errors < 0.1 % ... 0 %
RESULT     The instance did not hold 200 publishes/s to 1,000 streams: 28 of 6,000,000
           deliveries were lost, all of them within two seconds after 4 streams were cut.
CAPACITY   holds —/s · fails at —/s · limit: instance
PROBES                            rate/s   reached        p50        p99   errors    lost
  ✗ 28 deliveries lost               200       200    4.70 ms    16.4 ms        0      28
LATENCY    p50 4.74 ms  p90 9.32 ms  p99 16.4 ms  p99.9 24.6 ms  max 36.1 ms · from planned time
SERVICE    p50 4.66 ms  p90 9.28 ms  p99 16.3 ms  p99.9 24.6 ms  max 36.0 ms · from sending
COUNTS     6,000 requests · 0 failed · 1.9 MB
STREAMS    1,000 open of 1,016 · 16 cut
           p99 of first event 24.7 ms, between events 11.9 ms, spread 19.4 ms, reconnect 1,285…
GAPS       5,999,972 delivered · 28 lost · 2 duplicated · 1 reordered · 9 replayed
GENERATOR  send lag p99 0.52 ms · cpu 5.4 % · sent 100 % of the plan · healthy
           canary p50 2.40 ms, p99 11.8 ms · used 12 % of this generator's 41,200/s
RUN        blast · 127.0.0.1:9301 · push · open · 30.0 s · exit 3
""",
    "blast-generator": """\
THRESHOLDS ? p99 < 200 ms ..... not judged
           ? errors < 0.1 % ... not judged
RESULT     No capacity is given: this generator was the limit (sends were 64 ms late, CPU 99 %).
           Give it more processes with --processes, or another machine.
CAPACITY   none is given: the generator was the limit
LATENCY    p50 11.5 ms  p90 33.4 ms  p99 64.5 ms  p99.9 102 ms  max 103 ms · from planned time
SERVICE    p50 1.00 ms  p90 2.00 ms  p99 3.76 ms  p99.9 7.46 ms  max 7.56 ms · from sending
COUNTS     132,500 requests · 0 failed · 41.3 MB
GENERATOR  send lag p99 64.1 ms · cpu 99 % · sent 94 % of the plan
           generator-bound: sends were 64 ms late (p99), more than 20 ms
           canary p50 0.90 ms, p99 2.20 ms · used 94 % of this generator's 21,300/s
RUN        blast · 127.0.0.1:8001 · http · open · 13.0 s · exit 4
""",
    "blast-tokens": """\
THRESHOLDS ✓ first event p99 < 500 ms ..... 231 ms
           ✓ between events p99 < 80 ms ... 46.2 ms
           ✓ streams whole > 99.9 % ....... 100 %
RESULT     The instance held 57 streams/s, each on time (first event p99 < 500 ms, between
           events p99 < 80 ms), and failed at 80: first event p99 812 ms.
CAPACITY   holds 57/s · fails at 80/s · limit: instance
PROBES                            rate/s   reached        p50        p99   errors    lost
  ✓ held                              20        20    20.7 ms    70.8 ms        0       0
  ✓ held                              40        40    25.1 ms    89.7 ms        0       0
  ✗ p99 324 ms                        80        80    90.9 ms     324 ms        0       0
  ✓ held                              57        57    33.6 ms     118 ms        0       0
LATENCY    p50 33.6 ms  p90 66.5 ms  p99 118 ms  p99.9 195 ms  max 223 ms · from planned time
SERVICE    p50 33.5 ms  p90 66.3 ms  p99 118 ms  p99.9 195 ms  max 223 ms · from sending
COUNTS     1,182 requests · 0 failed · 368.8 kB
STREAMS    188 open of 1,182 · 0 cut · 994 whole
           p99 of first event 229 ms, between events 47.2 ms
GAPS       75,648 delivered · 0 lost · 0 duplicated · 0 reordered · 0 replayed
GENERATOR  send lag p99 0.49 ms · cpu 5.1 % · sent 100 % of the plan · healthy
           used 12 % of this generator's 41,200/s
RUN        token_stream · 127.0.0.1:8080/v1/chat/completions · stream · open · 24.0 s · exit 0
""",
    "blast-scenario": """\
THRESHOLDS ✗ p99 < 200 ms ..... 3,011 ms
           ✓ errors < 0.1 % ... 0 %
           ✓ lost = 0 ......... 0
RESULT     The instance did not hold 120 publishes/s (p99 < 200 ms, errors < 0.1 %, lost = 0):
           p99 3,011 ms.
CAPACITY   holds —/s · fails at 120/s · limit: instance
PROBES                            rate/s   reached        p50        p99   errors    lost
  ✓ held                             120       120    0.60 ms    13.3 ms        0       0
  ✗ p99 3,011 ms                     120        82    2.02 ms   3,011 ms        0       0
LATENCY    p50 2.02 ms  p90 2,537 ms  p99 3,011 ms  p99.9 3,103 ms  max 3,103 ms · from plan
SERVICE    p50 0.34 ms  p90 7.00 ms  p99 1,637 ms  p99.9 1,693 ms  max 1,693 ms · from sending
COUNTS     1,200 requests · 0 failed · 2.6 MB
STREAMS    40 open of 40 · 0 cut
           p99 of spread 10.2 ms
GAPS       19,200 delivered · 0 lost · 0 duplicated · 688 reordered · 0 replayed
GENERATOR  send lag p99 10.5 ms · cpu 3 % · sent 100 % of the plan · healthy
FINDINGS   ✗ harm 2,997 ms: slow consumers harm the others: their p99 went from 13.3 to 3,011
           ms; 10 ms are allowed
           · fast readers' p99 alone 13.3 ms: before the others slowed down
           · fast readers' p99 3,011 ms: while others read slowly
           … 2 more are in the report
RUN        slow_readers · 127.0.0.1:9301 · stream · open · 15.6 s · exit 3
""",
    "compare": """\
OUTCOME    ✓ better
RESULT     B is better: it holds 1.17 times the rate of A (1.11 to 1.24).
A          steady · holds 1,912/s · runs/2026-11-24T09-14-03Z-steady
B          steady · holds 2,240/s · runs/2026-11-25T10-02-41Z-steady
FIGURES                                  A           B    B / A         interval  outcome
  ✓ capacity                       1,912/s     2,240/s   1.17 x     1.11 to 1.24  better
  ? p50                            4.10 ms     4.00 ms   0.98 x     0.94 to 1.03  cannot tell
  ✓ p99                             148 ms     96.4 ms   0.65 x     0.52 to 0.81  better
  ? p99.9                           410 ms      502 ms   1.22 x      0.71 to 2.1  cannot tell
  ✗ errors                          0.02 %      0.06 %      3 x       1.2 to 7.4  worse
  ? lost                                 0           0        —                —  cannot tell
RUN        exit 0
""",
}


def fits(lines: list[str]) -> bool:
    return 0 < len(lines) <= 25 and all(cell_len(line) <= 96 and line.isprintable() for line in lines)


@pytest.mark.parametrize("name", GOLDEN)
def test_a_summary_reads_as_agreed(name: str) -> None:
    results = json.loads((SAMPLES / f"{name}.json").read_text("utf-8"))
    assert "\n".join(text_summary(results)) + "\n" == GOLDEN[name]


def test_a_generator_bound_run_prints_no_capacity_whatever_its_results_hold(generator: dict[str, Any]) -> None:
    generator["capacity"] = {"highest_pass_per_s": 10_000.0, "lowest_fail_per_s": 20_000.0}
    text = "\n".join(text_summary(generator))
    assert "none is given: the generator was the limit" in text
    assert "10,000" not in text
    assert "20,000" not in text


def test_thresholds_come_first_and_those_that_failed_before_those_that_hold(push: dict[str, Any]) -> None:
    lines = text_summary(push)
    assert lines[0].startswith("THRESHOLDS ✗ lost = 0 .")
    assert lines[1].startswith("           ✓ p99 < 200 ms .")


def test_a_summary_of_an_earlier_release_has_its_objective_and_its_figures(any_blast: dict[str, Any]) -> None:
    lines = text_summary(of_before(any_blast))
    assert fits(lines)
    assert lines[0].startswith("RESULT")
    assert any(line.startswith("OBJECTIVE") for line in lines)
    assert not any(line.startswith(("THRESHOLDS", "SERVICE", "STREAMS", "FINDINGS")) for line in lines)


def test_a_summary_fits_however_much_there_is_and_counts_what_it_leaves_out(scenario: dict[str, Any]) -> None:
    for key, times in (("thresholds", 20), ("findings", 20), ("probes", 50), ("workers", 30)):
        scenario[key] = scenario[key] * times
    scenario["sentence"] *= 9
    scenario["overload"] = {
        "verdict": "degrading",
        "metastable": True,
        "ratio": 0.6,
        "recovered_after_s": None,
        "sentence": "It does not come back. " * 9,
    }
    lines = text_summary(scenario)
    assert fits(lines)
    assert any("36 more, 0 of them failed" in line for line in lines)
    assert any("57 more are in the report" in line for line in lines)
    assert lines[-1].startswith("RUN")


@pytest.mark.parametrize(
    ("seen", "word"),
    [
        ({"verdict": "collapse", "metastable": True}, "collapse, metastable: "),
        ({"verdict": "metastable", "metastable": True}, "metastable: "),
        ({"verdict": "graceful", "metastable": False}, "graceful: "),
        ({"verdict": "unknown", "metastable": None}, "unknown: "),
    ],
)
def test_the_word_for_an_overload_is_said_once(http: dict[str, Any], seen: dict[str, Any], word: str) -> None:
    http["overload"] |= seen
    assert any(line.startswith(f"OVERLOAD   {word}") for line in text_summary(http))


def test_a_ceiling_and_a_cold_start_have_a_line_each(http: dict[str, Any], push: dict[str, Any]) -> None:
    met = {"at": 2000, "wanted": 3000, "cause": "503", "turned_away": 11_980, "sentence": "It takes only so many."}
    http["connection_ceiling"], push["connection_ceiling"] = met, met | {"what": "streams", "cause": "syn_drop"}
    whole = dict.fromkeys(("p50_ms", "p90_ms", "p99_ms", "max_ms"), 812.0)
    http["cold_start"] = {"seconds": 2, "of": 20, "whole": whole, "sentence": "The first 2 s were cold."}
    lines = text_summary(http)
    assert "CEILING    2,000 of 3,000 connections served · others answered 503 11,980 times" in lines
    assert "COLD START the first 2 of 20 s not judged · p99 149 ms, with them 812 ms" in lines
    assert "CEILING    2,000 of 3,000 streams served · SYNs of others dropped 11,980 times" in text_summary(push)
    assert fits(lines)


def test_a_comparison_of_many_figures_fits_and_counts_what_it_leaves_out(compare: dict[str, Any]) -> None:
    compare["metrics"] *= 9
    lines = text_summary(compare)
    assert fits(lines)
    assert any("more are in the report" in line for line in lines)


def test_large_and_missing_figures_keep_their_place_in_a_line(http: dict[str, Any]) -> None:
    http["latency"] = dict.fromkeys(http["latency"], 9_999.4)
    assert any(line.endswith("from plan") for line in text_summary(http))
    http["latency"] = dict.fromkeys(http["latency"])
    http["health"] |= {"send_lag_p99_ms": None, "cpu_share": None}
    http["canary"] |= {"p50_ms": None, "p99_ms": None, "errors": 3}
    http["calibration"] = {"ceiling_per_s": None, "share": None}
    lines = text_summary(http)
    assert fits(lines)
    assert any("canary p50 —, p99 — · 3 of its 690 failed" in line for line in lines)
