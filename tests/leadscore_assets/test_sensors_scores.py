"""The sensors of the scores: one has the leads of changed orgs scored, the other watches how old scores are."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from leadscore_assets import sensors
from leadscore_assets.definitions import build_defs
from leadscore_assets.resources import Crm
from tests.leadscore_assets.scored_org import NOW, ORG, Scored


def evaluate(scored: Scored, instance: dg.DagsterInstance, name: str, cursor: str | None = None) -> Any:
    defs = build_defs(scored.settings)
    resources = {"crm": Crm(scored.settings), "registry": scored.registry, "settings": scored.settings}
    with dg.build_sensor_context(
        instance=instance, cursor=cursor, repository_def=defs.get_repository_def(), resources=resources
    ) as context:
        return defs.resolve_sensor_def(name).evaluate_tick(context)


def test_an_org_is_scored_when_another_version_serves_it(scored: Scored, instance: dg.DagsterInstance) -> None:
    first = evaluate(scored, instance, "score_changed_orgs")
    [request] = first.run_requests
    assert request.run_config["ops"]["score_shard"]["config"] == {"org_ids": [ORG]}
    assert request.job_name in (None, "score_open_leads")
    assert evaluate(scored, instance, "score_changed_orgs").run_requests[0].run_key == request.run_key
    scored.score()
    assert evaluate(scored, instance, "score_changed_orgs").skip_message == (
        "every org's leads were scored by the model that serves the org"
    )
    scored.train_another()
    assert evaluate(scored, instance, "score_changed_orgs").run_requests[0].run_key != request.run_key


def test_nothing_more_is_asked_for_before_the_last_run_has_ended(scored: Scored, instance: dg.DagsterInstance) -> None:
    asked = create_run_for_test(
        instance,
        "score_open_leads",
        tags={"dagster/sensor_name": "score_changed_orgs"},
        status=dg.DagsterRunStatus.STARTED,
    )
    assert "has not ended" in evaluate(scored, instance, "score_changed_orgs").skip_message
    instance.report_run_canceled(asked)
    assert evaluate(scored, instance, "score_changed_orgs").run_requests


def test_scores_that_grow_old_are_reported_once_and_again_when_they_are_fresh(
    scored: Scored, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance.add_dynamic_partitions("orgs", [ORG])
    for org_id in ("sound", "small", "one-class"):
        instance.delete_dynamic_partition("orgs", org_id)
    scored.score()
    monkeypatch.setattr(sensors, "now", lambda: NOW + timedelta(days=3))
    old = evaluate(scored, instance, "watch_scores")
    [event] = old.asset_events
    assert (event.partition, event.passed, event.severity) == (ORG, False, dg.AssetCheckSeverity.WARN)
    assert event.description.startswith("the scores are of 2026-06-01 00:00 UTC")
    again = evaluate(scored, instance, "watch_scores", old.cursor)
    assert (again.asset_events, again.skip_message[:24]) == ([], "the scores of 1 of 1 org")
    scored.score(days=3)
    [event] = evaluate(scored, instance, "watch_scores", again.cursor).asset_events
    assert (event.partition, event.passed) == (ORG, True)


def test_a_cursor_of_another_release_is_no_obstacle(scored: Scored, instance: dg.DagsterInstance) -> None:
    assert evaluate(scored, instance, "watch_scores", "[not json").cursor
