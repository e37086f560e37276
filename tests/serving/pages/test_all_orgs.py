"""The page of all orgs: one row each, in any order, searchable without a script, on a phone and on paper, too."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, get_args

import pytest
from flask.testing import FlaskClient

from leadscore.tokens import Tokens
from leadscore_assets.source.database import connect
from serving.app import create_app
from serving.dependencies.org_health import Filter, Order
from serving.pages.all_orgs import FILTERS, ORDERS, StateOrAny
from serving.pages.words import NONE
from tests.browser import DESK, PHONE, Browser, sheets
from tests.live_figures import figures_of, proved
from tests.serving.crm_of_leads import Crm
from tests.serving.pages.page_parts import PageParts
from tests.serving.standing_orgs import refreshed, standing_orgs

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
MANY = """
INSERT INTO leadscore.org_health
SELECT (jsonb_populate_record(org_health, jsonb_build_object('org_id', 'org-' || number))).*
FROM leadscore.org_health, generate_series(1, %s) AS number
WHERE org_health.org_id = 'acme'
"""


@pytest.fixture
def client(crm: Crm, shelf: Any) -> FlaskClient:
    standing_orgs(crm, shelf)
    return crm.client()


def parts(client: FlaskClient, path: str = "/", **query: Any) -> PageParts:
    answer = client.get(path, query_string=query, headers=BROWSER)
    assert (answer.status_code, answer.content_type) == (200, "text/html; charset=utf-8"), answer.text
    return PageParts(answer.text)


def orgs(page: PageParts) -> list[str]:
    return [row[0] for row in page.rows if row]


def test_every_org_is_a_row_with_its_state_and_a_link(client: FlaskClient) -> None:
    page = parts(client)
    assert page.text.startswith("Orgs 4 orgs As of just now (")
    acme, beta, gone, new = (row for row in page.rows if row)
    assert acme[0] == "acme"
    assert acme[1].startswith("active since ")
    assert acme[3:7] == ["passed", "1", "3", "↑ 1 ↓ 1"]
    assert beta[3] == "held since 15 Mar 2026"
    assert gone[1].startswith("withdrawn")
    assert new[2:8] == [NONE] * 6
    assert new[8].startswith("20 of 100 records")
    assert page.links["acme"] == "/orgs/acme"
    assert page.links["2"] == "/?state=active"


def test_an_org_with_enough_records_of_one_outcome_says_so(client: FlaskClient, crm: Crm, shelf: Any) -> None:
    crm.leads("one-class", 120, "LOST", every=1)
    refreshed(crm, shelf, "one-class")
    [row] = (row for row in parts(client).rows if row)
    assert row[8] == "too few of one outcome no date can be given"


def test_an_alarm_is_marked_counted_and_can_be_asked_for(client: FlaskClient, crm: Crm, shelf: Any) -> None:
    proved(crm.settings, figures_of("beta", "alarm"), figures_of("acme"), figures_of("new", "too_young"))
    refreshed(crm, shelf)
    page = parts(client, sort="came_true")
    assert orgs(page) == ["beta", "acme", "new", "gone"]
    assert [row[7] for row in page.rows if row] == [
        "alarm 13%, 26% promised",
        "fine 26%, 26% promised",
        "too young until 14 Sep 2026",
        NONE,
    ]
    assert orgs(parts(client, state="alarm")) == ["beta"]
    assert page.links["alarm"] == "/?state=alarm&sort=came_true"
    assert "Look at these" not in page.text


def test_the_orgs_to_look_at_are_listed_above_all_orgs(client: FlaskClient, crm: Crm, shelf: Any) -> None:
    proved(crm.settings, figures_of("beta", "alarm"), figures_of("acme"), listed=("beta",))
    refreshed(crm, shelf)
    page = parts(client)
    assert "Look at these, where what was promised most clearly does not come true: beta ." in page.text
    assert ("href", "/orgs/beta#came-true") in page.attributes
    assert orgs(parts(client, state="listed")) == ["beta"]


def test_it_is_sorted_searched_and_filtered_by_its_address_alone(client: FlaskClient) -> None:
    assert orgs(parts(client, sort="state")) == ["gone", "new", "acme", "beta"]
    assert orgs(parts(client, search="ET", state="", sort="org")) == ["beta"]
    assert orgs(parts(client, state="active")) == ["acme", "beta"]
    nothing = parts(client, search="<b>")
    assert orgs(nothing) == []
    assert ("value", "<b>") in nothing.attributes
    assert "No org matches." in nothing.text
    assert "0 orgs of 4" in nothing.text


def test_what_may_need_attention_is_said_counted_and_can_be_asked_for(client: FlaskClient, crm: Crm) -> None:
    """The last verdict and the missing data have columns of their own."""
    with connect(crm.settings) as connection:
        connection.execute(
            "UPDATE leadscore.org_health SET warnings = '{held,training_failed,scores_overdue}' WHERE org_id = 'beta'"
        )
    page = parts(client)
    [beta] = (row for row in page.rows if row and row[0] == "beta")
    assert beta[1].endswith("training failed scores overdue")
    assert "1 training failed 1 scores overdue" in page.text
    assert [orgs(parts(client, state=warning)) for warning in ("scores_overdue", "held", "not_ready", "refused")] == [
        ["beta"],
        ["beta"],
        ["acme", "gone", "new"],
        [],
    ]


def test_every_state_can_be_asked_for() -> None:
    assert set(get_args(StateOrAny)) == {"", *FILTERS}
    assert {name for part in get_args(Filter) for name in get_args(part)} == FILTERS.keys()
    assert set(get_args(Order)) == ORDERS.keys()


@pytest.mark.parametrize("query", [{"sort": "size"}, {"state": "sleepy"}, {"search": "\x00"}, {"page": 0}, {"x": 1}])
def test_an_address_that_makes_no_sense_is_refused_as_a_page(client: FlaskClient, query: Any) -> None:
    answer = client.get("/", query_string=query, headers=BROWSER)
    assert (answer.status_code, answer.content_type) == (400, "text/html; charset=utf-8")


def test_it_may_run_nothing_and_sends_its_form_to_this_server_alone(client: FlaskClient) -> None:
    answer = client.get("/", headers=BROWSER)
    policy = answer.headers["Content-Security-Policy"].split("; ")
    assert {"default-src 'none'", "form-action 'self'", "base-uri 'none'"} <= set(policy)
    page = PageParts(answer.text)
    assert not {"script", "img", "link", "iframe", "object"} & set(page.elements)
    assert ("method", "get") in page.attributes
    assert ("action", "/") in page.attributes


def test_an_id_that_looks_like_an_address_stays_a_path(client: FlaskClient, crm: Crm, shelf: Any) -> None:
    refreshed(crm, shelf, "javascript:x", "a@b.c")
    page = parts(client)
    assert (page.links["javascript:x"], page.links["a@b.c"]) == ("/orgs/javascript%3Ax", "/orgs/a%40b.c")
    assert client.get(page.links["a@b.c"], headers=BROWSER).status_code == 200


def test_a_token_sees_its_own_orgs_alone_also_as_a_browser_sends_it(crm: Crm, shelf: Any, tmp_path: Path) -> None:
    standing_orgs(crm, shelf)
    tokens = Tokens(tmp_path / "tokens.json")
    text, _ = tokens.new(scopes=["read"], orgs=["beta"])
    client = crm.client(tokens_file=tokens.path)
    challenge = client.get("/", headers=BROWSER)
    assert (challenge.status_code, challenge.headers["WWW-Authenticate"][:5]) == (401, "Basic")
    answer = client.get("/", headers=BROWSER, auth=("anybody", text))
    assert orgs(PageParts(answer.text)) == ["beta"]
    assert "acme" not in answer.text
    statuses = [
        client.get(f"/orgs/{org}", auth=("anybody", text)).status_code for org in ("beta", "acme", "unheard-of")
    ]
    assert statuses == [200, 403, 403]


def test_a_list_that_is_old_or_not_there_yet_says_so(client: FlaskClient, crm: Crm) -> None:
    assert "This list is old" not in parts(client).text
    with connect(crm.settings) as connection:
        connection.execute("UPDATE leadscore.org_health_refresh SET refreshed_at = now() - interval '3 hours'")
        assert "has not refreshed it for 3 hours. See whether Dagster's daemon runs" in parts(client).text
        connection.execute("TRUNCATE leadscore.org_health, leadscore.org_health_refresh")
    assert "This list has not been made yet" in parts(client).text


def test_without_the_database_a_browser_gets_a_page(settings: Any) -> None:
    answer = create_app(settings).test_client().get("/", headers=BROWSER)
    assert (answer.status_code, answer.content_type) == (503, "text/html; charset=utf-8")
    assert "The database does not answer" in answer.text


def test_a_thousand_orgs_are_one_page_that_takes_little_of_the_servers_time(client: FlaskClient, crm: Crm) -> None:
    """About 45 ms of the processor, whatever else the machine does; with the database's share below 100 ms."""
    with connect(crm.settings) as connection:
        connection.execute(MANY, [1_001])
    first = parts(client)
    assert (len(orgs(first)), first.links["next"]) == (1_000, "/?page=2")
    assert orgs(parts(client, page=2))[-1] == "org-999"
    seconds = []
    for _ in range(5):
        started_seconds = time.thread_time()
        client.get("/", headers=BROWSER)
        seconds.append(time.thread_time() - started_seconds)
    assert min(seconds) < 0.1


def test_it_fits_a_phone_a_desk_and_paper(client: FlaskClient, crm: Crm, shelf: Any, browser: Browser) -> None:
    refreshed(
        crm, shelf, "acme", "beta", "new", "an-org-with-a-very-long-id-of-eighty-characters-0123456789." + "x" * 21
    )
    page = client.get("/", headers=BROWSER).text
    [phone], [desk] = (browser.layouts([page], width) for width in (PHONE, DESK))
    assert (phone.fits, phone.outside) == (True, [])
    assert (desk.fits, desk.outside) == (True, [])
    [dark] = browser.layouts([page], PHONE, is_dark=True)
    assert (phone.background, dark.background) == ("rgb(255, 255, 255)", "rgb(18, 22, 28)")
    assert phone.color != dark.color
    assert sheets(browser.printed(page)) == 1
