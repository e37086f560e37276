"""A registry's files in a folder: links are not followed, and a writer that was killed is cleaned up after."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from leadscore.errors import RegistryUnavailable
from leadscore.registry.folder_storage import FolderStorage

VERSION = "20260315060000"


@pytest.fixture
def storage(tmp_path: Path) -> FolderStorage:
    return FolderStorage(tmp_path / "models", wait_seconds=1)


def _nothing() -> None:
    """Agree to whatever is about to happen."""


def test_what_is_behind_a_link_is_not_read(storage: FolderStorage, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "manifest.json").write_text("theirs")
    (storage.root / "acme").mkdir(parents=True)
    (storage.root / "acme" / VERSION).symlink_to(tmp_path / "outside")
    assert storage.read(f"acme/{VERSION}/manifest.json") is None
    assert (storage.versions("acme"), storage.has_version("acme", VERSION)) == ([], False)


def test_a_version_whose_check_fails_at_the_last_moment_is_not_there(storage: FolderStorage) -> None:
    def lost() -> None:
        raise RegistryUnavailable("the claim on the org was lost")

    with pytest.raises(RegistryUnavailable, match="was lost"), storage.exclusive("acme"):
        storage.add_version("acme", VERSION, {"manifest.json": b"{}"}, lost)
    assert sorted(path.name for path in (storage.root / "acme").iterdir()) == [".lock"]


def test_an_id_is_claimed_after_what_a_killed_writer_left_is_removed(storage: FolderStorage) -> None:
    (storage.root / "acme" / f".partial-{VERSION}").mkdir(parents=True)
    with storage.exclusive("acme"):
        claimed = storage.claim_version("acme", lambda taken: f"{len(taken)}")
        storage.add_version("acme", VERSION, {"manifest.json": b"{}"}, _nothing)
        again = storage.claim_version("acme", lambda taken: f"{len(taken)}")
    assert (claimed, again, storage.versions("acme")) == ("0", "1", [VERSION])


def test_the_files_replaced_last_come_first(storage: FolderStorage) -> None:
    for age, name in enumerate("abc"):
        (storage.root / name).mkdir(parents=True)
        (storage.root / name / "active.json").touch()
        os.utime(storage.root / name / "active.json", (1_000 - age, 1_000 - age))
    (storage.root / "d").mkdir()
    assert storage.newest_first([f"{name}/active.json" for name in "dcba"]) == [f"{name}/active.json" for name in "abc"]
