"""What a candidate is compared with: the org's champion, else the pooled model that serves it, else the base rate."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from leadscore.comparison import BASE_RATE
from leadscore.features import CONTRACT
from leadscore.gate import Judgement
from leadscore.pooling import POOLED, shift_to_base_value
from leadscore.records import window_from
from leadscore.registry.activation import roll_back
from leadscore.registry.store import EVALUATION_FILE, POINTER_FILE, Registry
from leadscore.registry.version import FOREST_FILE
from leadscore.settings import Settings
from leadscore_assets.dataset import feature_matrix
from leadscore_assets.resources import Crm
from leadscore_assets.training.contract_check import check_rows
from leadscore_assets.training.train import train as train_version
from tests.leadscore_assets.run_results import metadata_of


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
    train: Any, pooled_settings: Settings
) -> None:
    """On the same held-out leads, moved to the org's base value; the org has no champion for all that."""
    pooled = activate_pool(pooled_settings)

    result = train("sound", settings=pooled_settings)

    assert result.success
    registry = Registry(pooled_settings.model_path)
    judgement, artifact = judgement_of(pooled_settings, "sound"), registry.load(POOLED, pooled)
    assert artifact.base_values is not None
    served = shift_to_base_value(artifact.scorer, artifact.base_values.orgs["sound"])
    rows = check_rows(Crm(pooled_settings).conversion_records("sound", window_from(pooled_settings)), CONTRACT).rows
    held_out = rows[rows["is_held_out"] == 1]
    probabilities = served.probabilities(feature_matrix(held_out, CONTRACT))
    assert judgement.comparison is not None
    assert judgement.comparison.baseline == f"pooled {pooled}"
    assert judgement.comparison.brier_score.baseline.value == pytest.approx(
        np.mean((probabilities - held_out["converted"]) ** 2), abs=1e-12
    )
    assert (judgement.champion, judgement.champion_version) == (None, None)
    assert metadata_of(result, "trained_model")["taught_from_pooled_version"] == pooled
    assert f"the pooled model {pooled}, which scores the org's leads now, is" in judgement.decision.text
    shown = metadata_of(result, "evaluation")
    assert shown["champion_version"] == "none"
    assert f"pooled {pooled}" in shown["comparison"].records[0].data
    report = registry.judged_file("sound", judgement.report.version, "report.html").decode()
    assert f"Compared with the pooled model {pooled}, which scores the org" in report
    assert "<th>pooled model</th>" in report


def test_a_first_version_that_beats_the_pooled_model_takes_over(train: Any, pooled_settings: Settings) -> None:
    pooled = activate_pool(pooled_settings, is_wrong=True)

    assert train("sound", settings=pooled_settings).success

    active = Registry(pooled_settings.model_path).active("sound")
    assert active.previous is None
    assert active.reason.startswith(f"The probability that it ranks leads better than the pooled model {pooled}, which")


def test_a_first_version_that_the_holdout_speaks_against_does_not_take_over(
    train: Any, pooled_settings: Settings
) -> None:
    """Better than chance and than the base rate is not enough; here as much is asked of it as can be."""
    registry = Registry(pooled_settings.model_path)
    pooled = activate_pool(pooled_settings)

    result = train("sound", settings=replace(pooled_settings, min_probability_not_worse=1.0))

    assert result.success
    judgement = judgement_of(pooled_settings, "sound")
    assert judgement.decision.verdict == "hold"
    assert judgement.comparison is not None
    assert (judgement.comparison.is_taught, judgement.comparison.baseline) == (True, f"pooled {pooled}")
    assert judgement.decision.reasons[0].code == "fits_no_better"
    assert registry.active("sound") is None
    assert train("sound", settings=pooled_settings).success
    assert registry.active("sound").stands_on == pooled


def test_without_pooling_a_first_version_is_of_the_orgs_own_leads(train: Any, pooled_settings: Settings) -> None:
    activate_pool(pooled_settings)
    assert train("sound", settings=replace(pooled_settings, pooled_model=False)).success
    assert Registry(pooled_settings.model_path).active("sound").stands_on is None


def test_once_an_org_has_a_version_of_its_own_that_is_the_one_to_beat(train: Any, pooled_settings: Settings) -> None:
    activate_pool(pooled_settings, is_wrong=True)
    train("sound", settings=pooled_settings)

    train("sound", settings=pooled_settings)

    own = Registry(pooled_settings.model_path).active("sound").version
    again = judgement_of(pooled_settings, "sound")
    assert again.comparison is not None
    assert again.comparison.baseline == again.champion_version == own


def test_a_champions_level_is_the_one_that_it_was_judged_with(train: Any, crm_settings: Settings) -> None:
    train("sound")
    first = judgement_of(crm_settings, "sound")
    assert first.comparison is not None
    assert first.comparison.baseline_when_judged is None

    train("sound")

    again = judgement_of(crm_settings, "sound")
    assert again.comparison is not None
    assert again.comparison.baseline_when_judged == first.comparison.roc_auc.candidate


def test_a_champions_level_at_other_ages_of_the_leads_is_not_comparable(train: Any, crm_settings: Settings) -> None:
    train("sound")
    other = replace(crm_settings, landmark_days=(0, 7))

    train("sound", settings=other)

    judgement = judgement_of(other, "sound")
    assert judgement.champion_version
    assert judgement.comparison is not None
    assert judgement.comparison.baseline_when_judged is None


def test_a_champion_whose_judgement_cannot_be_read_is_compared_without_its_level(
    train: Any, registry: Registry, crm_settings: Settings
) -> None:
    train("sound")
    [version] = registry.versions("sound")
    (registry.root / "sound" / version / EVALUATION_FILE).write_bytes(b"{")

    assert train("sound").success

    judgement = judgement_of(crm_settings, "sound")
    assert judgement.champion_version == version
    assert judgement.comparison is not None
    assert judgement.comparison.baseline_when_judged is None


@pytest.mark.parametrize(("damaged", "named"), [(FOREST_FILE, "{version}"), (POINTER_FILE, "of unknown version")])
def test_a_pooled_model_that_cannot_be_loaded_gives_way_to_the_base_rate(
    train: Any, pooled_settings: Settings, damaged: str, named: str
) -> None:
    """The reasons say so; the org's training does not fail for it."""
    version = activate_pool(pooled_settings)
    folder = pooled_settings.model_path / POOLED
    [path] = [*folder.glob(damaged), *folder.glob(f"{version}/{damaged}")]
    path.write_bytes(b"{")

    assert train("sound", settings=pooled_settings).success

    judgement = judgement_of(pooled_settings, "sound")
    assert judgement.comparison is not None
    assert judgement.comparison.against == BASE_RATE
    told = f"The pooled model {named.format(version=version)} cannot be compared: "
    assert judgement.decision.text.startswith(told)
    assert judgement.champion_version is None
    assert Registry(pooled_settings.model_path).active("sound").previous is None


def test_a_damaged_champion_is_replaced_by_a_sound_candidate(train: Any, registry: Registry) -> None:
    """One whose files do not verify cannot be compared: the candidate has to beat the base rate, and that is said."""
    train("sound")
    [version] = registry.versions("sound")
    forest = registry.root / "sound" / version / FOREST_FILE
    content = forest.read_bytes()
    forest.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    result = train("sound")

    active = registry.active("sound")
    assert active is not None
    assert (active.version, active.previous) == (metadata_of(result, "trained_model")["version"], version)
    assert "cannot be compared: forest.safetensors.gz is damaged: its SHA-256" in active.reason
