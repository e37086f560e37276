"""What came true, over HTTP, against a real database: as it is stored, by version, and for the org alone."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from flask.testing import FlaskClient

from leadscore.live_performance import LivePerformance
from leadscore.registry.activation import withdraw
from leadscore_assets.source.database import connect
from tests.live_figures import HELD, SERVED, figures_of, proved
from tests.serving.crm_of_leads import Crm

PERFORMANCE = "/api/v1/model/performance"


@pytest.fixture
def client(crm: Crm) -> FlaskClient:
    proved(crm.settings, figures_of("acme", "alarm"))
    return crm.client()


def get(client: FlaskClient, org_id: str = "acme", **query: Any) -> Any:
    answer = client.get(PERFORMANCE, query_string={"org_id": org_id, **query})
    assert answer.status_code == 200, answer.text
    return answer.json


def refused(client: FlaskClient, org_id: str = "acme", **query: Any) -> tuple[int, str]:
    answer = client.get(PERFORMANCE, query_string={"org_id": org_id, **query})
    return answer.status_code, answer.json["code"]


def test_the_figures_come_as_they_are_stored(client: FlaskClient) -> None:
    answer = client.get(PERFORMANCE, query_string={"org_id": "acme"})
    assert msgspec.json.decode(answer.data, type=LivePerformance) == figures_of("acme", "alarm")


def test_a_version_leaves_its_own_entry_alone(client: FlaskClient) -> None:
    everything = get(client)
    assert [entry["version"] for entry in everything["versions"]] == [SERVED, "20251101020000", HELD]
    of_one = get(client, version=HELD)
    assert of_one == everything | {"versions": everything["versions"][2:]}
    assert refused(client, version="20990101000000") == (404, "version_not_found")
    assert refused(client, version="newest") == (400, "invalid_id")


def test_an_org_whose_scores_were_not_judged_yet_says_so(client: FlaskClient) -> None:
    found = get(client, "beta")
    assert (found["org_id"], found["state"], found["versions"], found["overall"]) == ("beta", "no_scores", [], None)
    assert found["in_words"].startswith("The org's scores were not judged yet: ")
    assert refused(client, "beta", version=SERVED) == (404, "version_not_found")


def test_the_pooled_model_has_no_leads_of_its_own(crm: Crm, client: FlaskClient) -> None:
    assert refused(crm.client(pooled_model=True), "_pooled") == (400, "invalid_id")


def test_an_org_that_may_have_a_new_customer_is_409_until_somebody_decides(client: FlaskClient, shelf: Any) -> None:
    shelf.activated("acme")
    withdraw(shelf.registry, "acme", by="a test", reason="a test")
    assert refused(client) == (409, "org_changed")


def test_a_database_that_is_away_or_not_set_up_is_503(crm: Crm, app: Any) -> None:
    assert refused(app.test_client()) == (503, "database_unavailable")
    with connect(crm.settings) as connection:
        connection.execute("DROP TABLE leadscore.live_performance")
    assert refused(crm.client()) == (503, "database_unavailable")
