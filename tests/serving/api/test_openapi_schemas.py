"""The schemas of the description: of the types, with a type and a title where generators of clients need them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from leadscore.features import CONTRACT
from serving.api.openapi_schemas import component_schemas, path_schema, query_schemas
from serving.api.schema import BatchRequest, LeadIdText, LeadsQuery


class Inner(msgspec.Struct):
    """Something inside."""

    model_scope: Literal["own", "pooled"] | None
    number: Literal[0, 1]


class Outer(msgspec.Struct):
    """A type with unions."""

    inner: Inner | None
    many: list[int | str | None]
    name: Annotated[str, msgspec.Meta(pattern="^a$")] | None = None


def test_the_parts_of_a_union_are_titled_by_field_or_by_kind_and_a_reference_by_its_type() -> None:
    schemas = component_schemas([Outer], CONTRACT)
    fields = schemas["Outer"]["properties"]
    assert fields["inner"]["anyOf"] == [{"$ref": "#/components/schemas/Inner"}, {"title": "Unknown", "type": "null"}]
    assert [part["title"] for part in fields["many"]["items"]["anyOf"]] == ["Whole number", "Text", "Unknown"]
    assert fields["name"]["anyOf"][0] == {"title": "Text", "type": "string", "pattern": "^a$"}
    scope = schemas["Inner"]["properties"]["model_scope"]["anyOf"][0]
    assert (scope["title"], scope["type"], scope["enum"]) == ("ModelScope", "string", ["own", "pooled"])
    assert schemas["Inner"]["properties"]["number"] == {"type": "integer", "enum": [0, 1]}


def test_a_batchs_items_have_types_of_their_own() -> None:
    schemas = component_schemas([BatchRequest], CONTRACT)
    assert [part["$ref"].rpartition("/")[2] for part in schemas["BatchItem"]["anyOf"]] == ["NestedItem", "FlatItem"]
    assert set(schemas["FlatItem"]["properties"]) == {*CONTRACT.names, "lead_id"}
    assert schemas["NestedItem"]["required"] == ["features"]
    [example] = schemas["BatchRequest"]["examples"]
    assert example["batch"][0]["features"] == CONTRACT.example


def test_parameters_have_the_schemas_of_their_types() -> None:
    query = query_schemas(LeadsQuery)
    assert list(query) == ["org_id", "grade", "trend", "limit", "cursor", "format"]
    grade = query["grade"]["anyOf"][0]
    assert (grade["title"], grade["type"], grade["enum"]) == ("Grade", "string", ["A", "B", "C", "D"])
    assert grade["description"] == "list only the leads of this grade"
    assert path_schema(LeadIdText) == {"type": "string", "maxLength": 128, "examples": ["4711"]}
