"""A copy of a registry in use holds whole versions, the active one among them, and is checked before it is used."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from leadscore.errors import CannotRun, Damaged, UnsupportedFormat
from leadscore.formats import FORMAT
from leadscore.pooling import POOLED
from leadscore.registry import backup
from leadscore.registry.activation import apply_verdict, roll_back
from leadscore.registry.backup import Copied, check_copy, check_no_registry, is_saved_name, put_in_place, saved_files
from leadscore.registry.durable_files import PARTIAL_PREFIX
from leadscore.registry.ids import folder_name
from leadscore.registry.store import EVALUATION_FILE, HISTORY_FILE, ID_FILE, POINTER_FILE, Registry
from leadscore.registry.version import FOREST_FILE, MANIFEST_FILE

STORED = Path(__file__).parents[1] / "stored"


@pytest.fixture
def activate(registry: Registry, publish: Callable[..., str], judge: Callable[..., object]) -> Callable[[str], str]:
    """Give `activate(org_id)`, which publishes, judges and activates a version."""

    def make(org_id: str) -> str:
        version = publish(registry, org_id)
        judge(registry, version, org_id=org_id)
        apply_verdict(registry, org_id, version, by="test")
        return version

    return make


def copy_of(registry: Registry, target: Path) -> Copied:
    """Copy the registry's files into a folder."""
    copied = Copied()
    for name, content in saved_files(registry, copied):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(content)
    return copied


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_every_file_is_copied_and_the_copy_is_the_same(
    registry: Registry, activate: Callable[[str], str], tmp_path: Path
) -> None:
    registry.registry_id()
    for org_id in ("acme", "a.b@c", "acme"):
        activate(org_id)
    (registry.root / folder_name(POOLED)).mkdir()  # a folder without files is no org

    copied = copy_of(registry, tmp_path / "copy")

    assert (copied.orgs, copied.versions, copied.damaged) == (2, 3, [])
    assert contents(tmp_path / "copy") == contents(registry.root)
    assert all(map(is_saved_name, contents(registry.root)))
    assert check_copy(Registry(tmp_path / "copy")) == copied
    assert Registry(tmp_path / "copy").history("acme") == registry.history("acme")


def test_what_a_writer_has_not_finished_is_left_out(
    registry: Registry, activate: Callable[[str], str], tmp_path: Path
) -> None:
    version = activate("acme")
    whole = contents(registry.root)
    (registry.root / "acme" / f"{PARTIAL_PREFIX}20260101000000").mkdir()
    (registry.root / "acme" / f"{PARTIAL_PREFIX}20260101000000" / FOREST_FILE).write_bytes(b"half")
    (registry.root / "acme" / version / f"{PARTIAL_PREFIX}report.html-1").write_bytes(b"half")
    (registry.root / "acme" / "20260101000000").symlink_to("/etc")

    copy_of(registry, tmp_path / "copy")

    assert contents(tmp_path / "copy") == whole


def test_a_version_that_becomes_active_while_saving_does_not_tear_the_copy(
    registry: Registry, activate: Callable[[str], str], tmp_path: Path
) -> None:
    """The copy has the pointer that was read; the newer version is in it when it was there by then."""
    first = activate("acme")
    copied, files = Copied(), {}
    for name, content in saved_files(registry, copied):
        if name == f"acme/{POINTER_FILE}":
            second = activate("acme")
        files[name] = content
    for name, content in files.items():
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / name).write_bytes(content)

    copy = Registry(tmp_path / "copy")
    assert check_copy(copy).damaged == []
    assert copy.history("acme").active_version == first
    assert copy.versions("acme") == [second, first]
    assert registry.history("acme").active_version == second


