"""A writer that is killed or refused at any step, and many writers at once: the old state or the new, whole.

Every call by which the registry changes the disk is a step. A test fails or dies before the first step, then
before the second, until the work gets through; nothing has to be kept in line with the code.
"""

from __future__ import annotations

import errno
import io
import itertools
import multiprocessing
import os
import random
import shutil
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from leadscore.errors import ActiveVersionMoved, RegistryUnavailable, VersionRemoved
from leadscore.gate import Judgement
from leadscore.registry import activation
from leadscore.registry.old_versions import Keep, RemovedVersions, remove_old_versions
from leadscore.registry.store import Pointer, Registry

Publish = Callable[..., str]
Judge = Callable[..., Judgement]
Work = Callable[[Registry], object]

STEPS = [(os, "mkdir"), (os, "fsync"), (os, "rename"), (os, "replace"), (os, "unlink"), (io, "open")]


class Trap:
    """Lets calls through until the `step`-th, before which it does `strike`; what follows a call may be a step, too."""

    def __init__(self, step: int, strike: Callable[[], None], *, is_also_after: bool = False) -> None:
        self.left = step
        self.strike = strike
        self.is_also_after = is_also_after

    def set(self, patch: pytest.MonkeyPatch) -> None:
        for owner, name in STEPS:
            patch.setattr(owner, name, self._watched(getattr(owner, name)))

    def _watched(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **named: Any) -> Any:
            self._pass()
            result = call(*arguments, **named)
            if self.is_also_after:
                self._pass()
            return result

        return watched

    def _pass(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.strike()


def _is_killed_before(step: int, work: Callable[[], object]) -> bool:
    """Do `work` in a child process that kills itself at that step; return whether it came to it."""
    with warnings.catch_warnings():
        # the child only writes files and dies: it takes none of the locks that other threads may hold
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            # after a file was opened and before it is written, it is empty: that moment counts as well
            Trap(step, lambda: os.kill(os.getpid(), signal.SIGKILL), is_also_after=True).set(pytest.MonkeyPatch())
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0, f"the work failed before step {step}"
    return os.WIFSIGNALED(status)


def _fails_before(step: int, number: int, work: Callable[[], object]) -> bool:
    """Do `work` with the `step`-th call failing with this error number; return whether it came to it."""

    def strike() -> None:
        raise OSError(number, os.strerror(number))

    trap = Trap(step, strike)
    # a folder that cannot be made is no fault when it is there already: then the work is done all the same
    with pytest.MonkeyPatch.context() as patch, suppress(RegistryUnavailable):
        trap.set(patch)
        work()
    return trap.left <= 0


def _leftovers(registry: Registry) -> list[Path]:
    return list(registry.root.rglob(".partial-*"))


def _assert_whole(registry: Registry, org_id: str = "acme") -> None:
    """Every version listed, and the active one, is complete and verified."""
    for version in registry.versions(org_id):
        assert registry.load(org_id, version).manifest.version == version
    pointer = registry.active(org_id)
    if pointer is not None:
        registry.load(org_id, pointer.version, pointer.manifest_sha256)
        assert registry.history(org_id).entries[-1] == pointer


def _activated(registry: Registry, publish: Publish, judge: Judge) -> str:
    version = publish(registry)
    judge(registry, version)
    activation.apply_verdict(registry, "acme", version, by="run-1")
    return version


@pytest.fixture
def fresh(tmp_path: Path, publish: Publish, judge: Judge) -> Iterator[Registry]:
    """Give registries that hold an active version and a judged one, each in a folder of its own."""
    number = itertools.count()

    def registries() -> Iterator[Registry]:
        while True:
            registry = Registry(tmp_path / str(next(number)))
            _activated(registry, publish, judge)
            judge(registry, publish(registry))
            yield registry

    return registries()


def _activate_newest(registry: Registry) -> Pointer:
    return activation.apply_verdict(registry, "acme", registry.versions("acme")[0], by="run-2").pointer


def test_a_publish_killed_at_any_step_leaves_whole_versions_and_the_next_one_sweeps(
    fresh: Iterator[Registry], publish: Publish
) -> None:
    for step in itertools.count(1):
        registry = next(fresh)
        before, pointer = registry.versions("acme"), registry.active("acme")
        was_killed = _is_killed_before(step, lambda registry=registry: publish(registry))
        assert len(registry.versions("acme")) - len(before) in ((0, 1) if was_killed else (1,))
        assert registry.active("acme") == pointer
        _assert_whole(registry)
        version = publish(registry)
        assert (registry.versions("acme")[0], _leftovers(registry)) == (version, [])
        if not was_killed:
            break
    assert step > 10


def test_an_activation_killed_at_any_step_leaves_the_old_version_or_the_new(
    fresh: Iterator[Registry], publish: Publish, judge: Judge
) -> None:
    seen = set()
    for step in itertools.count(1):
        registry = next(fresh)
        newest, oldest = registry.versions("acme")
        was_killed = _is_killed_before(step, lambda registry=registry: _activate_newest(registry))
        active = registry.active("acme").version
        assert active in ((oldest, newest) if was_killed else (newest,))
        seen.add((was_killed, active == newest))
        _assert_whole(registry)
        assert [entry.version for entry in registry.history("acme").entries] == [oldest, newest][
            : 1 + (active == newest)
        ]
        third = _activated(registry, publish, judge)
        assert [entry.version for entry in registry.history("acme").entries][-1] == third
        assert _leftovers(registry) == []
        if not was_killed:
            break
    assert seen == {(True, False), (True, True), (False, True)}


def test_a_withdrawal_killed_at_any_step_leaves_the_version_active_or_withdrawn(fresh: Iterator[Registry]) -> None:
    seen = set()
    for step in itertools.count(1):
        registry = next(fresh)
        former = registry.active("acme")
        was_killed = _is_killed_before(
            step, lambda registry=registry: activation.withdraw(registry, "acme", by="a test", reason="a test")
        )
        assert registry.active("acme") in (former, None)
        is_withdrawn = registry.active("acme") is None
        seen.add((was_killed, is_withdrawn))
        assert len(registry.history("acme").entries) == 1 + is_withdrawn
        assert activation.withdraw(registry, "acme", by="a test", reason="a test") != is_withdrawn
        assert activation.reinstate(registry, "acme", by="a test", reason="a test").version == former.version
        _assert_whole(registry)
        if not was_killed:
            break
    assert seen == {(True, False), (True, True), (False, True)}


def test_a_judgement_killed_at_any_step_is_there_or_not_and_can_then_be_made(
    tmp_path: Path, publish: Publish, judge: Judge
) -> None:
    for step in itertools.count(1):
        registry = Registry(tmp_path / str(step))
        version = publish(registry)
        was_killed = _is_killed_before(step, lambda registry=registry, version=version: judge(registry, version))
        if registry.judgement("acme", version) is None:
            judge(registry, version)
        publish(registry)
        assert _leftovers(registry) == []
        _assert_whole(registry)
        if not was_killed:
            break
    assert step > 3


def _remove_old(registry: Registry) -> RemovedVersions:
    """Remove all but the active version, the one before it, and the newest other one."""
    later = datetime.now(UTC) + timedelta(days=100)
    return remove_old_versions(registry, "acme", Keep(1, 30), later, by="a test")


def _removed(registry: Registry) -> list[str]:
    """Return the versions that say they are removed, oldest first; every other one is whole."""
    removed = []
    for version in reversed(registry.versions("acme")):
        assert registry.manifest("acme", version).version == version
        assert registry.judgement("acme", version) is not None
        try:
            registry.load("acme", version)
        except VersionRemoved:
            removed.append(version)
    return removed


@pytest.fixture
def eight_versions(registry: Registry, publish: Publish, judge: Judge) -> list[str]:
    """Give eight versions that were active in turn."""
    return [_activated(registry, publish, judge) for _ in range(8)]


@pytest.fixture
def copies(registry: Registry, eight_versions: list[str], tmp_path: Path) -> Iterator[Registry]:
    """Give copies of a registry that holds `eight_versions`, each in a folder of its own."""

    def fresh() -> Iterator[Registry]:
        for number in itertools.count():
            yield Registry(shutil.copytree(registry.root, tmp_path / "copies" / str(number)))

    return fresh()


def test_a_removal_killed_at_any_step_leaves_each_version_whole_or_removed_and_the_next_one_finishes(
    copies: Iterator[Registry], eight_versions: list[str]
) -> None:
    seen = set()
    for step in itertools.count(1):
        registry = next(copies)
        was_killed = _is_killed_before(step, lambda registry=registry: _remove_old(registry))
        seen.add(len(_removed(registry)))
        registry.load("acme", registry.active("acme").version)
        left = _remove_old(registry)
        assert left.versions <= (5 if was_killed else 0)
        assert _removed(registry) == eight_versions[:5]
        files = sorted(path.name for path in (registry.root / "acme" / eight_versions[4]).iterdir())
        assert [name for name in files if not name.startswith(".partial-")] == [
            "evaluation.json",
            "manifest.json",
            "removed.json",
        ]
        if not was_killed:
            break
    assert seen == set(range(6))


def test_processes_killed_while_they_roll_back_and_remove_leave_each_version_whole_or_removed(
    copies: Iterator[Registry], eight_versions: list[str]
) -> None:
    pauses, seen = random.Random(7), set()
    for _ in range(20):
        registry = next(copies)
        with warnings.catch_warnings():
            # the children take none of the locks that other threads may hold
            warnings.simplefilter("ignore", DeprecationWarning)
            context = multiprocessing.get_context("fork")
            workers = [context.Process(target=_work_for_ever, args=(registry, number)) for number in range(2)]
            for worker in workers:
                worker.start()
        time.sleep(pauses.uniform(0, 0.05))  # not a wait: the moment at which they are killed
        for worker in workers:
            worker.kill()
            worker.join(30)
        pointer = registry.active("acme")
        registry.load("acme", pointer.version, pointer.manifest_sha256)
        seen.add(len(_removed(registry)))
        _remove_old(registry)
        assert len(_removed(registry)) == len(eight_versions) - 3
        assert all(not list(registry.root.rglob(f"{version}/forest*")) for version in _removed(registry))
    assert seen - {0}


def _work_for_ever(registry: Registry, number: int) -> None:
    """Roll back to one version after the other, and remove what that leaves old."""
    for turn in itertools.count(number):
        with suppress(VersionRemoved):
            versions = registry.versions("acme")
            activation.roll_back(registry, "acme", versions[turn % len(versions)], by="a test", reason="a test")
        _remove_old(registry)


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS], ids=errno.errorcode.get)
def test_a_removal_refused_at_any_step_leaves_each_version_whole_or_removed(
    number: int, copies: Iterator[Registry], eight_versions: list[str]
) -> None:
    for step in itertools.count(1):
        registry = next(copies)
        was_refused = _fails_before(step, number, lambda registry=registry: _remove_old(registry))
        assert len(_removed(registry)) <= 5
        _remove_old(registry)
        assert _removed(registry) == eight_versions[:5]
        if not was_refused:
            break
    assert step > 5


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT], ids=errno.errorcode.get)
def test_a_publish_refused_at_any_step_leaves_nothing_behind(
    number: int, fresh: Iterator[Registry], publish: Publish
) -> None:
    registry = next(fresh)
    for step in itertools.count(1):
        before, pointer = registry.versions("acme"), registry.active("acme")
        was_refused = _fails_before(step, number, lambda: publish(registry))
        assert _leftovers(registry) == []
        assert registry.active("acme") == pointer
        assert len(registry.versions("acme")) - len(before) in ((0, 1) if was_refused else (1,))
        _assert_whole(registry)
        if not was_refused:
            break
    assert step > 10


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_an_activation_refused_at_any_step_leaves_the_old_version_or_the_new(
    number: int, fresh: Iterator[Registry], publish: Publish
) -> None:
    for step in itertools.count(1):
        registry = next(fresh)
        newest, oldest = registry.versions("acme")
        was_refused = _fails_before(step, number, lambda registry=registry: _activate_newest(registry))
        active = registry.active("acme").version
        assert active in ((oldest, newest) if was_refused else (newest,))
        _assert_whole(registry)
        publish(registry)
        assert _leftovers(registry) == []
        if not was_refused:
            break
    assert step > 5


