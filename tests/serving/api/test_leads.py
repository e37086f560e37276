"""The call list over HTTP, against a real database: its order, pages, filters and forms, and each lead's score."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings, strategies

from leadscore.features import CONTRACT
from leadscore.registry.activation import withdraw
from leadscore_assets.source.database import connect
from tests.serving.crm_of_leads import Crm
from tests.serving.scored_leads import SCORED_AT, VERSION, Lead, Scores
from tests.serving.test_app_attacks import IDS

LEADS = "/api/v1/leads"
# two of them equal, but for their age and id
THREE = [
    Lead("b", 0.5),
    Lead("a", 0.75, "A", "improving"),
    Lead("c", 0.5, "C", "declining", SCORED_AT - timedelta(days=20)),
]


@pytest.fixture
def client(crm: Crm) -> FlaskClient:
    return crm.client()


def get(client: FlaskClient, path: str = LEADS, **query: Any) -> Any:
    answer = client.get(path, query_string={"org_id": "acme", **query})
    assert answer.status_code == 200, answer.text
    return answer.json


def refused(client: FlaskClient, path: str = LEADS, **query: Any) -> tuple[int, str]:
    answer = client.get(path, query_string={"org_id": "acme", **query})
    return answer.status_code, answer.json["code"]


def pages(client: FlaskClient, **query: Any) -> Iterator[Any]:
    page = get(client, **query)
    yield page
    while page["next_cursor"]:
        page = get(client, **query, cursor=page["next_cursor"])
        yield page


def ids(page: Any) -> list[str]:
    return [lead["lead_id"] for lead in page["leads"]]


def test_the_call_list_has_the_best_lead_first_and_says_as_of_when(client: FlaskClient, scores: Scores) -> None:
    scores.scored("acme", THREE)
    scores.scored("beta", [Lead("foreign", 0.9)])
    body = get(client)
    assert ids(body) == ["a", "b", "c"]
    assert (body["scored_as_of"], body["scored_leads"]) == ("2026-06-01T04:00:00Z", 3)
    assert (body["model_version"], body["org_id"], body["next_cursor"]) == (VERSION, "acme", None)
    assert body["leads"][0] == {
        "lead_id": "a",
        "rank": 1,
        "grade": "A",
        "trend": "improving",
        "conversion_probability": 0.75,
        "confidence": 0.875,
        "recommended_action": "NURTURE",
        "conversion_probability_before": 0.75,
        "reasons": ["lead source scored 30 of 100: +50 points"],
        "moves": ["Response time: −10 points", "Source: +10 points"],  # noqa: RUF001 (a minus sign)
        "created_at": "2026-05-22T04:00:00Z",
        "is_beyond_landmarks": False,
        "model_version": VERSION,
        "model_scope": "own",
        "scored_since": "2026-06-01T04:00:00Z",
    }


def test_the_answer_names_the_version_in_its_header(client: FlaskClient, scores: Scores) -> None:
    scores.scored("acme", THREE)
    assert client.get(LEADS, query_string={"org_id": "acme"}).headers["X-Model-Version"] == VERSION


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"grade": "B"}, ["b"]),
        ({"trend": "declining"}, ["c"]),
        ({"grade": "A", "trend": "improving"}, ["a"]),
        ({"grade": "D"}, []),
    ],
)
def test_filters_keep_the_rank_in_the_whole_org(
    client: FlaskClient, scores: Scores, query: dict[str, str], expected: list[str]
) -> None:
    scores.scored("acme", THREE)
    body = get(client, **query)
    assert ids(body) == expected
    assert [lead["rank"] for lead in body["leads"]] == ["abc".index(name) + 1 for name in expected]


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_pages_list_every_lead_once_in_order(client: FlaskClient, scores: Scores, limit: int) -> None:
    scores.scored("acme", [*THREE, Lead("d", 1 / 3), Lead("é/?&", 0.1 + 0.2)])
    found = list(pages(client, limit=limit))
    assert [name for page in found for name in ids(page)] == ["a", "b", "c", "d", "é/?&"]
    assert {len(page["leads"]) for page in found[:-1]} <= {limit}
    assert [lead["rank"] for page in found for lead in page["leads"]] == [1, 2, 3, 4, 5]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=strategies.data())
def test_a_lead_that_a_scoring_leaves_alone_is_listed_once_whatever_the_others_do(
    client: FlaskClient, scores: Scores, data: strategies.DataObject
) -> None:
    """The leads whose score stays are listed once and in order, with new scorings between the pages."""
    with connect(scores.settings) as connection:
        connection.execute("TRUNCATE leadscore.lead_score, leadscore.scoring_run")
    shares = strategies.sampled_from([0.125, 0.25, 0.5, 0.75, 0.875])
    staying = [Lead(f"stays-{n}", data.draw(shares)) for n in range(6)]
    moving = strategies.lists(shares, min_size=4, max_size=4)
    at, cursor, listed = SCORED_AT, None, []
    while True:
        moved = [Lead(f"moves-{n}", share) for n, share in enumerate(data.draw(moving))]
        scores.scored("acme", [*staying, *moved], at=at)
        page = get(client, limit=3, **({"cursor": cursor} if cursor else {}))
        listed += [name for name in ids(page) if name.startswith("stays")]
        assert page["scored_as_of"] == at.isoformat().replace("+00:00", "Z")
        at, cursor = at + timedelta(days=1), page["next_cursor"]
        if cursor is None:
            break
    assert listed == [lead.lead_id for lead in sorted(staying, key=lambda lead: (-lead.probability, lead.lead_id))]


def as_cursor(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "====",
        "a b",
        "é",
        "A" * 2_000,
        as_cursor([0.5]),
        as_cursor({"probability": 0.5}),
        as_cursor(["0.5", "2026-06-01T04:00:00Z", "a"]),
        as_cursor([0.5, "2026-06-01T04:00:00", "a"]),
        as_cursor([0.5, "2026-06-01T04:00:00+02:00", "a"]),
        as_cursor([0.5, "2026-06-01T04:00:00Z", "a\0"]),
        as_cursor([0.5, "2026-06-01T04:00:00Z", "\ud800"]),
        as_cursor([0.5, "2026-06-01T04:00:00Z", "a" * 129]),
    ],
)
def test_a_cursor_that_no_answer_gave_is_refused(client: FlaskClient, scores: Scores, cursor: str) -> None:
    scores.scored("acme", THREE)
    assert refused(client, cursor=cursor) == (400, "invalid_query")


@pytest.mark.parametrize(
    "query", [{"grade": "E"}, {"trend": "up"}, {"limit": 0}, {"limit": 1001}, {"limit": "x"}, {"format": "xml"}]
)
def test_other_queries_are_refused(client: FlaskClient, query: dict[str, Any]) -> None:
    assert refused(client, **query) == (400, "invalid_query")


def test_an_org_that_was_never_scored_is_404_and_one_without_leads_or_model_is_not(
    client: FlaskClient, scores: Scores
) -> None:
    assert refused(client) == (404, "org_not_scored")
    assert refused(client, f"{LEADS}/a") == (404, "org_not_scored")
    scores.scored("acme", version=None)
    body = get(client)
    assert (body["leads"], body["next_cursor"], body["model_version"]) == ([], None, None)


def test_a_page_of_a_large_org_is_answered_in_the_databases_short_time(client: FlaskClient, scores: Scores) -> None:
    """Words are made for the page alone: for all 10,000 leads they take several seconds."""
    scores.scored("acme", [Lead("first", 1.0)])
    with connect(scores.settings) as connection:
        connection.execute(
            "INSERT INTO leadscore.lead_score SELECT org_id, number::text, created_at, random() / 2, confidence, grade,"
            " action, trend, probability_before, features, contributions, contributions_before, is_beyond_landmarks,"
            " model_version, model_scope, scored_since, fingerprint"
            " FROM leadscore.lead_score, generate_series(1, 10000) AS number"
        )
    first = get(client, limit=100)
    assert len(get(client, limit=100, cursor=first["next_cursor"])["leads"]) == 100
    assert get(client, f"{LEADS}/first")["rank"] == 1


# CSV


def read_csv(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


@pytest.mark.parametrize(
    ("accept", "query", "is_csv"),
    [
        ("text/csv", {}, True),
        ("application/json, text/csv;q=0.5", {}, False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", {}, False),
        ("text/html,*/*;q=0.8", {"format": "csv"}, True),
        ("text/csv", {"format": "json"}, False),
    ],
)
def test_the_caller_chooses_the_form_by_accept_or_by_format(
    client: FlaskClient, scores: Scores, accept: str, query: dict[str, str], is_csv: bool
) -> None:
    scores.scored("acme", THREE)
    answer = client.get(LEADS, query_string={"org_id": "acme", **query}, headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.mimetype == ("text/csv" if is_csv else "application/json")


def test_a_form_that_there_is_not_is_406(client: FlaskClient, scores: Scores) -> None:
    scores.scored("acme", THREE)
    answer = client.get(LEADS, query_string={"org_id": "acme"}, headers={"Accept": "application/xml"})
    assert (answer.status_code, answer.json["code"]) == (406, "not_acceptable")


def test_csv_has_the_columns_and_the_leads_of_the_json(client: FlaskClient, scores: Scores) -> None:
    scores.scored("acme", [*THREE, Lead('=1+1,"x"\r\n', 0.1)])
    answer = client.get(LEADS, query_string={"org_id": "acme", "format": "csv"})
    names, *rows = read_csv(answer.text)
    assert names == [*get(client)["leads"][0], "scored_as_of"]
    assert [row[0] for row in rows] == ["a", "b", "c", '\'=1+1,"x"\r\n']
    best = dict(zip(names, rows[0], strict=True))
    assert best["conversion_probability"] == "0.75"
    assert best["moves"] == "Response time: −10 points; Source: +10 points"  # noqa: RUF001 (a minus sign)
    assert (best["is_beyond_landmarks"], best["scored_as_of"]) == ("false", "2026-06-01T04:00:00+00:00")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="leads-acme.csv"'
    assert answer.headers["X-Model-Version"] == VERSION
    assert "Link" not in answer.headers


def test_the_next_page_of_csv_is_in_the_header_link(client: FlaskClient, scores: Scores) -> None:
    scores.scored("acme", [*THREE, Lead("d", 0.4, "B")])
    answer = client.get(LEADS, query_string={"org_id": "acme", "format": "csv", "grade": "B", "limit": 1})
    found = [row[0] for row in read_csv(answer.text)[1:]]
    address, relation = answer.headers["Link"].split("; ")
    assert (found, relation) == (["b"], 'rel="next"')
    following = client.get(address.strip("<>"))
    assert [row[0] for row in read_csv(following.text)[1:]] == ["d"]
    assert "Link" not in following.headers


# one lead


def test_a_lead_is_answered_with_every_contribution_and_its_history(client: FlaskClient, scores: Scores) -> None:
    scores.scored("acme", THREE)
    scores.said("acme", "a", SCORED_AT - timedelta(days=40), grade="D")
    scores.said("acme", "a", SCORED_AT - timedelta(days=3), because="landmark")
    scores.said("acme", "b", SCORED_AT)
    scores.said("beta", "a", SCORED_AT)
    body = get(client, f"{LEADS}/a")
    contributions = body.pop("feature_contributions")
    history = body.pop("history")
    assert body == get(client)["leads"][0] | {
        "org_id": "acme",
        "scored_as_of": "2026-06-01T04:00:00Z",
        "base_value": 0.25,
    }
    assert contributions[0] == {"feature": "lead_source_score", "value": 30, "contribution": 0.5}
    assert {entry["feature"]: entry["value"] for entry in contributions}["response_time_minutes"] is None
    assert sorted(entry["feature"] for entry in contributions) == sorted(CONTRACT.names)
    total = body["base_value"] + sum(entry["contribution"] for entry in contributions)
    assert total == pytest.approx(body["conversion_probability"], abs=1e-9)
    assert [(entry["said_at"][:10], entry["because"], entry["landmark_days"]) for entry in history] == [
        ("2026-05-29", "landmark", 7),
        ("2026-04-22", "change", None),
    ]
    assert history[1] == {
        "said_at": "2026-04-22T04:00:00Z",
        "because": "change",
        "landmark_days": None,
        "age_days": 7.5,
        "conversion_probability": 0.25,
        "grade": "D",
        "trend": "steady",
        "model_version": VERSION,
        "model_scope": "own",
    }


@pytest.mark.parametrize("lead_id", ["7", "with space", "a/b", "é", "%2F", "=1+1", "'; DROP TABLE dossier; --"])
def test_every_id_that_a_lead_may_have_is_found(client: FlaskClient, scores: Scores, lead_id: str) -> None:
    scores.scored("acme", [Lead(lead_id, 0.5)])
    assert get(client, f"{LEADS}/{quote(lead_id, safe='')}")["lead_id"] == lead_id


@pytest.mark.parametrize("lead_id", ["unknown", "%00", "a%00", "x" * 129, "foreign"])
def test_a_lead_without_a_score_is_404(client: FlaskClient, scores: Scores, lead_id: str) -> None:
    scores.scored("acme", THREE)
    scores.scored("beta", [Lead("foreign", 0.9)])
    assert refused(client, f"{LEADS}/{lead_id}") == (404, "lead_not_scored")


def test_no_text_in_place_of_an_id_or_a_cursor_is_an_error_of_the_server(client: FlaskClient, scores: Scores) -> None:
    scores.scored("acme", THREE)
    for text in (attack for attack in IDS if isinstance(attack, str) and attack):
        assert refused(client, f"{LEADS}/{quote(text, safe='')}")[0] == 404, text
        assert refused(client, cursor=text) == (400, "invalid_query"), text


# what keeps an answer from being given


@pytest.mark.parametrize("path", [LEADS, f"{LEADS}/a"])
def test_a_database_that_is_not_set_up_is_503_in_words(client: FlaskClient, scores: Scores, path: str) -> None:
    with connect(scores.settings) as connection:
        connection.execute("DROP VIEW leadscore.call_list")
    answer = client.get(path, query_string={"org_id": "acme"})
    assert (answer.status_code, answer.json["code"]) == (503, "database_unavailable")
    assert "set_up_database" in answer.json["detail"]


@pytest.mark.parametrize("path", [LEADS, f"{LEADS}/a"])
def test_a_database_that_is_away_is_503(app: Any, path: str) -> None:
    answer = app.test_client().get(path)
    assert (answer.status_code, answer.json["code"]) == (503, "database_unavailable")
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("path", [LEADS, f"{LEADS}/a"])
def test_leads_of_an_org_that_may_have_a_new_customer_are_not_shown(
    client: FlaskClient, scores: Scores, shelf: Any, path: str
) -> None:
    scores.scored("acme", THREE)
    shelf.activated("acme")
    withdraw(shelf.registry, "acme", by="a test", reason="a test")
    assert refused(client, path) == (409, "org_changed")
