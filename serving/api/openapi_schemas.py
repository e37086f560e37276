"""The schemas of the API's description: made from the types of requests and answers, and from the feature contract.

Generators of clients name a type after its title, so each part of a union has one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from leadscore.features import Contract, Feature
from serving.api import examples
from serving.api.schema import BatchFault, BatchScore, InsufficientData, LeadId, Problem

Schema = dict[str, Any]

_REF = "#/components/schemas/{name}"
_TITLES = {
    "array": "List",
    "boolean": "Yes or no",
    "integer": "Whole number",
    "null": "Unknown",
    "number": "Number",
    "string": "Text",
}


def reference(kind: type) -> Schema:
    """Return the reference to the schema of a type."""
    return _reference(kind.__name__)


def component_schemas(kinds: Iterable[type], contract: Contract) -> Schema:
    """Return the schemas of the types, and of all types in them, by name; those of requests have an example."""
    _, schemas = msgspec.json.schema_components(
        [Problem, InsufficientData, BatchScore, BatchFault, *kinds], ref_template=_REF
    )
    for kind, example in examples.requests(contract).items():
        if kind.__name__ in schemas:
            schemas[kind.__name__]["examples"] = [example]
    titled: Schema = _titled({**schemas, **_feature_schemas(contract)})
    return titled


def query_schemas(kind: type) -> Schema:
    """Return the schema of each parameter that a query type declares, by name."""
    _, schemas = msgspec.json.schema_components([kind], ref_template=_REF)
    properties: Schema = _titled(schemas)[kind.__name__]["properties"]
    return properties


def path_schema(kind: Any) -> Schema:
    """Return the schema of a parameter in the path."""
    titled: Schema = _titled(msgspec.json.schema(kind))
    return titled


def _reference(name: str) -> Schema:
    return {"$ref": _REF.format(name=name)}


def _feature_schemas(contract: Contract) -> Schema:
    required = [feature.name for feature in contract.features if not feature.nullable]
    properties = {feature.name: _feature_schema(feature) for feature in contract.features}
    features = {
        "title": "Features",
        "description": "What is known about the lead now. Each version uses the features that it was trained with;"
        " these are the features of this release.",
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
        "examples": [contract.example],
    }
    lead_id = msgspec.json.schema(LeadId | None)
    nested = {
        "title": "NestedItem",
        "description": "The features of a lead, and its id beside them.",
        "type": "object",
        "properties": {"features": _reference("Features"), "lead_id": lead_id},
        "required": ["features"],
        "additionalProperties": False,
    }
    flat = {
        **features,
        "title": "FlatItem",
        "description": "The features of a lead, and its id among them.",
        "properties": {**properties, "lead_id": lead_id},
    }
    either = {"title": "BatchItem", "anyOf": [_reference("NestedItem"), _reference("FlatItem")]}
    return {"Features": features, "NestedItem": nested, "FlatItem": flat, "BatchItem": either}


def _feature_schema(feature: Feature) -> Schema:
    kind = "number" if feature.kind == "number" else "integer"
    return {
        "type": [kind, "null"] if feature.nullable else kind,
        "minimum": feature.minimum,
        "maximum": feature.maximum,
        "description": f"{feature.unit}: {feature.meaning}",
    }


def _titled(schema: Any, name: str = "") -> Any:
    """Return a schema, that of the field `name`, with a type for each enumeration and a title for each part of a union.

    A part that refers to another schema has the other's title.
    """
    if isinstance(schema, list):
        return [_titled(part, name) for part in schema]
    if not isinstance(schema, dict):
        return schema
    titled = {key: part if key == "examples" else _titled(part, _field(key, name)) for key, part in schema.items()}
    if isinstance(titled.get("enum"), list) and "type" not in titled:
        titled["type"] = "string" if all(isinstance(value, str) for value in titled["enum"]) else "integer"
    if isinstance(titled.get("anyOf"), list):
        titled["anyOf"] = [
            part if "$ref" in part else {"title": _title(part, name), **part} for part in titled["anyOf"]
        ]
    return titled


def _field(key: str, name: str) -> str:
    """Return the name of the field whose schema stands under `key` in the schema of the field `name`."""
    return name if key in ("properties", "items", "anyOf") else key


def _title(part: Schema, name: str) -> str:
    """Return the title of a part of a union in the field `name`."""
    if "enum" in part:
        return name.title().replace("_", "")
    return _TITLES[part["type"]]
