"""What one run stored, another takes up: rows and a document per asset and org."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from leadscore.errors import SourceMismatch
from leadscore.pooling import POOLED
from leadscore.records import window_from
from leadscore.registry.durable_files import sha256_of
from leadscore.registry.safetensors import decompressed
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.dataset import ORG_COLUMN, Candidate, FeatureRows
from leadscore_assets.io_managers import from_stored, to_stored
from leadscore_assets.resources import Crm
from leadscore_assets.retention.erasure import erase_at_once
from leadscore_assets.source.database import connect
from leadscore_assets.source.tables import load
from leadscore_assets.training.reproduce import rebuild
from leadscore_assets.training.snapshot import SNAPSHOT_FILE
from tests.leadscore_assets.run_results import failure_text, materialized

ORGS = ["one-class", "small", "sound"]


def test_each_asset_can_be_materialized_by_a_run_of_its_own(train: Any, registry: Registry) -> None:
    """What one run stored, the next one takes up."""
    for asset in ("conversion_records", "lead_features", "trained_model", "evaluation", "active_model"):
        result = train("sound", only=[asset])
        assert result.success, asset
        assert materialized(result) == {asset}

    assert registry.active("sound") is not None


def test_an_asset_whose_source_was_never_made_says_what_to_do(train: Any) -> None:
    result = train("sound", only=["lead_features"])

    assert "conversion_records was never materialized" in failure_text(result, "lead_features")


def erase_some(settings: Settings) -> list[str]:
    """Erase every fifth lead of `sound`, and return what went in words."""
    with connect(settings) as connection:
        rows, _ = load(connection, "lead_features", "sound")
        assert rows is not None
        return [str(table) for table in erase_at_once(connection, "sound", rows["lead_id"].unique()[::5].tolist())]


def test_after_an_erasure_a_training_alone_learns_from_what_is_left_and_says_so(
    train: Any, registry: Registry, crm_settings: Settings
) -> None:
    for asset in ("conversion_records", "lead_features"):
        train("sound", only=[asset])
    with connect(crm_settings) as connection:
        before = load(connection, "lead_features", "sound")[1]["counts"]
    erase_some(crm_settings)

    for asset in ("trained_model", "evaluation", "active_model"):
        assert train("sound", only=[asset]).success

    [version] = registry.versions("sound")
    manifest = registry.manifest("sound", version)
    stored = decompressed(registry.file("sound", version, SNAPSHOT_FILE))
    assert manifest.counts.fingerprint == sha256_of(stored) != before["fingerprint"]
    with connect(crm_settings) as connection:
        rows, _ = load(connection, "lead_features", "sound")
    assert rows is not None
    assert (manifest.counts.records, manifest.counts.rows) == (rows["lead_id"].nunique(), len(rows))
    assert manifest.counts.records < before["records"]
    assert manifest.counts.excluded == before["excluded"]
    command = rebuild(registry, "sound", version, Crm(crm_settings).conversion_records)
    assert (command.is_identical, command.rows_from) == (True, "the rows kept with the version")


def test_a_version_that_learned_from_erased_leads_is_not_judged_on_the_others(
    train: Any, registry: Registry, crm_settings: Settings
) -> None:
    for asset in ("conversion_records", "lead_features", "trained_model"):
        train("sound", only=[asset])
    erase_some(crm_settings)

    result = train("sound", only=["evaluation"])

    assert "materialize trained_model again, then evaluation" in failure_text(result, "evaluation")
    for asset in ("trained_model", "evaluation"):
        assert train("sound", only=[asset]).success


def test_rows_that_nobody_erased_keep_their_fingerprint(train: Any, crm_settings: Settings, registry: Registry) -> None:
    train("sound")
    with connect(crm_settings) as connection:
        document = load(connection, "lead_features", "sound")[1]
    [version] = registry.versions("sound")
    assert document["counts"] == msgspec.to_builtins(registry.manifest("sound", version).counts)


def test_too_few_leads_that_are_left_are_refused_in_words(train: Any, crm_settings: Settings) -> None:
    for asset in ("conversion_records", "lead_features"):
        train("sound", only=[asset])
    with connect(crm_settings) as connection:
        rows, _ = load(connection, "lead_features", "sound")
        assert rows is not None
        erase_at_once(connection, "sound", rows.loc[rows["converted"] == 1, "lead_id"].unique().tolist())

    result = train("sound", only=["trained_model"])

    assert "records converted" in failure_text(result, "trained_model")


def test_what_the_assets_hand_over_says_whose_each_lead_is(train: Any, pooled_settings: Settings) -> None:
    train(POOLED, settings=pooled_settings, only=["conversion_records"])

    with connect(pooled_settings) as connection:
        rows, _ = load(connection, "conversion_records", POOLED)
    assert rows is not None
    read = Crm(pooled_settings).conversion_records(POOLED, window_from(pooled_settings)).rows
    assert rows[ORG_COLUMN].tolist() == read[ORG_COLUMN].tolist()
    assert set(rows[ORG_COLUMN]) == set(ORGS)


def test_a_value_reads_back_as_it_was_stored(make_features: Callable[..., FeatureRows]) -> None:
    features = make_features(leads=20)
    document, rows = to_stored(features)
    read = from_stored(FeatureRows, json.loads(json.dumps(document)), rows, "lead_features")
    assert replace(read, rows=features.rows) == features
    assert read.rows is features.rows
    assert from_stored(Candidate, *to_stored(Candidate("20260315060000")), "trained_model").version == "20260315060000"


@pytest.mark.parametrize("lost", ["a column", "a field", "a field's type"])
def test_what_another_release_stored_is_refused_with_what_to_do(
    make_features: Callable[..., FeatureRows], lost: str
) -> None:
    document, rows = to_stored(make_features(leads=20))
    if lost == "a column":
        rows = rows.drop(columns="landmark_days")
    else:
        document["counts"] = "many"
    if lost == "a field":
        del document["counts"]
    with pytest.raises(
        SourceMismatch, match=r"another release stored .*lead_features.*; materialize lead_features again"
    ):
        from_stored(FeatureRows, document, rows, "lead_features")
