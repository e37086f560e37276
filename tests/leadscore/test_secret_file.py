"""A secret in a file: made once, for its owner alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from leadscore.errors import CannotRun
from leadscore.secret_file import dagster_token, kept_secret, main
from leadscore.settings import Settings


def test_a_secret_is_made_once_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    assert main([str(path)]) == 0
    secret = kept_secret(path)
    assert len(secret) == 48
    assert main([str(path)]) == 0
    assert kept_secret(path) == secret
    assert path.stat().st_mode & 0o777 == 0o600
    assert kept_secret(tmp_path / "another") != secret


def test_a_secret_of_another_process_stays_and_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(kept_secret, [path] * 64))) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["secret"]
    path.write_text("")
    with pytest.raises(CannotRun, match=r"secret is empty, .*delete it"):
        kept_secret(path)


def test_a_folder_that_is_not_there_is_refused_with_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "gone" / "secret")]) == 1
    assert "gone/secret cannot be read or written (No such file or directory); name a folder" in capsys.readouterr().err
    assert main([]) == 2


def test_dagsters_token_is_the_setting_or_else_what_its_file_holds(tmp_path: Path) -> None:
    settings = Settings()
    assert dagster_token(settings) is None
    settings = replace(settings, dagster_token_file=tmp_path / "secret")
    with pytest.raises(CannotRun, match=r"DAGSTER_TOKEN_FILE is .*secret, which cannot be read"):
        dagster_token(settings)
    secret = kept_secret(tmp_path / "secret")
    assert dagster_token(settings) == secret
    assert dagster_token(replace(settings, dagster_token="of the environment")) == "of the environment"