def test_a_pointer_that_is_swapped_while_it_is_read_comes_with_its_history(
    registry: Registry, activate: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    activate("acme")
    read, swaps = backup.read_if_there, iter([lambda: activate("acme")] * 2)

    def read_after_a_swap(path: Path) -> bytes | None:
        content = read(path)
        if path.name == HISTORY_FILE and (swap := next(swaps, None)):
            swap()
        return content

    monkeypatch.setattr(backup, "read_if_there", read_after_a_swap)
    copied = dict(saved_files(registry, Copied()))

    assert copied[f"acme/{POINTER_FILE}"] == (registry.root / "acme" / POINTER_FILE).read_bytes()
    assert copied[f"acme/{HISTORY_FILE}"] == (registry.root / "acme" / HISTORY_FILE).read_bytes()


def test_copies_that_are_made_while_versions_are_activated_are_all_sound(
    registry: Registry, activate: Callable[[str], str], tmp_path: Path
) -> None:
    activate("acme")
    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(lambda: [activate("acme") for _ in range(40)])
        copies = 0
        while not writer.done():
            copy_of(registry, tmp_path / str(copies))
            copies += 1
        made = writer.result()

    assert copies > 0
    for number in range(copies):
        copy = Registry(tmp_path / str(number))
        assert check_copy(copy).damaged == []
        history = copy.history("acme")
        assert [entry.previous for entry in history.entries[1:]] == [entry.version for entry in history.entries[:-1]]
        assert history.active_version == history.entries[-1].version
    assert registry.history("acme").active_version == made[-1]


def test_a_version_that_is_removed_while_saving_is_left_out(
    registry: Registry, activate: Callable[[str], str], tmp_path: Path
) -> None:
    first = activate("acme")
    second = activate("acme")
    for name, content in saved_files(registry, Copied()):
        if name == f"acme/{POINTER_FILE}":
            shutil.rmtree(registry.root / "acme" / first)
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / name).write_bytes(content)

    assert Registry(tmp_path / "copy").versions("acme") == [second]


@pytest.mark.parametrize("name", [FOREST_FILE, MANIFEST_FILE, "model.joblib"])
def test_an_active_version_that_is_damaged_is_named_and_neither_saved_nor_restored(
    registry: Registry, activate: Callable[[str], str], tmp_path: Path, name: str
) -> None:
    version = activate("acme")
    (registry.root / "acme" / version / name).write_bytes(b"{}")

    with pytest.raises(Damaged, match="the active version of org acme cannot be verified"):
        copy_of(registry, tmp_path / "copy")
    with pytest.raises(Damaged, match="the active version of org acme cannot be verified"):
        check_copy(registry)


def test_a_pointer_to_a_version_that_is_gone_is_damage(registry: Registry, activate: Callable[[str], str]) -> None:
    shutil.rmtree(registry.root / "acme" / activate("acme"))

    with pytest.raises(Damaged, match="acme"):
        dict(saved_files(registry, Copied()))
    with pytest.raises(Damaged, match="acme"):
        check_copy(registry)


def test_a_pointer_of_a_newer_release_says_so(registry: Registry, activate: Callable[[str], str]) -> None:
    activate("acme")
    path = registry.root / "acme" / POINTER_FILE
    path.write_text(path.read_text().replace(f'"format": {FORMAT}', '"format": 99'))

    with pytest.raises(UnsupportedFormat, match="acme"):
        check_copy(registry)


