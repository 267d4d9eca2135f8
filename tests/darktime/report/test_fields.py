"""Fields that differ stand in every report of a split, masked ones among them, and runs of before have none."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from rich.cells import cell_len

from darktime.report import html_page, text_summary
from tests.support.schemas import require_schema

SUMMARY = """\
FIELDS     2 fields differ more often than by noise; 1,742 requests compared with 127.0.0.1:9302
           ✗ /thread/{id} posts[].price       another value · 31 of 1,502, noise 0 · 9.5 → 9.4
"""


def test_the_summary_names_the_fields_with_their_counts_and_the_masked_ones(split: dict[str, Any]) -> None:
    text = "\n".join(text_summary(split))
    assert SUMMARY in text
    assert "MASKED     2: /thread/{id} request_id (uuid), /forum/{id} at (timestamp)" in text
    assert "2 missing (noise 0), 1 doubled (noise 0)" in text
    assert "51 per_second" in text
    assert "never matched: GET /thread/{id} post[].at" in text


def test_the_page_has_a_table_of_reported_one_of_masked_and_one_of_other_fields(split: dict[str, Any]) -> None:
    page = html_page(split)
    for label in ("Reported fields", "Masked fields", "Other fields that differ", "Events of streams"):
        assert f'aria-label="{label}"' in page
    for word in ("posts[].price", "9.4", "request_id", "(1,502 times)", "views", "missing 1-771"):
        assert word in page


def test_many_fields_do_not_crowd_the_rest_out(split: dict[str, Any]) -> None:
    split["fields"] = [copy.deepcopy(one) for one in split["fields"] for _ in range(40)]
    split["verdict"]["reasons"] *= 50
    require_schema(split)
    lines = text_summary(split)
    assert len(lines) <= 25
    assert all(cell_len(line) <= 96 for line in lines)
    assert any("and 77 more" in line for line in lines)
    assert lines[-1].startswith("RUN")


@pytest.mark.parametrize(
    "old", [{}, {"comparison": None, "fields": [], "stream_pairs": []}], ids=["of before", "without"]
)
def test_results_without_a_comparison_are_reported_as_ever(split: dict[str, Any], old: dict[str, Any]) -> None:
    for name in ("comparison", "fields", "stream_pairs"):
        del split[name]
    split |= old
    require_schema(split)
    assert "FIELDS" not in "\n".join(text_summary(split))
    assert "field by field" not in html_page(split)
