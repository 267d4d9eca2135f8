from __future__ import annotations

import json
import random
import re
import stat
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from darktime.errors import UsageError
from darktime.report import drawing, html_page, palette, text_summary, write_report
from darktime.report.heat_chart import gathered
from darktime.report.series import thinned

from .conftest import SAMPLES, of_before

if TYPE_CHECKING:
    from pathlib import Path


class Reader(HTMLParser):
    """What a browser would find: elements, their attributes and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_a_page_names_verdict_and_exact_ids_before_anything_else(demo: dict[str, Any]) -> None:
    page = html_page(demo)
    assert "Clean code: GO. Faulty code: " in page
    first_chart = page.index("<svg")
    for phase in demo["phases"]:
        for hop in phase["ledger"]:
            for item in [*hop["missing"], *hop["extra"]]:
                assert page.index(item["id"]) < first_chart


def test_what_the_generators_kernel_held_and_refused_stands_beside_its_other_figures() -> None:
    results = json.loads((SAMPLES / "blast-http.json").read_text("utf-8"))
    assert "receive backlog" not in html_page(results), "results of before do not know it"
    results["health"] |= {"backlog_share": 0.31, "errors_of_ours": 4}
    for row in results["series"]:
        row |= {"backlog_share": 0.29, "errors_of_ours": 3}
    page = html_page(results)
    assert "receive backlog 31 % of reads, 4 sockets refused" in page
    assert "highest receive backlog, share of reads: 29 %; highest sockets refused here: 3" in page
    assert "backlog 31 %" in "\n".join(text_summary(results))


def test_every_element_is_closed_and_every_chart_has_title_description_and_figures(page: str, charts: int) -> None:
    reader = Reader(page)
    assert reader.open == []
    drawn = [each for each in reader.named("svg") if each.get("role") == "img"]
    assert len(drawn) == charts
    ids = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for chart in drawn:
        assert set(str(chart["aria-labelledby"]).split()) <= set(ids)
    assert len(reader.named("details")) == len(drawn)
    assert len(reader.named("table")) >= len(drawn)


def test_a_page_allows_no_request_and_holds_no_script_and_no_address_to_load(page: str) -> None:
    reader = Reader(page)
    policy = [each["content"] for each in reader.named("meta") if each.get("http-equiv") == "Content-Security-Policy"]
    assert policy
    assert str(policy[0]).startswith("default-src 'none'")
    tags = {tag for tag, _ in reader.elements}
    assert not tags & {"script", "img", "link", "iframe", "object", "embed", "form", "a", "base", "image", "use"}
    assert not {name for _, attributes in reader.elements for name in attributes} & {
        "src",
        "href",
        "xlink:href",
        "action",
    }


def assert_text(page: str, hostile_page: str) -> None:
    """The hostile page has no element, and no attribute, that the plain one has not; and nothing that is not printable."""
    plain, attacked = Reader(page), Reader(hostile_page)
    assert attacked.open == []
    assert {tag for tag, _ in attacked.elements} <= {tag for tag, _ in plain.elements} | {"ul", "li", "code", "p"}
    assert not [name for _, attributes in attacked.elements for name in attributes if name.startswith("on")]
    known = {name for _, attributes in plain.elements for name in attributes}
    assert {name for _, attributes in attacked.elements for name in attributes} <= known
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2066\ufeff\ud800-\udfff]", hostile_page)
    assert "&lt;script&gt;" in hostile_page
    hostile_page.encode("utf-8")


def test_bytes_that_came_from_outside_stay_text(page: str, hostile_page: str) -> None:
    assert_text(page, hostile_page)


def test_the_whole_corpus_stays_text_in_every_block_of_a_split_and_its_kin(kin: str, attacked_page: str) -> None:
    plain = html_page(json.loads((SAMPLES / f"{kin}.json").read_text("utf-8")))
    assert_text(plain, attacked_page)
    text = "".join(Reader(attacked_page).text)
    for part in ("alert(document.domain)", "<svg/onload=alert(1)>", "onfocus='alert(4)", "{{datum.x}}", "\\x1b]52;c"):
        assert part in text


def test_without_the_extra_the_page_has_its_tables_and_names_the_extra(
    results: dict[str, Any], charts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    reader = Reader(html_page(results))
    assert not reader.named("svg")
    assert drawing.MISSING_EXTRA in "".join(reader.text)
    assert "darktime[report]" in drawing.MISSING_EXTRA
    assert len(reader.named("figure")) >= charts
    assert reader.named("table")


def test_a_run_that_ended_early_still_has_a_page(
    demo: dict[str, Any], blast: dict[str, Any], split: dict[str, Any]
) -> None:
    demo |= {"phases": [], "blast": None, "reason": None, "checks": [], "series": [], "exit_code": 130}
    blast |= {"probes": [], "capacity": {"highest_pass_per_s": None, "lowest_fail_per_s": None}}
    blast["latency"] = dict.fromkeys(blast["latency"])
    split["ledger"] = []
    for side in split["latency"].values():
        side.update(dict.fromkeys(("p50_ms", "p95_ms", "p99_ms")))
    for results in (demo, blast, split):
        assert Reader(html_page(results)).open == []


def test_thousands_of_ids_and_probes_are_counted_and_do_not_swell_the_page(demo: dict[str, Any]) -> None:
    hop = demo["phases"][1]["ledger"][3]
    hop["missing"] = [{"id": f"thread.{at} e-{at}", "times": 1} for at in range(5_000)]
    page = html_page(demo)
    assert "thread.199 e-199<" in page
    assert "thread.200 e-200<" not in page
    assert "and 4,800 more" in page
    assert len(page) < 400_000


def test_a_long_series_is_drawn_with_a_bounded_number_of_points_and_keeps_its_peak() -> None:
    series = [{"t": float(at), "production": 10, "dark": 1, "copies": 1} for at in range(7_201)]
    series[4_321]["production"] = 999
    points = thinned(series, ("production", "dark"))
    assert len(points) <= 600
    assert max(point["production"] for point in points) == 999


def test_every_colour_of_a_chart_has_a_dark_twin(page: str) -> None:
    charts = "".join(re.findall(r"<svg role.*?</svg>", page, re.DOTALL))
    used = set(re.findall(r'(?:fill|stroke)="(#[0-9a-fA-F]{3,8}|rgb[^"]*|[a-z]+)"', charts)) - {"none", "transparent"}
    assert used <= {colour.light for colour in palette.CHART_COLOURS}


def _contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_marks_and_words_stand_out_on_light_and_on_dark() -> None:
    for colour in palette.CHART_COLOURS:
        least = 4.5 if colour in {palette.INK, palette.MUTED, palette.WRONG} else 3.0
        if colour not in {palette.RULE, palette.BAND, *palette.HEAT}:
            assert _contrast(colour.light, "#ffffff") >= least, colour
            assert _contrast(colour.dark, "#161e26") >= least, colour


def test_the_shades_of_a_heat_map_deepen_step_by_step_on_light_and_on_dark() -> None:
    light = [_contrast(colour.light, "#ffffff") for colour in palette.HEAT]
    dark = [_contrast(colour.dark, "#161e26") for colour in palette.HEAT]
    assert all(after / before > 1.2 for shades in (light, dark) for before, after in pairwise(shades))


def test_a_blast_of_an_earlier_release_still_has_a_page(any_blast: dict[str, Any]) -> None:
    reader = Reader(html_page(of_before(any_blast)))
    assert reader.open == []
    text = " ".join(reader.text)
    assert any_blast["sentence"] in text
    for absent in ("Thresholds", "percentile by percentile", "over time", "Streams and gaps", "Workers", "Canary"):
        assert absent not in text


def test_the_overload_stands_on_the_page_with_the_factor_that_was_offered(http: dict[str, Any]) -> None:
    assert "Goodput beyond the capacity, of the best" in Reader(html_page(http)).text, "one of an earlier release"
    http["overload"] |= {"factor": 1.3, "verdict": "unknown", "ratio": None}
    text = Reader(html_page(http)).text
    assert "Goodput at 1.3 times the capacity, of the best" in text
    assert "twice" not in " ".join(text).replace(http["overload"]["sentence"], "")


def test_where_littles_law_was_not_measured_that_is_said(http: dict[str, Any]) -> None:
    for number, probe in enumerate(http["probes"]):
        probe["little_error"] = None if number % 2 else 0.031
    text = Reader(html_page(http)).text
    assert "Little's law off by" in text
    assert "not measured" in text
    assert "3.1 %" in text
    http["probes"] = http["probes"][1:2]
    assert "not measured" in Reader(html_page(http)).text


def test_nothing_stands_where_nothing_was_measured(http: dict[str, Any]) -> None:
    for row in http["series"]:
        row.update(dict.fromkeys(("canary_ms", "loop_lag_ms", "deliveries", "in_flight")))
    http |= {"heat": None, "canary": None, "calibration": None, "instance_metrics": None, "overload": None}
    http |= {"spectrum": {"latency": [], "service": []}, "statuses": {}, "reasons": {}}
    text = " ".join(Reader(html_page(http)).text)
    for absent in (
        "canary, ms",
        "loop lag",
        "deliveries per second",
        "in flight",
        "percentile by percentile",
        "Status",
    ):
        assert absent not in text.replace("where it is slow too", "")
    assert "p50 (dashed)" in text  # without a heat map latency over time is drawn as lines


def test_a_ceiling_and_a_cold_start_stand_on_the_page_with_both_figures(http: dict[str, Any]) -> None:
    absent = " ".join(Reader(html_page(http)).text)
    assert "A ceiling on" not in absent
    assert "cold start" not in absent
    said = "The instance takes only so many streams: it served 2,000 of 3,000 at once."
    http["connection_ceiling"] = {"at": 2000, "wanted": 3000, "what": "streams", "cause": "reset", "turned_away": 1234}
    http["connection_ceiling"]["sentence"] = said
    whole = {"count": 9, "p50_ms": 5.0, "p90_ms": 6.0, "p99_ms": 812.0, "max_ms": 913.0}
    http["cold_start"] = {"seconds": 2, "of": 20, "whole": whole, "sentence": "The first 2 s were a cold start."}
    text = " ".join(Reader(html_page(http)).text)
    for word in (said, "A ceiling on streams", "Others reset or refused", "1,234 times", "2,000 of 3,000"):
        assert word in text
    for word in ("The first 2 s were a cold start.", "With the cold start", "812 ms", "149 ms"):
        assert word in text


def test_a_run_whose_generator_was_the_limit_states_no_capacity_on_its_page(generator: dict[str, Any]) -> None:
    generator["capacity"] = {"highest_pass_per_s": 12_345.0, "lowest_fail_per_s": 23_456.0}
    page = html_page(generator)
    assert "not stated" in page
    assert "12,345" not in page
    assert "23,456" not in page


def test_a_run_of_hours_with_every_figure_stays_a_page_that_can_be_mailed(push: dict[str, Any]) -> None:
    row, rng = push["series"][0], random.Random(5)
    push["series"] = [
        {key: round(value * rng.uniform(0.5, 1.5), 2) for key, value in row.items()} | {"t": at} for at in range(14_400)
    ]
    push["series"][7_777]["p99_ms"] = 98_765.0
    edges = [1.2**step for step in range(60)]
    push["heat"] = {
        "edges_ms": edges,
        "seconds": [{"t": at, "counts": [rng.randrange(5_000) for _ in edges]} for at in range(14_400)],
    }
    push["probes"] = [push["probes"][0] | {"rate_per_s": 100.0 + at} for at in range(700)]
    page = html_page(push)
    assert len(page.encode()) < 1_500_000
    assert "98.8 s" in page or "98,765" in page
    lows, highs, columns = gathered(push["heat"])
    assert len(lows) == len(highs) <= 32
    assert len(columns) <= 120
    counted = sum(sum(counts) for _, _, counts in columns)
    assert counted == sum(sum(second["counts"]) for second in push["heat"]["seconds"])


def test_the_report_is_written_beside_the_results_for_its_owner_only(demo: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(json.dumps(demo))
    for _ in range(2):
        path = write_report(tmp_path)
        assert path == tmp_path / "report.html"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert sorted(each.name for each in tmp_path.iterdir()) == ["report.html", "results.json"]
        assert path.read_text("utf-8") == html_page(demo)


@pytest.mark.parametrize("content", [None, "", "{", "[]", "\xff", "[" * 100_000, '{"kind":"demo","schema_version":9}'])
def test_a_folder_without_readable_results_is_refused_by_name(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "results.json").write_text(content, encoding="latin-1")
    with pytest.raises(UsageError):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("step", [0, 1e-320], ids=["zero", "least"])
@pytest.mark.parametrize("kind", ["split", "replay"])
def test_a_step_that_somebody_wrote_into_the_file_is_refused_and_no_unexpected_error(kind: str, step: float) -> None:
    results = json.loads((SAMPLES / f"{kind}.json").read_text(encoding="utf-8"))
    assert results["timeline"]["rows"]
    results["timeline"]["step_s"] = step
    with pytest.raises(UsageError, match="the file was cut short or edited"):
        html_page(results)


def test_importing_the_report_loads_no_charts_no_numbers_and_nothing_of_the_engines() -> None:
    heavy = ("altair", "vl_convert", "numpy", "gevent", "locust", "redis", "jsonschema", "realtime_core")
    code = f"import sys, darktime.report; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.strip() == "[]"
