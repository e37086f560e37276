"""The leads of a request: read by the version's own contract, and every fault named in its place."""

from __future__ import annotations

import msgspec
import pytest

from leadscore.features import CONTRACT, Contract

PREDICT = "/api/v1/predict"
BATCH = "/api/v1/predict/batch"


def test_an_unknown_value_may_be_null_or_missing(client, shelf, features):
    shelf.activated()
    missing = {name: value for name, value in features.items() if name != "response_time_minutes"}
    assert (
        client.post(PREDICT, json={"features": missing}).json == client.post(PREDICT, json={"features": features}).json
    )


def test_every_fault_of_the_features_is_named_at_once(client, shelf, features):
    shelf.activated()
    wrong = features | {"has_property": 2, "lead_source_score": "80", "inbound_mesages_count": 1}
    del wrong["property_price"]
    answer = client.post(PREDICT, json={"features": wrong})
    assert answer.status_code == 422
    assert {(fault["pointer"], fault["code"]) for fault in answer.json["errors"]} == {
        ("/features/has_property", "out_of_range"),
        ("/features/lead_source_score", "wrong_type"),
        ("/features/inbound_mesages_count", "unknown"),
        ("/features/property_price", "missing"),
    }
    nearest = next(fault for fault in answer.json["errors"] if fault["code"] == "unknown")
    assert "inbound_messages_count" in nearest["detail"]


NARROWER = msgspec.structs.replace(CONTRACT.features[0], maximum=90)
VISITS = msgspec.structs.replace(CONTRACT.features[0], name="visits_count", kind="count", maximum=9)
ALWAYS_KNOWN = msgspec.structs.replace(CONTRACT.features[1], nullable=False)
OTHER_CONTRACTS = {
    "without the current one's last feature": Contract(CONTRACT.features[:-1]),
    "with one that is no longer known": Contract((*CONTRACT.features, VISITS)),
    "with a narrower range": Contract((NARROWER, *CONTRACT.features[1:])),
}


@pytest.mark.parametrize("contract", OTHER_CONTRACTS.values(), ids=OTHER_CONTRACTS)
@pytest.mark.parametrize("is_flat", [False, True])
def test_a_version_is_served_by_its_own_contract(client, shelf, features, contract, is_flat):
    """The current contract reads the request first; what it reads is judged by the version's alone."""
    shelf.activated(contract=contract)
    lead = features | ({"visits_count": 3} if VISITS in contract.features else {})
    out_of_range = lead | {"lead_source_score": 101 if contract.features[0].maximum == 100 else 95}
    leads = [lead, out_of_range, lead | {"response_time_minutes": 2}]
    batch = [one | {"lead_id": "é"} if is_flat else {"features": one, "lead_id": "é"} for one in leads]
    alone = [client.post(PREDICT, json={"features": one}) for one in leads]
    assert [answer.status_code for answer in alone] == [200, 422, 200]
    first, faulty, last = client.post(BATCH, json={"batch": batch}).json["predictions"]
    assert [first, last] == [answer.json | {"lead_id": "é"} for answer in (alone[0], alone[2])]
    where = "/batch/1" if is_flat else "/batch/1/features"
    assert [fault["pointer"] for fault in faulty["errors"]] == [f"{where}/lead_source_score"]
    named = {entry["feature"]: entry["value"] for entry in first["feature_contributions"]}
    assert named == {name: lead[name] for name in contract.names}
    missing = {name: value for name, value in lead.items() if name != contract.names[-1]}
    [fault] = client.post(PREDICT, json={"features": missing}).json["errors"]
    assert (fault["pointer"], fault["code"]) == (f"/features/{contract.names[-1]}", "missing")


@pytest.mark.parametrize(("given", "code"), [({}, "missing"), ({"response_time_minutes": None}, "null")])
def test_what_only_an_older_contract_requires_is_told_missing_or_null_as_it_is(client, shelf, features, given, code):
    shelf.activated(contract=Contract((CONTRACT.features[0], ALWAYS_KNOWN, *CONTRACT.features[2:])))
    known = {name: value for name, value in features.items() if name != "response_time_minutes"}
    [alone] = client.post(PREDICT, json={"features": known | given}).json["errors"]
    [in_batch] = client.post(BATCH, json={"batch": [{"features": known | given}]}).json["errors"]
    assert (alone["code"], in_batch["code"]) == (code, code)


def test_a_batch_of_another_contracts_leads_alone_is_scored(client, shelf, features):
    contract = OTHER_CONTRACTS["without the current one's last feature"]
    shelf.activated(contract=contract)
    batch = [{"features": features}, {"features": features}]
    body = client.post(BATCH, json={"batch": batch}).json
    assert (body["count"], body["failed"]) == (2, 0)


def test_a_flat_items_fault_points_to_where_it_stands(client, shelf, features):
    shelf.activated()
    batch = [features, features | {"has_property": None}]
    [_, wrong] = client.post(BATCH, json={"batch": batch}).json["predictions"]
    assert [fault["pointer"] for fault in wrong["errors"]] == ["/batch/1/has_property"]
