"""The page of the API: complete, and it needs nothing from elsewhere."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from leadscore.errors import Conflict, LeadscoreError, NotFound, all_errors
from leadscore.features import CONTRACT
from serving.api.problems import CODES, STATUSES


class Page(HTMLParser):
    """Gathers the links and ids of a page, and the elements that could load something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids, self.links, self.loading = set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids.add(given.get("id"))
        self.links += [given["href"]] if tag == "a" else []
        self.loading += [tag] if tag in ("script", "link", "img", "iframe", "object", "form") or "src" in given else []


def test_the_page_loads_nothing_and_its_links_lead_somewhere(client):
    answer = client.get("/docs")
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    page = Page(answer.text)
    assert page.loading == []
    assert "url(" not in answer.text
    assert "@import" not in answer.text
    for link in page.links:
        assert link == "/openapi.json" or link.removeprefix("#") in page.ids


def test_the_page_shows_every_call_every_feature_and_every_code(client, document):
    text = client.get("/docs").text
    for shown in (*document["paths"], *CONTRACT.names):
        assert shown in text
    assert set(CODES) <= Page(text).ids


@pytest.mark.parametrize("kind", [*all_errors()])
def test_every_error_has_a_code_on_the_page_and_one_that_callers_cause_is_described_by_a_route(client, document, kind):
    answered = kind.answered_as()
    assert answered.code in Page(client.get("/docs").text).ids
    assert (CODES[answered.code], STATUSES[answered.code]) == (answered.meaning, answered.status)
    if answered not in (LeadscoreError, NotFound, Conflict):  # a defect, and two that only their kinds are raised of
        assert f"`{answered.code}`: {answered.meaning}" in str(document)
