"""The list of orgs over HTTP: how each stands, by pages, and of the token's orgs alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from leadscore.tokens import Tokens
from leadscore_assets.source.database import connect
from leadscore_assets.trainings.ended_trainings import EndedTraining, record_ended
from serving.app import create_app
from tests.live_figures import figures_of, proved
from tests.serving.crm_of_leads import Crm
from tests.serving.standing_orgs import refreshed, standing_orgs

ORGS = "/api/v1/orgs"


@pytest.fixture
def versions(crm: Crm, shelf: Any) -> dict[str, str]:
    return standing_orgs(crm, shelf)


@pytest.fixture
def client(crm: Crm) -> FlaskClient:
    return crm.client()


def get(client: FlaskClient, **query: Any) -> Any:
    answer = client.get(ORGS, query_string=query)
    assert answer.status_code == 200, answer.text
    return answer.json


def test_each_org_says_how_it_stands(client: FlaskClient, versions: dict[str, str]) -> None:
    body = get(client)
    assert (body["total"], body["next_cursor"]) == (4, None)
    acme, beta, gone, new = body["orgs"]
    assert (acme["state"], acme["problem"], acme["model"]["version"]) == ("active", None, versions["acme"])
    assert (acme["model"]["scope"], acme["model"]["trained_at"]) == ("own", "2026-03-15T06:00:00Z")
    assert acme["model"]["age_days"] > 200
    assert acme["last_verdict"]["verdict"] == "activate"
    assert acme["last_verdict"]["held_since"] is None
    assert acme["scoring"] == {
        "scored_as_of": "2026-06-01T04:00:00Z",
        "open_leads": 3,
        "scored_leads": 3,
        "leads_by_grade": {"A": 1, "B": 2, "C": 0, "D": 0},
        "improving_leads": 1,
        "declining_leads": 1,
    }
    assert beta["model"]["version"] == versions["beta"] != beta["last_verdict"]["version"]
    assert (beta["last_verdict"]["verdict"], beta["last_verdict"]["reasons"]) == (
        "hold",
        ["The reason to hold. A remedy."],
    )
    assert beta["last_verdict"]["held_since"] == beta["last_verdict"]["judged_at"] == "2026-03-15T06:00:01Z"
    assert (gone["state"], gone["problem"], gone["model"]) == ("withdrawn", "its leads are gone", None)
    assert (new["state"], new["model"], new["last_verdict"], new["scoring"]) == ("no_model", None, None, None)
    assert (new["readiness"]["is_ready"], new["readiness"]["records"], new["readiness"]["records_needed"]) == (
        False,
        20,
        100,
    )
    assert new["readiness"]["message"].startswith("20 of 100 records with a known outcome")


def test_each_org_says_how_its_last_training_ended_and_what_may_need_attention(
    client: FlaskClient, crm: Crm, shelf: Any, versions: dict[str, str]
) -> None:
    assert {org["last_training"] for org in get(client)["orgs"]} == {None}
    with connect(crm.settings) as connection:
        for run_id, status in (("run-1", "activated"), ("run-2", "failed")):
            ended = EndedTraining(run_id=run_id, org_id="acme", asked_by="t", status=status, reasons="")
            record_ended(connection, ended)
    refreshed(crm, shelf)
    acme, beta, gone, new = get(client)["orgs"]
    assert acme["last_training"]["status"] == "failed"
    assert datetime.now(UTC) - datetime.fromisoformat(acme["last_training"]["ended_at"]) < timedelta(minutes=5)
    assert [org["warnings"] for org in (acme, beta, gone, new)] == [
        ["not_ready", "training_failed"],
        ["not_ready", "held"],
        ["not_ready"],
        ["not_ready"],
    ]


def test_each_org_says_whether_its_promises_came_true(
    client: FlaskClient, crm: Crm, shelf: Any, versions: dict[str, str]
) -> None:
    assert {org["came_true"] for org in get(client)["orgs"]} == {None}
    proved(crm.settings, figures_of("acme", "alarm"), listed=("acme",))
    refreshed(crm, shelf)
    acme, beta, *_ = get(client)["orgs"]
    assert beta["came_true"] is None
    assert acme["came_true"] == {
        "state": "alarm",
        "leads": 420,
        "promised": 0.256,
        "converted": 0.1275,
        "alarmed_on": "2026-05-03",
        "judgeable_on": None,
        "is_listed": True,
    }


def test_pages_go_on_behind_the_cursor_and_a_state_can_be_asked_for(
    client: FlaskClient, versions: dict[str, str]
) -> None:
    first = get(client, limit=3)
    assert ([org["org_id"] for org in first["orgs"]], first["next_cursor"]) == (["acme", "beta", "gone"], "gone")
    second = get(client, limit=3, cursor=first["next_cursor"])
    assert ([org["org_id"] for org in second["orgs"]], second["next_cursor"]) == (["new"], None)
    active = get(client, state="active")
    assert ([org["org_id"] for org in active["orgs"]], active["total"]) == (["acme", "beta"], 2)


@pytest.mark.parametrize(
    "query", [{"state": "sleepy"}, {"limit": 0}, {"limit": 1001}, {"cursor": "../x"}, {"org": "a"}]
)
def test_a_query_that_makes_no_sense_is_refused(client: FlaskClient, query: Any) -> None:
    answer = client.get(ORGS, query_string=query)
    assert (answer.status_code, answer.json["code"]) in ((400, "invalid_query"), (400, "invalid_id"))


def test_a_token_sees_its_own_orgs_alone(crm: Crm, versions: dict[str, str], tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "tokens.json")
    client = crm.client(tokens_file=tokens.path)
    for orgs, seen in ((["beta", "unheard-of"], ["beta"]), (["*"], ["acme", "beta", "gone", "new"])):
        text, _ = tokens.new(scopes=["read"], orgs=orgs)
        answer = client.get(ORGS, headers={"Authorization": f"Bearer {text}"})
        assert ([org["org_id"] for org in answer.json["orgs"]], answer.json["total"]) == (seen, len(seen))


def test_without_the_database_the_answer_says_so(settings: Any) -> None:
    answer = create_app(settings).test_client().get(ORGS)
    assert (answer.status_code, answer.json["code"]) == (503, "database_unavailable")
