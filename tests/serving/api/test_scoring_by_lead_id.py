"""A prediction by a lead's id: its features are read now, and get the answer that they get when they are sent."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from benchmarks.models.harness.random_crm import create_tables_for_any_status, load, random_crm
from leadscore.features import CONTRACT, Contract, Feature
from leadscore.records import window_from
from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.source.database import Connection, connect
from leadscore_assets.source.extraction import extract
from serving.app import create_app
from tests.serving.conftest import Shelf
from tests.serving.crm_of_leads import AS_OF, Crm

PREDICT = "/api/v1/predict"
INSERT_LEAD = """
INSERT INTO dossier (org_id, status, created_at, updated_at) VALUES (%s, 'NEW', %s, now()) RETURNING id
"""


def lead(crm: Crm, org_id: str, created_at: datetime, annonce_id: int | None = None) -> int:
    with connect(crm.settings) as connection:
        row: Any = connection.execute(INSERT_LEAD, [org_id, created_at.replace(tzinfo=None)]).fetchone()
        connection.execute("UPDATE dossier SET annonce_id = %s WHERE id = %s", [annonce_id, row[0]])
    return int(row[0])


def told(answer: Any) -> dict[str, float | None]:
    return {entry["feature"]: entry["value"] for entry in answer.json["feature_contributions"]}


def test_features_are_read_now_and_told(crm: Crm, shelf: Shelf) -> None:
    version = shelf.activated("acme")
    lead_id = lead(crm, "acme", AS_OF - timedelta(days=12))
    with connect(crm.settings) as connection:
        for direction, days in (("OUTBOUND", 11.5), ("INBOUND", 3), ("INBOUND", -1)):
            connection.execute(
                'INSERT INTO message (org_id, dossier_id, direction, "timestamp") VALUES (%s, %s, %s, %s)',
                ["acme", lead_id, direction, (AS_OF - timedelta(days=days)).replace(tzinfo=None)],
            )
    answer = crm.client().post(PREDICT, json={"org_id": "acme", "lead_id": lead_id})
    assert (answer.status_code, answer.json["lead_id"], answer.json["model_version"]) == (200, lead_id, version)
    assert told(answer) == dict(zip(CONTRACT.names, (10, 720, 1, 1, 0, 0, 0, 0, 1, 12, 50), strict=True))
    assert "note" not in answer.json
    as_text = crm.client().post(PREDICT, json={"org_id": "acme", "lead_id": str(lead_id)})
    assert as_text.json == answer.json | {"lead_id": str(lead_id)}
    sent = crm.client().post(PREDICT, json={"org_id": "acme", "lead_id": lead_id, "features": told(answer)})
    assert sent.json == answer.json


def test_a_lead_whose_conversion_window_is_over_is_answered_with_a_note(crm: Crm, shelf: Shelf) -> None:
    shelf.activated("acme")
    old = lead(crm, "acme", AS_OF - timedelta(days=120))
    body = crm.client().post(PREDICT, json={"org_id": "acme", "lead_id": old}).json
    assert "120 days old" in body["note"]
    assert body["conversion_probability"] == 0.25


@pytest.mark.parametrize("lead_id", ["no such lead", "", "a\0b", 10**12, "'; DROP TABLE dossier; --"])
def test_a_lead_that_is_not_there_is_not_found(crm: Crm, shelf: Shelf, lead_id: Any) -> None:
    shelf.activated("acme")
    answer = crm.client().post(PREDICT, json={"org_id": "acme", "lead_id": lead_id})
    assert (answer.status_code, answer.json["code"]) == (404, "lead_not_found")


def test_a_lead_of_another_org_or_of_the_future_is_not_found(crm: Crm, shelf: Shelf) -> None:
    shelf.activated("acme")
    for other in (lead(crm, "south", AS_OF - timedelta(days=1)), lead(crm, "acme", AS_OF + timedelta(seconds=1))):
        answer = crm.client().post(PREDICT, json={"org_id": "acme", "lead_id": other})
        assert (answer.status_code, answer.json["code"]) == (404, "lead_not_found")


def test_values_of_the_crm_that_break_the_contract_are_named(crm: Crm, shelf: Shelf) -> None:
    shelf.activated("acme")
    with connect(crm.settings) as connection:
        listing: Any = connection.execute(
            "INSERT INTO annonce (org_id, title, status, price) VALUES ('acme', 'House', 'ACTIVE', -1) RETURNING id"
        ).fetchone()
    lead_id = lead(crm, "acme", AS_OF - timedelta(days=1), listing[0])
    unknown_age = lead(crm, "acme", datetime(1970, 1, 1, tzinfo=UTC))
    client = crm.client()
    answer = client.post(PREDICT, json={"org_id": "acme", "lead_id": lead_id})
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_lead")
    assert [fault["pointer"] for fault in answer.json["errors"]] == ["/features/property_price"]
    answer = client.post(PREDICT, json={"org_id": "acme", "lead_id": unknown_age})
    assert [fault["pointer"] for fault in answer.json["errors"]] == ["/features/days_since_creation"]


def test_an_org_without_a_model_has_no_answer(crm: Crm) -> None:
    lead_id = lead(crm, "acme", AS_OF - timedelta(days=1))
    answer = crm.client().post(PREDICT, json={"org_id": "acme", "lead_id": lead_id})
    assert (answer.status_code, answer.json["code"]) == (404, "no_active_model")


def test_a_model_with_a_feature_that_the_database_does_not_tell_says_so(crm: Crm, shelf: Shelf) -> None:
    wider = Contract((*CONTRACT.features, Feature("visits", "visits", "count", 0, 9, "visits to the site")))
    shelf.activated("acme", contract=wider)
    lead_id = lead(crm, "acme", AS_OF - timedelta(days=1))
    answer = crm.client().post(PREDICT, json={"org_id": "acme", "lead_id": lead_id})
    assert (answer.status_code, answer.json["code"]) == (503, "database_unavailable")
    assert "does not tell visits" in answer.json["detail"]


def test_while_the_database_is_away_leads_are_scored_by_their_features_alone(
    client: Any, shelf: Shelf, features: Any
) -> None:
    shelf.activated()
    answer = client.post(PREDICT, json={"lead_id": 1})
    assert (answer.status_code, answer.json["code"]) == (503, "database_unavailable")
    assert answer.headers["Retry-After"]
    assert client.post(PREDICT, json={"lead_id": 1, "features": features}).status_code == 200


def test_a_database_that_was_not_set_up_is_named(crm: Crm, shelf: Shelf) -> None:
    shelf.activated("acme")
    with connect(crm.settings) as connection:
        connection.execute("DROP SCHEMA leadscore CASCADE")
    answer = crm.client().post(PREDICT, json={"org_id": "acme", "lead_id": 1})
    assert answer.status_code == 503
    assert "set_up_database" in answer.json["detail"]


def test_a_lead_gets_one_answer_by_its_rows_and_by_its_id(database: Settings, shelf: Shelf) -> None:
    """Every lead of a random CRM, at every landmark at which the training has a row of it: the server is asked then."""
    set_up(database)
    settings = replace(database, crm_time_zone="Europe/Paris", as_of=AS_OF, landmark_days=(1, 30))
    with connect(settings) as connection:
        create_tables_for_any_status(connection)
        load(connection, random_crm(Random(3), 80))
        moments = _created(connection, settings)
    rows = extract(settings, "north", window_from(settings)).rows
    shelf.activated("north")
    for row in rows.to_dict("records"):
        moment = moments[row["lead_id"]] + timedelta(days=row["landmark_days"])
        client = create_app(replace(settings, as_of=moment.replace(tzinfo=UTC))).test_client()
        asked = {"org_id": "north", "lead_id": row["lead_id"]}
        trained_on = {name: None if math.isnan(row[name]) else row[name] for name in CONTRACT.names}
        by_id, by_row = client.post(PREDICT, json=asked), client.post(PREDICT, json=asked | {"features": trained_on})
        assert by_id.status_code == by_row.status_code == 200
        assert by_id.json == by_row.json
    assert len(rows) > 10


def _created(connection: Connection, settings: Settings) -> dict[str, Any]:
    query = "SELECT id::text, leadscore.crm_moment(created_at, %s) FROM dossier"
    return dict(connection.execute(query, [settings.crm_time_zone]).fetchall())  # type: ignore[arg-type]  # two columns
