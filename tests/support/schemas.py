"""The committed schemas, and whether results fit theirs: asked of samples and of what real runs leave."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

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
    """Raise ValidationError unless results fit the committed schema of their kind."""
    Draft202012Validator(SCHEMAS[results["kind"]], registry=REGISTRY).validate(results)
