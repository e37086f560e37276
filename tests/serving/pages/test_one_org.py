"""One org's page: whom to call and why, what moved, what the model is good for, what data is missing, what happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from flask.testing import FlaskClient

from leadscore.evaluation import LeadQuality
from leadscore.pooling import POOLED
from leadscore.registry.activation import roll_back
from leadscore_assets.source.database import connect
from serving.app import create_app
from serving.pages.words import MINUS, NONE
from tests.browser import DESK, PHONE, Browser, sheets
from tests.live_figures import HELD, SERVED, figures_of, proved
from tests.serving.crm_of_leads import Crm
from tests.serving.pages.page_parts import PageParts
from tests.serving.scored_leads import SCORED_AT, Lead, Scores
from tests.serving.standing_orgs import refreshed, standing_orgs

POOLED_VERSION = "20251101020000"
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "a/../b?x=1#y",
    "{{7*7}}",
)


@pytest.fixture
def versions(crm: Crm, shelf: Any) -> dict[str, str]:
    return standing_orgs(crm, shelf)


@pytest.fixture
def client(crm: Crm, versions: dict[str, str]) -> FlaskClient:
    return crm.client()


def parts(client: FlaskClient, org_id: str, **query: Any) -> PageParts:
    answer = client.get(f"/orgs/{org_id}", query_string=query, headers=BROWSER)
    assert (answer.status_code, answer.content_type) == (200, "text/html; charset=utf-8"), answer.text
    return PageParts(answer.text)


def section(page: PageParts, title: str) -> str:
    """Return the text of a section, up to the one that follows it."""
    return page.text.split(title)[1].split("Since yesterday")[0].strip()


def leads(page: PageParts) -> list[str]:
    return [row[1].split(" ")[0] for row in page.rows if row]


@pytest.mark.parametrize(
    ("warning", "said"),
    [
        ("training_overdue", "none of the last two scheduled trainings reached it"),
        ("training_failed", "The last training failed, so the version from before goes on."),
        ("scores_overdue", "The open leads were not scored when they were due."),
        ("held", None),
    ],
)
def test_what_may_need_attention_is_said_with_what_to_do(
    client: FlaskClient, crm: Crm, warning: str, said: str | None
) -> None:
    before = parts(client, "acme").text
    with connect(crm.settings) as connection:
        connection.execute(
            "UPDATE leadscore.org_health SET warnings = ARRAY[%s::text] WHERE org_id = 'acme'", [warning]
        )
    page = parts(client, "acme").text
    assert (said or "") in page
    assert (page == before) == (said is None)


def test_the_call_list_says_whom_to_call_and_why(client: FlaskClient, versions: dict[str, str]) -> None:
    page = parts(client, "acme")
    first = next(row for row in page.rows if row)
    assert first[0] == "1"
    assert first[1].startswith("a created ")
    assert first[2:4] == ["A", "75%"]
    assert first[4] == "↑ ±0"
    assert first[5] == "lead source scored 30 of 100: +50 points"
    assert first[6] == f"Response time: {MINUS}10 points Source: +10 points"
    assert leads(page) == ["a", "b", "c"]
    assert page.links["a"] == "/api/v1/leads/a?org_id=acme"
    assert page.links["Download as CSV"] == "/api/v1/leads?org_id=acme&format=csv&limit=1000"
    assert client.get(page.links["Download as CSV"]).content_type.startswith("text/csv")


def test_leads_are_shown_by_grade_and_trend_and_as_many_as_wanted(client: FlaskClient) -> None:
    assert leads(parts(client, "acme", grade="B")) == ["b", "c"]
    assert leads(parts(client, "acme", trend="declining")) == ["b"]
    assert "No open lead matches." in parts(client, "acme", grade="D").text
    page = parts(client, "acme", most=1)
    assert (leads(page), page.links["Show more"]) == (["a"], "/orgs/acme?most=4")
    assert "Show more" not in parts(client, "acme", most=3).links


def test_the_csv_has_the_leads_that_the_page_filters_and_says_when_it_has_not_all(
    client: FlaskClient, crm: Crm
) -> None:
    of_grade_b = parts(client, "acme", grade="B", trend="declining").links["Download as CSV"]
    lines = client.get(of_grade_b).text.splitlines()
    assert [line.split(",")[0] for line in lines] == ["lead_id", "b"]

    shown = [Lead(str(number), 0.5, "B" if number else "A") for number in range(1_001)]
    Scores(crm.settings).scored("new", shown)
    assert "Download as CSV" in parts(client, "new", grade="B").links
    page = parts(client, "new")
    assert "Download as CSV" not in page.links
    assert len(client.get(page.links["Download the first 1,000 leads as CSV"]).text.splitlines()) == 1_001
    longest = parts(client, "new", most=1_000)
    assert "Show more" not in longest.links
    assert "There are more leads; this page shows the first 1,000." in longest.text
    with connect(crm.settings) as connection:
        connection.execute("UPDATE leadscore.lead_score SET grade = 'B' WHERE org_id = 'new'")
    assert "Download the first 1,000 leads as CSV" in parts(client, "new", grade="B").links


def test_the_model_is_a_sentence(client: FlaskClient, shelf: Any, versions: dict[str, str]) -> None:
    judgement = shelf.registry.judgement("acme", versions["acme"])
    report = msgspec.structs.replace(judgement.report, by_lead=LeadQuality(400, 80, 80, 34, 0.75, 0.2))
    (shelf.folder(versions["acme"], "acme") / "evaluation.json").unlink()
    shelf.registry.record_judgement("acme", versions["acme"], msgspec.structs.replace(judgement, report=report))
    page = parts(client, "acme")
    assert "active Its own active version scores its leads, since " in page.text
    assert "Of new leads, the 20% that it puts first hold 42% of the conversions." in page.text
    assert "on 200 leads created up to 15 Mar 2026; active since " in page.text
    report_link = page.links[f"Report of version {versions['acme']}"]
    assert report_link == f"/api/v1/model/report?org_id=acme&version={versions['acme']}"


def test_the_versions_and_decisions_are_a_timeline(client: FlaskClient, shelf: Any, versions: dict[str, str]) -> None:
    page = parts(client, "beta")
    assert "The last training was held" in page.text
    assert "was held" in page.text.split("Versions and decisions")[1]
    again = shelf.activated("beta")
    roll_back(shelf.registry, "beta", versions["beta"], by="token 1, api request 2", reason="<i>worse</i>")
    told = parts(client, "beta").text.split("Versions and decisions")[1]
    now = f"Version {versions['beta']} became active by a rollback (scores the leads now)"
    assert told.index(now) < told.index(again)
    assert told.count("(scores the leads now)") == 1
    assert "by token 1, api request 2" in told
    assert "<i>worse</i>" in told
    assert "i" not in parts(client, "beta").elements


def test_what_came_true_is_said_in_words_before_the_figures(client: FlaskClient, crm: Crm) -> None:
    proved(crm.settings, figures_of("acme", "fine"))
    page = parts(client, "acme")
    said = section(page, "Did it come true?")
    assert said.startswith("What was promised comes true: 25% of 420 leads converted")
    assert "Judged on 420 leads created through 2 Mar 2026, whose conversion window is over" in said
    rows = [row for row in page.rows if row]
    assert ["A", "84", "52%", "49% 39% to 59%", ""] in rows
    assert ["Jan 2026", "140", "25%", "25% 20% to 30%", ""] in rows
    assert ("aria-label", "52% promised, 49% converted") in page.attributes
    assert "Of the 84 leads named first (the best 40 new leads of each week), 49% converted" in said
    assert "the difference is not the model's alone" in said
    assert page.text.index("Whom to call") < page.text.index("Did it come true?") < page.text.index("Since yesterday")


def test_each_version_has_its_holdouts_figure_beside_the_live_one(client: FlaskClient, crm: Crm) -> None:
    proved(crm.settings, figures_of("acme", "fine"))
    served, pooled, shadow = [
        row for row in parts(client, "acme").rows if row and row[0] in (SERVED, HELD, POOLED_VERSION)
    ]
    assert (served[1], served[6:]) == ("served", ["0.164 0.148 to 0.181", "0.159"])
    assert (pooled[1], pooled[7]) == ("served, pooled model", NONE)
    assert (shadow[1], shadow[6]) == ("shadow, held", "0.143 0.127 to 0.160 0.021 lower than served")


def test_an_alarm_is_a_remark_with_what_to_do(client: FlaskClient, crm: Crm) -> None:
    proved(crm.settings, figures_of("acme", "alarm"))
    page = parts(client, "acme")
    assert ("class", "remark alarm") in page.attributes
    said = section(page, "Did it come true?")
    assert said.startswith("What was promised does not come true. Of the leads created since 3 February 2026,")
    assert said.index("Version 20260508020000 did better") < said.index("Alarm since 3 May 2026.")


def test_an_org_that_is_too_young_to_judge_says_from_when_on_alone(client: FlaskClient, crm: Crm) -> None:
    proved(crm.settings, figures_of("acme", "too_young"))
    said = section(parts(client, "acme"), "Did it come true?").split("What arrives")[0]
    assert said.strip().endswith("There will be enough around 14 September 2026.")


def test_before_the_first_proof_or_without_its_table_the_page_comes_all_the_same(client: FlaskClient, crm: Crm) -> None:
    assert "The org's scores were not judged yet" in section(parts(client, "acme"), "Did it come true?")
    with connect(crm.settings) as connection:
        connection.execute("DROP TABLE leadscore.live_performance")
    said = section(parts(client, "acme"), "Did it come true?")
    assert said.startswith("What came true cannot be read now: the CRM's database lacks this release's functions")


def test_what_moved_since_yesterday_is_said(client: FlaskClient, crm: Crm) -> None:
    scores = Scores(crm.settings)
    assert "There was no list yesterday." in parts(client, "acme").text
    scores.scored("acme", at=SCORED_AT - timedelta(days=1))
    scores.said("acme", "a", SCORED_AT - timedelta(days=1), grade="C")
    scores.said("acme", "a", SCORED_AT, grade="A")
    scores.said("acme", "c", SCORED_AT, grade="B")
    moved = parts(client, "acme").text.split("Since yesterday")[1]
    assert moved.strip().startswith("1 lead moved up a grade, 0 moved down, and 1 is new. C → A a , 75%")


def test_an_org_without_a_model_says_when_it_will_have_enough_data(client: FlaskClient) -> None:
    page = parts(client, "new")
    assert "no model No model scores its leads, since " in page.text
    assert page.text.index("Data for a training") < page.text.index("Whom to call")
    assert "20 of 100 records with a known outcome" in page.text
    assert "They are scored once there is a model." in page.text
    assert "No version was trained yet." in page.text


def test_a_scoring_without_a_model_shows_no_call_list(client: FlaskClient, crm: Crm) -> None:
    Scores(crm.settings).scored("new", [], version=None)
    page = parts(client, "new")
    assert "They are scored once there is a model." in page.text
    assert "Since yesterday" not in page.text


def test_leads_that_were_left_out_are_counted(client: FlaskClient, crm: Crm, shelf: Any) -> None:
    assert "left out" not in parts(client, "acme").text
    with connect(crm.settings) as connection:
        connection.execute("UPDATE leadscore.org_health SET open_leads = 4 WHERE org_id = 'acme'")
    assert "1 more open lead is left out, such as those whose conversion window is over." in parts(client, "acme").text


def test_a_list_that_is_old_says_so(client: FlaskClient, crm: Crm) -> None:
    assert "This list is old: the leads were last scored " in parts(client, "acme").text
    Scores(crm.settings).scored("acme", [Lead("a", 0.75, "A")], at=datetime.now(UTC) - timedelta(hours=3))
    assert "This list is old" not in parts(client, "acme").text


@pytest.mark.parametrize(
    ("org_id", "status", "title"),
    [
        ("unheard-of", 404, "org"),
        ("..x", 400, "This is not an id"),
        ("_pooled", 400, "This is not an id"),
        ("gone", 409, "another"),
    ],
)
def test_an_org_that_cannot_be_shown_is_refused_as_a_page(
    client: FlaskClient, org_id: str, status: int, title: str
) -> None:
    answer = client.get(f"/orgs/{org_id}", headers=BROWSER)
    assert (answer.status_code, answer.content_type) == (status, "text/html; charset=utf-8")
    assert title in answer.text
    for secret in ("reason to activate", "75%"):
        assert secret not in answer.text


def test_without_the_database_a_browser_gets_a_page(settings: Any, shelf: Any) -> None:
    shelf.activated("acme")
    answer = create_app(settings).test_client().get("/orgs/acme", headers=BROWSER)
    assert (answer.status_code, answer.content_type) == (503, "text/html; charset=utf-8")


@pytest.fixture
def harmed_pool(crm: Crm, shelf: Any, versions: dict[str, str]) -> FlaskClient:
    """Give a client of an app that pools, while the pooled model's pointer is damaged."""
    shelf.pooled(new=0.1)
    (shelf.registry.root / POOLED / "active.json").write_bytes(b"harm")
    return crm.client(pooled_model=True)


