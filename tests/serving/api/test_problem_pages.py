"""Where a browser asks for a page that cannot be shown, it gets a page that says why; programs get a problem."""

from __future__ import annotations

import pytest

from leadscore.tokens import Tokens
from serving.api.page import PAGE_POLICY
from serving.app import create_app
from tests.serving.refusals import assert_refused

REPORT = "/api/v1/model/report"
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"}


def assert_is_page(answer, status, title):
    assert (answer.status_code, answer.content_type) == (status, "text/html; charset=utf-8")
    assert f"<h1>{title}</h1>" in answer.text
    assert answer.headers["X-Request-ID"] in answer.text
    assert answer.headers["Content-Security-Policy"] == PAGE_POLICY
    assert answer.headers["Cache-Control"] == "no-store"
    assert "<script" not in answer.text


def test_an_org_without_a_model_has_a_page_that_says_so(client):
    answer = client.get(f"{REPORT}?org_id=acme", headers=BROWSER)
    assert_is_page(answer, 404, "There is no model yet")
    assert "The org has no active model; train the org" in answer.text
    assert '<a href="/orgs/acme">acme</a>' in answer.text


def test_a_version_without_a_report_has_a_page_that_says_so(client, shelf):
    answer = client.get(f"{REPORT}?version={shelf.judged()}", headers=BROWSER)
    assert_is_page(answer, 404, "This version has no report")
    assert "train again" in answer.text


@pytest.mark.parametrize(
    ("query", "status", "title"),
    [
        ("version=20260101000000", 404, "There is no such version"),
        ("version=../../etc", 400, "This is not an id"),
        ("what=this", 400, "This address is not right"),
    ],
)
def test_a_wrong_address_is_explained(client, shelf, query, status, title):
    shelf.activated()
    assert_is_page(client.get(f"{REPORT}?{query}", headers=BROWSER), status, title)


def test_an_address_that_does_not_exist_is_a_page_in_a_browser(client):
    assert_is_page(client.get("/nowhere", headers=BROWSER), 404, "There is no such page")


def test_a_browser_without_a_token_is_asked_for_one_and_sees_why(settings):
    Tokens(settings.tokens_path).new(scopes=("read",), orgs=("acme",), expires_at=None, note="")
    answer = create_app(settings).test_client().get(f"{REPORT}?org_id=acme", headers=BROWSER)
    assert_is_page(answer, 401, "This page needs a token")
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "application/json, text/plain, */*", "text/csv"])
def test_a_program_gets_a_problem(client, accept):
    headers = {"Accept": accept} if accept else {}
    for path in (f"{REPORT}?org_id=acme", "/nowhere"):
        assert_refused(client.get(path, headers=headers), 404)


def test_an_address_of_json_answers_with_json_also_in_a_browser(client):
    assert_refused(client.get("/api/v1/model/info?org_id=acme", headers=BROWSER), 404)


def test_what_is_refused_cannot_break_the_page(client):
    answer = client.get(f"{REPORT}?<script>alert(1)</script>=1", headers=BROWSER)
    assert_is_page(answer, 400, "This address is not right")
    assert "&lt;script&gt;" in answer.text


def test_a_defect_is_a_page_without_detail(client, parts):
    def fail(_org_id):
        raise ZeroDivisionError("a detail of the inside")

    parts.models.own_pointer = fail
    answer = client.get(REPORT, headers=BROWSER)
    assert_is_page(answer, 500, "Something went wrong here")
    assert "a detail of the inside" not in answer.text


def test_the_page_fits_a_phone(browser, client):
    pages = [client.get(path, headers=BROWSER).text for path in (f"{REPORT}?org_id={'a' * 80}", f"/{'x' * 300}")]
    light, dark = browser.layouts(pages, 390), browser.layouts(pages, 390, is_dark=True)
    assert [layout.outside for layout in light] == [[], []]
    assert all(layout.fits for layout in light)
    assert {layout.background for layout in light} != {layout.background for layout in dark}
