"""The code's version: another for every changed source, the same for everything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from leadscore_assets.training import provenance
from leadscore_assets.training.provenance import LIBRARIES, code_version, library_versions


def test_every_source_is_part_of_the_codes_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "PROJECT_ROOT", tmp_path)
    sources = [tmp_path / name for name in ("leadscore/a.py", "leadscore/registry/b.py", "leadscore_assets/c.sql")]
    for source in sources:
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text("1")
    versions = [code_version.__wrapped__()]
    for source in sources:
        source.write_text("2")
        versions.append(code_version.__wrapped__())
    sources[0].rename(sources[0].with_name("z.py"))
    versions.append(code_version.__wrapped__())
    assert len(set(versions)) == 5
    for other in ("leadscore/notes.md", "serving/app.py"):
        (tmp_path / other).parent.mkdir(exist_ok=True)
        (tmp_path / other).write_text("3")
    assert code_version.__wrapped__() == versions[-1]


def test_the_libraries_that_can_change_a_result_are_named_with_their_versions() -> None:
    versions = library_versions()
    assert versions.keys() == {"python", "zlib", *LIBRARIES}
    assert all(version[0].isdigit() for version in versions.values())
