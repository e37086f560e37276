"""The page of the API: complete, and it needs nothing from elsewhere."""

from __future__ import annotations

import json
import re
from html import unescape
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest

from leadscore.errors import Conflict, LeadscoreError, NotFound, all_errors
from leadscore.features import CONTRACT
from serving.api.problems import CODES, STATUSES
from tests.browser import DESK, PHONE, sheets
from tests.end_to_end.documented_calls import read_curl


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


def text_of(page, opening):
    return [unescape(found) for found in re.findall(f"{opening}(.*?)</pre>", page, flags=re.DOTALL)]


def test_the_contents_lead_to_every_call_and_each_has_its_command(client, document):
    text = client.get("/docs").text
    contents = text.split("<nav")[1].split("</nav>")[0]
    calls = [call["operationId"] for methods in document["paths"].values() for call in methods.values()]
    assert re.findall(r'href="#([^"]+)"><span', contents) == calls
    commands = [read_curl(command) for command in text_of(text, '<pre class="curl">')]
    assert len(commands) == len(calls)
    described = {
        (method.upper(), re.sub(r"\{\w+\}", "X", path))
        for path in document["paths"]
        for method in document["paths"][path]
    }
    values = re.compile("(?<=/)(4711|default|[0-9a-f-]{36})$")
    assert {(curl.method, values.sub("X", urlsplit(curl.url).path)) for curl in commands} == described


def test_the_commands_can_be_made_as_they_stand(client, shelf):
    shelf.activated()
    for curl in map(read_curl, text_of(client.get("/docs").text, '<pre class="curl">')):
        parts = urlsplit(curl.url)
        answer = client.open(
            parts.path, method=curl.method, query_string=parts.query, data=curl.body, headers=curl.headers
        )
        assert answer.status_code in (200, 404, 503), (curl, answer.text)
        if parts.path.startswith("/api/v1/predict"):
            assert answer.status_code == 200, answer.text


def test_examples_of_answers_are_shown_and_short_values_stand_on_one_line(client, document):
    shown = text_of(client.get("/docs").text, '<pre class="example">')
    contents = [
        response["content"]["application/json"]["examples"]["example"]["value"]
        for methods in document["paths"].values()
        for call in methods.values()
        for response in call["responses"].values()
        if "examples" in response["content"].get("application/json", {})
    ]
    assert len(contents) > 12
    found = [json.loads(text) for text in shown]
    assert all(content in found for content in contents)
    assert max(len(line) for text in shown for line in text.splitlines() if ": [" in line or ": {" in line) <= 88
    assert any('    {"feature": "has_property", "value": 1,' in text for text in shown)


def test_the_page_fits_a_phone_and_a_desk_has_a_dark_side_and_can_be_printed(client, browser):
    text = client.get("/docs").text
    for width in (PHONE, DESK):
        [layout] = browser.layouts([text], width)
        assert layout.fits, layout.outside
    [dark] = browser.layouts([text], DESK, is_dark=True)
    assert (dark.background, dark.color) == ("rgb(18, 22, 28)", "rgb(230, 234, 240)")
    assert 5 < sheets(browser.printed(text)) < 60
