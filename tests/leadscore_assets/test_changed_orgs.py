"""An org whose leads are all others loses its active version and is not trained, until an operator says whose it is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import dagster as dg
import pytest

from leadscore.errors import OrgChanged
from leadscore.pooling import POOLED
from leadscore.records import window_from
from leadscore.registry.activation import reinstate, withdraw
from leadscore.registry.store import POINTER_FILE, Registry
from leadscore.settings import Settings
from leadscore_assets import changed_orgs as module
from leadscore_assets.changed_orgs import (
    CHECK,
    ChangedOrgs,
    assess,
    check_same_customer,
    withdraw_changed,
    withdrawn_orgs,
)
from leadscore_assets.definitions import build_defs
from leadscore_assets.due_orgs import training_needs
from leadscore_assets.source.database import connect
from leadscore_assets.source.identities import remember
from tests.leadscore_assets.run_results import materialized

CHECK_KEY = dg.AssetCheckKey(dg.AssetKey("conversion_records"), CHECK)
UNCHANGED = "every org has a lead by which it was known"

Tick = Callable[[], Any]


@pytest.fixture
def tick(crm_settings: Settings, instance: dg.DagsterInstance) -> Tick:
    """Give a function that evaluates the sensor `follow_identities`, with its cursor from the time before."""
    cursor: str | None = None

    def evaluate(settings: Settings = crm_settings) -> Any:
        nonlocal cursor
        defs = build_defs(settings)
        resources = {name: (defs.resources or {})[name] for name in ("crm", "registry")}
        with dg.build_sensor_context(
            instance=instance, cursor=cursor, repository_def=defs.get_repository_def(), resources=resources
        ) as context:
            result = defs.resolve_sensor_def("follow_identities").evaluate_tick(context)
        cursor = result.cursor
        return result

    return evaluate


def give_to_another_customer(settings: Settings, *org_ids: str) -> None:
    """Let the orgs' leads be as they were, under ids and at times of their own."""
    with connect(settings) as connection:
        connection.execute(
            "UPDATE dossier SET created_at = created_at + interval '1 second' WHERE org_id = ANY(%s)", [list(org_ids)]
        )


def give_back(settings: Settings, *org_ids: str) -> None:
    with connect(settings) as connection:
        connection.execute(
            "UPDATE dossier SET created_at = created_at - interval '1 second' WHERE org_id = ANY(%s)", [list(org_ids)]
        )


def test_the_sensor_remembers_every_org_and_withdraws_nothing(
    tick: Tick, train: Any, registry: Registry, crm_settings: Settings
) -> None:
    train("sound")
    for _ in range(2):
        result = tick()
        assert (result.skip_message, result.asset_events) == (UNCHANGED, [])
    with connect(crm_settings) as connection:
        found: Any = connection.execute("SELECT org_id, count(*) FROM leadscore.org_identities GROUP BY 1").fetchall()
    assert dict(found) == {"sound": 2, "small": 2, "one-class": 2}
    assert registry.active("sound") is not None


def test_an_org_that_was_given_to_another_customer_loses_its_version_and_a_check_says_so_once(
    tick: Tick, train: Any, registry: Registry, crm_settings: Settings
) -> None:
    train("sound")
    version = registry.active("sound").version
    tick()
    give_to_another_customer(crm_settings, "sound")
    result = tick()
    assert result.skip_message == (
        "1 org has none of the leads by which it was known, but has other leads (sound); its trainings are refused, and"
        " its version is withdrawn. To decide, run `python -m leadscore_assets.commands.accept_org --org …` with"
        " `--same` for the same customer, with `--new` for another one"
    )
    (event,) = result.asset_events
    assert (event.asset_check_key, event.passed, event.severity) == (CHECK_KEY, False, dg.AssetCheckSeverity.WARN)
    assert event.description == result.skip_message
    assert event.metadata["withdrawn_orgs"].value == ["sound"]
    assert registry.active("sound") is None
    withdrawal = registry.history("sound").withdrawal
    assert (withdrawal.withdrawn.version, withdrawal.by) == (version, "sensor follow_identities")
    assert withdrawal.reason == (
        "the CRM no longer has the leads by which the org was known, and has others under its id"
    )
    assert tick().asset_events == []


