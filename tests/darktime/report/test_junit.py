from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

from darktime.report import junit_xml

from .conftest import of_before


def suite(results: dict[str, Any]) -> ET.Element:
    found = ET.fromstring(junit_xml(results)).find("testsuite")
    assert found is not None
    return found


def failed(results: dict[str, Any]) -> list[str]:
    return [case.get("name", "") for case in suite(results) if case.find("failure") is not None]


def test_each_check_of_a_demo_is_a_case_and_a_failed_one_fails_with_what_was_seen(demo: dict[str, Any]) -> None:
    assert suite(demo).get("tests") == str(len(demo["checks"]))
    assert failed(demo) == []
    demo["checks"][4] |= {"ok": False, "detail": "2 lost & <none> doubled"}
    assert failed(demo) == [demo["checks"][4]["what"]]
    assert suite(demo).get("failures") == "1"
    failure = suite(demo).find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == "2 lost & <none> doubled"


def test_a_rate_that_was_not_held_is_no_failure_but_a_threshold_that_was_not_is(blast: dict[str, Any]) -> None:
    assert not all(probe["passed"] for probe in blast["probes"])
    assert failed(blast) == []
    assert [case.get("name") for case in suite(blast)] == [
        "127.0.0.1:9301: p99 < 250 ms",
        "127.0.0.1:9301: errors = 0",
        "127.0.0.1:9301: lost = 0",
        "the generator was not the limit",
        "no worker was lost",
    ]


def test_a_threshold_that_failed_fails_with_the_sentence_and_with_what_was_seen(push: dict[str, Any]) -> None:
    assert failed(push) == ["127.0.0.1:9301: lost = 0"]
    failure = suite(push).find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == push["sentence"]
    assert "lost = 0: 28" in str(failure.text)


def test_a_generator_bound_run_fails_for_that_and_judges_no_threshold(generator: dict[str, Any]) -> None:
    assert failed(generator) == ["the generator was not the limit"]
    assert suite(generator).get("skipped") == "2"
    assert len(suite(generator).findall("testcase/skipped")) == 2


def test_a_lost_worker_fails_by_name(scenario: dict[str, Any]) -> None:
    assert failed(scenario) == ["no worker was lost"]
    failure = suite(scenario).find("testcase/failure")
    assert failure is not None
    assert str(failure.get("message")).startswith("1 of 2 workers lost: w2")


def test_a_finding_that_failed_fails_and_one_that_promises_nothing_is_no_case(scenario: dict[str, Any]) -> None:
    for worker in scenario["workers"]:
        worker["state"] = "ready"
    scenario["findings"].append(
        {"name": "fast readers' lost", "ok": True, "text": "", "unit": "deliveries", "value": 0}
    )
    assert failed(scenario) == [f"{scenario['instance']}: harm"]
    failure = suite(scenario).find("testcase/failure")
    assert failure is not None
    assert (
        failure.get("message")
        == "harm: 2,997 ms slow consumers harm the others: their p99 went from 13.3 to 3,011 ms; 10 ms are allowed"
    )
    names = [case.get("name") for case in suite(scenario)]
    assert f"{scenario['instance']}: fast readers' lost" in names
    assert f"{scenario['instance']}: fast readers' p99 alone" not in names


def test_a_finding_that_somebodys_own_limit_judges_is_left_out(scenario: dict[str, Any]) -> None:
    for worker in scenario["workers"]:
        worker["state"] = "ready"
    scenario["findings"][0]["judged_by"] = "p99 < 80 ms"
    scenario["exit_code"] = 0
    assert failed(scenario) == []
    skipped = suite(scenario).find("testcase/skipped")
    assert skipped is not None
    assert skipped.get("message") == "judged by p99 < 80 ms"


def test_a_run_that_ended_without_a_figure_never_passes(any_blast: dict[str, Any]) -> None:
    for code in (1, 3, 4, 5, 130):
        assert failed(any_blast | {"exit_code": code})
        assert failed(of_before(any_blast) | {"exit_code": code})


def test_a_comparison_fails_where_b_is_worse(compare: dict[str, Any]) -> None:
    assert failed(compare) == ["errors is not worse"]
    assert failed(compare | {"outcome": "worse"})[0] == "steady is not worse than steady"


def test_a_split_fails_with_its_verdict_and_with_each_hop_that_is_off(split: dict[str, Any]) -> None:
    assert failed(split) == ["push-rewrite: the verdict is GO", "mirror>relay balances"]


def test_hostile_text_stays_text(hostile: dict[str, Any]) -> None:
    allowed = {"testsuites", "testsuite", "testcase", "failure", "skipped", "system-out"}
    assert {element.tag for element in ET.fromstring(junit_xml(hostile)).iter()} <= allowed
