"""An org's folder moves as a whole: to another id with all that is valid in it, or aside for good."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from leadscore.errors import Damaged, InvalidId, InvalidInput, OrgHasVersions, RegistryBusy, VersionNotFound
from leadscore.gate import Judgement
from leadscore.registry import moves
from leadscore.registry.activation import apply_verdict, roll_back
from leadscore.registry.backup import Copied, check_copy, saved_files
from leadscore.registry.moves import rename, set_aside
from leadscore.registry.org_record import ORG_FILE
from leadscore.registry.store import Registry

Publish = Callable[..., str]
Judge = Callable[..., Judgement]


@pytest.fixture
def versions(registry: Registry, publish: Publish, judge: Judge) -> list[str]:
    """Give the versions of the org `acme`, oldest first: both passed the gate, the first is active."""
    made = [publish(registry), publish(registry)]
    judge(registry, made[0])
    apply_verdict(registry, "acme", made[0], by="run-0")
    judge(registry, made[1])
    return made


def content_of(registry: Registry, org_id: str) -> dict[str, bytes]:
    folder = registry.root / org_id
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_renamed_org_has_its_versions_and_history_and_no_file_of_theirs_changes(
    registry: Registry, versions: list[str], publish: Publish, judge: Judge
) -> None:
    before, history = content_of(registry, "acme"), registry.history("acme")
    assert rename(registry, "acme", "globex")
    after = content_of(registry, "globex")
    assert after.keys() - before.keys() == {ORG_FILE}
    assert {name: after[name] for name in before} == before
    assert (registry.orgs(), registry.history("globex")) == (["globex"], history)
    assert registry.load("globex", versions[0], history.pointer.manifest_sha256).manifest.org_id == "acme"
    assert apply_verdict(registry, "globex", versions[1], by="run-1").is_activated
    assert roll_back(registry, "globex", versions[0], by="me", reason="odd").previous == versions[1]
    own = publish(registry, "globex")
    assert registry.versions("globex") == [own, *versions[::-1]]
    assert registry.load("globex", own).manifest.org_id == "globex"


def test_an_org_can_be_renamed_again_and_back(registry: Registry, versions: list[str], publish: Publish) -> None:
    rename(registry, "acme", "globex")
    third = publish(registry, "globex")
    for old, new in (("globex", "initech"), ("initech", "acme")):
        rename(registry, old, new)
        assert [registry.load(new, version).manifest.org_id for version in (*versions, third)] == [
            "acme",
            "acme",
            "globex",
        ]


def test_a_version_of_the_former_id_that_was_copied_by_hand_is_refused_as_any_other_orgs(
    registry: Registry, versions: list[str], publish: Publish
) -> None:
    """The former id may be given to a new customer, whose versions are not this org's."""
    rename(registry, "acme", "globex")
    for org_id in ("acme", "initech"):
        theirs = [publish(registry, org_id) for _ in range(4)][-1]
        shutil.copytree(registry.root / org_id / theirs, registry.root / "globex" / theirs)
        with pytest.raises(Damaged, match="holds the manifest of another version"):
            registry.load("globex", theirs)
        shutil.rmtree(registry.root / "globex" / theirs)
    shutil.copytree(registry.root / "globex" / versions[0], registry.root / "umbrella" / versions[0])
    with pytest.raises(Damaged, match="holds the manifest of another version"):
        registry.load("umbrella", versions[0])


def test_a_rename_is_repeated_without_a_change(registry: Registry, versions: list[str]) -> None:
    assert rename(registry, "acme", "globex")
    before = content_of(registry, "globex")
    assert not rename(registry, "acme", "globex")
    with registry.exclusive("acme"):  # as a training that is refused leaves it
        pass
    assert not rename(registry, "acme", "globex")
    assert content_of(registry, "globex") == before


STEPS_OF_A_RENAME = 9


class Killed(BaseException):
    """The end of the process, as far as the code can tell."""


