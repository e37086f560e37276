"""The rule of grades over HTTP, against a real database: what is read, what may be set, and for which orgs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from leadscore.features import CONTRACT
from leadscore.registry.activation import withdraw
from leadscore_assets.source.database import connect
from serving.dependencies.org_claims import OrgClaims
from serving.services import EXTENSION
from tests.docs.documents import OPERATIONS, blocks
from tests.serving.conftest import Shelf
from tests.serving.crm_of_leads import Crm
from tests.serving.scored_leads import SCORED_AT, Lead, Scores

GRADES = "/api/v1/grades"
BY_CAPACITY = {"org_id": "acme", "rule": "capacity", "weekly_capacity": 40}


@pytest.fixture
def client(crm: Crm, scores: Scores) -> FlaskClient:
    scores.scored("acme")
    return crm.client()


def read(client: FlaskClient, org_id: str = "acme") -> dict[str, Any]:
    answer = client.get(GRADES, query_string={"org_id": org_id})
    assert answer.status_code == 200, answer.text
    return answer.json


def test_an_org_for_which_nobody_set_a_rule_is_graded_by_its_base_rate(client: FlaskClient) -> None:
    unset = {"rule": "base_rate", "weekly_capacity": None, "cut_points": None, "set_at": None, "set_by": None}
    assert read(client) == {"org_id": "acme", **unset}


def test_a_rule_that_was_set_is_read_again_with_who_set_it(client: FlaskClient) -> None:
    answer = client.post(GRADES, json=BY_CAPACITY, headers={"X-Request-ID": "request-7"})
    assert answer.status_code == 200, answer.text
    assert (answer.json["rule"], answer.json["weekly_capacity"], answer.json["cut_points"]) == ("capacity", 40, None)
    assert answer.json["set_by"] == "api request request-7"
    assert answer.json["set_at"].endswith("Z")
    assert read(client) == answer.json
    assert read(client, "beta")["rule"] == "base_rate"


def test_setting_the_rule_again_lets_the_next_scoring_compute_the_cut_points(crm: Crm, client: FlaskClient) -> None:
    client.post(GRADES, json=BY_CAPACITY)
    with connect(crm.settings) as connection:
        connection.execute("UPDATE leadscore.org_setting SET cut_points = '{0.5,0.25,0.125}'")
    assert read(client)["cut_points"] == [0.5, 0.25, 0.125]
    again = client.post(GRADES, json={"org_id": "acme", "rule": "base_rate"})
    assert (again.status_code, again.json["rule"], again.json["weekly_capacity"]) == (200, "base_rate", None)
    assert read(client)["cut_points"] is None


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"rule": "capacity"}, "/weekly_capacity", "missing"),
        ({"rule": "base_rate", "weekly_capacity": 40}, "/weekly_capacity", "unknown"),
        ({"rule": "capacity", "weekly_capacity": 0}, "/weekly_capacity", "wrong_type"),
        ({"rule": "capacity", "weekly_capacity": 2.5}, "/weekly_capacity", "wrong_type"),
        ({"rule": "best"}, "/rule", "wrong_type"),
        ({}, "/rule", "missing"),
        ({"rule": "base_rate", "cut_points": [0.5]}, "/cut_points", "unknown"),
    ],
)
def test_a_body_that_says_no_rule_is_refused_in_words(
    client: FlaskClient, body: dict[str, Any], pointer: str, code: str
) -> None:
    answer = client.post(GRADES, json={"org_id": "acme", **body})
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_request")
    assert [(fault["pointer"], fault["code"]) for fault in answer.json["errors"]] == [(pointer, code)]
    assert read(client)["set_by"] is None


@pytest.mark.parametrize("known_by", ["a scoring", "a training", "a version", "nothing"])
def test_a_rule_can_be_set_for_an_org_that_is_known_alone(
    crm: Crm, client: FlaskClient, shelf: Any, known_by: str
) -> None:
    org_id = "acme" if known_by == "a scoring" else "beta"
    if known_by == "a version":
        shelf.publish(org_id)
    if known_by == "a training":
        with connect(crm.settings) as connection:
            connection.execute(
                "INSERT INTO leadscore.materializations VALUES ('lead_features', 'beta', 'r', now(), '{}')"
            )
    answer = client.post(GRADES, json=BY_CAPACITY | {"org_id": org_id})
    if known_by == "nothing":
        assert (answer.status_code, answer.json["code"]) == (404, "org_not_found")
        assert read(client, org_id)["set_by"] is None
    else:
        assert answer.status_code == 200, answer.text


def test_the_pooled_model_has_no_leads_to_grade(crm: Crm, scores: Scores) -> None:
    client = crm.client(pooled_model=True)
    for answer in (
        client.get(GRADES, query_string={"org_id": "_pooled"}),
        client.post(GRADES, json=BY_CAPACITY | {"org_id": "_pooled"}),
    ):
        assert (answer.status_code, answer.json["code"]) == (400, "invalid_id")


def test_an_org_that_may_have_a_new_customer_is_409_until_somebody_decides(client: FlaskClient, shelf: Any) -> None:
    shelf.activated("acme")
    withdraw(shelf.registry, "acme", by="a test", reason="a test")
    for answer in (client.get(GRADES, query_string={"org_id": "acme"}), client.post(GRADES, json=BY_CAPACITY)):
        assert (answer.status_code, answer.json["code"]) == (409, "org_changed")


def test_a_role_that_may_not_write_is_told_what_it_may_not(crm: Crm, client: FlaskClient) -> None:
    with connect(crm.settings) as connection:
        connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE insufficient_privilege; END $$"
        )
        connection.execute("CREATE TRIGGER refuse BEFORE INSERT ON leadscore.org_setting EXECUTE FUNCTION refuse()")
    answer = client.post(GRADES, json=BY_CAPACITY)
    assert (answer.status_code, answer.json["code"]) == (503, "database_unavailable")
    assert answer.json["detail"].startswith("DB_USER's role may not set the org's grade rule;")


@pytest.fixture
def of_the_documents(crm: Crm, scores: Scores) -> Iterator[FlaskClient]:
    """Give a client of a server whose role has the rights that docs/operations.md grants, and no others."""
    [text] = [block for block in blocks("sql", OPERATIONS.read_text()) if "leadscore_server" in block]
    role, connection = f"server_of_{crm.settings.db_name}", connect(crm.settings)
    for ours, its in (("leadscore_server", role), ("FOR ROLE leadscore ", f"FOR ROLE {crm.settings.db_user} ")):
        text = text.replace(ours, its)
    with connection as owner:
        owner.execute(text)
        yield Crm(replace(crm.settings, db_user=role, db_password="…")).client()
        owner.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_role_of_the_servers_own_needs_the_rights_that_are_documented(
    of_the_documents: FlaskClient, scores: Scores, shelf: Shelf
) -> None:
    scores.scored("acme", [Lead("a", 0.5)])
    scores.said("acme", "a", SCORED_AT)
    assert of_the_documents.post(GRADES, json=BY_CAPACITY).status_code == 200
    for path in ("grades", "leads", "leads/a", "model/readiness", "model/performance"):
        answer = of_the_documents.get(f"/api/v1/{path}", query_string={"org_id": "acme"})
        assert answer.status_code == 200, (path, answer.text)
    with OrgClaims(of_the_documents.application.extensions[EXTENSION].crm).held("acme", "request-1") as claim:
        claim.hand_over("run-1")
    with connect(scores.settings) as connection:
        claims = connection.execute("DELETE FROM leadscore.training_claim RETURNING org_id, holder").fetchall()
    assert claims == [("acme", "run-1")]
    shelf.activated("acme")
    named = {"org_id": "acme", "lead_id": "a", "features": CONTRACT.example}
    assert of_the_documents.post("/api/v1/predict", json=named).status_code == 200
    of_the_documents.application.extensions[EXTENSION].answered_scores.close(10)
    with connect(scores.settings) as connection:
        answered = connection.execute("SELECT org_id, lead_id FROM leadscore.answered_score").fetchall()
    assert answered == [("acme", "a")]


def test_a_database_that_is_away_is_503(app: Any) -> None:
    assert app.test_client().get(GRADES).json["code"] == "database_unavailable"