def test_a_damaged_pooled_pointer_harms_no_org_that_has_a_model_of_its_own(harmed_pool: FlaskClient) -> None:
    page = parts(harmed_pool, "acme")
    assert "active Its own active version scores its leads" in page.text
    assert leads(page) == ["a", "b", "c"]


def test_an_org_that_only_the_pooled_model_could_score_says_what_is_damaged(harmed_pool: FlaskClient) -> None:
    page = parts(harmed_pool, "new")
    assert "The files in the registry that its model needs cannot be read, so its leads are not scored" in page.text
    assert "The org has no model of its own, and the pooled one cannot be read: active.json" in page.text


def test_hostile_ids_are_shown_as_text_and_linked_within_this_server(client: FlaskClient, crm: Crm) -> None:
    Scores(crm.settings).scored("new", [Lead(lead_id, 0.5) for lead_id in HOSTILE])
    answer = client.get("/orgs/new", headers=BROWSER)
    page = PageParts(answer.text)
    assert not {"script", "img"} & set(page.elements)
    assert set(HOSTILE) <= page.links.keys()
    assert {link[:1] for link in page.links.values()} == {"/"}
    assert not any(name.startswith("on") for name, _ in page.attributes)
    for lead_id in HOSTILE:
        found = client.get(page.links[lead_id])
        assert (found.status_code, found.json["lead_id"]) == (200, lead_id)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy


def test_it_fits_a_phone_a_desk_and_paper(client: FlaskClient, crm: Crm, shelf: Any, browser: Browser) -> None:
    long = Lead("a-lead-with-a-very-long-id-of-another-crm-" + "0123456789" * 5, 0.5, "A", "improving")
    shown = [Lead("a", 0.75, "A"), long, *(Lead(str(number), 0.4) for number in range(30))]
    Scores(crm.settings).scored("acme", shown, at=SCORED_AT + timedelta(days=1))
    refreshed(crm, shelf)
    proved(crm.settings, figures_of("acme", "alarm"), figures_of("beta"), figures_of("new", "too_young"))
    pages = [client.get(f"/orgs/{org_id}", headers=BROWSER).text for org_id in ("acme", "beta", "new")]
    for width in (PHONE, DESK):
        assert [(layout.fits, layout.outside) for layout in browser.layouts(pages, width)] == [(True, [])] * 3
    dark = browser.layouts(pages, PHONE, is_dark=True)
    assert {layout.background for layout in dark} == {"rgb(18, 22, 28)"}
    assert sheets(browser.printed(pages[0])) <= 4
