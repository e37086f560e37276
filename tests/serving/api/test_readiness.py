"""Readiness over HTTP, against a real database: what there is, what is missing, when it will do, and what may fail."""

from __future__ import annotations

from datetime import date
from typing import Any

from flask.testing import FlaskClient

from leadscore.records import RecordCounts
from tests.serving.crm_of_leads import SPOILT, Crm

READINESS = "/api/v1/model/readiness"


def ask(client: FlaskClient, org_id: str) -> dict[str, Any]:
    answer = client.get(READINESS, query_string={"org_id": org_id})
    assert answer.status_code == 200, answer.text
    return answer.json


def test_an_org_with_too_few_records_is_told_when_there_will_be_enough(crm: Crm) -> None:
    """40 records in the 28 days since its first lead are 10 a week: the other 60 take six weeks."""
    crm.leads("acme", 12, "WON", every=1)
    crm.leads("acme", 28, "LOST", every=1)
    body = ask(crm.client(), "acme")
    assert (body["org_id"], body["as_of"], body["is_ready"]) == ("acme", "2026-06-01T00:00:00+00:00", False)
    assert body["has_active_model"] is False
    assert body["pace"] == {"days": 28, "records_per_week": 10.0, "converted_per_week": 3.0}
    records = body["needs"][0]
    assert (records["what"], records["have"], records["needed"]) == ("records", 40, 100)
    assert records["expected_on"] == "2026-07-13"
    assert date.fromisoformat(body["expected_on"]) >= date(2026, 7, 13)
    assert body["message"].startswith(
        "40 of 100 records with a known outcome; 10.0 become known a week (last 28 days), so 100 are expected about"
        " 2026-07-13 or sooner, since the pace of so young an org is still rising."
    )


def test_an_org_with_enough_is_ready_and_may_have_a_model(crm: Crm, shelf: Any) -> None:
    crm.leads("acme", 60, "WON", every=2)
    crm.leads("acme", 120, "LOST", every=1)
    client = crm.client()
    shelf.activated("acme")
    body = ask(client, "acme")
    assert (body["is_ready"], body["expected_on"], body["has_active_model"]) == (True, "2026-06-01", True)
    assert body["message"].startswith("180 records with a known outcome (100 needed)")


def test_an_org_whose_last_run_lost_too_many_records_is_not_ready_and_told_which_values_to_correct(crm: Crm) -> None:
    crm.leads("acme", 60, "WON", every=2)
    crm.leads("acme", 120, "LOST", every=1)
    crm.last_run("acme", SPOILT, stored_at="2026-05-15 02:00:09.5+00")
    body = ask(crm.client(), "acme")
    assert (body["is_ready"], body["expected_on"]) == (False, None)
    assert {need["expected_on"] for need in body["needs"]} == {"2026-06-01"}
    assert body["message"] == (
        "180 records with a known outcome would be enough, but in the last run, of 2026-05-15, 1,122 of 1,221 rows had"
        " property_price below 0, and 21 of 241 records were left (100 needed). Correct the values in the CRM, or treat"
        " them as unknown (docs/training.md#values-outside-the-contract); then train again; the run checks the values"
        " again."
    )
    assert body["last_run"] == {
        "stored_at": "2026-05-15T02:00:09+00:00",
        "rows": 1221,
        "set_aside_rows": 1122,
        "records": 241,
        "records_left": 21,
        "set_aside": [{"reason": "property_price below 0", "rows": 1122, "share": 1122 / 1221}],
    }


def test_a_run_of_an_earlier_release_is_shown_with_the_reasons_that_it_counted(crm: Crm) -> None:
    crm.leads("acme", 12, "WON", every=1)
    counts = RecordCounts(12, 12, 15, {}, "c0ffee", {"property_price_out_of_range": 5})
    crm.last_run("acme", counts, stored_at="2026-05-15 02:00:00+00")
    last_run = ask(crm.client(), "acme")["last_run"]
    assert (last_run["rows"], last_run["set_aside_rows"], last_run["records"], last_run["records_left"]) == (
        20,
        0,
        12,
        12,
    )
    assert last_run["set_aside"] == [{"reason": "property_price_out_of_range", "rows": 5, "share": 0.25}]


def test_before_its_first_run_an_org_has_no_last_run(crm: Crm) -> None:
    crm.leads("acme", 12, "WON", every=1)
    assert ask(crm.client(), "acme")["last_run"] is None


def test_at_a_pace_that_is_too_slow_for_the_window_a_longer_one_is_named(crm: Crm) -> None:
    crm.leads("slow", 20, "LOST", every=7)
    body = ask(crm.client(), "slow")
    assert (body["is_ready"], body["expected_on"]) == (False, None)
    assert "TRAINING_WINDOW_DAYS=700 would be long enough" in body["message"]


def test_an_org_that_nobody_knows_has_no_records(crm: Crm) -> None:
    crm.leads("acme", 60, "WON", every=2)
    body = ask(crm.client(), "unheard-of")
    assert (body["is_ready"], body["expected_on"], body["has_active_model"]) == (False, None, False)
    assert [need["have"] for need in body["needs"]] == [0] * 5
    assert "the org has no leads yet" in body["message"]


def test_the_policy_and_the_windows_are_the_settings(crm: Crm) -> None:
    crm.leads("acme", 12, "WON", every=1)
    crm.leads("acme", 28, "LOST", every=1)
    client = crm.client(min_records=30, min_holdout_per_class=1, training_window_days=20)
    needs = {need["what"]: (need["have"], need["needed"]) for need in ask(client, "acme")["needs"]}
    assert needs["records"] == (31, 30)
    assert needs["converted_in_holdout"][1] == 1


def test_the_pooled_models_id_is_no_orgs(client: FlaskClient) -> None:
    answer = client.get(READINESS, query_string={"org_id": "_pooled"})
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_id")


def test_a_pointer_that_is_damaged_is_a_model_that_is_unavailable(crm: Crm, shelf: Any) -> None:
    shelf.activated("acme")
    (shelf.registry.root / "acme" / "active.json").write_text("harm")
    answer = crm.client().get(READINESS, query_string={"org_id": "acme"})
    assert (answer.status_code, answer.json["code"]) == (503, "model_unavailable")


def test_an_org_without_leads_is_answered_as_one_that_is_not_there(crm: Crm, shelf: Any) -> None:
    crm.leads("acme", 60, "WON", every=2)
    shelf.activated("acme")
    shelf.judged("leadless", "refuse")
    crm.last_run("leadless", SPOILT, stored_at="2026-05-15 02:00:00+00")
    client = crm.client()
    known, unknown = ask(client, "leadless"), ask(client, "never-heard-of")
    assert known | {"org_id": "never-heard-of"} == unknown