@pytest.mark.parametrize("step", range(1, STEPS_OF_A_RENAME + 2))
def test_a_rename_that_ends_at_any_step_leaves_one_of_two_states_and_is_finished_by_another(
    step: int, registry: Registry, versions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = step

    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        def act(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            return call(*arguments, **named)

        return act

    with monkeypatch.context() as patch:
        for name in ("mkdir", "fsync", "rename", "replace", "unlink"):
            patch.setattr(os, name, watched(getattr(os, name)))
        with suppress(Killed):
            rename(registry, "acme", "globex")
            assert step == STEPS_OF_A_RENAME + 1
    [holder] = [org_id for org_id in ("acme", "globex") if registry.versions(org_id)]
    assert registry.versions(holder) == versions[::-1]
    pointer = registry.active(holder)
    registry.verify(holder, pointer.version, pointer.manifest_sha256)
    rename(registry, "acme", "globex")
    assert registry.versions("globex") == versions[::-1]
    assert [former.org_id for former in registry.org_record("globex").former_ids] == ["acme"]
    registry.verify("globex", pointer.version, pointer.manifest_sha256)


def test_an_org_is_not_renamed_to_an_id_that_has_versions_or_a_history(
    registry: Registry, versions: list[str], publish: Publish
) -> None:
    publish(registry, "globex")
    with pytest.raises(OrgHasVersions, match=r"org globex has versions or a history already, .* --org globex --new"):
        rename(registry, "acme", "globex")
    shutil.rmtree(registry.root / "globex" / registry.versions("globex")[0])
    (registry.root / "globex" / "activations.jsonl").touch()
    with pytest.raises(OrgHasVersions):
        rename(registry, "acme", "globex")
    assert registry.versions("acme") == versions[::-1]


def test_ids_that_are_no_orgs_are_refused(registry: Registry, versions: list[str]) -> None:
    for old, new in (("acme", "../x"), ("_pooled", "x"), ("acme", "_pooled")):
        with pytest.raises(InvalidId):
            rename(registry, old, new)
    with pytest.raises(InvalidInput, match="org acme has this id already; name another id with --to"):
        rename(registry, "acme", "acme")
    assert registry.orgs() == ["acme"]


def test_both_orgs_are_locked_meanwhile(registry: Registry, versions: list[str]) -> None:
    impatient = Registry(registry.root, wait_seconds=0.05)
    for held in ("acme", "globex"):
        with registry.exclusive(held), pytest.raises(RegistryBusy):
            rename(impatient, "acme", "globex")
    assert registry.versions("acme") == versions[::-1]


def test_an_org_without_a_folder_gets_the_record_of_its_former_id(registry: Registry) -> None:
    """The pooled model knows it by that."""
    assert rename(registry, "acme", "globex")
    assert [former.org_id for former in registry.org_record("globex").former_ids] == ["acme"]
    assert not rename(registry, "acme", "globex")


def test_a_folder_with_foreign_files_is_not_written_over(registry: Registry, versions: list[str]) -> None:
    (registry.root / "globex").mkdir()
    (registry.root / "globex" / "notes").write_text("mine")
    with pytest.raises(Exception, match="cannot be written"):
        rename(registry, "acme", "globex")
    assert (registry.root / "globex" / "notes").read_text() == "mine"
    assert registry.versions("acme") == versions[::-1]


def test_what_is_set_aside_is_never_found_again_and_stays_on_the_disk(
    registry: Registry, versions: list[str], publish: Publish
) -> None:
    before = content_of(registry, "acme")
    aside = set_aside(registry, "acme")
    assert re.fullmatch(r"_former/acme-\d{8}T\d{12}Z", str(aside.relative_to(registry.root)))
    assert content_of(registry, str(aside.relative_to(registry.root))) == before
    assert (registry.versions("acme"), registry.active("acme"), registry.history("acme").entries) == ([], None, [])
    since = registry.org_record("acme").customer_since
    assert since is not None
    assert since == datetime.strptime(aside.name, "acme-%Y%m%dT%H%M%S%f%z")
    with pytest.raises(VersionNotFound):
        roll_back(registry, "acme", versions[0], by="me", reason="", is_forced=True)
    assert registry.orgs() == ["acme"]
    own = publish(registry)
    assert registry.versions("acme") == [own]
    assert set_aside(registry, "acme") != aside


def test_a_backup_holds_the_record_and_nothing_of_what_was_set_aside(
    registry: Registry, versions: list[str], publish: Publish, tmp_path: Path
) -> None:
    publish(registry, "initech")
    set_aside(registry, "initech")
    rename(registry, "acme", "globex")
    copied = Copied()
    for name, content in saved_files(registry, copied):
        path = tmp_path / "copy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert (copied.orgs, copied.versions, copied.damaged) == (2, 2, [])
    restored = Registry(tmp_path / "copy")
    assert check_copy(restored).damaged == []
    assert restored.versions("globex") == versions[::-1]
    assert restored.org_record("initech") == registry.org_record("initech")
    assert not (tmp_path / "copy" / moves.FORMER_FOLDER).exists()


def test_what_a_killed_training_of_the_new_id_left_is_no_obstacle(registry: Registry, versions: list[str]) -> None:
    (registry.root / "globex" / ".partial-20260601020000").mkdir(parents=True)
    assert rename(registry, "acme", "globex")
    assert registry.versions("globex") == versions[::-1]


def test_a_rename_that_is_repeated_keeps_since_when_the_new_id_is_its_customers(
    registry: Registry, versions: list[str], publish: Publish
) -> None:
    publish(registry, "globex")
    set_aside(registry, "globex")
    since = registry.org_record("globex").customer_since
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with suppress(KeyboardInterrupt):
            rename(registry, "acme", "globex")
    assert rename(registry, "acme", "globex")
    assert (registry.org_record("globex").customer_since, since is None) == (since, False)
