"""A registry has an id, which lies in its folder: two paths to one folder have one, two folders have two."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from leadscore.errors import Damaged, RegistryUnavailable
from leadscore.registry.org_lock import LOCK_FILE
from leadscore.registry.store import ID_FILE, Registry


def test_the_id_is_made_once_and_kept(tmp_path: Path) -> None:
    made = Registry(tmp_path / "models").registry_id()
    assert Registry(tmp_path / "models").registry_id() == made
    assert len(made) == 32
    assert {path.name for path in (tmp_path / "models").iterdir()} == {ID_FILE, LOCK_FILE}
    assert Registry(tmp_path / "models").orgs() == []


def test_two_registries_have_two_ids(tmp_path: Path) -> None:
    assert Registry(tmp_path / "a").registry_id() != Registry(tmp_path / "b").registry_id()


def test_all_who_ask_at_once_get_one_id(tmp_path: Path) -> None:
    begin = threading.Barrier(8)

    def ask(_: int) -> str:
        begin.wait()
        return Registry(tmp_path / "models").registry_id()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1


def test_a_damaged_id_is_said_and_not_replaced(tmp_path: Path) -> None:
    (tmp_path / ID_FILE).write_text("no id\n")
    with pytest.raises(Damaged, match=ID_FILE):
        Registry(tmp_path).registry_id()


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(RegistryUnavailable, match="MODEL_PATH"):
        Registry(tmp_path / "models").registry_id()
