"""A registry in an object store whose requests fail, or whose answers are lost, at any step: the old state or the new.

Every request is a step. A test lets the first fail, then the second, until the work gets through. A writer that is
killed is one whose requests do not arrive from some step on: then nothing cleans up after it, either.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from leadscore.errors import (
    ActiveVersionMoved,
    AlreadyJudged,
    Damaged,
    LeadscoreError,
    NotInFolder,
    Overtaken,
    RegistryBusy,
    RegistryUnavailable,
    VersionNotFound,
)
from leadscore.gate import Judgement
from leadscore.registry import activation, object_storage
from leadscore.registry.backup import check_no_registry
from leadscore.registry.moves import rename, set_aside
from leadscore.registry.object_client import ObjectClient
from leadscore.registry.removal import remove_org
from leadscore.registry.store import Pointer, Registry
from leadscore.registry.version import ENGINE_FILE
from tests.leadscore.registry.registry_files import files, put
from tests.object_store import SECRET, Fault, FaultyStore

Publish = Callable[..., str]
Judge = Callable[..., Judgement]

WRITERS = 4


@pytest.fixture
def registry(object_store: FaultyStore) -> Registry:
    return Registry(object_store.new_url())


@pytest.fixture
def fresh(object_store: FaultyStore, publish: Publish, judge: Judge) -> Iterator[Registry]:
    """Give registries that hold an active version and a judged one."""

    def registries() -> Iterator[Registry]:
        while True:
            registry = Registry(object_store.new_url(), wait_seconds=1)
            judge(registry, active := publish(registry))
            activation.apply_verdict(registry, "acme", active, by="run-1")
            judge(registry, publish(registry))
            yield registry

    return registries()


def _activate_newest(registry: Registry) -> Pointer | None:
    return activation.apply_verdict(registry, "acme", registry.versions("acme")[0], by="run-2").pointer


def _assert_whole(registry: Registry) -> None:
    for version in registry.versions("acme"):
        assert registry.load("acme", version).manifest.version == version
    pointer = registry.active("acme")
    if pointer is not None:
        registry.load("acme", pointer.version, pointer.manifest_sha256)
        assert registry.history("acme").entries[-1] == pointer


def _orphans(registry: Registry) -> set[str]:
    """Return the folders of what is no version."""
    folders = {key.split("/")[1] for key in files(registry) if key.count("/") == 2}
    return folders - set(registry.versions("acme"))


class Once:
    """One fault at one step."""

    def __init__(self, step: int, fault: Fault) -> None:
        self.step, self.fault, self.is_over = step, fault, False

    def __call__(self, number: int, *_: str) -> Fault:
        self.is_over = self.is_over or number == self.step
        return self.fault if number == self.step else Fault.NONE


class FromThenOn(Once):
    """The last request that arrives has no answer, if `fault` is LOST; after it, none arrives."""

    def __call__(self, number: int, *_: str) -> Fault:
        self.is_over = self.is_over or number >= self.step
        return Fault.NONE if number < self.step else self.fault if number == self.step else Fault.DEAD


DEATHS = [Fault.DEAD, Fault.LOST]
ACCIDENTS = [Fault.REFUSED, Fault.FAILED, Fault.LOST]
by_name = pytest.mark.parametrize


@by_name("fault", DEATHS)
def test_a_publish_killed_at_any_step_leaves_whole_versions(
    fault: Fault, fresh: Iterator[Registry], publish: Publish, object_store: FaultyStore
) -> None:
    registry = next(fresh)
    for step in itertools.count(1):
        before, pointer, killer = registry.versions("acme"), registry.active("acme"), FromThenOn(step, fault)
        with object_store.faulty(killer):
            _outcome(lambda: publish(registry))
        assert len(registry.versions("acme")) - len(before) in ((0, 1) if killer.is_over else (1,))
        assert registry.active("acme") == pointer
        if not killer.is_over:
            break
    _assert_whole(registry)
    assert step > 8


@by_name("fault", ACCIDENTS)
def test_a_publish_survives_any_single_fault_or_leaves_nothing(
    fault: Fault, fresh: Iterator[Registry], publish: Publish, object_store: FaultyStore
) -> None:
    registry = next(fresh)
    for step in itertools.count(1):
        before, accident = registry.versions("acme"), Once(step, fault)
        with object_store.faulty(accident):
            outcome = _outcome(lambda: publish(registry))
        added = set(registry.versions("acme")) - set(before)
        assert added == ({outcome} if isinstance(outcome, str) else set())
        assert _orphans(registry) == set()
        if not accident.is_over:
            break
    _assert_whole(registry)


@by_name("fault", DEATHS)
def test_an_activation_killed_at_any_step_leaves_the_old_version_or_the_new(
    fault: Fault, fresh: Iterator[Registry], publish: Publish, judge: Judge, object_store: FaultyStore
) -> None:
    seen = set()
    for step in itertools.count(1):
        registry, killer = next(fresh), FromThenOn(step, fault)
        newest, oldest = registry.versions("acme")
        with object_store.faulty(killer):
            _outcome(lambda registry=registry: _activate_newest(registry))
        active = registry.active("acme").version
        assert active in ((oldest, newest) if killer.is_over else (newest,))
        seen.add((killer.is_over, active == newest))
        _assert_whole(registry)
        assert [entry.version for entry in registry.history("acme").entries] == [oldest, newest][
            : 1 + (active == newest)
        ]
        judge(registry, third := publish(registry))
        assert activation.apply_verdict(registry, "acme", third, by="run-3").is_activated
        assert [entry.version for entry in registry.history("acme").entries][-2:] == [active, third]
        if not killer.is_over:
            break
    assert seen == {(True, False), (True, True), (False, True)}


@by_name("fault", ACCIDENTS)
def test_an_activation_whose_answer_is_lost_or_that_fails_once_is_made_once(
    fault: Fault, fresh: Iterator[Registry], object_store: FaultyStore
) -> None:
    """A lost answer is settled by reading back what is there now."""
    for step in itertools.count(1):
        registry, accident = next(fresh), Once(step, fault)
        newest, oldest = registry.versions("acme")
        with object_store.faulty(accident):
            outcome = _outcome(lambda registry=registry: _activate_newest(registry))
        assert outcome == registry.active("acme")
        assert [entry.version for entry in registry.history("acme").entries] == [oldest, newest]
        if not accident.is_over:
            break


@by_name("fault", DEATHS)
def test_a_withdrawal_killed_at_any_step_leaves_the_version_active_or_withdrawn(
    fault: Fault, fresh: Iterator[Registry], object_store: FaultyStore
) -> None:
    for step in itertools.count(1):
        registry, killer = next(fresh), FromThenOn(step, fault)
        former = registry.active("acme")
        with object_store.faulty(killer):
            _outcome(lambda registry=registry: activation.withdraw(registry, "acme", by="a test", reason="a test"))
        assert registry.active("acme") in ((former, None) if killer.is_over else (None,))
        is_withdrawn = registry.active("acme") is None
        assert activation.withdraw(registry, "acme", by="a test", reason="a test") != is_withdrawn
        assert activation.reinstate(registry, "acme", by="a test", reason="a test").version == former.version
        if not killer.is_over:
            break


@by_name("fault", DEATHS)
def test_a_judgement_killed_at_any_step_is_there_or_not_and_can_then_be_made(
    fault: Fault, registry: Registry, publish: Publish, judge: Judge, object_store: FaultyStore
) -> None:
    for step in itertools.count(1):
        version, killer = publish(registry), FromThenOn(step, fault)
        with object_store.faulty(killer):
            _outcome(lambda version=version: judge(registry, version))
        if registry.judgement("acme", version) is None:
            judge(registry, version)
        if not killer.is_over:
            break
    _assert_whole(registry)


@by_name("fault", DEATHS)
def test_an_erasure_killed_at_any_step_serves_nothing_by_halves_and_is_finished_by_the_next(
    fault: Fault, fresh: Iterator[Registry], object_store: FaultyStore
) -> None:
    for step in itertools.count(1):
        registry, killer = next(fresh), FromThenOn(step, fault)
        with object_store.faulty(killer):
            _outcome(lambda registry=registry: remove_org(registry, "acme"))
        _assert_whole(registry)
        remove_org(registry, "acme")
        assert files(registry).keys() <= {"changes.json"}
        if not killer.is_over:
            break
    assert step > 5


def _outcome(work: Callable[[], Any]) -> Any:
    """Return what `work` returns, or the error of a store that is not as it should be."""
    try:
        return work()
    except (RegistryUnavailable, RegistryBusy) as error:
        return error


# many at once


def _at_once(*works: Callable[[], object]) -> list[object]:
    """Do all of it at once; return what each returned or raised."""
    begin, found = threading.Barrier(len(works)), []

    def run(work: Callable[[], object]) -> None:
        begin.wait()
        try:
            found.append(work())
        except LeadscoreError as error:
            found.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == len(works)
    return found


def test_versions_published_by_many_at_once_all_differ_and_all_stay(registry: Registry, publish: Publish) -> None:
    published = _at_once(*[lambda: publish(Registry(registry.place))] * (2 * WRITERS))
    assert sorted(published, reverse=True) == registry.versions("acme")
    assert len(set(published)) == 2 * WRITERS
    _assert_whole(registry)


def test_of_many_activations_at_once_exactly_one_wins_and_the_others_are_told(
    registry: Registry, publish: Publish, judge: Judge
) -> None:
    for version in (versions := [publish(registry) for _ in range(WRITERS)]):
        judge(registry, version)
    outcomes = _at_once(
        *(
            lambda version=version: activation.apply_verdict(Registry(registry.place), "acme", version, by="run")
            for version in versions
        )
    )
    winners = [outcome.pointer for outcome in outcomes if isinstance(outcome, activation.Applied)]
    assert len(winners) == 1
    assert sum(isinstance(outcome, ActiveVersionMoved) for outcome in outcomes) == WRITERS - 1
    assert registry.history("acme").entries == winners == [registry.active("acme")]


def test_rollbacks_at_once_all_happen_one_after_the_other(registry: Registry, publish: Publish, judge: Judge) -> None:
    for version in (versions := [publish(registry) for _ in range(3)]):
        judge(registry, version)
    _at_once(
        *(
            lambda version=version: activation.roll_back(Registry(registry.place), "acme", version, by="me", reason="x")
            for version in versions
        )
    )
    history = registry.history("acme").entries
    assert sorted(entry.version for entry in history) == sorted(versions)
    assert all(later.previous == earlier.version for earlier, later in itertools.pairwise(history))


def test_of_two_judgements_at_once_one_stays_with_its_own_report(
    registry: Registry, publish: Publish, judge: Judge
) -> None:
    model = judge(registry, publish(registry))
    version = publish(registry)

    def record(report: bytes) -> object:
        return Registry(registry.place).record_judgement("acme", version, model, {"report.html": report})

    outcomes = _at_once(*(lambda report=report: record(report) for report in (b"one", b"another")))
    assert sum(isinstance(outcome, AlreadyJudged) for outcome in outcomes) == 1
    assert registry.judged_file("acme", version, "report.html") in (b"one", b"another")
    assert registry.judgement("acme", version) in outcomes


def test_readers_see_whole_histories_while_writers_move_the_pointer(
    registry: Registry, publish: Publish, judge: Judge
) -> None:
    for version in (versions := [publish(registry) for _ in range(2)]):
        judge(registry, version)

    def write(turn: int) -> None:
        for number in range(4):
            activation.roll_back(
                Registry(registry.place), "acme", versions[(turn + number) % 2], by=f"{turn}", reason=f"{number}"
            )

    def read() -> None:
        for _ in range(15):
            entries = Registry(registry.place).history("acme").entries
            assert all(later.previous == earlier.version for earlier, later in itertools.pairwise(entries))

    found = _at_once(lambda: write(0), lambda: write(1), read, read)
    assert found == [None] * 4
    assert registry.history("acme").entries[-1] == registry.active("acme")


def test_an_activation_is_refused_while_the_org_is_erased(
    fresh: Iterator[Registry], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = next(fresh)
    verify, newest = Registry.verify, registry.versions("acme")[0]

    def erase_then_verify(self: Registry, *arguments: Any) -> str:
        found = verify(self, *arguments)
        remove_org(Registry(registry.place), "acme")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Registry, "verify", erase_then_verify)
        with pytest.raises((VersionNotFound, Damaged, activation.NotActivatable, ActiveVersionMoved)):
            activation.apply_verdict(registry, "acme", newest, by="late")
    assert (registry.active("acme"), registry.versions("acme")) == (None, [])


def test_who_has_seen_no_pointer_is_told_that_one_came_and_went(
    registry: Registry, publish: Publish, judge: Judge
) -> None:
    """Although what is there now looks like what was there then."""
    activation.withdraw(registry, "acme", by="a test", reason="a test")
    activation.reinstate(registry, "acme", by="a test", reason="a test")
    judge(registry, version := publish(registry))
    seen = registry.history("acme")
    assert activation.apply_verdict(registry, "acme", version, by="run-1").is_activated
    activation.withdraw(registry, "acme", by="a test", reason="a test")
    ObjectClient(registry.place).delete([f"acme/{version}/manifest.json"])
    activation.reinstate(registry, "acme", by="a test", reason="a test")
    assert registry.history("acme").present is seen.present is None
    with pytest.raises(Overtaken):
        registry.swap_pointer("acme", seen.entries[0], seen)


def test_a_publish_is_given_up_when_the_org_is_erased_meanwhile(registry: Registry, publish: Publish) -> None:
    publish(registry)
    fenced = registry.fenced(lambda _: None)
    asked = []

    def erase(org_id: str) -> None:
        asked.append(org_id)
        if len(asked) == 2:  # right before the manifest is stored
            remove_org(registry, org_id)

    with pytest.raises(RegistryBusy, match="quicker"):
        publish(fenced.fenced(erase))
    assert registry.versions("acme") == []
    assert files(registry).keys() == {"changes.json"}


# what is left behind


def test_what_a_killed_writer_left_is_removed_a_day_later(
    registry: Registry, publish: Publish, monkeypatch: pytest.MonkeyPatch, object_store: FaultyStore
) -> None:
    with object_store.faulty(FromThenOn(8, Fault.DEAD)):
        _outcome(lambda: publish(registry))
    left = _orphans(registry)
    assert len(left) == 1
    publish(registry)
    assert _orphans(registry) == left
    monkeypatch.setattr(object_storage, "ABANDONED", timedelta(seconds=-5))
    publish(registry)
    assert _orphans(registry) == set()


def test_a_publish_that_took_too_long_is_given_up(
    registry: Registry, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_storage, "PUBLISH_SECONDS", -1.0)
    with pytest.raises(RegistryBusy):
        publish(registry)
    assert files(registry) == {}


# reading


def test_a_store_that_is_down_is_said_without_credentials_or_addresses(
    registry: Registry, publish: Publish, object_store: FaultyStore, caplog: pytest.LogCaptureFixture
) -> None:
    version = publish(registry)
    with object_store.down():
        for read in (
            registry.orgs,
            lambda: registry.versions("acme"),
            lambda: registry.history("acme"),
            lambda: registry.load("acme", version),
            lambda: registry.pointer_stamp("acme"),
            registry.registry_id,
        ):
            with pytest.raises(RegistryUnavailable, match="object store") as caught:
                read()
            assert SECRET not in caught.value.message
            assert str(object_store.port) not in caught.value.message
            assert caught.value.__cause__ is None
    assert SECRET not in caplog.text


def test_an_answer_is_slow_and_right(registry: Registry, publish: Publish, object_store: FaultyStore) -> None:
    object_store.latency_seconds = 0.05
    try:
        version = publish(registry)
    finally:
        object_store.latency_seconds = 0.0
    assert registry.versions("acme") == [version]


def test_a_file_of_a_version_that_is_gone_or_changed_is_damaged(registry: Registry, publish: Publish) -> None:
    version = publish(registry)
    put(registry, f"acme/{version}/{ENGINE_FILE}", b"changed")
    with pytest.raises(Damaged, match="SHA-256"):
        registry.load("acme", version)
    ObjectClient(registry.place).delete([f"acme/{version}/{ENGINE_FILE}"])
    with pytest.raises(Damaged, match="cannot be read"):
        registry.load("acme", version)


def test_a_folder_that_was_copied_into_a_bucket_is_a_registry(
    registry: Registry, publish: Publish, judge: Judge, tmp_path: Any
) -> None:
    folder = Registry(tmp_path / "models")
    version = publish(folder)
    judgement = judge(folder, other := publish(folder))
    judgement = msgspec.structs.replace(judgement, manifest_sha256=folder.manifest_sha256("acme", version))
    folder.record_judgement("acme", version, judgement, {"report.html": b"<p>"})
    activation.apply_verdict(folder, "acme", version, by="run-1")
    for key, content in files(folder).items():
        put(registry, key, content)
    assert registry.versions("acme") == folder.versions("acme")
    assert registry.history("acme").entries == folder.history("acme").entries
    assert registry.judged_file("acme", version, "report.html") == b"<p>"
    assert registry.load("acme", version).manifest == folder.load("acme", version).manifest
    assert activation.roll_back(registry, "acme", other, by="me", reason="moved").previous == version


def test_what_needs_a_folder_is_refused_before_anything_is_done(registry: Registry, publish: Publish) -> None:
    publish(registry)
    before = files(registry)
    for act in (
        lambda: rename(registry, "acme", "globex"),
        lambda: set_aside(registry, "acme"),
        lambda: check_no_registry(registry),
    ):
        with pytest.raises(NotInFolder, match="docs/shared-registry"):
            act()
    assert files(registry) == before


def test_the_id_of_the_registry_is_made_once_by_many_at_once(registry: Registry) -> None:
    assert len(set(_at_once(*[lambda: Registry(registry.place).registry_id()] * WRITERS))) == 1


# old versions


def test_the_files_of_an_old_version_go_with_the_second_removal(fresh: Iterator[Registry]) -> None:
    """So that whoever is about to roll back to it has finished."""
    registry = next(fresh)
    held, _ = registry.versions("acme")
    with registry.exclusive("acme"):
        assert registry.remove_files("acme", held, by="a test") == 0
        assert registry.removal("acme", held) is not None
        assert f"acme/{held}/{ENGINE_FILE}" in files(registry)
        assert registry.remove_files("acme", held, by="a test") > 0
    assert f"acme/{held}/{ENGINE_FILE}" not in files(registry)


def test_a_version_that_is_activated_while_it_is_removed_stays(
    fresh: Iterator[Registry], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = next(fresh)
    newest = registry.versions("acme")[0]
    verify = Registry.verify

    def verify_then_remove(self: Registry, *arguments: Any) -> str:
        found = verify(self, *arguments)
        Registry(registry.place).remove_files("acme", newest, by="a test")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Registry, "verify", verify_then_remove)
        _activate_newest(registry)
    registry.load("acme", newest)
    registry.remove_files("acme", newest, by="too late")
    registry.load("acme", newest)


def test_a_request_of_a_dead_store_does_not_hang(registry: Registry, object_store: FaultyStore) -> None:
    with object_store.down():
        began = time.monotonic()
        with pytest.raises(RegistryUnavailable):
            registry.active("acme")
    assert time.monotonic() - began < 10
