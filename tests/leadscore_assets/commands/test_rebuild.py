"""A rebuild: the same records give the same bytes; when something moved on since, it says what."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from leadscore.pooling import POOLED
from leadscore.registry.store import Registry
from leadscore.registry.version import FOREST_FILE, PLAIN_FOREST_FILE
from leadscore.settings import Settings
from leadscore_assets.commands import rebuild as command
from leadscore_assets.resources import Crm
from leadscore_assets.source.database import connect
from leadscore_assets.training import reproduce as rebuilding
from leadscore_assets.training.reproduce import rebuild
from leadscore_assets.training.snapshot import SNAPSHOT_FILE

STORED = Path(__file__).parents[2] / "leadscore" / "stored" / "format_1"


def run(settings: Settings, capsys: Any, version: str, org_id: str = "sound") -> tuple[int, str]:
    code = command.main([org_id, version], settings)
    captured = capsys.readouterr()
    return code, captured.out + captured.err


def test_a_version_comes_out_the_same_from_the_crm(
    crm_settings: Settings, registry: Registry, version: str, capsys: Any
) -> None:
    found = rebuild(registry, "sound", version, Crm(crm_settings).conversion_records)

    assert found.is_identical
    assert (found.rows_from, found.inputs) == ("the CRM", ())
    assert set(found.files) >= {FOREST_FILE, SNAPSHOT_FILE, "model.joblib"}
    code, text = run(crm_settings, capsys, version)
    assert (code, "the same, byte for byte" in text) == (0, True)


def test_a_version_that_comes_out_otherwise_is_explained_by_its_inputs(
    crm_settings: Settings, registry: Registry, version: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Other code and another library, as recorded and as they are, are named beside the files that differ."""
    build = rebuilding.build

    def build_by_other_code(*given: Any) -> Any:
        built = build(*given)
        return replace(built, files=built.files | {FOREST_FILE: b"another forest"})

    monkeypatch.setattr(rebuilding, "build", build_by_other_code)
    monkeypatch.setattr(rebuilding, "code_version", lambda: "0" * 16)
    monkeypatch.setattr(rebuilding, "library_versions", lambda: {"numpy": "1.0"})

    code, text = run(crm_settings, capsys, version)

    assert code == 1
    assert f"differs    {FOREST_FILE}" in text
    assert "identical  model.joblib" in text
    assert f"code: {registry.manifest('sound', version).code_version} → {'0' * 16}" in text
    assert "  numpy: " in text
    assert "the inputs above differ" in text


def test_a_difference_without_a_cause_points_to_the_machine(
    crm_settings: Settings, version: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    build = rebuilding.build
    monkeypatch.setattr(
        rebuilding, "build", lambda *given: replace(build(*given), files={FOREST_FILE: b"another forest"})
    )

    code, text = run(crm_settings, capsys, version)

    assert (code, "Compare processor and operating system" in text) == (1, True)


def test_a_version_that_is_not_there_is_said_so(crm_settings: Settings, capsys: Any) -> None:
    code, text = run(crm_settings, capsys, "20260101000000")
    assert (code, "the org has no version with this id" in text) == (2, True)


def test_a_version_of_format_1_kept_no_rows_and_needs_the_crm(crm_settings: Settings, capsys: Any) -> None:
    shutil.copytree(STORED, crm_settings.model_path)
    [version, _] = Registry(crm_settings.model_path).versions("acme")
    with connect(crm_settings) as connection:
        connection.execute("DROP TABLE dossier CASCADE")

    code, text = run(crm_settings, capsys, version, "acme")

    assert (code, "did not keep them" in text) == (2, True)


def test_a_version_of_format_1_is_rebuilt_from_the_crm_and_compared(crm_settings: Settings, capsys: Any) -> None:
    """Whether the records are the same cannot be told, and the text says so."""
    shutil.copytree(STORED / "acme", crm_settings.model_path / "sound")
    [version, _] = Registry(crm_settings.model_path).versions("sound")
    manifest = crm_settings.model_path / "sound" / version / "manifest.json"
    as_of_then = (
        manifest.read_text().replace('"acme"', '"sound"').replace("2026-03-15T00:00:00Z", "2026-06-01T00:00:00Z")
    )
    manifest.write_text(as_of_then)

    code, text = run(crm_settings, capsys, version)

    assert code == 1
    assert "an earlier release did not keep them" in text
    assert f"differs    {PLAIN_FOREST_FILE}" in text


def test_with_the_setting_off_again_a_pooled_version_is_rebuilt_from_its_rows(
    train: Any, pooled_settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other orgs' leads are not read then; it says so, and the files come out the same."""
    train(POOLED, settings=pooled_settings)
    [version] = Registry(pooled_settings.model_path).versions(POOLED)

    code = command.main([POOLED, version], replace(pooled_settings, pooled_model=False))

    told = capsys.readouterr().out
    assert code == command.SAME
    assert "rebuilt from the rows kept with the version" in told
    assert "the CRM's records could not be read: the pooled model is trained only when POOLED_MODEL is true" in told
