"""What is counted and what is written down: parseable, bounded, and without anybody's data."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from serving.app import create_app
from serving.telemetry.events import Scored
from serving.telemetry.metrics import MAX_VERSION_LABELS, Distribution, Metrics, Series
from tests.live_figures import figures_of, proved
from tests.serving.standing_orgs import refreshed, standing_orgs


def samples(client) -> dict[str, float]:
    """Return the metrics as name{labels}: value."""
    answer = client.get("/metrics")
    assert answer.content_type.startswith("text/plain; version=")
    families = text_string_to_metric_families(answer.text)
    return {
        sample.name + "".join(f"{{{name}={value}}}" for name, value in sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def test_scores_are_counted_by_version_single_or_in_a_batch(client, shelf, features):
    version = shelf.activated()
    client.post("/api/v1/predict", json={"features": features})
    client.post("/api/v1/predict/batch", json={"batch": [features, features, {}]})
    found = samples(client)
    assert found[f"ml_predictions_total{{model_version={version}}}"] == 3
    assert found["ml_prediction_latency_seconds_count"] == 2
    assert found["leadscore_invalid_leads_total"] == 1
    assert found["leadscore_score_count"] == 3
    assert found["leadscore_model_cache_entries"] == 1
    assert found["leadscore_model_cache_hits_total"] == 1


def test_requests_are_counted_by_route_template_and_status(client, shelf):
    client.get("/health/live")
    client.get("/api/v1/model/train/x")
    client.get("/nowhere")
    client.open("/health/live", method="BREW")
    found = samples(client)
    prefix = "leadscore_http_requests_total"
    assert found[prefix + "{method=GET}{route=/health/live}{status=200}"] == 1
    assert found[prefix + "{method=GET}{route=/api/v1/model/train/<run_id>}{status=400}"] == 1
    assert found[prefix + "{method=GET}{route=other}{status=404}"] == 1
    assert found[prefix + "{method=other}{route=other}{status=405}"] == 1
    assert found["leadscore_http_requests_in_progress"] == 1


def test_what_the_server_leans_on_is_shown_up_or_down(client):
    """In these tests neither a database nor a Dagster is there."""
    text = client.get("/metrics").text
    assert 'leadscore_dependency_up{dependency="database"} 0.0' in text
    assert 'leadscore_dependency_up{dependency="dagster"} 0.0' in text


def test_orgs_are_counted_by_state_and_never_one_by_one(client, crm, shelf):
    standing_orgs(crm, shelf)
    proved(crm.settings, figures_of("acme", "alarm"))
    refreshed(crm, shelf)
    found = samples(crm.client())
    assert (found["leadscore_orgs{state=active}"], found["leadscore_orgs{state=damaged}"]) == (2, 0)
    assert (found["leadscore_orgs_came_true{state=alarm}"], found["leadscore_orgs_came_true{state=fine}"]) == (1, 0)
    assert not any("acme" in name for name in found)
    assert not any(name.startswith("leadscore_orgs") for name in samples(client))


def test_counts_of_orgs_come_once_whatever_the_processes(tmp_path, monkeypatch):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    text = Metrics().text([Series("leadscore_orgs", "Orgs", "state", {"active": 3})]).decode()
    assert text.count('leadscore_orgs{state="active"} 3.0') == 1


def test_no_caller_can_make_the_metrics_grow(client):
    client.get("/warm-up")
    client.get("/api/v1/model/info?org_id=warm-up")
    client.get("/metrics")
    before = len(samples(client))
    for index in range(50):
        client.get(f"/path-{index}")
        client.get(f"/api/v1/model/info?org_id=org-{index}")
    assert len(samples(client)) == before


def test_versions_beyond_the_first_hundred_are_counted_together():
    metrics = Metrics()
    for index in range(MAX_VERSION_LABELS + 50):
        metrics.count_scored([Scored(f"{index:014}", [0.5], 0.001)])
    labels = [line for line in metrics.text().decode().splitlines() if line.startswith("ml_predictions_total{")]
    assert len(labels) == MAX_VERSION_LABELS + 1
    assert 'ml_predictions_total{model_version="other"} 50.0' in labels


@pytest.mark.parametrize("amounts", [[], [0.5], [0.0, 0.1, 0.25, 0.2500001, 0.5, 0.75, 1.0, 7.0, 0.1] * 2])
def test_a_distribution_of_many_amounts_is_that_of_each_alone(amounts: list[float]):
    """On a bound, beside it, below the first and above the last."""
    registries = CollectorRegistry(), CollectorRegistry()
    together, alone = (
        Distribution("seconds", "Time", ["route"], buckets=(0.1, 0.25, 0.5), registry=registry).labels("/x")
        for registry in registries
    )
    together.observe_all(amounts)
    for amount in amounts:
        alone.observe(amount)
    texts = [generate_latest(registry).decode().splitlines() for registry in registries]
    said, expected = ([line for line in text if "created" not in line] for text in texts)
    assert said == expected


def test_two_apps_of_one_process_count_apart(settings, shelf):
    one, other = create_app(settings).test_client(), create_app(settings).test_client()
    one.get("/health/live")
    assert not any("/health/live" in name for name in samples(other))


def test_no_lead_and_no_secret_is_in_a_log_a_metric_or_a_description(client, shelf, features, lines):
    shelf.activated()
    canary = 123456.789
    for body in (
        {"features": features | {"property_price": canary}},
        {"features": features | {"has_property": canary}},
    ):
        client.post("/api/v1/predict", json=body)
    client.post("/api/v1/predict/batch", json={"batch": [features | {"property_price": canary, "lead_id": "lead-c4"}]})
    pages = [client.get(path).text for path in ("/health", "/metrics", "/openapi.json", "/docs", "/nowhere")]
    for text in (lines.getvalue(), *pages):
        for secret in ("123456.789", "lead-c4", "canary-password"):
            assert secret not in text
