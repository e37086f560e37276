"""A server to which everything has happened that a metric counts, and what its /metrics then says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from leadscore_assets.health.schedules import count_failed_run
from leadscore_assets.source.database import connect
from leadscore_assets.trainings.ended_trainings import EndedTraining, record_ended
from serving.app import create_app
from tests.live_figures import figures_of, proved
from tests.serving.crm_of_leads import Crm
from tests.serving.standing_orgs import refreshed, standing_orgs

SCHEDULE = """
INSERT INTO leadscore.schedule_health (schedule, cron, is_on, seen_at, next_run_at, error)
VALUES ('score_open_leads_daily', '0 5 * * *', true, now(), now() + interval '1 day', '')
"""
SKEW = "INSERT INTO leadscore.feature_skew VALUES ('acme', 'has_property', now(), 9, 9, 1, 2, 'x', 'zone', false, true)"
SHIFTED = """
INSERT INTO leadscore.live_inputs (org_id, as_of, state, in_words, alarms, figures)
VALUES ('acme', now(), 'shifted', 'It differs.', 1, '{}')
"""
BATCH = "INSERT INTO leadscore.training_batch (batch_id, asked_by, orgs) VALUES ('b-1', 'schedule', 2)"


def lived_through(crm: Crm, shelf: Any, features: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Flask:
    """Return the app of a server that has scored, failed, refused and lost, over orgs that stand in all ways."""
    standing_orgs(crm, shelf)
    proved(crm.settings, figures_of("acme", "alarm"), figures_of("beta"), figures_of("new", "too_young"))
    ended = EndedTraining(
        run_id="run-1",
        org_id="acme",
        asked_by="schedule",
        status="failed",
        reasons="It died.",
        batch_id="b-1",
        started_at=datetime.now(UTC),
    )
    with connect(crm.settings) as connection:
        for statement in (SCHEDULE, SKEW, SHIFTED, BATCH):
            connection.execute(statement.encode())
        record_ended(connection, ended)
        count_failed_run(connection, "score_open_leads", "run-2")
    refreshed(crm, shelf)
    damaged = shelf.activated("damaged")
    (shelf.registry.root / "damaged" / damaged / "manifest.json").write_bytes(b"{")

    app = create_app(crm.settings)
    client = app.test_client()
    lead = {"org_id": "acme", "features": features}
    assert client.post("/api/v1/predict", json=lead).status_code == 200
    assert client.post("/api/v1/predict", json=lead | {"org_id": "damaged"}).status_code == 503
    batch = {"org_id": "acme", "batch": [{"features": features}, {"features": {}}]}
    assert client.post("/api/v1/predict/batch", json=batch).status_code == 200
    with monkeypatch.context() as broken:
        broken.setattr("serving.api.orgs.visible_orgs", lambda: 1 / 0)
        assert client.get("/api/v1/orgs").status_code == 500
    return app


def samples(app: Flask) -> dict[str, list[dict[str, str]]]:
    """Return the labels of each series by its name, as Prometheus stores them."""
    found: dict[str, list[dict[str, str]]] = {"up": [{}]}
    answer = app.test_client().get("/metrics")
    assert answer.status_code == 200
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    scraped = {"job": "leadscore", "instance": "here"}
    return {name: [scraped | labels for labels in series] for name, series in found.items()}
