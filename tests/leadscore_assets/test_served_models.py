"""What scores an org's leads, as Dagster shows it: also after what no run did, once each, with who, when and why."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import dagster as dg
import pytest

from leadscore.pooling import POOLED
from leadscore.registry.activation import withdraw
from leadscore.registry.store import POINTER_FILE, Pointer, Registry
from leadscore.settings import Settings
from leadscore_assets.served_models import DATA_VERSION_TAG, KEY, Served, changes, report_of, served_model

LOG = logging.getLogger("test")
OLD, NEW = "20260301000000", "20260601000000"


@dataclass
class Site:
    """A registry beside a Dagster instance, and the settings of both."""

    settings: Settings
    registry: Registry
    instance: dg.DagsterInstance

    def point(self, org_id: str, version: str, *, by: str = "request 7", reason: str = "odd scores") -> None:
        with self.registry.exclusive(org_id):
            pointer = Pointer(version, None, "2026-06-02T08:00:00+00:00", by, reason, "0" * 64)
            self.registry.swap_pointer(org_id, pointer, self.registry.history(org_id))

    def changes(self, *org_ids: str) -> list[Served]:
        return changes(self.settings, self.registry, self.instance, org_ids, LOG)

    def report(self, *org_ids: str) -> list[dg.AssetMaterialization]:
        events = [report_of(self.settings, served) for served in self.changes(*org_ids)]
        for event in events:
            self.instance.report_runless_asset_event(event)
        return events

    def begin_run(self, status: dg.DagsterRunStatus) -> str:
        run = dg.DagsterRun(job_name="train", status=status)
        return self.instance.add_run(run).run_id


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Site(Settings(model_path=tmp_path), Registry(tmp_path), instance)


def values(event: dg.AssetMaterialization) -> dict[str, Any]:
    return {name: entry.value for name, entry in event.metadata.items()}


def test_an_org_that_never_had_a_model_is_no_news(site: Site) -> None:
    assert site.changes("acme") == []


def test_a_rollback_is_reported_once_with_who_when_and_why(site: Site) -> None:
    site.point("acme", OLD)
    site.report("acme")
    site.point("acme", NEW)
    [event] = site.report("acme")
    assert (event.asset_key, event.partition, (event.tags or {})[DATA_VERSION_TAG]) == (KEY, "acme", NEW)
    shown = values(event)
    assert (shown["version"], shown["model_scope"], shown["by"]) == (NEW, "own", "request 7")
    assert (shown["activated_at"], shown["activation_reason"]) == ("2026-06-02T08:00:00+00:00", "odd scores")
    assert str(event.description).startswith(f"Version {NEW} scores the org's leads. This was not a result of a run;")
    assert site.report("acme") == []


def test_a_restored_registry_is_reported(site: Site) -> None:
    """Its pointer is older than what Dagster shows."""
    site.point("acme", OLD)
    backup = (site.registry.root / "acme" / POINTER_FILE).read_bytes()
    site.point("acme", NEW)
    site.report("acme")
    (site.registry.root / "acme" / POINTER_FILE).write_bytes(backup)
    assert [served.version for served in site.changes("acme")] == [OLD]


def test_an_org_whose_versions_were_erased_is_reported_as_one_without_a_model(site: Site) -> None:
    site.point("acme", OLD)
    site.report("acme")
    (site.registry.root / "acme" / POINTER_FILE).unlink()
    [event] = site.report("acme")
    assert (event.tags or {})[DATA_VERSION_TAG] == "none"
    assert values(event)["served"] == "No model scores the org's leads, because it has no active version"


def test_a_withdrawal_is_reported_with_who_and_why(site: Site) -> None:
    site.point("acme", OLD)
    site.report("acme")
    withdraw(site.registry, "acme", by="follow_identities", reason="another customer's leads")
    [event] = site.report("acme")
    shown = values(event)
    assert (shown["version"], shown["withdrawn_version"], shown["withdrawn_by"]) == ("none", OLD, "follow_identities")
    assert shown["withdrawal_reason"] == "another customer's leads"
    assert shown["served"].endswith("because its own was withdrawn")


@pytest.mark.parametrize(
    ("status", "reported"),
    [
        (dg.DagsterRunStatus.STARTED, []),
        (dg.DagsterRunStatus.SUCCESS, ["acme"]),
        (dg.DagsterRunStatus.FAILURE, ["acme"]),
    ],
)
def test_a_run_that_activates_a_version_shows_it_itself_unless_it_ended_before(
    site: Site, status: dg.DagsterRunStatus, reported: list[str]
) -> None:
    site.point("acme", NEW, by=f"run {site.begin_run(status)}")
    assert [served.org_id for served in site.changes("acme")] == reported


def test_a_run_that_dagster_no_longer_has_hides_nothing(site: Site) -> None:
    site.point("acme", NEW, by="run 8b0f2c9e-0000-4000-8000-000000000000")
    assert [served.org_id for served in site.changes("acme")] == ["acme"]


def test_another_version_of_the_pooled_model_is_reported_for_each_org_that_it_serves(site: Site) -> None:
    site.settings = replace(site.settings, pooled_model=True)
    site.point("own", OLD)
    site.point(POOLED, OLD)
    site.report("own", "served", POOLED)
    site.point(POOLED, NEW)
    events = site.report("own", "served", POOLED)
    assert {event.partition: (event.tags or {})[DATA_VERSION_TAG] for event in events} == {
        "served": f"pooled:{NEW}",
        POOLED: NEW,
    }
    [of_the_org] = [event for event in events if event.partition == "served"]
    assert values(of_the_org)["served"] == f"The pooled model's version {NEW} scores the org's leads"


def test_a_damaged_pointer_is_left_out_and_hides_no_other(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.point("acme", NEW)
    site.point("damaged", NEW)
    (site.registry.root / "damaged" / POINTER_FILE).write_bytes(b"{")
    assert [served.org_id for served in site.changes("acme", "damaged")] == ["acme"]
    assert "what scores the leads of damaged is not known" in caplog.text


def test_a_damaged_pool_is_no_fault_of_the_org(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.settings = replace(site.settings, pooled_model=True)
    site.point(POOLED, NEW)
    (site.registry.root / POOLED / POINTER_FILE).write_bytes(b"{")
    assert served_model(site.settings, site.registry, "acme", LOG).model is None
    assert "the pooled model cannot score the org's leads" in caplog.text


def test_dagster_is_asked_once_for_all_orgs(site: Site) -> None:
    orgs = [f"org-{number}" for number in range(50)]
    for org_id in orgs:
        site.point(org_id, OLD)
    site.report(*orgs)
    storage = site.instance.event_log_storage
    with patch.object(storage, "get_latest_tags_by_partition", wraps=storage.get_latest_tags_by_partition) as asked:
        assert site.changes(*orgs) == []
    assert asked.call_count == 1
