from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

from darktime.report import junit_xml


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


def test_a_rate_that_was_not_held_is_no_failure_but_an_objective_that_was_not_is(blast: dict[str, Any]) -> None:
    assert not all(probe["passed"] for probe in blast["probes"])
    assert failed(blast) == []
    blast["exit_code"] = 3
    assert failed(blast) == ["127.0.0.1:9301: p99 < 250ms, errors = 0, lost = 0"]
    blast |= {"limit": "generator", "exit_code": 4}
    assert "the generator was not the limit" in failed(blast)


def test_a_split_fails_with_its_verdict_and_with_each_hop_that_is_off(split: dict[str, Any]) -> None:
    assert failed(split) == ["push-rewrite: the verdict is GO", "mirror>relay balances"]


def test_hostile_text_stays_text(hostile: dict[str, Any]) -> None:
    allowed = {"testsuites", "testsuite", "testcase", "failure", "system-out"}
    assert {element.tag for element in ET.fromstring(junit_xml(hostile)).iter()} <= allowed
