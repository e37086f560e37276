"""The pooled model is trained as an org's is, from the leads of all orgs, and only when the setting asks for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import numpy as np
import pytest

from leadscore.comparison import BASE_RATE
from leadscore.features import CONTRACT
from leadscore.gate import Judgement
from leadscore.pooling import POOLED, shift_to_base_value
from leadscore.records import window_from
from leadscore.registry.activation import roll_back
from leadscore.registry.store import POINTER_FILE, Registry
from leadscore.registry.version import FOREST_FILE
from leadscore.settings import Settings
from leadscore_assets.commands import rebuild as command
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.dataset import ORG_COLUMN, FeatureRows, feature_matrix
from leadscore_assets.definitions import build_defs
from leadscore_assets.due_orgs import training_needs
from leadscore_assets.resources import Crm
from leadscore_assets.source.database import connect
from leadscore_assets.source.tables import load
from leadscore_assets.training.contract_check import check_rows
from leadscore_assets.training.reproduce import rebuild
from leadscore_assets.training.train import train as train_version
from standalone.crm import create_tables
from standalone.orgs import Org
from standalone.simulator import into_database, simulate

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ASSETS = {"conversion_records", "lead_features", "trained_model", "evaluation", "active_model"}
ORGS = ["one-class", "small", "sound"]


@pytest.fixture
def settings(crm_settings: Settings, instance: dg.DagsterInstance) -> Settings:
    """Give settings that pool the orgs, whose pool is a partition."""
    instance.add_dynamic_partitions("orgs", [POOLED])
    return replace(crm_settings, pooled_model=True, as_of=NOW)


def metadata_of(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    [event] = result.asset_materializations_for_node(asset)
    return {name: entry.value for name, entry in event.metadata.items()}


def test_the_pool_is_trained_judged_and_activated_as_an_org_is(train: Any, settings: Settings) -> None:
    result = train(POOLED, settings=settings)

    assert result.success
    assert {event.asset_key.path[-1] for event in result.get_asset_materialization_events()} == ASSETS
    registry = Registry(settings.model_path)
    active = registry.active(POOLED)
    artifact = registry.load(POOLED, active.version, active.manifest_sha256)
    singles = [Crm(settings).conversion_records(org_id, window_from(settings)).counts for org_id in ORGS]
    assert artifact.manifest.counts.records == sum(counts.records for counts in singles)
    assert metadata_of(result, "conversion_records")["excluded_leads"] == sum(
        sum(counts.excluded.values()) for counts in singles
    )
    assert artifact.base_values is not None
    assert list(artifact.base_values.orgs) == ORGS
    assert artifact.base_values.orgs["one-class"] < artifact.scorer.base_value < artifact.base_values.orgs["sound"]


def test_what_the_assets_hand_over_says_whose_each_lead_is(train: Any, settings: Settings) -> None:
    train(POOLED, settings=settings, only=["conversion_records"])

    with connect(settings) as connection:
        rows, _ = load(connection, "conversion_records", POOLED)
    assert rows is not None
    read = Crm(settings).conversion_records(POOLED, window_from(settings)).rows
    assert rows[ORG_COLUMN].tolist() == read[ORG_COLUMN].tolist()
    assert set(rows[ORG_COLUMN]) == set(ORGS)


def test_a_pooled_version_is_repeated_from_the_crm_or_from_its_rows(train: Any, settings: Settings) -> None:
    """Byte for byte, the orgs' base values too."""
    train(POOLED, settings=settings)
    registry, crm = Registry(settings.model_path), Crm(settings)
    [version] = registry.versions(POOLED)

    again = rebuild(registry, POOLED, version, crm.conversion_records)
    assert again.is_identical
    assert "base_values.json" in again.files
    with connect(settings) as connection:
        connection.execute("DELETE FROM dossier_status_history WHERE org_id = 'small'")
    later = rebuild(registry, POOLED, version, crm.conversion_records)
    assert later.is_identical
    assert later.rows_from == "the rows kept with the version"


