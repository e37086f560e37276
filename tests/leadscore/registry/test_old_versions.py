"""Which versions are old, what stays of them, and that nothing which may score leads is ever removed."""

from __future__ import annotations

import mmap
import multiprocessing
import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from leadscore.errors import Damaged, NotKept, RegistryBusy, VersionRemoved
from leadscore.gate import Judgement, Reason
from leadscore.pooling import POOLED
from leadscore.registry import backup
from leadscore.registry.activation import apply_verdict, roll_back, withdraw
from leadscore.registry.backup import Copied, check_copy, saved_files
from leadscore.registry.durable_files import PlainFile
from leadscore.registry.old_versions import Keep, RemovedVersions, newest_held, old_versions, remove_old_versions
from leadscore.registry.store import TELLING_FILES, History, Pointer, Registry, Withdrawal
from leadscore.registry.version import ENGINE_FILE

Publish = Callable[..., str]
Judge = Callable[..., Judgement]

NOW = datetime(2026, 7, 1, tzinfo=UTC)
KEEP = Keep(newest=2, activated_days=30)
LATER = timedelta(days=400)


def version(number: int) -> str:
    return f"2026010100{number:04d}"


def versions(count: int) -> list[str]:
    """Return versions, newest first."""
    return [version(number) for number in range(count, 0, -1)]


def activated(number: int, days_ago: float, previous: int | None = None) -> Pointer:
    before = None if previous is None else version(previous)
    return Pointer(version(number), before, (NOW - timedelta(days=days_ago)).isoformat(), "b", "r", "sha")


def history(*entries: Pointer | Withdrawal) -> History:
    return History(list(entries), entries[-1] if entries else None)


def old(count: int, *entries: Pointer | Withdrawal, held: int | None = None, keep: Keep = KEEP) -> list[str]:
    """Return which of `count` versions are old, oldest first."""
    name = None if held is None else version(held)
    return sorted(old_versions(versions(count), history(*entries), name, keep, NOW))


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        pytest.param([], [1, 2, 3, 4], id="nothing was ever active: the newest two stay"),
        pytest.param([activated(1, 300)], [2, 3, 4], id="what is active stays, however old it is"),
        pytest.param([activated(1, 300), activated(3, 200, 1)], [2, 4], id="so does the one before it"),
        pytest.param(
            [activated(1, 300), activated(2, 200, 1), activated(3, 29, 2), activated(4, 20, 3)],
            [1],
            id="and each that was active in the last 30 days, if only until yesterday",
        ),
        pytest.param(
            [activated(1, 300), activated(2, 31, 1), activated(3, 30.5, 2), activated(4, 30.2, 3)],
            [1, 2],
            id="one that was replaced before that is old",
        ),
        pytest.param(
            [activated(2, 300), Withdrawal(activated(2, 300, 1), (NOW - timedelta(days=200)).isoformat(), "b", "r")],
            [3, 4],
            id="a withdrawn version may be reinstated, and the one before it",
        ),
    ],
)
def test_needed_versions_stay(entries: list[Pointer | Withdrawal], expected: list[int]) -> None:
    assert old(6, *entries) == [version(number) for number in expected]


def test_the_newest_held_version_stays_because_it_scores_as_a_shadow() -> None:
    assert old(6, activated(1, 300), held=3) == [version(2), version(4)]
    assert old(6, activated(1, 300)) == [version(2), version(3), version(4)]


def test_how_many_others_stay_is_a_setting() -> None:
    assert [len(old(9, activated(9, 1), keep=Keep(newest, 30))) for newest in (1, 3, 8, 20)] == [7, 5, 0, 0]


@pytest.fixture
def aged(registry: Registry, publish: Publish, judge: Judge) -> list[str]:
    """Give five versions, oldest first, that were active in turn, long before `in_a_year`."""
    made = []
    for _ in range(5):
        made.append(publish(registry))
        judge(registry, made[-1])
        apply_verdict(registry, "acme", made[-1], by="a test")
    return made


def in_a_year() -> datetime:
    return datetime.now(UTC) + LATER


def remove(registry: Registry, org_id: str = "acme", newest: int = 1) -> RemovedVersions:
    return remove_old_versions(registry, org_id, Keep(newest, 30), in_a_year(), by="a test")


