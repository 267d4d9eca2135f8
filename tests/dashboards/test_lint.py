"""The rules that Grafana's dashboard linter holds a dashboard to, and a few of our own."""

from __future__ import annotations

import re
from typing import Any

import promql_parser

from dashboards.queries import filled_in

Panels = list[dict[str, Any]]
UNITS = {"ops", "s", "percentunit", "short", "bytes"}


def variables(board: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {variable["name"]: variable for variable in board["templating"]["list"]}


def targets(panels: Panels) -> list[tuple[str, str]]:
    return [(panel["title"], target["expr"]) for panel in panels for target in panel["targets"]]


def selectors(expression: str) -> list[promql_parser.VectorSelector]:
    found: list[promql_parser.VectorSelector] = []

    def walk(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
            return
        if isinstance(node, promql_parser.MatrixSelector):
            walk(node.vector_selector)
            return
        for name in ("expr", "lhs", "rhs", "param"):
            if hasattr(node, name) and getattr(node, name) is not None:
                walk(getattr(node, name))
        for argument in getattr(node, "args", ()) or ():
            walk(argument)

    walk(promql_parser.parse(filled_in(expression)))
    return found


def test_one_variable_chooses_the_data_source_and_every_panel_and_query_uses_it(
    board: dict[str, Any], panels: Panels
) -> None:
    sources = [variable for variable in board["templating"]["list"] if variable["type"] == "datasource"]
    assert [(source["name"], source["label"], source["query"]) for source in sources] == [
        ("datasource", "Data source", "prometheus")
    ]
    for panel in panels:
        for each in (panel, *panel["targets"]):
            assert each["datasource"] == {"type": "prometheus", "uid": "$datasource"}, panel["title"]


def test_job_and_instance_are_asked_again_when_the_time_range_changes(board: dict[str, Any]) -> None:
    for name, label in (("job", "Job"), ("instance", "Instance")):
        variable = variables(board)[name]
        assert variable["label"] == label
        assert variable["refresh"] == 2
        assert variable["multi"]
        assert variable["includeAll"]
        assert variable["allValue"] == ".+"
        assert variable["datasource"]["uid"] == "$datasource"


def test_every_panel_has_a_title_a_description_a_unit_and_a_query(panels: Panels) -> None:
    for panel in panels:
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert 1 <= len(panel["targets"]) <= 5, panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_every_query_is_promql_and_every_selector_is_filtered_by_job_and_instance(panels: Panels) -> None:
    for title, expression in targets(panels):
        found = selectors(expression)
        assert found, title
        assert expression.count('job=~"$job", instance=~"$instance"') == len(found), title


def test_counters_stand_inside_rate_and_rate_uses_grafanas_own_interval(panels: Panels) -> None:
    for title, expression in targets(panels):
        windows = re.findall(r"\[([^\]]+)\]", expression)
        assert set(windows) <= {"$__rate_interval"}, title
        for counter in re.findall(r"\b\w+_(?:total|bucket)\b", expression):
            assert re.search(rf"rate\({counter}\{{[^}}]*\}}\[\$__rate_interval\]\)", expression), (title, counter)


def test_lines_by_labels_that_may_be_many_are_at_most_five(panels: Panels) -> None:
    few = {"outcome", "stage", "reason", "le"}
    for title, expression in targets(panels):
        grouped = re.search(r"(?:sum|max) by \(([^)]*)\)", expression)
        labels = set(grouped[1].replace(" ", "").split(",")) if grouped else set()
        assert expression.startswith("topk(5,") or (labels <= few and len(labels) <= 1), title


def test_the_dashboard_cannot_be_edited_in_place_and_has_a_stable_name(board: dict[str, Any]) -> None:
    assert board["editable"] is False
    assert board["uid"] == "realtime-overview"
    assert not {"id", "version"} & set(board)


def test_panels_do_not_overlap_and_fill_whole_rows(board: dict[str, Any]) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in board["panels"]:
        place = panel["gridPos"]
        for y in range(place["y"], place["y"] + place["h"]):
            for x in range(place["x"], place["x"] + place["w"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]
    lines = {y for _, y in taken}
    assert len(taken) == 24 * len(lines)
    assert lines == set(range(len(lines)))
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_the_rows_ask_the_five_questions_in_order(board: dict[str, Any]) -> None:
    rows = [panel["title"] for panel in board["panels"] if panel["type"] == "row"]
    assert rows == ["Is it well?", "Traffic", "Errors", "Latency", "Saturation"]