def test_a_disk_that_is_full_is_met_before_the_pointer_moves(
    fresh: Iterator[Registry], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing needs space, putting in place does not: the error comes while the old version is still active."""
    registry = next(fresh)
    pointer = registry.active("acme")
    write, written = os.fsync, []

    def full_at_the_second(descriptor: int) -> None:
        written.append(descriptor)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_at_the_second)
        with pytest.raises(RegistryUnavailable, match="No space left"):
            _activate_newest(registry)
    assert (registry.active("acme"), _leftovers(registry)) == (pointer, [])


# many at once

PROCESSES = 4


def _in_processes(work: Callable[..., None], *arguments: Any) -> list[Any]:
    """Run `work(results, number, *arguments)` in several processes at once, and return what they put in `results`."""
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    with warnings.catch_warnings():
        # the children take none of the locks that other threads may hold
        warnings.simplefilter("ignore", DeprecationWarning)
        workers = [context.Process(target=work, args=(results, number, *arguments)) for number in range(PROCESSES)]
        for worker in workers:
            worker.start()
    for worker in workers:
        worker.join(timeout=30)
        assert worker.exitcode == 0
    found = []
    while not results.empty():
        found.append(results.get())
    return found


def _publish_some(results: Any, number: int, registry: Registry, publish: Publish) -> None:
    for _ in range(3):
        results.put(publish(registry))


def test_versions_published_by_many_at_once_all_differ_and_all_stay(registry: Registry, publish: Publish) -> None:
    published = _in_processes(_publish_some, registry, publish)
    assert len(published) == 3 * PROCESSES
    assert sorted(published, reverse=True) == registry.versions("acme")
    _assert_whole(registry)


def _activate_one(results: Any, number: int, registry: Registry, versions: list[str]) -> None:
    try:
        activation.apply_verdict(registry, "acme", versions[number], by=f"run-{number}")
        results.put(versions[number])
    except ActiveVersionMoved:
        results.put(None)


def test_of_many_activations_at_once_exactly_one_wins_and_the_others_are_told(
    registry: Registry, publish: Publish, judge: Judge
) -> None:
    versions = [publish(registry) for _ in range(PROCESSES)]
    for version in versions:
        judge(registry, version)
    outcomes = _in_processes(_activate_one, registry, versions)
    winners = [version for version in outcomes if version]
    assert (len(outcomes), len(winners)) == (PROCESSES, 1)
    assert registry.active("acme").version == winners[0]
    assert [entry.version for entry in registry.history("acme").entries] == winners


def _move_or_read(results: Any, number: int, registry: Registry, versions: list[str]) -> None:
    """Two move the pointer to and fro, two read it; what a reader sees must be whole and one of the versions."""
    for turn in range(10):
        if number < 2:
            version = versions[(turn + number) % len(versions)]
            activation.roll_back(registry, "acme", version, by=f"p{number}", reason=f"turn {turn}")
        else:
            pointer = registry.active("acme")
            found = registry.load("acme", pointer.version, pointer.manifest_sha256).manifest.version
            results.put(found == pointer.version and found in versions)


def test_readers_see_whole_versions_while_writers_move_the_pointer(
    registry: Registry, publish: Publish, judge: Judge
) -> None:
    versions = [_activated(registry, publish, judge) for _ in range(3)]
    seen = _in_processes(_move_or_read, registry, versions)
    assert (len(seen), all(seen)) == (20, True)
    history = registry.history("acme").entries
    assert all(later.previous == earlier.version for earlier, later in itertools.pairwise(history))
    assert history[-1] == registry.active("acme")