def test_of_an_old_version_what_tells_of_it_stays_and_what_loads_goes(registry: Registry, aged: list[str]) -> None:
    folder = registry.root / "acme" / aged[0]
    size = sum(path.stat().st_size for path in folder.iterdir() if path.name not in TELLING_FILES)
    before = registry.manifest("acme", aged[0]), registry.judgement("acme", aged[0])
    assert remove(registry) == RemovedVersions(2, 2 * size)
    assert sorted(path.name for path in folder.iterdir()) == ["evaluation.json", "manifest.json", "removed.json"]
    assert (registry.manifest("acme", aged[0]), registry.judgement("acme", aged[0])) == before
    removal = registry.removal("acme", aged[0])
    assert (removal.by, removal.removed_at[:10]) == ("a test", datetime.now(UTC).strftime("%Y-%m-%d"))
    assert registry.versions("acme") == aged[::-1]
    assert [registry.removal("acme", name) is None for name in aged] == [False, False, True, True, True]
    assert remove(registry) == RemovedVersions()


def test_whatever_needs_a_removed_version_is_told_so(registry: Registry, aged: list[str]) -> None:
    remove(registry)
    sha256 = registry.manifest_sha256("acme", aged[0])
    for use in (
        lambda: registry.load("acme", aged[0]),
        lambda: registry.verify("acme", aged[0]),
        lambda: registry.load_for_scoring("acme", aged[0], sha256, lambda *_: memoryview(b"")),
        lambda: registry.file("acme", aged[0], ENGINE_FILE),
        lambda: roll_back(registry, "acme", aged[0], by="a test", reason="a test"),
        lambda: roll_back(registry, "acme", aged[0], by="a test", reason="a test", is_forced=True),
    ):
        with pytest.raises(VersionRemoved, match=f"version {aged[0]} was old"):
            use()
    assert registry.active("acme").version == aged[4]
    with pytest.raises(NotKept):
        registry.file("acme", aged[0], "unheard-of")


def test_the_pooled_model_has_old_versions_like_an_orgs(registry: Registry, publish: Publish, judge: Judge) -> None:
    for _ in range(4):
        judge(registry, publish(registry, POOLED), org_id=POOLED)
    assert remove(registry, POOLED, newest=2).versions == 2


def test_an_org_without_versions_gets_no_folder(registry: Registry) -> None:
    assert remove(registry, "unheard-of") == RemovedVersions()
    assert not (registry.root / "unheard-of").exists()


def test_while_another_changes_the_org_nothing_is_removed(registry: Registry, aged: list[str]) -> None:
    impatient = Registry(registry.root, wait_seconds=0.05)
    with registry.exclusive("acme"), pytest.raises(RegistryBusy):
        remove(impatient)
    assert all(registry.removal("acme", name) is None for name in aged)


def test_where_the_history_cannot_be_read_nothing_is_removed(registry: Registry, aged: list[str]) -> None:
    (registry.root / "acme" / "active.json").write_bytes(b"{")
    with pytest.raises(Damaged):
        remove(registry)
    assert all(registry.removal("acme", name) is None for name in aged)


def test_a_withdrawn_version_stays_until_the_org_is_decided_on(registry: Registry, aged: list[str]) -> None:
    withdraw(registry, "acme", by="a test", reason="a test")
    remove(registry)
    registry.load("acme", aged[4])


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["activate", "hold", "hold"], 2),
        (["activate", "hold", "refuse"], 1),
        (["hold", "activate", "refuse"], None),
        (["activate", "hold", "withheld"], 1),
    ],
)
def test_the_newest_held_version_is_newer_than_the_active_one(
    verdicts: Sequence[str], expected: int | None, registry: Registry, publish: Publish, judge: Judge
) -> None:
    made = []
    for verdict in verdicts:
        made.append(publish(registry))
        because = (Reason("trial", "It was only tried", None, None),) if verdict == "withheld" else ()
        judge(registry, made[-1], "hold" if because else verdict, withheld=because)
        if verdict == "activate":
            apply_verdict(registry, "acme", made[-1], by="a test")
    found = newest_held(registry, "acme", registry.active("acme").version)
    assert found == (None if expected is None else made[expected])


