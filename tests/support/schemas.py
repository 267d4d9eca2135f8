"""The committed schemas of results, for tests that hold a real run to them."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource


def require_schema(results: dict[str, Any]) -> None:
    """Raise ValidationError where results do not have the shape that is committed for their kind and version."""
    folder = resources.files("darktime.report").joinpath("schema")
    schemas = {
        path.name: json.loads(path.read_text("utf-8")) for path in folder.iterdir() if path.name.endswith(".json")
    }
    registry: Registry[Any] = Registry().with_resources(
        (schema["$id"], Resource.from_contents(schema)) for schema in schemas.values()
    )
    schema = schemas[f"{results['kind']}.v{results['schema_version']}.json"]
    Draft202012Validator(schema, registry=registry).validate(results)
