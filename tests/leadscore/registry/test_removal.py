"""An org that is removed is gone for every reader at once, whatever interrupts the removal."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from leadscore.errors import InvalidId, RegistryBusy, RegistryUnavailable, VersionNotFound
from leadscore.gate import Judgement
from leadscore.registry.activation import apply_verdict
from leadscore.registry.org_lock import LOCK_FILE
from leadscore.registry.removal import remove_org
from leadscore.registry.store import Registry

Publish = Callable[..., str]
Judge = Callable[..., Judgement]


@pytest.fixture
def filled(registry: Registry, publish: Publish, judge: Judge) -> Registry:
    """Give a registry with two versions of `acme`, one of them active, and one of `other`."""
    publish(registry)
    version = publish(registry)
    judge(registry, version)
    apply_verdict(registry, "acme", version, by="run-1")
    publish(registry, "other")
    return registry


def in_folder(registry: Registry) -> list[str]:
    return sorted(path.name for path in registry.root.iterdir())


def test_versions_pointer_and_history_go_and_other_orgs_stay(filled: Registry) -> None:
    [newest, _] = filled.versions("acme")
    assert remove_org(filled, "acme") == 2
    assert (filled.versions("acme"), filled.active("acme"), filled.history("acme").entries) == ([], None, [])
    assert filled.pointer_stamp("acme") is None
    assert filled.orgs() == in_folder(filled) == ["other"]
    with pytest.raises(VersionNotFound):
        filled.load("acme", newest)


def test_an_org_that_is_not_there_is_nothing_to_remove_and_gets_no_folder(registry: Registry) -> None:
    assert remove_org(registry, "acme") == 0
    assert not registry.root.exists()


def test_an_id_that_is_none_is_refused(registry: Registry) -> None:
    with pytest.raises(InvalidId):
        remove_org(registry, "../acme")


def test_damaged_files_hold_up_no_removal(filled: Registry) -> None:
    (filled.root / "acme" / "active.json").write_bytes(b"harm")
    assert remove_org(filled, "acme") == 2


def test_an_interrupted_removal_shows_nothing_of_the_org_and_the_next_one_ends_it(
    filled: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", fail)
        with pytest.raises(RegistryUnavailable, match=r"Permission denied.*remove the org again"):
            remove_org(filled, "acme")
    assert filled.orgs() == ["other"]
    assert len(in_folder(filled)) == 2
    assert remove_org(filled, "acme") == 0
    assert in_folder(filled) == ["other"]


def test_an_org_that_is_trained_again_begins_anew(filled: Registry, publish: Publish) -> None:
    remove_org(filled, "acme")
    version = publish(filled)
    assert (filled.versions("acme"), filled.active("acme")) == ([version], None)


def test_a_link_in_an_orgs_place_is_not_followed(filled: Registry, tmp_path: Path) -> None:
    (filled.root / "acme").rename(tmp_path / "elsewhere")
    (filled.root / "acme").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RegistryUnavailable, match="is a link"):
        remove_org(filled, "acme")
    assert (tmp_path / "elsewhere" / "active.json").exists()


def test_a_change_of_the_org_is_waited_for(filled: Registry) -> None:
    impatient = Registry(filled.root, wait_seconds=0.1)
    with filled.exclusive("acme"), pytest.raises(RegistryBusy):
        remove_org(impatient, "acme")
    assert len(filled.versions("acme")) == 2


def test_a_writer_that_waited_while_the_org_was_removed_writes_nothing(filled: Registry, publish: Publish) -> None:
    patient, failures = Registry(filled.root, wait_seconds=30), []

    def write() -> None:
        try:
            publish(patient)
        except RegistryBusy as error:
            failures.append(error)

    writer = threading.Thread(target=write)
    with filled.exclusive("acme"):
        writer.start()
        deadline = time.monotonic() + 10
        while not patient._storage._locks._waiting and time.monotonic() < deadline:
            time.sleep(0.01)
        (filled.root / "acme").rename(filled.root / ".partial-removed-acme-0")
    writer.join(30)
    assert len(failures) == 1
    assert (filled.root / ".partial-removed-acme-0" / LOCK_FILE).exists()
    assert filled.versions("acme") == []