def test_a_held_version_is_found_for_an_org_that_never_had_an_active_one(
    registry: Registry, publish: Publish, judge: Judge
) -> None:
    judge(registry, held := publish(registry), "hold")
    assert newest_held(registry, "acme", None) == held
    (registry.root / "acme" / held / "evaluation.json").write_bytes(b"{")
    assert newest_held(registry, "acme", None) is None


# beside others


def test_who_maps_a_version_goes_on_reading_it(registry: Registry, aged: list[str]) -> None:
    path = registry.root / "acme" / aged[0] / ENGINE_FILE
    content = path.read_bytes()
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def map_file(found: PlainFile, _sha256: str) -> memoryview:
        remove(registry)
        assert not found.path.exists()
        return memoryview(mapped)

    loaded = registry.load_for_scoring("acme", aged[0], registry.manifest_sha256("acme", aged[0]), map_file)
    assert mapped[:] == content
    assert loaded.scorer.base_value == registry.load("acme", aged[4]).scorer.base_value


def test_what_goes_while_it_is_read_was_removed_and_is_not_damaged(registry: Registry, aged: list[str]) -> None:
    def remove_first(file: PlainFile, _sha256: str) -> memoryview:
        remove(registry)
        raise Damaged(f"{file.name} cannot be read")

    with pytest.raises(VersionRemoved):
        registry.load_for_scoring("acme", aged[0], registry.manifest_sha256("acme", aged[0]), remove_first)


def _race(results: Any, barrier: Any, work: Callable[[], object]) -> None:
    barrier.wait(30)
    try:
        work()
    except VersionRemoved:
        results.put("refused")
    else:
        results.put("done")


def test_a_rollback_and_a_removal_of_the_same_version_at_the_same_time_have_an_order(
    registry: Registry, publish: Publish, judge: Judge
) -> None:
    """Either the rollback wins, and the version stays whole and active; or it is told that the version is removed."""
    context, seen = multiprocessing.get_context("fork"), set()
    for number in range(30):
        org_id = f"org-{number}"
        made = [publish(registry, org_id) for _ in range(4)]
        for name in made:
            judge(registry, name, org_id=org_id)
            apply_verdict(registry, org_id, name, by="a test")
        barrier, results = context.Barrier(2), context.SimpleQueue()
        acts = (
            lambda made=made, org_id=org_id: roll_back(registry, org_id, made[0], by="a test", reason="a test"),
            lambda org_id=org_id: remove(registry, org_id),
        )
        with warnings.catch_warnings():
            # the children take none of the locks that other threads may hold
            warnings.simplefilter("ignore", DeprecationWarning)
            workers = [context.Process(target=_race, args=(results, barrier, act)) for act in acts]
            for worker in workers:
                worker.start()
        for worker in workers:
            worker.join(30)
            assert worker.exitcode == 0
        outcomes = {results.get() for _ in workers}
        pointer, is_removed = registry.active(org_id), registry.removal(org_id, made[0]) is not None
        assert is_removed == (outcomes == {"done", "refused"})
        assert pointer.version == made[3 if is_removed else 0]
        registry.load(org_id, pointer.version, pointer.manifest_sha256)
        seen.add(is_removed)
    assert seen  # which of them wins is up to the machine


def test_a_backup_has_what_stays_of_a_removed_version_and_it_can_be_restored(
    registry: Registry, aged: list[str], tmp_path: Path
) -> None:
    remove(registry)
    copied = Copied()
    for name, content in saved_files(registry, copied):
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / name).write_bytes(content)
    restored = Registry(tmp_path / "copy")
    assert (copied.damaged, check_copy(restored).damaged) == ([], [])
    assert restored.removal("acme", aged[0]) == registry.removal("acme", aged[0])
    with pytest.raises(VersionRemoved):
        restored.load("acme", aged[0])


def test_a_version_that_goes_while_it_is_saved_is_saved_as_removed(
    registry: Registry, aged: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = backup.open_plain

    def remove_then_read(path: Path) -> Any:
        remove(registry)
        return read(path)

    monkeypatch.setattr(backup, "open_plain", remove_then_read)
    copied = Copied()
    files = dict(saved_files(registry, copied))
    assert copied.damaged == []
    assert {name.split("/")[2] for name in files if f"/{aged[0]}/" in name} == set(TELLING_FILES)
    assert f"acme/{aged[4]}/{ENGINE_FILE}" in files
