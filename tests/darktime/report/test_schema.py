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


def test_a_schema_refuses_a_hop_or_a_verdict_that_is_not_one(demo: dict[str, Any]) -> None:
    for broken in ({"outcome": "MAYBE", "reasons": [], "needs": None}, {"outcome": "GO"}):
        demo["phases"][0]["verdict"] = broken
        with pytest.raises(ValidationError):
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
