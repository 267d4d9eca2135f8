"""What a split's page has beside its verdict: time, coverage, bounds of fields; what is not known is not drawn."""

from __future__ import annotations

import re
from typing import Any

import pytest

from darktime.report import course_blocks, coverage_block, field_blocks, html_page, text_summary
from darktime.report.drawing import svg

BEFORE = ("way", "hosts", "timeline", "endpoints_seen", "incidents")


def test_ramps_and_incidents_are_marked_where_they_were_and_the_rest_is_listed(split: dict[str, Any]) -> None:
    marks, named = course_blocks.moments(split)
    assert [(round(mark.t, 1), mark.word) for mark in marks] == [
        (0.2, "1 %"), (600.5, "5 %"), (1199.0, "0 %"), (1010.4, "incident 1")
    ]  # fmt: skip
    assert [word for word, _ in named] == ["incident 1", "at its end"]
    drawn = str(course_blocks.over_a_split(split))
    words = re.findall(r"<text[^>]*>([^<]+)</text>", drawn)
    for word in ("1 %", "5 %", "0 %", "incident 1", "production p99", "dark p50 (dashed)"):
        assert word in words


def test_a_ramp_of_before_this_host_began_is_not_drawn_outside_the_picture(split: dict[str, Any]) -> None:
    split["ramps"].insert(0, {"at": 1.0, "who": "ann", "from": 0.0, "to": 33.0, "why": ""})
    assert ">33 %<" not in re.sub(r"<td.*?</td>", "", str(course_blocks.over_a_split(split)))


def test_an_interval_without_pairs_breaks_the_line(split: dict[str, Any]) -> None:
    rows = course_blocks._filled(split["timeline"])
    assert [row["t"] for row in rows if row["pairs"] is None] == [905.0]
    assert len(rows) == 119


def test_times_below_productions_clock_are_drawn_and_written_as_what_they_are(split: dict[str, Any]) -> None:
    for row in split["timeline"]["rows"]:
        row["production_p50_ms"] = 0.0
    drawn = str(course_blocks.over_a_split(split))
    assert "production p50 (dashed)" in drawn
    assert "&lt;1 ms" in drawn


def test_coverage_names_every_endpoint_and_marks_the_one_that_is_too_low(split: dict[str, Any]) -> None:
    split["endpoints_seen"]["endpoints"][1]["coverage"] = 0.5
    drawn = str(coverage_block.coverage(split))
    assert drawn.count("✓ enough") == 1
    assert drawn.count("✗ too few") == 1
    assert "too small to be asked for" in drawn
    assert "669 credential_stripped" in drawn
    assert "90 % for a GO" in drawn


def test_coverage_says_what_never_came_and_a_run_of_before_says_nothing_of_it(split: dict[str, Any]) -> None:
    never_came = {"shed_sink": 54_000, "<b>": 1}
    split["endpoints_seen"]["together"] = {"coverage": 0.1, "never_came": never_came}
    drawn = str(coverage_block.coverage(split))
    assert "<strong>10 %</strong> of all copies together were compared" in drawn
    assert "Never came to the relay, of whatever endpoint: 54,000 shed_sink, 1 &lt;b&gt;." in drawn
    assert drawn.count("✗ too few") == 1
    del split["endpoints_seen"]["together"]
    assert "of all copies together" not in str(coverage_block.coverage(split))


def test_fields_have_their_bounds_rules_their_counts_and_every_example_is_there(split: dict[str, Any]) -> None:
    split["fields"][0]["examples"] *= 3
    page = "".join(field_blocks.content(split))
    price = split["fields"][0]
    assert f"{price['raw_low'] * 100:.3g} %" in page
    assert f"{price['noise_high'] * 100:.3g} %" in page
    assert page.count("6f1c9a52e0b4417fa0d2b7a1c3e9d801") == 3
    assert re.search(r"\* trace_id</code></td><td class=\"\">matched</td><td class=\"n\">1,742", page)
    assert "✗ never matched" in page
    assert "9 body_too_big" in page
    assert re.search(r"<code>/thread/\{id\}</code></td><td class=\"n\">1,502</td><td class=\"n\">2</td>", page)


def test_results_of_before_have_the_page_that_they_had(split: dict[str, Any]) -> None:
    for name in BEFORE:
        del split[name]
    for one in split["fields"]:
        del one["raw_low"], one["noise_high"]
    page = html_page(split)
    for absent in ("Latency over time", "Coverage, endpoint", "Raw rate against", "Incidents", "Each dark instance"):
        assert absent not in page
    assert "The way of the copies" in page
    assert "18,064 offered" in "\n".join(text_summary(split))


def test_the_text_names_every_reason_and_what_nobody_explains(split: dict[str, Any]) -> None:
    text = "\n".join(text_summary(split))
    assert "2 NOT EXPLAINED" in text
    for reason in ("810 credential_stripped", "20 shed_sink", "11 dark_timeout", "6 in_flight", "4 client_abort"):
        assert reason in text


@pytest.mark.parametrize("count", [0, 1, 40])
def test_marks_that_lie_close_are_all_drawn_and_their_words_do_not_meet(split: dict[str, Any], count: int) -> None:
    ramp = split["ramps"][0]
    split["ramps"] = [{**ramp, "at": ramp["at"] + at, "to": 10.0 + at} for at in range(count)]
    split["incidents"] = []
    marks, _ = course_blocks.moments(split)
    assert len(marks) == count
    from darktime.report.panels import COURSE

    rows = course_blocks._filled(split["timeline"])
    drawn = svg(
        lambda charts: charts.over_time(rows, COURSE, span=(0.0, 1200.0), marks=marks),
        name="x",
        title="",
        description="",
    )
    assert drawn is not None
    named = re.findall(r">(\d+ %)<", drawn)
    assert len(named) == min(count, 1) or 1 < len(named) < count


def test_who_was_in_is_told_by_bucket_and_percentage_and_what_is_a_lower_bound_says_so(split: dict[str, Any]) -> None:
    page, text = html_page(split), "\n".join(text_summary(split))
    for words in ("Who was in", "10 of 1,000", "50 of 1,000", "1,376 to 3,204", "1,725 to 2,508", "at least 104"):
        assert words in page
    assert "Lower bounds: the relay knows 104 users by name, and had copies of more." in page
    assert "at least 104 sampled at 5 % · 50 of 1,000 buckets, of 1,725 to 2,508 users" in text
    split["users"] |= {"at_least": False, "steps_at_least": True}
    split["users"]["steps"][0]["of"] = None
    page = html_page(split)
    assert "at least 1,725" in page
    assert "2,508" not in page, "of too few users the upper bound is none"
    assert "a list says who" in page


def test_a_split_of_before_that_tells_its_users_as_a_count(split: dict[str, Any]) -> None:
    split["users"] = {"seen": None, "sampled": 104}
    assert "Who was in" not in html_page(split)
    assert "104 sampled at 5 %" in "\n".join(text_summary(split))
