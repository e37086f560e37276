"""What is done before anything is served: the registry's folder is there, and the engine compiled."""

from __future__ import annotations

from pathlib import Path

import pytest

from leadscore.errors import CannotRun
from leadscore.settings import Settings
from serving.server import startup
from serving.server.startup import prepare


def test_the_registrys_folder_is_made_and_the_engine_compiled_before_the_first_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[bool] = []
    monkeypatch.setattr(startup, "kernels", lambda: compiled.append((tmp_path / "deep" / "models").is_dir()))
    for _ in range(2):
        prepare(Settings(model_path=tmp_path / "deep" / "models"))
    assert compiled == [True, True]


def test_a_registry_that_cannot_be_a_folder_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotRun, match=r"MODEL_PATH cannot be created as a folder \(.*\); set it to a folder that"):
        prepare(Settings(model_path=tmp_path / "file" / "models"))
