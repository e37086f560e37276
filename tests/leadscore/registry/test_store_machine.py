"""Any sequence of acts, with damage and removals between, keeps the registry like its model."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from leadscore.errors import (
    ActiveVersionMoved,
    AlreadyJudged,
    Damaged,
    LeadscoreError,
    NotActivatable,
    OrgChanged,
    VersionRemoved,
)
from leadscore.gate import Judgement
from leadscore.registry.activation import Reinstated, apply_verdict, reinstate, roll_back, withdraw
from leadscore.registry.old_versions import Keep, remove_old_versions
from leadscore.registry.store import Pointer, Registry
from leadscore.registry.version import FOREST_FILE
from tests.leadscore.registry.registry_files import files, put
from tests.object_store import Fault, FaultyStore


@dataclass
class Known:
    """What a version is expected to be."""

    verdict: str | None = None
    champion: str | None = None
    is_damaged: bool = False
    is_removed: bool = False

    @property
    def fault(self) -> type[LeadscoreError] | None:
        if self.is_removed:
            return VersionRemoved
        return Damaged if self.is_damaged else None


@dataclass
class Org:
    """What an org is expected to hold: versions and activations, oldest first, and which version is active.

    Of each withdrawal the history has a None; `withdrawn` is what was active before, in a list while it holds, and
    `previous` the version that was active before the last one.
    """

    versions: dict[str, Known] = field(default_factory=dict)
    history: list[str | None] = field(default_factory=list)
    active: str | None = None
    withdrawn: list[str | None] = field(default_factory=list)
    previous: str | None = None

    def activate(self, version: str) -> None:
        self.history.append(version)
        self.active, self.previous = version, self.active


# no two of them so near that one request meets both, and its repetitions
EVERY = 41
FAULTS = {3: Fault.REFUSED, 17: Fault.FAILED, 31: Fault.LOST}
ORGS = st.sampled_from(["acme", "a.b"])
WHICH = st.integers(0, 9)


class RegistryMachine(RuleBasedStateMachine):
    """The registry beside a model of it in memory."""

    def __init__(self, publish: Callable[..., str], judge: Callable[..., Judgement], registry: Registry) -> None:
        super().__init__()
        self.publish_version, self.judge_version = publish, judge
        self.registry = registry
        self.orgs = {"acme": Org(), "a.b": Org()}

    def _pick(self, org_id: str, which: int) -> tuple[str, Known] | None:
        """Return one of the org's versions, or None when it has none yet."""
        versions = list(self.orgs[org_id].versions.items())
        return versions[which % len(versions)] if versions else None

    def _expect(self, error: type[LeadscoreError] | None, call: Callable[[], object]) -> None:
        if error is None:
            call()
        else:
            with pytest.raises(error):
                call()

    @rule(org_id=ORGS)
    def publish(self, org_id: str) -> None:
        if self.orgs[org_id].withdrawn:
            self._expect(OrgChanged, lambda: self.publish_version(self.registry, org_id))
            return
        version = self.publish_version(self.registry, org_id)
        assert version not in self.orgs[org_id].versions
        self.orgs[org_id].versions[version] = Known()

    @rule(org_id=ORGS, which=WHICH, verdict=st.sampled_from(["activate", "activate", "hold", "refuse"]))
    def judge(self, org_id: str, which: int, verdict: str) -> None:
        if picked := self._pick(org_id, which):
            version, known = picked
            error = AlreadyJudged if known.verdict else None
            self._expect(error, lambda: self.judge_version(self.registry, version, verdict, org_id))
            if error is None:
                known.verdict, known.champion = verdict, self.orgs[org_id].active

    @rule(org_id=ORGS, which=WHICH)
    def apply_verdict(self, org_id: str, which: int) -> None:
        if picked := self._pick(org_id, which):
            (version, known), org = picked, self.orgs[org_id]
            # only a rollback brings back what was active before
            was_active = known.verdict and version in org.history
            is_settled = known.verdict in ("hold", "refuse") or version == org.active or was_active
            changes_nothing = is_settled and not org.withdrawn
            error = None if changes_nothing else self._activation_refusal(known, org)
            self._expect(error, lambda: apply_verdict(self.registry, org_id, version, by="machine"))
            if error is None and not changes_nothing:
                org.activate(version)

    def _activation_refusal(self, known: Known, org: Org) -> type[LeadscoreError] | None:
        if org.withdrawn:
            return OrgChanged
        if known.verdict is None:
            return NotActivatable
        if known.champion != org.active:
            return ActiveVersionMoved
        return known.fault

    @rule(org_id=ORGS, which=WHICH, is_stale=st.booleans(), is_forced=st.booleans())
    def roll_back(self, org_id: str, which: int, is_stale: bool, is_forced: bool) -> None:
        if picked := self._pick(org_id, which):
            (version, known), org = picked, self.orgs[org_id]
            expected = "20200101000000" if is_stale else None
            error = OrgChanged if org.withdrawn else self._refusal(known, is_stale=is_stale, is_forced=is_forced)
            error = VersionRemoved if known.is_removed else error
            self._expect(
                error,
                lambda: roll_back(
                    self.registry, org_id, version, by="m", reason="r", expected_active=expected, is_forced=is_forced
                ),
            )
            if error is None and version != org.active:
                org.activate(version)

    def _refusal(self, known: Known, *, is_stale: bool, is_forced: bool) -> type[LeadscoreError] | None:
        if is_stale:
            return ActiveVersionMoved
        if known.verdict != "activate" and not is_forced:
            return NotActivatable
        return Damaged if known.is_damaged else None

    @rule(org_id=ORGS)
    def withdraw(self, org_id: str) -> None:
        org = self.orgs[org_id]
        assert withdraw(self.registry, org_id, by="m", reason="r") == (not org.withdrawn)
        if not org.withdrawn:
            org.history.append(None)
            org.active, org.withdrawn = None, [org.active]

    @rule(org_id=ORGS)
    def reinstate(self, org_id: str) -> None:
        org = self.orgs[org_id]
        found = reinstate(self.registry, org_id, by="m", reason="r")
        if not org.withdrawn:
            assert found is None
            return
        (version,), org.withdrawn = org.withdrawn, []
        is_damaged = version is not None and org.versions[version].is_damaged
        assert found is not None
        assert (found.version, found.problem is not None) == (None if is_damaged else version, is_damaged)
        if found != Reinstated(None) and found.version:
            org.activate(found.version)
            org.previous = None

    @rule(org_id=ORGS, newest=st.integers(1, 3))
    def remove_old(self, org_id: str, newest: int) -> None:
        """Long after the last activation, so that none counts but the present one."""
        org = self.orgs[org_id]
        later = datetime.now(UTC) + timedelta(days=100)
        remove_old_versions(self.registry, org_id, Keep(newest, 30), later, by="m")
        needed = {org.active, org.previous, *org.withdrawn}
        held = [name for name, known in org.versions.items() if known.verdict == "hold" and name > (org.active or "")]
        needed |= set(held[-1:])
        for name in [name for name in org.versions if name not in needed][:-newest]:
            org.versions[name].is_removed = True

    @precondition(lambda self: any(org.versions for org in self.orgs.values()))
    @rule(org_id=ORGS, which=WHICH)
    def damage(self, org_id: str, which: int) -> None:
        if picked := self._pick(org_id, which):
            version, known = picked
            folder = {"acme": "acme", "a.b": "a%2Eb"}[org_id]
            put(self.registry, f"{folder}/{version}/{FOREST_FILE}", b"x")
            known.is_damaged = True

    @rule(org_id=ORGS)
    def lose_the_last_entry_of_the_history(self, org_id: str) -> None:
        """As after a crash between the swap of the pointer and its entry."""
        key = f"{ {'acme': 'acme', 'a.b': 'a%2Eb'}[org_id] }/activations.jsonl"
        if content := files(self.registry).get(key):
            lines = content.splitlines(keepends=True)
            is_witnessed = self.orgs[org_id].active is not None or self.orgs[org_id].withdrawn
            if is_witnessed and len(lines) == len(self.orgs[org_id].history):
                put(self.registry, key, b"".join(lines[:-1]))

    @invariant()
    def the_registry_is_like_its_model(self) -> None:
        for org_id, org in self.orgs.items():
            assert self.registry.versions(org_id) == sorted(org.versions, reverse=True)
            pointer = self.registry.active(org_id)
            assert (pointer.version if pointer else None) == org.active
            entries = self.registry.history(org_id).entries
            assert [entry.version if isinstance(entry, Pointer) else None for entry in entries] == org.history

    @invariant()
    def a_version_loads_exactly_when_it_is_neither_damaged_nor_removed(self) -> None:
        for org_id, org in self.orgs.items():
            for version, known in org.versions.items():
                self._expect(
                    known.fault,
                    lambda org_id=org_id, version=version: self.registry.load(org_id, version),
                )


def test_any_sequence_of_acts_keeps_the_registry_like_its_model(
    publish: Callable[..., str], judge: Callable[..., Judgement], tmp_path: Path
) -> None:
    run_state_machine_as_test(
        lambda: RegistryMachine(publish, judge, Registry(Path(tempfile.mkdtemp(dir=tmp_path)))),
        settings=settings(
            max_examples=20, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_any_sequence_of_acts_keeps_a_registry_in_an_object_store_like_its_model(
    publish: Callable[..., str], judge: Callable[..., Judgement], object_store: FaultyStore
) -> None:
    """Where each request may be answered with a failure, or not at all, although it took effect."""
    counter = itertools.count()

    def fault(*_: object) -> Fault:
        return FAULTS.get(next(counter) % EVERY, Fault.NONE)

    with object_store.faulty(fault):
        run_state_machine_as_test(
            lambda: RegistryMachine(publish, judge, Registry(object_store.new_url())),
            settings=settings(
                max_examples=8, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )
