"""Which orgs are due: what the CRM knows now, against what the last training knew."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from leadscore.pooling import POOLED
from leadscore.records import window_from
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.due_orgs import judged_as_of, refused_as_of, training_needs
from leadscore_assets.resources import Crm
from leadscore_assets.source.database import connect
from leadscore_assets.source.orgs import TrainingNeed
from tests.leadscore_assets.conftest import AS_OF, NOW


def test_the_pool_is_due_again_once_any_org_has_a_new_outcome(train: Any, pooled_settings: Settings) -> None:
    """It counts from the pool's own last training, whenever the orgs were trained."""
    earlier = {"ops": {"conversion_records": {"config": {"as_of": "2026-05-20"}}}}
    registry = Registry(pooled_settings.model_path)
    crm = Crm(pooled_settings)
    train(POOLED, settings=pooled_settings, run_config=earlier)
    [need] = [
        need
        for need in training_needs(pooled_settings, registry, window_from(pooled_settings))
        if need.org_id == POOLED
    ]
    assert need.is_due
    assert need.records == crm.conversion_records(POOLED, window_from(pooled_settings)).counts.records
    assert 0 < need.new_outcomes < need.records

    train(POOLED, settings=pooled_settings)
    [need] = [
        need
        for need in training_needs(pooled_settings, registry, window_from(pooled_settings))
        if need.org_id == POOLED
    ]
    assert not need.is_due
    assert need.reason == "no new outcomes since 2026-06-01 00:00 UTC"


def test_a_training_counts_when_nothing_could_be_fitted_to_its_rows() -> None:
    """Asking again before something is new would only fail again; a training of both outcomes ends with a version."""
    documents = {
        org_id: {"counts": {"records": 40, "converted_records": converted}, "window": {"as_of": "2026-06-01T00:00:00Z"}}
        for org_id, converted in (("none", 0), ("both", 7), ("all", 40))
    }
    assert refused_as_of(documents) == dict.fromkeys(("none", "all"), datetime(2026, 6, 1, tzinfo=UTC))


def needs_of(settings: Settings, registry: Registry) -> dict[str, TrainingNeed]:
    return {need.org_id: need for need in training_needs(settings, registry, window_from(settings, NOW))}


def test_an_org_that_is_not_ready_is_not_due_and_told_why_in_the_gates_words(
    crm_settings: Settings, registry: Registry
) -> None:
    """One class and too few alike: a run would only end red."""
    needs = needs_of(crm_settings, registry)
    assert {org_id: need.is_due for org_id, need in needs.items()} == {
        "one-class": False,
        "small": False,
        "sound": True,
    }
    assert needs["one-class"].reason.startswith(f"None of {needs['one-class'].records} records converted, but a model")
    assert needs["small"].reason.startswith("37 of 100 records with a known outcome. Train again when 63 more leads")


def test_readiness_is_asked_about_the_window_of_the_training(crm_settings: Settings, registry: Registry) -> None:
    """The sound org has enough leads in half a year, and too few in three weeks."""
    window = window_from(crm_settings, NOW, training_window_days=21)
    [need] = [need for need in training_needs(crm_settings, registry, window) if need.org_id == "sound"]
    assert (need.is_due, need.records < 100) == (False, True)


def test_an_org_whose_last_run_set_too_many_rows_aside_is_not_due_before_somebody_trains_it(
    train: Any, crm_settings: Settings, registry: Registry
) -> None:
    with connect(crm_settings) as connection:
        connection.execute("UPDATE annonce SET price = -1")
    train("sound", only=["conversion_records"])
    train("sound", only=["lead_features"])
    need = needs_of(crm_settings, registry)["sound"]
    assert not need.is_due
    assert "in the last run 1,409 of 1,652 rows had property_price below 0, and 53 of 362 records were" in need.reason
    assert need.reason.endswith("then train the org by hand; the run checks the values again.")


def test_a_training_that_was_only_tried_does_not_count(train: Any, crm_settings: Settings, registry: Registry) -> None:
    """The org is as due as before."""
    tried = {"ops": {"evaluation": {"config": {"activate": False}}} | AS_OF["ops"]}
    train("sound", run_config=tried)
    assert judged_as_of(registry) == {}
    assert needs_of(crm_settings, registry)["sound"].is_due


def test_a_damaged_judgement_hides_no_older_one(train: Any, crm_settings: Settings, registry: Registry) -> None:
    train("sound")
    train("sound")
    newest, _ = registry.versions("sound")
    (registry.root / "sound" / newest / "evaluation.json").write_bytes(b"{")
    assert judged_as_of(registry) == {"sound": datetime(2026, 6, 1, tzinfo=UTC)}
