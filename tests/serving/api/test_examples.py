"""The examples of requests and answers: of the API's types, true to the contract, and in agreement with each other."""

from __future__ import annotations

import msgspec
import pytest

from leadscore.features import CONTRACT
from leadscore.registry.ids import check_org_id, check_version_id
from serving.api import examples
from serving.api.problems import CODES, STATUSES
from serving.api.schema import LeadAnswer, PredictAnswer


@pytest.mark.parametrize("kind", [LeadAnswer, PredictAnswer])
def test_the_contributions_of_an_example_sum_to_its_probability(kind: type) -> None:
    answer = examples.answers(CONTRACT)[kind]
    assert [each["feature"] for each in answer["feature_contributions"]] == list(CONTRACT.names)
    total = answer["base_value"] + sum(each["contribution"] for each in answer["feature_contributions"])
    assert total == pytest.approx(answer["conversion_probability"])
    assert answer["base_value"] > 0


@pytest.mark.parametrize(("kind", "example"), [*examples.answers(CONTRACT).items()])
def test_an_example_holds_every_field_of_its_type_in_json(
    kind: type[msgspec.Struct], example: examples.Example
) -> None:
    required = {field.encode_name for field in msgspec.structs.fields(kind) if field.required}
    fields = {field.encode_name for field in msgspec.structs.fields(kind)}
    assert required <= example.keys() <= fields
    assert msgspec.json.decode(msgspec.json.encode(example)) == example
    check_org_id(example.get("org_id", "default"))
    check_version_id(example.get("version", examples.VERSION))


@pytest.mark.parametrize("code", CODES)
def test_the_example_of_a_refusal_says_what_its_code_means(code: str) -> None:
    refused = examples.problem(code)
    assert (refused["code"], refused["status"], refused["detail"]) == (code, STATUSES[code], CODES[code])
    assert refused["type"] == f"/docs#{code}"
