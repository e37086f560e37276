"""A training that is repeated gives the same bytes, from the CRM or from the rows kept with the version."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from leadscore.errors import DatabaseUnavailable
from leadscore.pooling import POOLED
from leadscore.registry.durable_files import sha256_of
from leadscore.registry.safetensors import decompressed
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.resources import Crm
from leadscore_assets.source.database import connect
from leadscore_assets.training.reproduce import rebuild
from leadscore_assets.training.teacher import teacher_for
from leadscore_assets.training.train import train as train_version
from tests.leadscore_assets.made_pool import activate_pool, org_features
from tests.leadscore_assets.made_rows import made_features


def test_what_the_crm_learnt_since_changes_nothing(crm_settings: Settings, registry: Registry, version: str) -> None:
    """Messages and outcomes after `as_of` are not seen: the records are those of that time."""
    with connect(crm_settings) as connection:
        connection.execute(
            "INSERT INTO message (org_id, dossier_id, timestamp) SELECT org_id, id, '2026-06-02' FROM dossier"
        )
    assert rebuild(registry, "sound", version, Crm(crm_settings).conversion_records).rows_from == "the CRM"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("DELETE FROM message WHERE timestamp < '2026-05-01'", "inbound_messages_count in "),
        ("DELETE FROM dossier_status_history WHERE transitioned_at < '2026-03-01'", "other records now: records "),
        ("DROP TABLE appointment", "the CRM's records could not be read"),
    ],
)
def test_a_crm_that_moved_on_is_told_and_the_kept_rows_give_the_same_bytes(
    crm_settings: Settings, registry: Registry, version: str, change: str, told: str
) -> None:
    with connect(crm_settings) as connection:
        connection.execute(change)

    found = rebuild(registry, "sound", version, Crm(crm_settings).conversion_records)

    assert found.is_identical
    assert found.rows_from == "the rows kept with the version"
    assert told in found.crm


def test_a_pooled_version_is_repeated_from_the_crm_or_from_its_rows(train: Any, pooled_settings: Settings) -> None:
    """Byte for byte, the orgs' base values too."""
    train(POOLED, settings=pooled_settings)
    registry, crm = Registry(pooled_settings.model_path), Crm(pooled_settings)
    [version] = registry.versions(POOLED)

    again = rebuild(registry, POOLED, version, crm.conversion_records)
    assert again.is_identical
    assert "base_values.json" in again.files
    with connect(pooled_settings) as connection:
        connection.execute("DELETE FROM dossier_status_history WHERE org_id = 'small'")
    later = rebuild(registry, POOLED, version, crm.conversion_records)
    assert later.is_identical
    assert later.rows_from == "the rows kept with the version"


def test_a_taught_version_is_repeated_when_the_pooled_version_is_long_gone(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    pool, features = activate_pool(registry), org_features("north")
    teacher = teacher_for(registry, "north", features, logging.getLogger("a test"))
    version = train_version(registry, "north", features, teacher=teacher).version
    shutil.rmtree(tmp_path / POOLED / pool)

    again = rebuild(registry, "north", version, _unreadable)

    assert again.is_identical
    assert {"forest.safetensors.gz", "pooled_values.safetensors.gz", "model.joblib"} < set(again.files)
    assert [changed.name for changed in again.inputs] == []


def test_a_file_that_a_later_release_adds_is_no_difference(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    version = train_version(registry, "north", made_features(200)).version
    path = tmp_path / "north" / version / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["files"]["input_bins.json"]
    path.write_text(json.dumps(manifest))

    again = rebuild(registry, "north", version, _unreadable)
    assert again.is_identical
    assert "input_bins.json" not in again.files


def test_files_that_an_earlier_release_did_not_compress_are_compared_as_they_are(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    version = train_version(registry, "north", made_features(200)).version
    folder = tmp_path / "north" / version
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in ("forest.safetensors", "records.safetensors"):
        content = decompressed((folder / f"{name}.gz").read_bytes())
        (folder / name).write_bytes(content)
        (folder / f"{name}.gz").unlink()
        del manifest["files"][f"{name}.gz"]
        manifest["files"][name] = sha256_of(content)
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format": 6}))

    again = rebuild(registry, "north", version, _unreadable)

    assert again.is_identical
    assert again.rows_from == "the rows kept with the version"
    assert {"forest.safetensors", "records.safetensors"} < set(again.files)


def _unreadable(*_: Any) -> Any:
    raise DatabaseUnavailable("no database")