def test_another_version_that_is_damaged_is_named_and_kept(
    registry: Registry, activate: Callable[[str], str], tmp_path: Path
) -> None:
    first, second = activate("acme"), activate("acme")
    (registry.root / "acme" / first / FOREST_FILE).write_bytes(b"rot")
    (registry.root / "acme" / second / EVALUATION_FILE).write_bytes(b"rot")

    copied = copy_of(registry, tmp_path / "copy")
    checked = check_copy(Registry(tmp_path / "copy"))

    assert len(copied.damaged) == 1
    assert f"version {first} of org acme" in copied.damaged[0]
    assert len(checked.damaged) == 2
    assert contents(tmp_path / "copy") == contents(registry.root)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def refuse_to_list(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let a folder be one that this user may not list; root may list any."""
    entries = Path.iterdir

    def refuse(path: Path) -> Iterator[Path]:
        if path == folder:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return entries(path)

    monkeypatch.setattr(Path, "iterdir", refuse)


@pytest.mark.parametrize("harm", [a_folder, a_loop, None])
def test_another_version_that_cannot_be_read_is_named_and_left_out(
    registry: Registry,
    activate: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    harm: Callable[[Path], None] | None,
) -> None:
    first, second = activate("acme"), activate("acme")
    if harm:
        harm(registry.root / "acme" / first / EVALUATION_FILE)
    else:
        refuse_to_list(monkeypatch, registry.root / "acme" / first)

    copied = copy_of(registry, tmp_path / "copy")

    [said] = copied.damaged
    assert said.startswith(f"version {first} of org acme: ")
    assert "cannot be read" in said
    assert said.endswith("it is left out")
    assert (copied.orgs, copied.versions) == (1, 1)
    assert Registry(tmp_path / "copy").versions("acme") == [second]
    assert check_copy(Registry(tmp_path / "copy")).damaged == []


@pytest.mark.parametrize("harm", [a_folder, a_loop, None])
def test_an_active_version_that_cannot_be_read_is_named(
    registry: Registry,
    activate: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    harm: Callable[[Path], None] | None,
) -> None:
    folder = registry.root / "acme" / activate("acme")
    if harm:
        harm(folder / EVALUATION_FILE)
    else:
        refuse_to_list(monkeypatch, folder)

    with pytest.raises(Damaged, match=r"the active version of org acme cannot be verified: .* cannot be read"):
        dict(saved_files(registry, Copied()))


@pytest.mark.parametrize("name", ["", "acme"])
def test_a_folder_of_the_registry_that_cannot_be_listed_is_named(
    registry: Registry, activate: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    activate("acme")
    folder = registry.root / name
    refuse_to_list(monkeypatch, folder)

    with pytest.raises(CannotRun, match=rf"{folder} cannot be read \(Permission denied\); .*MODEL_PATH"):
        dict(saved_files(registry, Copied()))


@pytest.mark.parametrize("number", [1, 2, 3])
def test_versions_of_earlier_formats_are_copied_and_checked_as_well(number: int, tmp_path: Path) -> None:
    copied = copy_of(Registry(STORED / f"format_{number}"), tmp_path / "copy")

    assert (copied.versions, copied.damaged) == (2, [])
    assert check_copy(Registry(tmp_path / "copy")) == copied


@pytest.mark.parametrize(
    "name",
    [
        *("", "acme", "active.json", ".lock", "acme/.lock", "acme/other.json", "../registry.id", "/registry.id"),
        *("acme/20260101000000", "acme/20260101000000/", "acme/20260101000000/..", "acme/20260101000000/.lock"),
        *("acme/../active.json", "acme/2026/x", "acme/20260101000000/a/b", "a b/active.json", "%2E%2E/active.json"),
        *("acme/20260101000000/a\\b", "acme/20260101000000/a\n", "acme/20260101000000/\u0661", "./registry.id"),
    ],
)
def test_no_other_name_is_one_of_a_registrys_files(name: str) -> None:
    assert not is_saved_name(name)


def test_where_an_org_or_an_id_is_nothing_is_restored(
    registry: Registry, activate: Callable[[str], str], tmp_path: Path
) -> None:
    check_no_registry(registry)
    activate("acme")
    with pytest.raises(CannotRun, match="holds a registry already"):
        check_no_registry(registry)
    with_id = Registry(tmp_path / "other")
    with_id.registry_id()
    with pytest.raises(CannotRun, match="MODEL_PATH"):
        check_no_registry(with_id)


def test_a_checked_copy_is_moved_to_its_place_whole(
    registry: Registry, activate: Callable[[str], str], tmp_path: Path
) -> None:
    registry.registry_id()
    first, second = activate("acme"), activate("acme")
    root = tmp_path / "new"
    copy_of(registry, root / "unpacked")

    put_in_place(root / "unpacked", root)

    (root / "unpacked").rmdir()
    assert contents(root) == contents(registry.root)
    assert (root / ID_FILE).read_text() == (registry.root / ID_FILE).read_text()
    assert roll_back(Registry(root), "acme", first, by="test", reason="as before").previous == second