def test_with_the_setting_off_again_a_pooled_version_is_rebuilt_from_its_rows(
    train: Any, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other orgs' leads are not read then; it says so, and the files come out the same."""
    train(POOLED, settings=settings)
    [version] = Registry(settings.model_path).versions(POOLED)

    code = command.main([POOLED, version], replace(settings, pooled_model=False))

    told = capsys.readouterr().out
    assert code == command.SAME
    assert "rebuilt from the rows kept with the version" in told
    assert "the CRM's records could not be read: the pooled model is trained only when POOLED_MODEL is true" in told


def test_the_rows_name_the_org_in_their_fingerprint(settings: Settings) -> None:
    """The same leads in another org are other records: the orgs' base values differ."""
    crm = Crm(settings)
    before = crm.conversion_records(POOLED, window_from(settings))
    whose = before.rows[ORG_COLUMN].replace("small", "sound")
    after = replace(before, rows=before.rows.assign(**{ORG_COLUMN: whose}))
    assert check_rows(before, CONTRACT).counts.fingerprint != check_rows(after, CONTRACT).counts.fingerprint


def test_without_the_setting_the_pool_is_not_trained(train: Any, settings: Settings) -> None:
    result = train(POOLED, settings=replace(settings, pooled_model=False))

    assert not result.success
    [failure] = [event for event in result.all_events if event.is_step_failure]
    assert "POOLED_MODEL" in str(failure.step_failure_data.user_failure_data.description)
    assert Registry(settings.model_path).versions(POOLED) == []


def activate_pool(settings: Settings, *, is_wrong: bool = False) -> str:
    """Train a pooled version and make it the active one, by hand; a wrong one learned every outcome upside down."""
    registry = Registry(settings.model_path)
    features = check_rows(Crm(settings).conversion_records(POOLED, window_from(settings)), CONTRACT)
    rows = features.rows.assign(converted=1 - features.rows["converted"]) if is_wrong else features.rows
    version = train_version(registry, POOLED, replace(features, rows=rows)).version
    roll_back(registry, POOLED, version, by="a test", reason="to serve the orgs", is_forced=True)
    return version


def judgement_of(settings: Settings, org_id: str) -> Judgement:
    registry = Registry(settings.model_path)
    judgement = registry.judgement(org_id, registry.versions(org_id)[0])
    assert judgement is not None
    return judgement


def test_an_orgs_first_version_is_compared_with_the_pooled_model_as_it_serves_the_org(
    train: Any, settings: Settings
) -> None:
    """On the same held-out leads, moved to the org's base value; the org has no champion for all that."""
    pooled = activate_pool(settings)

    result = train("sound", settings=settings)

    assert result.success
    registry = Registry(settings.model_path)
    judgement, artifact = judgement_of(settings, "sound"), registry.load(POOLED, pooled)
    assert artifact.base_values is not None
    served = shift_to_base_value(artifact.scorer, artifact.base_values.orgs["sound"])
    rows = check_rows(Crm(settings).conversion_records("sound", window_from(settings)), CONTRACT).rows
    held_out = rows[rows["is_held_out"] == 1]
    probabilities = served.probabilities(feature_matrix(held_out, CONTRACT))
    assert judgement.comparison is not None
    assert judgement.comparison.baseline == f"pooled {pooled}"
    assert judgement.comparison.brier_score.baseline.value == pytest.approx(
        np.mean((probabilities - held_out["converted"]) ** 2), abs=1e-12
    )
    assert (judgement.champion, judgement.champion_version) == (None, None)
    assert f"the pooled model {pooled}, which scores the org's leads now, with probability" in judgement.decision.text
    shown = metadata_of(result, "evaluation")
    assert shown["champion_version"] == "none"
    assert f"pooled {pooled}" in shown["comparison"].records[0].data
    report = registry.judged_file("sound", judgement.report.version, "report.html").decode()
    assert f"Compared with the pooled model {pooled}, which scores the org" in report
    assert "pooled model 0." in report


def test_a_first_version_that_beats_the_pooled_model_takes_over(train: Any, settings: Settings) -> None:
    pooled = activate_pool(settings, is_wrong=True)

    assert train("sound", settings=settings).success

    active = Registry(settings.model_path).active("sound")
    assert active.previous is None
    assert active.reason.startswith(f"Better than the pooled model {pooled}, which scores the org's leads now, with")


def test_a_first_version_that_is_no_better_than_the_pooled_model_does_not(train: Any, settings: Settings) -> None:
    """Better than chance and than the base rate is not enough: the pool was trained on the org's leads alone here."""
    registry = Registry(settings.model_path)
    rows = Crm(settings).conversion_records("sound", window_from(settings))
    own = check_rows(replace(rows, rows=rows.rows.assign(**{ORG_COLUMN: "sound"})), CONTRACT)
    version = train_version(registry, POOLED, own).version
    roll_back(registry, POOLED, version, by="a test", reason="to serve the orgs", is_forced=True)

    result = train("sound", settings=settings)

    assert result.success
    assert judgement_of(settings, "sound").decision.verdict == "hold"
    assert registry.active("sound") is None
    assert train("sound", settings=replace(settings, pooled_model=False)).success
    assert registry.active("sound") is not None


def test_once_an_org_has_a_version_of_its_own_that_is_the_one_to_beat(train: Any, settings: Settings) -> None:
    activate_pool(settings, is_wrong=True)
    train("sound", settings=settings)

    train("sound", settings=settings)

    own = Registry(settings.model_path).active("sound").version
    again = judgement_of(settings, "sound")
    assert again.comparison is not None
    assert again.comparison.baseline == again.champion_version == own


@pytest.mark.parametrize(("damaged", "named"), [(FOREST_FILE, "{version}"), (POINTER_FILE, "of unknown version")])
def test_a_pooled_model_that_cannot_be_loaded_gives_way_to_the_base_rate(
    train: Any, settings: Settings, damaged: str, named: str
) -> None:
    """The reasons say so; the org's training does not fail for it."""
    version = activate_pool(settings)
    folder = settings.model_path / POOLED
    [path] = [*folder.glob(damaged), *folder.glob(f"{version}/{damaged}")]
    path.write_bytes(b"{")

    assert train("sound", settings=settings).success

    judgement = judgement_of(settings, "sound")
    assert judgement.comparison is not None
    assert judgement.comparison.against == BASE_RATE
    told = f"The pooled model {named.format(version=version)} cannot be compared: "
    assert judgement.decision.text.startswith(told)
    assert judgement.champion_version is None
    assert Registry(settings.model_path).active("sound").previous is None


def sensor_tick(settings: Settings, instance: dg.DagsterInstance) -> Any:
    defs = build_defs(settings)
    with dg.build_sensor_context(
        instance=instance, repository_def=defs.get_repository_def(), resources={"crm": Crm(settings)}
    ) as context:
        return defs.resolve_sensor_def("follow_orgs").evaluate_tick(context)


def test_the_pool_is_a_partition_while_the_setting_is_on(settings: Settings, instance: dg.DagsterInstance) -> None:
    """It comes and goes as an org does; what was stored of it stays."""
    assert sensor_tick(settings, instance).skip_message == "the 4 orgs of the CRM are known"

    [gone] = sensor_tick(replace(settings, pooled_model=False), instance).dynamic_partitions_requests
    assert isinstance(gone, dg.DeleteDynamicPartitionsRequest)
    assert gone.partition_keys == [POOLED]
    instance.delete_dynamic_partition("orgs", POOLED)
    [added] = sensor_tick(settings, instance).dynamic_partitions_requests
    assert isinstance(added, dg.AddDynamicPartitionsRequest)
    assert added.partition_keys == [POOLED]


def take_the_id(settings: Settings) -> None:
    with connect(settings) as connection:
        connection.execute("UPDATE dossier SET org_id = %s WHERE org_id = 'small'", [POOLED])


@pytest.mark.parametrize("is_on", [False, True])
def test_an_org_of_the_crm_that_has_the_pools_id_is_left_out(
    settings: Settings, instance: dg.DagsterInstance, is_on: bool
) -> None:
    """Such an org is no partition, is not pooled, and is never taken for the pool."""
    chosen = replace(settings, pooled_model=is_on)
    take_the_id(chosen)
    instance.delete_dynamic_partition("orgs", POOLED)
    added = [request.partition_keys for request in sensor_tick(chosen, instance).dynamic_partitions_requests]
    assert added == [[POOLED], ["small"]] if is_on else [["small"]]
    needs = training_needs(chosen, Registry(chosen.model_path), window_from(chosen))
    own = [need.org_id for need in needs]
    assert own == (["one-class", "sound", POOLED] if is_on else ["one-class", "sound"])
    if is_on:
        rows = Crm(chosen).conversion_records(POOLED, window_from(chosen)).rows
        assert set(rows[ORG_COLUMN]) == {"one-class", "sound"}
        assert needs[-1].records == rows["lead_id"].nunique()


def schedule_tick(settings: Settings, instance: dg.DagsterInstance) -> Any:
    defs = build_defs(settings)
    with dg.build_schedule_context(
        instance=instance,
        scheduled_execution_time=NOW,
        repository_def=defs.get_repository_def(),
        resources={"settings": settings, "registry": Registry(settings.model_path)},
    ) as context:
        return defs.resolve_schedule_def("retrain_due_orgs").evaluate_tick(context)


def test_the_schedule_trains_the_pool_with_the_orgs(settings: Settings, stored_instance: dg.DagsterInstance) -> None:
    requests = schedule_tick(settings, stored_instance).run_requests
    assert [request.partition_key for request in requests] == ["one-class", "sound", POOLED]


def test_the_pool_is_due_again_once_any_org_has_a_new_outcome(train: Any, settings: Settings) -> None:
    """It counts from the pool's own last training, whenever the orgs were trained."""
    earlier = {"ops": {"conversion_records": {"config": {"as_of": "2026-05-20"}}}}
    registry = Registry(settings.model_path)
    crm = Crm(settings)
    train(POOLED, settings=settings, run_config=earlier)
    [need] = [need for need in training_needs(settings, registry, window_from(settings)) if need.org_id == POOLED]
    assert need.is_due
    assert need.records == crm.conversion_records(POOLED, window_from(settings)).counts.records
    assert 0 < need.new_outcomes < need.records

    train(POOLED, settings=settings)
    [need] = [need for need in training_needs(settings, registry, window_from(settings)) if need.org_id == POOLED]
    assert not need.is_due
    assert need.reason == "no new outcomes since 2026-06-01 00:00 UTC"


@pytest.fixture
def two_rates(database: Settings) -> FeatureRows:
    """Give the pooled rows of four orgs, two of which win a tenth of their leads and two a half."""
    rates = {"low-1": 0.1, "low-2": 0.1, "high-1": 0.5, "high-2": 0.5}
    set_up(database)
    with connect(database) as connection:
        create_tables(connection)
        orgs = [Org(org_id, leads=1_200, conversion_rate=rate) for org_id, rate in rates.items()]
        into_database(connection, simulate(orgs, seed=11, now=NOW))
    settings = replace(database, pooled_model=True, as_of=NOW)
    return check_rows(Crm(settings).conversion_records(POOLED, window_from(settings)), CONTRACT)


def test_each_orgs_own_base_rate_is_respected(two_rates: FeatureRows, database: Settings) -> None:
    """On leads that nothing was learned from, the mean probability is near the org's own rate, not the pool's."""
    registry = Registry(database.model_path)
    version = train_version(registry, POOLED, two_rates).version
    artifact = registry.load(POOLED, version)
    assert artifact.base_values is not None
    held_out = two_rates.rows[two_rates.holdout_mask()]
    for org_id, rows in held_out.groupby(ORG_COLUMN):
        matrix, rate = feature_matrix(rows, CONTRACT), float(np.mean(rows["converted"]))
        shifted = shift_to_base_value(artifact.scorer, artifact.base_values.orgs[org_id]).probabilities(matrix)
        unshifted = artifact.scorer.probabilities(matrix)
        assert abs(shifted.mean() - rate) < 0.08
        assert abs(unshifted.mean() - rate) > 0.1
