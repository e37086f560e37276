"""What is active and why, which versions there are, and going back to one of them."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from leadscore.registry.activation import reinstate, withdraw
from leadscore.registry.moves import rename
from leadscore.registry.old_versions import Keep, remove_old_versions

MODEL = "/api/v1/model"


def roll_back(client, version, **members):
    return client.post(f"{MODEL}/rollback", json={"version": version, **members})


def test_info_tells_quality_and_origin_of_the_active_version(client, shelf):
    version = shelf.activated()
    answer = client.get(f"{MODEL}/info")
    body = answer.json
    assert answer.headers["X-Model-Version"] == version
    assert (body["org_id"], body["version"], body["training_data_size"]) == ("default", version, 200)
    assert body["metrics"]["roc_auc"] == 0.75
    assert body["metrics"]["confusion_matrix"]["true_positives"] == 4
    assert len(body["feature_names"]) == 11
    assert body["activated_at"] == shelf.registry.active("default").activated_at
    assert body["run_id"] == "9c2c8a3e-0000-4000-8000-000000000000"
    assert body["run_url"] == "http://127.0.0.1:9/runs/9c2c8a3e-0000-4000-8000-000000000000"
    assert body["run_state"] == "unknown"
    assert (body["records_fingerprint"], body["sql_sha256"]) == ("f00d", "c0ffee")
    assert body["window"]["training_window_days"] == 183
    assert body["libraries"] == {"numpy": "2"}
    assert body["code_version"] == "abc"
    assert body["decision"]["verdict"] == "activate"
    assert body["decision"]["reasons"] == ["The reason to activate. A remedy."]


def test_a_run_that_dagster_has_no_more_is_gone_and_has_no_page(app_with_dagster, shelf, dagster):
    """As after a restore of the registry alone."""
    shelf.activated()
    client = app_with_dagster.test_client()
    body = client.get(f"{MODEL}/info").json
    assert (body["run_state"], body["run_url"]) == ("gone", None)
    dagster.run_id = body["run_id"]
    body = client.get(f"{MODEL}/info").json
    assert body["run_state"] == "kept"
    assert body["run_url"].endswith(f"/runs/{dagster.run_id}")
    dagster.failing_once = {"Run"}
    body = client.get(f"{MODEL}/info").json
    assert (body["run_state"], body["run_url"] is None) == ("unknown", False)


def test_one_info_at_a_time_waits_for_dagster(app_with_dagster, shelf, dagster, monkeypatch):
    shelf.activated()
    release, is_asked = threading.Event(), threading.Event()

    def hang(_variables):
        is_asked.set()
        release.wait(10)
        return {}

    monkeypatch.setattr(dagster, "_Run", hang, raising=False)
    client = app_with_dagster.test_client()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(app_with_dagster.test_client().get, f"{MODEL}/info")
        assert is_asked.wait(10)
        started = time.monotonic()
        body = client.get(f"{MODEL}/info").json
        assert time.monotonic() - started < 0.5
        release.set()
        assert (body["run_state"], first.result(10).json["run_state"]) == ("unknown", "unknown")


def test_info_can_be_asked_of_a_version_that_is_not_active(client, shelf):
    active, held = shelf.activated(), shelf.judged(verdict="hold")
    body = client.get(f"{MODEL}/info?version={held}").json
    assert (body["version"], body["is_active"], body["activated_at"]) == (held, False, None)
    assert body["decision"]["champion_version"] == active


def test_info_has_the_figures_behind_the_decision(client, shelf):
    """By how much, and how surely, the version differs from the one that was active, with 95 % intervals."""
    active, held = shelf.activated(), shelf.judged(verdict="hold")
    compared = client.get(f"{MODEL}/info?version={held}").json["decision"]["comparison"]
    assert (compared["baseline"], compared["leads"], compared["resamples"]) == (active, 40, 1000)
    assert compared["roc_auc"]["probability_better"] == 0.875
    assert compared["roc_auc"]["gain"] == {"value": 0.25, "low": 0.0, "high": 0.5}


def test_info_of_a_version_that_nobody_judged_has_no_figures(client, shelf):
    version = shelf.publish()
    body = client.get(f"{MODEL}/info?version={version}").json
    assert (body["metrics"], body["decision"]) == (None, None)


@pytest.mark.parametrize("path", ["/info", "/feature-importance"])
def test_without_an_active_model_nothing_is_told(client, shelf, path):
    shelf.judged("held-only", "hold")
    answers = [client.get(f"{MODEL}{path}?org_id={org_id}") for org_id in ("held-only", "unheard-of")]
    assert [(answer.status_code, answer.json["code"]) for answer in answers] == [(404, "no_active_model")] * 2


def test_a_damaged_manifest_is_unavailable(client, shelf):
    (shelf.folder(shelf.activated()) / "manifest.json").write_bytes(b"{}")
    answer = client.get(f"{MODEL}/info")
    assert (answer.status_code, answer.json["code"]) == (503, "model_unavailable")


def test_importance_ranks_the_features(client, shelf):
    version = shelf.activated()
    assert client.get(f"{MODEL}/feature-importance").json == {
        "features": [
            {"feature": "lead_source_score", "importance": 0.2, "rank": 1},
            {"feature": "appointments_count", "importance": 0.05, "rank": 2},
        ],
        "model_version": version,
        "org_id": "default",
    }


def test_versions_are_listed_newest_first_with_their_decisions(client, shelf):
    old, active, held, candidate = shelf.activated(), shelf.activated(), shelf.judged(verdict="hold"), shelf.publish()
    entries = client.get(f"{MODEL}/versions").json["versions"]
    assert [entry["version"] for entry in entries] == [candidate, held, active, old]
    assert [entry["is_active"] for entry in entries] == [False, False, True, False]
    assert [(entry["decision"] or {}).get("verdict") for entry in entries] == [None, "hold", "activate", "activate"]
    assert [entry["metrics"] is None for entry in entries] == [True, False, False, False]


def test_versions_come_in_pages(client, shelf):
    versions = [shelf.publish() for _ in range(5)][::-1]
    seen, query = [], ""
    for _ in range(3):
        page = client.get(f"{MODEL}/versions?limit=2{query}").json
        seen.append([entry["version"] for entry in page["versions"]])
        query = f"&cursor={page['next_cursor']}"
    assert seen == [versions[:2], versions[2:4], versions[4:]]
    assert page["next_cursor"] is None


@pytest.mark.parametrize("origin", ["run_id", "records_fingerprint", "sql_sha256", "code_version"])
def test_what_made_a_version_leads_to_it_in_one_step(client, shelf, origin):
    versions = [shelf.publish() for _ in range(3)][::-1]
    made_by = client.get(f"{MODEL}/info?version={versions[0]}").json[origin]

    def found(value):
        page = client.get(f"{MODEL}/versions?{origin}={value}&limit=2").json
        return [entry["version"] for entry in page["versions"]], page["next_cursor"]

    assert found(made_by) == (versions[:2], versions[1])
    assert found("another") == ([], None)


def test_a_search_looks_at_so_many_versions_and_says_where_to_go_on(client, shelf, monkeypatch):
    monkeypatch.setattr("serving.api.versions.MOST_LOOKED_AT", 2)
    versions = [shelf.publish() for _ in range(3)][::-1]
    page = client.get(f"{MODEL}/versions?code_version=another").json
    assert (page["versions"], page["next_cursor"]) == ([], versions[1])
    page = client.get(f"{MODEL}/versions?code_version=abc&cursor={versions[1]}").json
    assert ([entry["version"] for entry in page["versions"]], page["next_cursor"]) == ([versions[2]], None)


def test_an_org_without_versions_has_an_empty_list(client):
    assert client.get(f"{MODEL}/versions?org_id=unheard-of").json["versions"] == []
    unknown = client.get(f"{MODEL}/activations?org_id=unheard-of").json
    assert unknown == {"activations": [], "next_cursor": None, "org_id": "unheard-of"}


def test_the_history_says_of_each_change_when_by_whom_and_why_newest_first(client, shelf):
    first, second = shelf.activated(), shelf.activated()
    roll_back(client, first, reason="worse")
    withdraw(shelf.registry, "default", by="the sensor", reason="other leads")
    reinstate(shelf.registry, "default", by="an operator", reason="the same customer")
    entries = client.get(f"{MODEL}/activations").json["activations"]
    assert [(entry["previous"], entry["version"]) for entry in entries] == [
        (None, first),
        (first, None),
        (second, first),
        (first, second),
        (None, first),
    ]
    assert [entry["reason"] for entry in entries[:3]] == ["the same customer", "other leads", "worse"]
    assert entries[1]["by"] == "the sensor"
    assert entries[2]["by"].startswith("api request ")
    moments = [datetime.fromisoformat(entry["at"]) for entry in entries]
    assert moments == sorted(moments, reverse=True)


def test_pages_of_the_history_stay_the_same_while_it_grows(client, shelf):
    versions = [shelf.activated() for _ in range(5)][::-1]
    seen, cursor = [], ""
    while cursor is not None:
        page = client.get(f"{MODEL}/activations?limit=2{cursor}").json
        seen += [entry["version"] for entry in page["activations"]]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
        shelf.activated()
    assert seen == versions
    assert client.get(f"{MODEL}/activations?cursor=0").json["code"] == "invalid_query"


def test_a_damaged_version_is_listed_as_such_and_hides_no_other(client, shelf):
    good, damaged = shelf.judged(), shelf.judged()
    (shelf.folder(damaged) / "manifest.json").write_bytes(b"[]")
    first, second = client.get(f"{MODEL}/versions").json["versions"]
    assert (first["version"], first["metrics"]) == (damaged, None)
    assert "manifest.json" in first["problem"]
    assert (second["version"], second["problem"]) == (good, None)


def test_a_rollback_is_served_by_the_next_request_and_kept_in_the_history(client, shelf, features):
    old, new = shelf.activated(high=0.9), shelf.activated(high=0.75)
    assert client.post("/api/v1/predict", json={"features": features}).json["model_version"] == new
    answer = client.post(
        f"{MODEL}/rollback", json={"version": old, "reason": "ranks worse"}, headers={"X-Request-ID": "req-7"}
    )
    assert answer.json == {
        "status": "success",
        "org_id": "default",
        "version": old,
        "message": f"Successfully rolled back to version {old}",
    }
    scored = client.post("/api/v1/predict", json={"features": features}).json
    assert (scored["model_version"], scored["conversion_probability"]) == (old, pytest.approx(0.9))
    last = shelf.registry.history("default").entries[-1]
    assert (last.version, last.previous, last.reason, last.by) == (old, new, "ranks worse", "api request req-7")


@pytest.mark.parametrize("verdict", ["hold", "refuse", None])
def test_what_did_not_pass_the_gate_is_served_only_by_force_with_a_reason(client, shelf, verdict):
    active = shelf.activated()
    version = shelf.judged(verdict=verdict) if verdict else shelf.publish()
    refused = roll_back(client, version)
    assert (refused.status_code, refused.json["code"]) == (409, "not_activatable")
    without_reason = roll_back(client, version, force=True, reason="  ")
    assert (without_reason.status_code, without_reason.json["errors"][0]["pointer"]) == (422, "/reason")
    assert shelf.registry.active("default").version == active
    assert roll_back(client, version, force=True, reason="the only one left").status_code == 200
    assert shelf.registry.active("default").version == version


def test_a_version_that_was_old_is_listed_with_its_figures_and_a_rollback_to_it_says_that_it_is_removed(client, shelf):
    versions = [shelf.activated() for _ in range(4)]
    later = datetime.now(UTC) + timedelta(days=400)
    assert remove_old_versions(shelf.registry, "default", Keep(1, 30), later, by="a test").versions == 1
    removed_at = shelf.registry.removal("default", versions[0]).removed_at
    listed = {entry["version"]: entry for entry in client.get(f"{MODEL}/versions").json["versions"]}
    assert [listed[version]["removed_at"] for version in versions] == [removed_at, None, None, None]
    assert (listed[versions[0]]["metrics"]["roc_auc"], listed[versions[0]]["problem"]) == (0.75, None)
    info = client.get(f"{MODEL}/info?version={versions[0]}").json
    assert (info["removed_at"], info["report_url"], info["decision"]["verdict"]) == (removed_at, None, "activate")
    assert client.get(f"{MODEL}/info").json["removed_at"] is None
    for members in ({}, {"force": True, "reason": "it was better"}):
        refused = roll_back(client, versions[0], **members)
        assert (refused.status_code, refused.json["code"]) == (409, "version_removed")
        assert "train again" in refused.json["detail"]
    assert shelf.registry.active("default").version == versions[3]


def test_a_rollback_of_somebody_who_believed_another_version_active_is_refused(client, shelf):
    old, new = shelf.activated(), shelf.activated()
    refused = roll_back(client, old, expected_active=old)
    assert (refused.status_code, refused.json["code"]) == (412, "active_version_moved")
    assert shelf.registry.active("default").version == new
    assert roll_back(client, old, expected_active=new).status_code == 200


def test_another_orgs_version_is_as_unknown_as_one_that_never_was(client, shelf):
    shelf.activated("acme")
    others = [shelf.activated("zeta") for _ in range(2)][1]
    answers = [roll_back(client, version, org_id="acme") for version in (others, "19990101000000")]
    assert [(answer.status_code, answer.json["code"]) for answer in answers] == [(404, "version_not_found")] * 2
    assert answers[0].json["detail"] == answers[1].json["detail"]


def test_asking_for_an_org_that_does_not_exist_leaves_no_folder(client, shelf):
    assert roll_back(client, "19990101000000", org_id="unheard-of").status_code == 404
    assert list(shelf.registry.root.iterdir()) == []


@pytest.mark.parametrize("file", ["manifest.json", "forest.safetensors.gz"])
def test_a_damaged_version_cannot_be_rolled_back_to(client, shelf, file):
    damaged, active = shelf.activated(), shelf.activated()
    (shelf.folder(damaged) / file).write_bytes(b"harm")
    answer = roll_back(client, damaged)
    assert (answer.status_code, answer.json["code"]) == (409, "damaged")
    assert shelf.registry.active("default").version == active


def test_a_registry_that_cannot_be_written_refuses_the_rollback_and_goes_on_serving(client, shelf, features):
    old, new = shelf.activated(), shelf.activated()
    lock = shelf.registry.root / "default" / ".lock"
    lock.unlink()
    lock.mkdir()
    answer = roll_back(client, old)
    assert (answer.status_code, answer.json["code"]) == (503, "registry_unavailable")
    assert client.post("/api/v1/predict", json={"features": features}).json["model_version"] == new


@pytest.fixture
def withdrawn(shelf):
    """Give a version of the org `default` that was withdrawn, because the id may be another customer's."""
    version = shelf.activated()
    withdraw(shelf.registry, "default", by="a test", reason="other leads")
    return version


