from __future__ import annotations

import json
from importlib import resources
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry, Resource

from darktime.errors import ExitCode, UsageError
from darktime.report import html_page, junit_xml, text_summary, validate
from darktime.report.kinds import KINDS, SCHEMA_VERSION

SCHEMAS = {
    kind: json.loads(
        resources.files("darktime.report").joinpath(f"schema/{kind}.v{SCHEMA_VERSION}.json").read_text("utf-8")
    )
    for kind in KINDS
}
REGISTRY: Registry[Any] = Registry().with_resources(
    (schema["$id"], Resource.from_contents(schema)) for schema in SCHEMAS.values()
)


def check(results: dict[str, Any]) -> None:
    Draft202012Validator(SCHEMAS[results["kind"]], registry=REGISTRY).validate(results)


def test_the_committed_schemas_are_schemas() -> None:
    for schema in SCHEMAS.values():
        Draft202012Validator.check_schema(schema)


def test_results_of_each_kind_fit_their_committed_schema(results: dict[str, Any]) -> None:
    check(results)
    assert validate(results) == results["kind"]


def test_a_schema_refuses_results_without_any_one_of_their_fields(results: dict[str, Any]) -> None:
    for field in SCHEMAS[results["kind"]]["required"]:
        with pytest.raises((ValidationError, KeyError)):
            check({name: value for name, value in results.items() if name != field})


@pytest.mark.parametrize("part", ["probe", "percentiles"])
def test_a_schema_refuses_a_part_without_any_one_of_its_fields(push: dict[str, Any], part: str) -> None:
    whole = push["probes"][0] if part == "probe" else push["streams"]["spread"]
    for field in SCHEMAS["blast"]["$defs"][part]["required"]:
        value = whole.pop(field)
        with pytest.raises(ValidationError):
            check(push)
        whole[field] = value
    check(push)


@pytest.mark.parametrize(
    ("where", "broken"),
    [
        ("thresholds", [{"text": "p99 < 1 ms", "seen": 1, "unit": "s", "ok": True}]),
        ("series", [{"t": 0}]),
        ("heat", {"edges_ms": [0], "seconds": []}),
        ("spectrum", {"latency": [[50]], "service": []}),
        ("overload", {"verdict": "fine", "metastable": None, "ratio": 1, "recovered_after_s": 0, "sentence": ""}),
        ("workers", [{"id": "1", "state": "missing", "requests": 0, "cpu_share": None}]),
        ("statuses", {"200": -1}),
    ],
)
def test_a_schema_refuses_a_blast_whose_parts_are_not_those(http: dict[str, Any], where: str, broken: Any) -> None:
    check(http)
    with pytest.raises(ValidationError):
        check(http | {where: broken})


def test_a_schema_refuses_a_hop_or_a_verdict_that_is_not_one(demo: dict[str, Any]) -> None:
    for broken in ({"outcome": "MAYBE", "reasons": [], "needs": None}, {"outcome": "GO"}):
        demo["phases"][0]["verdict"] = broken
        with pytest.raises(ValidationError):
            check(demo)


def test_a_schema_refuses_a_demo_without_the_ledger_of_its_copies_or_with_one_that_is_none(
    demo: dict[str, Any],
) -> None:
    for broken in (None, [{"hop": "mirror>relay"}]):
        with pytest.raises(ValidationError):
            check(demo | {"copies": demo["copies"] | {"ledger": broken}})
    del demo["copies"]["ledger"]
    with pytest.raises(ValidationError, match="ledger"):
        check(demo)


@pytest.mark.parametrize(
    "unreadable",
    [
        {},
        {"kind": "demo"},
        {"kind": "demo", "schema_version": 2},
        {"kind": "demo", "schema_version": True},
        {"kind": "demo", "schema_version": "1"},
        {"kind": "other", "schema_version": 1},
        {"kind": None, "schema_version": 1},
        [],
    ],
)
def test_results_of_another_kind_or_version_are_refused_by_name(unreadable: Any) -> None:
    for read in (validate, text_summary, html_page, junit_xml):
        with pytest.raises(UsageError) as refused:
            read(unreadable)
        assert refused.value.exit_code is ExitCode.USAGE


def test_results_that_were_cut_short_are_refused_by_naming_what_is_missing(demo: dict[str, Any]) -> None:
    del demo["traffic"]
    for read in (text_summary, html_page):
        with pytest.raises(UsageError, match="traffic"):
            read(demo)