def test_that_the_former_leads_are_back_does_not_decide_it(
    tick: Tick, train: Any, registry: Registry, crm_settings: Settings
) -> None:
    """An operator does; then the check passes."""
    train("sound")
    tick()
    give_to_another_customer(crm_settings, "sound")
    tick()
    give_back(crm_settings, "sound")
    assert tick().asset_events == []
    assert registry.active("sound") is None
    reinstate(registry, "sound", by="me", reason="it was a mistake")
    (event,) = tick().asset_events
    assert (event.passed, event.description) == (True, UNCHANGED)
    assert registry.active("sound") is not None


def test_when_more_than_the_share_change_at_once_nothing_is_withdrawn_and_the_check_is_severe(
    tick: Tick, train: Any, registry: Registry, crm_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FEWEST_IN_A_RELOAD", 1)
    train("sound")
    tick()
    give_to_another_customer(crm_settings, "sound", "small")
    (event,) = tick().asset_events
    assert (event.passed, event.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert event.description == (
        "2 orgs have none of the leads by which they were known, but have other leads (small, sound); at most 1"
        " of the 3 orgs may change at once (MAX_ORGS_REMOVED_SHARE), so no version is withdrawn, but their trainings"
        " are refused. If the"
        " CRM was loaded anew, run `python -m leadscore_assets.commands.accept_org --all --same`; if an id was given to"
        " another customer, run it with `--org … --new` before that"
    )
    assert event.metadata["not_withdrawn_orgs"].value == ["small", "sound"]
    assert registry.active("sound") is not None
    assert tick().asset_events == []
    assert not train("sound").success
    (event,) = tick(replace(crm_settings, max_orgs_removed_share=0.7)).asset_events
    assert event.severity == dg.AssetCheckSeverity.WARN
    assert withdrawn_orgs(registry) == ["small", "sound"]


def test_orgs_that_were_withdrawn_before_do_not_count_as_changing_at_once(
    tick: Tick, registry: Registry, crm_settings: Settings
) -> None:
    tick()
    for org_id in ("sound", "small", "one-class"):
        give_to_another_customer(crm_settings, org_id)
        tick()
    assert withdrawn_orgs(registry) == ["one-class", "small", "sound"]


def test_an_org_whose_folder_is_locked_is_withdrawn_by_a_later_tick(
    tick: Tick, registry: Registry, crm_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leadscore_assets.definitions.TRAINING_WAIT_SECONDS", 0.05)
    tick()
    give_to_another_customer(crm_settings, "sound")
    with registry.exclusive("sound"):
        result = tick()
    assert (
        "its trainings are refused; the sensor will try again to withdraw the version of sound" in result.skip_message
    )
    assert result.asset_events[0].metadata["not_withdrawn_orgs"].value == ["sound"]
    (event,) = tick().asset_events
    assert event.metadata["withdrawn_orgs"].value == ["sound"]


def test_an_org_that_was_gone_for_long_is_not_taken_for_a_new_one(
    tick: Tick, train: Any, registry: Registry, crm_settings: Settings
) -> None:
    """Its partition is removed meanwhile, but what is remembered of it is not."""
    train("sound")
    tick()
    with connect(crm_settings) as connection:
        connection.execute("UPDATE dossier SET org_id = 'elsewhere' WHERE org_id = 'sound'")
        assert tick().skip_message == UNCHANGED
        assert registry.active("sound") is not None
        connection.execute(
            "INSERT INTO dossier (org_id, status, created_at, updated_at) VALUES ('sound', 'NEW', now(), now())"
        )
    tick()
    assert registry.active("sound") is None


@pytest.mark.parametrize("only", [None, ["trained_model"], ["active_model"]])
def test_a_training_of_such_an_org_is_refused_before_and_after_the_sensor_has_seen_it(
    only: list[str] | None, tick: Tick, train: Any, registry: Registry, crm_settings: Settings
) -> None:
    train("sound")
    [version] = registry.versions("sound")
    tick()
    give_to_another_customer(crm_settings, "sound")
    for is_seen in (False, True):
        if is_seen:
            tick()
        elif only == ["active_model"]:
            continue  # what is active is confirmed
        result = train("sound", only=only)
        assert not result.success
        (failure,) = [event for event in result.all_events if event.is_step_failure]
        data = failure.step_failure_data.user_failure_data
        assert data.description == OrgChanged("sound").message
        assert data.metadata["code"].value == "org_changed"
        assert not materialized(result) & {"conversion_records", "trained_model", "active_model"}
    assert registry.versions("sound") == [version]


def test_a_run_that_began_before_publishes_and_activates_nothing(
    tick: Tick, train: Any, registry: Registry, crm_settings: Settings
) -> None:
    tick()
    train("sound", only=["conversion_records", "lead_features", "trained_model", "evaluation"])
    give_to_another_customer(crm_settings, "sound")
    tick()
    assert not train("sound", only=["active_model"]).success
    assert registry.active("sound") is None


def test_such_an_org_is_not_due(tick: Tick, registry: Registry, crm_settings: Settings) -> None:
    def reasons() -> dict[str, str]:
        found = training_needs(crm_settings, registry, window_from(crm_settings))
        return {need.org_id: need.reason for need in found if need.reason.startswith("the id may")}

    tick()
    assert reasons() == {}
    give_to_another_customer(crm_settings, "sound")
    says = (
        "the id may have been given to another customer; run `python -m leadscore_assets.commands.accept_org --org …`"
        " with `--same` for the same customer, with `--new` for another one"
    )
    assert reasons() == {"sound": says}
    tick()
    give_back(crm_settings, "sound")
    assert reasons() == {"sound": says}


def test_the_pool_is_never_another_customers(pooled_settings: Settings) -> None:
    check_same_customer(pooled_settings, Registry(pooled_settings.model_path), POOLED)


def test_the_check_can_be_run_by_hand(
    tick: Tick, crm_settings: Settings, instance: dg.DagsterInstance, registry: Registry
) -> None:
    tick()
    give_to_another_customer(crm_settings, "sound")
    job = build_defs(crm_settings).get_repository_def().get_implicit_global_asset_job_def()
    selected = job.get_subset(asset_check_selection={CHECK_KEY}, asset_selection=set())
    result = selected.execute_in_process(instance=instance, raise_on_error=False)
    (evaluation,) = result.get_asset_check_evaluations()
    assert not evaluation.passed
    assert withdrawn_orgs(registry) == []


def test_a_cursor_of_another_release_is_begun_anew(crm_settings: Settings, instance: dg.DagsterInstance) -> None:
    defs = build_defs(crm_settings)
    resources = {name: (defs.resources or {})[name] for name in ("crm", "registry")}
    with dg.build_sensor_context(
        instance=instance, cursor="no document", repository_def=defs.get_repository_def(), resources=resources
    ) as context:
        assert defs.resolve_sensor_def("follow_identities").evaluate_tick(context).skip_message == UNCHANGED


@pytest.mark.parametrize(
    ("orgs", "share", "changed", "is_too_many"),
    [(100, 0.2, 20, False), (100, 0.2, 21, True), (12, 0.2, 10, False), (12, 0.2, 11, True), (12, 1.0, 12, False)],
)
def test_never_more_change_at_once_than_the_share_and_ten_always_may(
    orgs: int, share: float, changed: int, is_too_many: bool, registry: Registry
) -> None:
    settings = Settings(max_orgs_removed_share=share)
    found = assess(settings, registry, [f"org-{number}" for number in range(changed)], orgs)
    assert found.is_too_many == is_too_many


def test_an_org_that_was_accepted_since_it_was_looked_at_is_not_withdrawn(
    crm_settings: Settings, registry: Registry
) -> None:
    with_leads = ["small", "sound"]
    module.follow_identities(crm_settings, with_leads)
    give_to_another_customer(crm_settings, *with_leads)
    found = assess(crm_settings, registry, module.follow_identities(crm_settings, with_leads), 3)
    with connect(crm_settings) as connection:
        remember(connection, ["sound"])
    after = withdraw_changed(crm_settings, registry, found, logging.getLogger())
    assert (found.not_withdrawn, after.withdrawn, after.not_withdrawn) == (with_leads, ["small"], [])
    assert withdrawn_orgs(registry) == ["small"]


def test_many_orgs_are_named_up_to_twenty() -> None:
    found = ChangedOrgs([f"org-{number:02}" for number in range(25)], [], most_at_once=5, orgs=30)
    assert "25 orgs have none of the leads by which they were known, but have other leads (org-00, " in str(found)
    assert "org-19 and 5 more); their trainings are refused, and their versions are withdrawn" in str(found)


def test_an_org_whose_pointer_is_damaged_is_withdrawn_as_any(
    tick: Tick, train: Any, registry: Registry, crm_settings: Settings
) -> None:
    train("sound")
    tick()
    (registry.root / "sound" / POINTER_FILE).write_bytes(b"{")
    assert withdrawn_orgs(registry) == []
    give_to_another_customer(crm_settings, "sound")
    tick()
    assert withdrawn_orgs(registry) == ["sound"]
    assert not withdraw(registry, "sound", by="me", reason="again")
