"""A refresh makes the table true for all orgs, writes nothing when nothing changed, and ends in time."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leadscore.registry.activation import withdraw
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.health import refresh as module
from leadscore_assets.health.attention import Deadlines
from leadscore_assets.health.refresh import Refreshed, refresh
from leadscore_assets.health.tables import Attention, OrgHealth, stored
from leadscore_assets.source.database import connect
from tests.leadscore_assets.conftest import NOW

ORGS = ["one-class", "small", "sound"]
LOG = logging.getLogger(__name__)
DUE = Deadlines(scores=NOW - timedelta(days=1), trainings=NOW - timedelta(days=60))


def rows(settings: Settings) -> dict[str, OrgHealth]:
    with connect(settings) as connection:
        return stored(connection)


def test_the_table_says_how_each_org_stands_and_a_repeat_writes_nothing(
    train: Any, crm_settings: Settings, registry: Registry
) -> None:
    settings = replace(crm_settings, as_of=NOW)
    assert refresh(settings, registry, ORGS, DUE, LOG) == Refreshed(3, 3, 0)
    assert {row.model.state for row in rows(settings).values()} == {"no_model"}
    for org_id in ORGS:
        train(org_id)
    assert refresh(settings, registry, ORGS, DUE, LOG) == Refreshed(3, 3, 0)
    assert refresh(settings, registry, ORGS, DUE, LOG) == Refreshed(3, 0, 0)

    found = rows(settings)
    sound, small, one_class = (found[org_id] for org_id in ("sound", "small", "one-class"))
    assert (sound.model.state, sound.model.verdict, sound.plan.is_ready) == ("active", "activate", True)
    assert sound.model.model_version == sound.model.judged_version == registry.active("sound").version
    assert (small.model.state, small.model.verdict, small.plan.records) == ("no_model", "refuse", 37)
    assert small.model.verdict_reasons[0].startswith("37 of 100 records with a known outcome.")
    assert (one_class.model.verdict, one_class.model.judged_version) == ("refuse", None)
    assert one_class.model.verdict_reasons[0].startswith("None of ")
    assert one_class.last_run.last_run_at == one_class.model.judged_at
    assert {org_id: row.attention.warnings for org_id, row in found.items()} == {
        "sound": [],
        "small": ["not_ready", "refused"],
        "one-class": ["not_ready", "refused"],
    }


def test_an_org_that_nothing_reaches_is_overdue(train: Any, crm_settings: Settings, registry: Registry) -> None:
    """It stays ready since it was first seen to be, so that the time runs."""
    settings = replace(crm_settings, as_of=NOW)
    train("sound")
    refresh(settings, registry, ORGS, DUE, LOG)
    ready_since = rows(settings)["sound"].attention.ready_since
    assert ready_since is not None
    late = datetime.now(UTC) + timedelta(days=1)
    assert refresh(settings, registry, ORGS, Deadlines(late, late), LOG).changed == 1
    found = rows(settings)["sound"].attention
    assert found == Attention(ready_since, ["training_overdue", "scores_overdue"])


def test_an_org_that_is_withdrawn_or_gone_is_seen_with_the_next_refresh(
    train: Any, crm_settings: Settings, registry: Registry
) -> None:
    train("sound")
    refresh(crm_settings, registry, ORGS, DUE, LOG)
    withdraw(registry, "sound", by="a sensor", reason="its leads are gone")
    assert refresh(crm_settings, registry, ["sound", "small"], DUE, LOG).changed == 2
    found = rows(crm_settings)
    assert found.keys() == {"sound", "small"}
    assert (found["sound"].model.state, found["sound"].model.problem) == ("withdrawn", "its leads are gone")


def test_orgs_without_their_own_model_are_pooled(train: Any, pooled_settings: Settings, registry: Registry) -> None:
    train("_pooled", settings=pooled_settings)
    refresh(pooled_settings, registry, [*ORGS, "_pooled"], DUE, LOG)
    found = rows(pooled_settings)
    assert found.keys() == set(ORGS)
    assert {(row.model.state, row.model.model_scope) for row in found.values()} == {("pooled", "pooled")}
    assert {row.model.model_version for row in found.values()} == {registry.active("_pooled").version}


def test_a_damaged_pooled_pointer_is_logged_and_stops_nothing(
    pooled_settings: Settings, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    (registry.root / "_pooled").mkdir(parents=True)
    (registry.root / "_pooled" / "active.json").write_bytes(b"{")
    refresh(pooled_settings, registry, ORGS, DUE, LOG)
    assert "the pooled model scores no leads" in caplog.text
    models = [row.model for row in rows(pooled_settings).values()]
    assert {model.state for model in models} == {"damaged"}
    assert all("the pooled one cannot be read: active.json" in model.problem for model in models)


def test_plans_that_take_too_long_wait_for_the_next_time(
    crm_settings: Settings, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PLANNED_AT_A_TIME", 1)
    seconds = iter(range(0, 1_000, 10))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(seconds))
    settings = replace(crm_settings, as_of=NOW)
    done = refresh(settings, registry, ORGS, DUE, LOG)
    assert (done.waiting, str(done)) == (2, "3 of 3 orgs changed; the readiness of 2 waits for the next tick")
    assert refresh(settings, registry, ORGS, DUE, LOG).waiting == 1
    assert refresh(settings, registry, ORGS, DUE, LOG).waiting == 0
    assert {row.plan.readiness_as_of for row in rows(settings).values()} == {NOW}
    tomorrow = replace(settings, as_of=NOW + timedelta(days=1))
    assert refresh(tomorrow, registry, ORGS, DUE, LOG).waiting == 2


def test_a_site_whose_tables_are_others_has_health_without_readiness(
    crm_settings: Settings, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    with connect(crm_settings) as connection:
        connection.execute("DROP TABLE dossier_status_history CASCADE")
    assert refresh(crm_settings, registry, ORGS, DUE, LOG) == Refreshed(3, 3, 0)
    assert "no readiness is known" in caplog.text
    assert {row.plan.readiness for row in rows(crm_settings).values()} == {""}
