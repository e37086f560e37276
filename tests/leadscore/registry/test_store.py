"""The registry: folders, versions, judgements, the pointer and its history."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from leadscore.errors import AlreadyJudged, Damaged, RegistryUnavailable, VersionNotFound
from leadscore.gate import Judgement
from leadscore.registry import store as module
from leadscore.registry.storage import StoredFile, read_into_memory
from leadscore.registry.store import Pointer, Registry
from leadscore.registry.version import ENGINE_FILE

Publish = Callable[..., str]
Judge = Callable[..., Judgement]


def test_a_version_in_another_orgs_folder_is_never_loaded(registry: Registry, publish: Publish) -> None:
    """As on a disk that does not tell Org1 from org1, or after a copy by hand."""
    version = publish(registry, "Org1")
    (registry.root / "Org1").rename(registry.root / "org1")
    for read in (registry.load, registry.manifest):
        with pytest.raises(Damaged, match="holds the manifest of another version"):
            read("org1", version)


def test_an_unknown_version_or_another_orgs_is_not_found_in_the_same_words(
    registry: Registry, publish: Publish, judge: Judge
) -> None:
    publish(registry, "acme")
    theirs = [publish(registry, "globex") for _ in range(2)][-1]
    judgement = judge(registry, theirs, org_id="globex")
    told = set()
    for version in (theirs, "20200101000000"):
        for call in (registry.load, registry.manifest, registry.manifest_sha256):
            with pytest.raises(VersionNotFound) as caught:
                call("acme", version)
            told.add(caught.value.message)
        with pytest.raises(VersionNotFound):
            registry.record_judgement("acme", version, judgement)
    assert len(told) == 1
    assert registry.judgement("acme", theirs) is None


# ids and time

NOON = datetime(2026, 3, 15, 12, 0, 0, tzinfo=UTC)


class SteppingClock(datetime):
    """A clock that shows one moment, and can be set back."""

    shown = NOON

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # noqa: ARG003 (it is always UTC)
        return cls.shown


def test_ids_increase_within_a_second_and_when_the_clock_steps_back(
    registry: Registry, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "datetime", SteppingClock)
    versions = [publish(registry), publish(registry)]
    monkeypatch.setattr(SteppingClock, "shown", NOON - timedelta(days=400))
    versions.append(publish(registry))
    assert versions == ["20260315120000", "20260315120001", "20260315120002"]
    assert registry.versions("acme") == versions[::-1]


def test_the_id_of_a_version_that_was_deleted_after_it_was_active_is_not_given_again(
    registry: Registry, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "datetime", SteppingClock)
    monkeypatch.setattr(SteppingClock, "shown", NOON)
    version = publish(registry)
    registry.swap_pointer("acme", _pointer(version), registry.history("acme"))
    (registry.root / "acme" / version).rename(registry.root / "acme" / "deleted")
    assert publish(registry) == "20260315120001"


# folders that are not ours


def test_links_and_foreign_names_are_neither_orgs_nor_versions(
    registry: Registry, publish: Publish, tmp_path: Path
) -> None:
    version = publish(registry)
    (tmp_path / "outside").mkdir()
    for name in ("a.b", "a%2eb", "%41cme", "lost+found", ".cache", "%2E%2E", "a%2E%2Eb"):
        (registry.root / name).mkdir()
    (registry.root / "linked").symlink_to(tmp_path / "outside")
    (registry.root / "file").write_text("")
    for name in ("notes", ".partial-20260315060000", "2026031506000x"):
        (registry.root / "acme" / name).mkdir()
    (registry.root / "acme" / "20200101000000").symlink_to(registry.root / "acme" / version)
    (registry.root / "acme" / "20200101000001").write_text("")
    assert registry.orgs() == ["acme"]
    assert registry.versions("acme") == [version]
    for foreign in ("20200101000000", "20200101000001"):
        with pytest.raises(VersionNotFound):
            registry.load("acme", foreign)


def test_a_folder_named_like_no_time_does_not_stop_the_next_version(registry: Registry, publish: Publish) -> None:
    (registry.root / "acme" / "99999999999999").mkdir(parents=True)
    version = publish(registry)
    assert version.startswith("20")
    assert registry.load("acme", version).manifest.version == version


def test_a_registry_that_does_not_exist_yet_is_empty(registry: Registry) -> None:
    assert (registry.orgs(), registry.versions("acme"), registry.history("acme").entries) == ([], [], [])
    assert (registry.active("acme"), registry.pointer_stamp("acme")) == (None, None)


# versions and judgements


def test_a_published_version_is_listed_and_reads_back_verified(registry: Registry, publish: Publish) -> None:
    versions = [publish(registry) for _ in range(3)]
    assert registry.versions("acme") == sorted(versions, reverse=True)
    assert len(set(versions)) == 3
    for version in versions:
        artifact = registry.load("acme", version, registry.manifest_sha256("acme", version))
        assert (artifact.manifest.org_id, artifact.manifest.version) == ("acme", version)


def test_a_version_can_be_read_by_people(registry: Registry, publish: Publish) -> None:
    text = (registry.root / "acme" / publish(registry) / "manifest.json").read_text()
    assert text.count("\n") > 50
    assert json.loads(text)["org_id"] == "acme"


def test_a_judgement_is_written_once(registry: Registry, publish: Publish, judge: Judge) -> None:
    version = publish(registry)
    assert registry.judgement("acme", version) is None
    first = judge(registry, version, "hold")
    with pytest.raises(AlreadyJudged, match="train again to get a new candidate"):
        judge(registry, version, "activate")
    assert registry.judgement("acme", version) == first


@pytest.mark.parametrize("content", [b"", b"{}", b"[", b'"\xff"', b"[" * 100_000])
def test_a_judgement_or_pointer_that_cannot_be_read_is_damaged(
    content: bytes, registry: Registry, publish: Publish
) -> None:
    version = publish(registry)
    (registry.root / "acme" / version / "evaluation.json").write_bytes(content)
    (registry.root / "acme" / "active.json").write_bytes(content)
    with pytest.raises(Damaged, match=r"evaluation.json"):
        registry.judgement("acme", version)
    for read in (registry.active, registry.history):
        with pytest.raises(Damaged, match=r"active.json"):
            read("acme")


@pytest.mark.parametrize("put", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_a_pointer_that_is_no_file_is_refused_at_once(put: Callable[[Path], None], registry: Registry) -> None:
    (registry.root / "acme").mkdir(parents=True)
    put(registry.root / "acme" / "active.json")
    started_at = time.monotonic()
    with pytest.raises(Damaged):
        registry.active("acme")
    assert time.monotonic() - started_at < 5


def test_a_pointer_to_what_is_no_version_is_damaged(registry: Registry) -> None:
    (registry.root / "acme").mkdir(parents=True)
    (registry.root / "acme" / "active.json").write_bytes(module._pretty(_pointer("../../globex/2026")))
    with pytest.raises(Damaged, match="does not name a version"):
        registry.active("acme")


# the pointer and its history


def _pointer(version: str, reason: str = "better") -> Pointer:
    return Pointer(version, None, "2026-03-15T06:00:00.000000+00:00", "run-1", reason, "c0ffee")


def test_the_pointer_and_its_history_read_back(registry: Registry) -> None:
    first, second = _pointer("20260315060000"), _pointer("20260315060001", reason="line\none, \u2028 two")
    for pointer in (first, second):
        with registry.exclusive("acme"):
            registry.swap_pointer("acme", pointer, registry.history("acme"))
    assert registry.active("acme") == registry.history("acme").pointer == second
    assert registry.history("acme").entries == [first, second]
    assert len((registry.root / "acme" / "activations.jsonl").read_text().split("\n")) == 3


def test_the_stamp_changes_whenever_the_pointer_does(registry: Registry) -> None:
    (registry.root / "acme").mkdir(parents=True)
    stamps = []
    for reason in "abcabc":
        registry.swap_pointer("acme", _pointer("20260315060000", reason), registry.history("acme"))
        stamps.append(registry.pointer_stamp("acme"))
    assert all(before != after for before, after in itertools.pairwise(stamps))
    assert registry.pointer_stamp("acme") == stamps[-1]


def test_an_activation_whose_entry_was_lost_is_in_the_history_all_the_same(registry: Registry) -> None:
    (registry.root / "acme").mkdir(parents=True)
    pointers = [_pointer(f"2026031506000{number}") for number in range(3)]
    history_file = registry.root / "acme" / "activations.jsonl"
    registry.swap_pointer("acme", pointers[0], registry.history("acme"))
    before = history_file.read_bytes()
    registry.swap_pointer("acme", pointers[1], registry.history("acme"))
    history_file.write_bytes(before)
    assert registry.history("acme").entries == pointers[:2]
    registry.swap_pointer("acme", pointers[2], registry.history("acme"))
    assert registry.history("acme").entries == pointers
    assert len(history_file.read_bytes().splitlines()) == 3


def test_no_activation_is_forgotten_when_two_writers_in_a_row_die_before_their_entry(registry: Registry) -> None:
    """The pointer may be the only witness of an activation, so its entry is written before another takes its place."""
    (registry.root / "acme").mkdir(parents=True)
    pointers = [_pointer(f"2026031506000{number}") for number in range(3)]
    replace, history_file = registry._storage.replace, registry.root / "acme" / "activations.jsonl"

    def dying(folder: str, contents: dict[str, bytes], seen: dict[str, None]) -> dict[str, None]:
        return replace(
            folder, {name: content for name, content in contents.items() if name == next(iter(contents))}, seen
        )

    registry._storage.replace = dying
    for pointer in pointers:
        registry.swap_pointer("acme", pointer, registry.history("acme"))
    assert len(history_file.read_bytes().splitlines()) == 2
    assert registry.history("acme").entries == pointers


@pytest.mark.parametrize("torn", [b'{"version": "2026', b"\xff\xfe\0", b"[" * 100_000, b""])
def test_a_torn_last_line_of_the_history_is_passed_over(torn: bytes, registry: Registry) -> None:
    (registry.root / "acme").mkdir(parents=True)
    registry.swap_pointer("acme", _pointer("20260315060000"), registry.history("acme"))
    with (registry.root / "acme" / "activations.jsonl").open("ab") as file:
        file.write(torn)
    assert registry.history("acme").entries == [_pointer("20260315060000")]
    registry.swap_pointer("acme", _pointer("20260315060001"), registry.history("acme"))
    assert len(registry.history("acme").entries) == 2


def test_a_registry_whose_folder_is_a_file_is_unavailable_to_writers_and_empty_to_readers(
    registry: Registry, publish: Publish
) -> None:
    registry.root.write_text("")
    assert (registry.orgs(), registry.versions("acme"), registry.active("acme")) == ([], [], None)
    assert registry.pointer_stamp("acme") is None
    with pytest.raises(RegistryUnavailable, match="make MODEL_PATH a writable folder with free space"):
        publish(registry)
    assert registry.root.read_text() == ""


def test_a_version_is_loaded_for_scoring_by_its_engines_file_alone(registry: Registry, publish: Publish) -> None:
    version, read = publish(registry), []

    def map_file(file: StoredFile, sha256: str) -> memoryview:
        read.append(file.name)
        return read_into_memory(file, sha256)

    loaded = registry.load_for_scoring("acme", version, registry.manifest_sha256("acme", version), map_file)

    row = [2.0, *[0.0] * 10]
    assert read == [ENGINE_FILE]
    assert loaded.sha256 == loaded.manifest.files[ENGINE_FILE]
    assert loaded.scorer.explain(row) == registry.load("acme", version).scorer.explain(row)
    with pytest.raises(Damaged, match="its SHA-256 is not the recorded one"):
        registry.load_for_scoring("acme", version, "0" * 64, map_file)
