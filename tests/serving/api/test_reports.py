"""The model report over HTTP: the page as it was stored, or in words why there is none."""

from __future__ import annotations

import hashlib
import shutil
from datetime import UTC, datetime, timedelta

import pytest

from leadscore.registry.old_versions import Keep, remove_old_versions
from leadscore.settings import PROJECT_ROOT

STORED = PROJECT_ROOT / "tests" / "leadscore" / "stored"
REPORT = "/api/v1/model/report"
PAGE = "<!DOCTYPE html>\n<html lang='en'><title>Größe</title>".encode()


@pytest.fixture
def reported(shelf):
    """Give a function that adds an active version with a report, and returns its id."""

    def report(org_id="default", content=PAGE):
        version = shelf.activated(org_id)
        judgement = shelf.registry.judgement(org_id, version)
        (shelf.folder(version, org_id) / "evaluation.json").unlink()
        shelf.registry.record_judgement(org_id, version, judgement, {"report.html": content})
        return version

    return report


def test_the_active_versions_report_is_sent_as_it_was_stored(client, reported):
    version = reported()
    answer = client.get(REPORT)
    assert (answer.status_code, answer.data) == (200, PAGE)
    assert answer.content_type == "text/html; charset=utf-8"
    assert answer.headers["X-Model-Version"] == version
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("release", sorted({path.parts[-4] for path in STORED.glob("*/acme/*/report.html")}))
def test_the_report_of_an_earlier_release_is_sent_as_it_was_stored(client, shelf, release):
    shutil.copytree(STORED / release / "acme", shelf.registry.root / "acme")
    [stored] = shelf.registry.root.glob("acme/*/report.html")
    answer = client.get(f"{REPORT}?org_id=acme&version={stored.parent.name}")
    assert (answer.status_code, answer.data) == (200, stored.read_bytes())


def test_the_page_may_load_and_run_nothing(client, reported):
    reported()
    policy = client.get(REPORT).headers["Content-Security-Policy"].split("; ")
    assert "default-src 'none'" in policy
    assert not any(rule.startswith("script-src") for rule in policy)


def test_any_version_of_the_org_can_be_asked_for(client, reported):
    old, new = reported(content=b"old"), reported(content=b"new")
    assert [client.get(f"{REPORT}?version={version}").data for version in (old, new)] == [b"old", b"new"]
    assert client.get(REPORT).data == b"new"


def test_a_report_that_did_not_change_is_not_sent_again(client, reported):
    reported()
    tag = client.get(REPORT).headers["ETag"]
    assert tag == f'"{hashlib.sha256(PAGE).hexdigest()}"'
    again = client.get(REPORT, headers={"If-None-Match": tag})
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)
    reported(content=b"another")
    assert client.get(REPORT, headers={"If-None-Match": tag}).status_code == 200


def test_no_cache_between_keeps_it_and_each_use_asks_again(client, reported):
    reported()
    assert client.get(REPORT).headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize("is_judged", [True, False])
def test_a_version_without_a_report_says_why(client, shelf, is_judged):
    version = shelf.judged() if is_judged else shelf.publish()
    answer = client.get(f"{REPORT}?version={version}")
    assert (answer.status_code, answer.json["code"]) == (404, "report_not_found")
    assert "train again" in answer.json["detail"]


def test_a_version_that_was_old_has_no_report_any_more(client, shelf, reported):
    oldest, *_ = [reported() for _ in range(4)]
    later = datetime.now(UTC) + timedelta(days=400)
    remove_old_versions(shelf.registry, "default", Keep(1, 30), later, by="a test")
    answer = client.get(f"{REPORT}?version={oldest}")
    assert (answer.status_code, answer.json["code"]) == (404, "report_not_found")
    assert "was old" in answer.json["detail"]


def test_an_unknown_version_or_another_orgs_has_no_report(client, reported):
    reported("acme")
    others = [reported("zeta") for _ in range(2)][1]
    answers = [client.get(f"{REPORT}?org_id=acme&version={version}") for version in (others, "19990101000000")]
    assert [(answer.status_code, answer.json["code"]) for answer in answers] == [(404, "version_not_found")] * 2
    assert answers[0].json["detail"] == answers[1].json["detail"]
    nobody = client.get(f"{REPORT}?org_id=unheard-of")
    assert (nobody.status_code, nobody.json["code"]) == (404, "no_active_model")


@pytest.mark.parametrize("harm", ["changed", "gone", "a folder"])
def test_a_damaged_report_is_not_sent(client, shelf, reported, harm):
    path = shelf.folder(reported()) / "report.html"
    path.unlink()
    if harm == "changed":
        path.write_bytes(PAGE + b"<script>")
    if harm == "a folder":
        path.mkdir()
    answer = client.get(REPORT)
    assert (answer.status_code, answer.json["code"]) == (503, "model_unavailable")
    assert "report.html" in answer.json["detail"]
    assert str(shelf.registry.root) not in answer.text


def test_info_leads_to_the_report_that_is_there(client, shelf, reported):
    with_report, without = reported(), shelf.judged()
    leads_to = client.get("/api/v1/model/info").json["report_url"]
    assert leads_to == f"http://127.0.0.1:5000{REPORT}?org_id=default&version={with_report}"
    assert client.get(leads_to.removeprefix("http://127.0.0.1:5000")).data == PAGE
    assert client.get(f"/api/v1/model/info?version={without}").json["report_url"] is None


def test_the_report_is_described_as_a_page(client):
    described = client.get("/openapi.json").json["paths"][REPORT]["get"]
    assert list(described["responses"]["200"]["content"]) == ["text/html; charset=utf-8"]
    assert {"400", "404", "503"} <= described["responses"].keys()
    assert [parameter["name"] for parameter in described["parameters"]] == ["org_id", "version"]