def test_an_org_whose_model_was_withdrawn_is_scored_as_one_without_a_model(client, withdrawn, features):
    answer = client.post("/api/v1/predict", json={"features": features})
    assert (answer.status_code, answer.json["code"]) == (404, "no_active_model")
    assert client.get(f"{MODEL}/feature-importance").json["code"] == "no_active_model"


@pytest.mark.parametrize("path", ["info", "info?version={}", "versions", "activations", "report?version={}"])
def test_nobody_sees_the_versions_of_who_may_be_another_customer(client, withdrawn, path):
    answer = client.get(f"{MODEL}/{path.format(withdrawn)}")
    assert (answer.status_code, answer.json["code"]) == (409, "org_changed")
    assert answer.json["detail"].startswith("the CRM no longer has the leads by which org default was known")


def test_nobody_rolls_back_to_a_version_that_was_withdrawn(client, withdrawn, shelf):
    for force in (False, True):
        answer = roll_back(client, withdrawn, force=force, reason="it was ours")
        assert (answer.status_code, answer.json["code"]) == (409, "org_changed")
    assert shelf.registry.active("default") is None


def test_a_renamed_org_has_its_versions_under_the_new_id(client, shelf, features):
    version = shelf.activated()
    rename(shelf.registry, "default", "acme")
    body = client.get(f"{MODEL}/info?org_id=acme").json
    assert (body["org_id"], body["version"]) == ("acme", version)
    assert client.get(f"{MODEL}/versions?org_id=acme").json["versions"][0]["version"] == version
    answer = client.post("/api/v1/predict", json={"org_id": "acme", "features": features})
    assert (answer.status_code, answer.json["model_version"]) == (200, version)
    assert client.post("/api/v1/predict", json={"features": features}).status_code == 404
    assert roll_back(client, version, org_id="acme").status_code == 200
