"""The one door: who may become active, who may come back, and that whatever is refused changes nothing."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from leadscore.errors import (
    ActiveVersionMoved,
    ClaimLost,
    Damaged,
    InvalidId,
    LeadscoreError,
    NotActivatable,
    OrgChanged,
    UnsupportedFormat,
    VersionNotFound,
)
from leadscore.gate import Judgement, withheld
from leadscore.registry.activation import Reinstated, apply_verdict, reinstate, roll_back, withdraw
from leadscore.registry.store import POINTER_FILE, Registry, Withdrawal
from leadscore.registry.version import FOREST_FILE, MANIFEST_FILE
from tests.leadscore.registry.registry_files import files, put

Publish = Callable[..., str]
Judge = Callable[..., Judgement]


@pytest.fixture
def registry(any_registry: Registry) -> Registry:
    return any_registry


@pytest.fixture
def versions(registry: Registry, publish: Publish, judge: Judge) -> list[str]:
    """Give three versions that passed the gate: the first is active, the others were judged against it."""
    made = [publish(registry) for _ in range(3)]
    judge(registry, made[0])
    apply_verdict(registry, "acme", made[0], by="run-0")
    for version in made[1:]:
        judge(registry, version)
    return made


@contextmanager
def _unchanged(registry: Registry) -> Iterator[None]:
    """Expect that every byte of the registry stays as it is."""
    before = files(registry)
    yield
    assert files(registry) == before


@contextmanager
def _refused(registry: Registry, error: type[LeadscoreError], match: str | None = None) -> Iterator[None]:
    """Expect this error, and that every byte of the registry stays as it is."""
    with _unchanged(registry), pytest.raises(error, match=match):
        yield


def test_a_version_that_passed_becomes_active_with_who_when_why_and_what_was_before(
    registry: Registry, versions: list[str]
) -> None:
    applied = apply_verdict(registry, "acme", versions[1], by="run-7")
    pointer = applied.pointer
    assert applied.is_activated
    assert registry.active("acme") == pointer
    assert (pointer.version, pointer.previous, pointer.by) == (versions[1], versions[0], "run-7")
    assert pointer.reason == "Because it is to activate."
    assert pointer.manifest_sha256 == registry.manifest_sha256("acme", versions[1])
    assert abs(datetime.now(UTC) - datetime.fromisoformat(pointer.activated_at)) < timedelta(minutes=1)
    assert [entry.version for entry in registry.history("acme").entries] == versions[:2]


@pytest.mark.parametrize("verdict", ["hold", "refuse"])
def test_a_version_that_the_gate_did_not_pass_never_becomes_active_by_itself(
    verdict: str, registry: Registry, versions: list[str], publish: Publish, judge: Judge
) -> None:
    """Its verdict changes nothing, and the caller learns what is active."""
    judgement = judge(registry, version := publish(registry), verdict)
    with _unchanged(registry):
        applied = apply_verdict(registry, "acme", version, by="run-7")
    assert applied == (judgement, registry.active("acme"), "held" if verdict == "hold" else "refused")
    with _refused(registry, NotActivatable, rf"\({verdict}: Because it is to {verdict}.*repeat the call with force"):
        roll_back(registry, "acme", version, by="me", reason="I like it")


@pytest.fixture
def tried(registry: Registry, versions: list[str], publish: Publish, judge: Judge) -> str:
    """Give a version that passed the gate in a training that was asked to judge only."""
    judge(registry, version := publish(registry), withheld=withheld(datetime.now(UTC), None, is_trial=True))
    return version


def test_a_version_that_was_only_tried_never_becomes_active_by_itself(registry: Registry, tried: str) -> None:
    with _unchanged(registry):
        applied = apply_verdict(registry, "acme", tried, by="run-7")
    assert (applied.outcome, applied.pointer) == ("withheld", registry.active("acme"))


def test_a_version_that_was_only_tried_becomes_active_by_an_explicit_flag(registry: Registry, tried: str) -> None:
    assert apply_verdict(registry, "acme", tried, by="run-7", activate_anyway=True).is_activated
    assert registry.active("acme").version == tried


def test_a_version_that_was_only_tried_becomes_active_by_a_rollback_without_force(
    registry: Registry, tried: str
) -> None:
    assert roll_back(registry, "acme", tried, by="me", reason="the trial was good").version == tried


def test_the_explicit_flag_does_not_let_a_held_version_pass(
    registry: Registry, versions: list[str], publish: Publish, judge: Judge
) -> None:
    judge(registry, version := publish(registry), "hold", withheld=withheld(datetime.now(UTC), None, is_trial=True))
    with _unchanged(registry):
        assert apply_verdict(registry, "acme", version, by="run-7", activate_anyway=True).outcome == "held"


def test_a_version_that_was_never_judged_does_not_become_active(
    registry: Registry, versions: list[str], publish: Publish
) -> None:
    version = publish(registry)
    with _refused(registry, NotActivatable, "was not judged; materialize evaluation first"):
        apply_verdict(registry, "acme", version, by="run-7")
    with _refused(registry, NotActivatable, r"\(it was never judged\); .*repeat the call with force and a reason"):
        roll_back(registry, "acme", version, by="me", reason="I like it")


def test_the_verdict_on_the_active_version_confirms_it(registry: Registry, versions: list[str]) -> None:
    with _unchanged(registry):
        applied = apply_verdict(registry, "acme", versions[0], by="run-7")
    assert applied.pointer == registry.active("acme")
    assert not applied.is_activated


def test_a_version_judged_against_another_champion_than_the_active_one_is_refused(
    registry: Registry, versions: list[str]
) -> None:
    apply_verdict(registry, "acme", versions[1], by="run-7")
    with _refused(
        registry, ActiveVersionMoved, f"active version is {versions[1]}, but {versions[0]} was expected; look"
    ):
        apply_verdict(registry, "acme", versions[2], by="run-7")


@pytest.mark.parametrize("any_registry", ["folder"], indirect=True)
def test_an_activation_opens_no_file_of_the_registry_twice(
    registry: Registry, versions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: Counter[str] = Counter()
    really_open = os.open

    def counting(path: Any, flags: int, *rest: Any) -> int:
        if not flags & (os.O_WRONLY | os.O_RDWR | os.O_DIRECTORY) and Path(path).is_file():
            opened[str(path)] += 1
        return really_open(path, flags, *rest)

    monkeypatch.setattr(os, "open", counting)
    apply_verdict(registry, "acme", versions[1], by="run-7")
    roll_back(registry, "acme", versions[0], by="me", reason="odd scores")

    names = Counter({Path(path).relative_to(registry.root / "acme").as_posix(): n for path, n in opened.items()})
    of_both_acts = {"active.json", "activations.jsonl"}
    assert names.keys() >= {f"{versions[1]}/{name}" for name in (MANIFEST_FILE, "evaluation.json", FOREST_FILE)}
    assert names.keys() >= of_both_acts
    assert names == {name: 2 if name in of_both_acts else 1 for name in names}


def test_an_earlier_version_comes_back(registry: Registry, versions: list[str]) -> None:
    apply_verdict(registry, "acme", versions[1], by="run-7")
    pointer = roll_back(registry, "acme", versions[0], by="me", reason="odd scores", expected_active=versions[1])
    assert registry.active("acme") == pointer
    assert (pointer.version, pointer.previous, pointer.reason) == (versions[0], versions[1], "odd scores")
    assert [entry.version for entry in registry.history("acme").entries] == [versions[0], versions[1], versions[0]]


def test_a_version_that_was_taken_back_returns_by_a_rollback_only(registry: Registry, versions: list[str]) -> None:
    """Whatever was judged against the version that is active again: the operator's act stands."""
    apply_verdict(registry, "acme", versions[1], by="run-7")
    roll_back(registry, "acme", versions[0], by="me", reason="odd scores")
    with _unchanged(registry):
        applied = apply_verdict(registry, "acme", versions[1], by="run-8", activate_anyway=True)
    assert (applied.outcome, applied.pointer) == ("taken_back", registry.active("acme"))
    assert roll_back(registry, "acme", versions[1], by="me", reason="it was right").version == versions[1]


def test_a_rollback_to_the_active_version_changes_nothing(registry: Registry, versions: list[str]) -> None:
    before, stamp = registry.active("acme"), registry.pointer_stamp("acme")
    assert roll_back(registry, "acme", versions[0], by="me", reason="again") == before
    assert registry.pointer_stamp("acme") == stamp
    assert len(registry.history("acme").entries) == 1


def test_a_rollback_by_somebody_who_did_not_see_the_active_version_is_refused(
    registry: Registry, versions: list[str]
) -> None:
    with _refused(registry, ActiveVersionMoved, f"active version is {versions[0]}, but {versions[2]} was"):
        roll_back(registry, "acme", versions[1], by="me", reason="", expected_active=versions[2])


@pytest.mark.parametrize("verdict", ["hold", "refuse", None])
def test_force_is_the_explicit_act_and_it_is_in_the_history(
    verdict: str | None, registry: Registry, versions: list[str], publish: Publish, judge: Judge
) -> None:
    version = publish(registry)
    if verdict:
        judge(registry, version, verdict)
    roll_back(registry, "acme", version, by="me", reason="I insist", is_forced=True)
    assert registry.active("acme").version == version
    assert (registry.history("acme").entries[-1].by, registry.history("acme").entries[-1].reason) == ("me", "I insist")


@pytest.mark.parametrize("is_forced", [False, True])
@pytest.mark.parametrize("name", [FOREST_FILE, MANIFEST_FILE, "model.joblib"])
def test_a_damaged_version_is_refused_even_by_force(
    name: str, is_forced: bool, registry: Registry, versions: list[str]
) -> None:
    key = f"acme/{versions[1]}/{name}"
    content = files(registry)[key]
    put(registry, key, content[:-1] + bytes([content[-1] ^ 1]))
    with _refused(registry, Damaged):
        roll_back(registry, "acme", versions[1], by="me", reason="x", is_forced=is_forced)
    with _refused(registry, Damaged):
        apply_verdict(registry, "acme", versions[1], by="run-7")


def test_a_manifest_that_was_exchanged_after_the_judgement_is_refused(registry: Registry, versions: list[str]) -> None:
    """Its files still fit it, but it is not the manifest that was judged."""
    key = f"acme/{versions[1]}/{MANIFEST_FILE}"
    put(registry, key, files(registry)[key].replace(b'"code_version": "abc"', b'"code_version": "xyz"'))
    assert registry.load("acme", versions[1]).manifest.code_version == "xyz"
    with _refused(registry, Damaged, "its SHA-256 is not the recorded one"):
        apply_verdict(registry, "acme", versions[1], by="run-7")


def test_a_damaged_active_version_does_not_count_as_rolled_back_to(registry: Registry, versions: list[str]) -> None:
    put(registry, f"acme/{versions[0]}/{FOREST_FILE}", b"")
    with _refused(registry, Damaged):
        roll_back(registry, "acme", versions[0], by="me", reason="again")
    roll_back(registry, "acme", versions[1], by="me", reason="the active one is damaged")
    assert registry.active("acme").version == versions[1]


def test_an_unknown_version_or_another_orgs_is_not_found(
    registry: Registry, versions: list[str], publish: Publish, judge: Judge
) -> None:
    theirs = [publish(registry, "globex") for _ in range(5)][-1]
    judge(registry, theirs, org_id="globex")
    assert theirs not in versions
    for version in (theirs, "20200101000000"):
        with _refused(registry, VersionNotFound):
            roll_back(registry, "acme", version, by="me", reason="", is_forced=True)
        with _refused(registry, VersionNotFound):
            apply_verdict(registry, "acme", version, by="run-7")


def test_asking_about_an_unknown_org_leaves_no_folder(registry: Registry, versions: list[str]) -> None:
    with pytest.raises(VersionNotFound):
        roll_back(registry, "initech", versions[0], by="me", reason="")
    with pytest.raises(VersionNotFound):
        apply_verdict(registry, "initech", versions[0], by="run-7")
    assert registry.orgs() == ["acme"]


@pytest.mark.parametrize(("org_id", "version"), [("../acme", "20260315060000"), ("acme", "../acme")])
def test_what_is_no_id_is_refused(org_id: str, version: str, registry: Registry, versions: list[str]) -> None:
    with _refused(registry, InvalidId):
        roll_back(registry, org_id, version, by="me", reason="", is_forced=True)


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b'{"format": 1}', b"\xff"])
def test_a_damaged_pointer_is_written_anew_by_a_forced_rollback(
    content: bytes, registry: Registry, versions: list[str]
) -> None:
    """Its loss is said in the error, and the history keeps what it held."""
    # in an object store an empty pointer is one that was taken away
    put(registry, "acme/active.json", content if registry.is_in_folder else content or b"?")
    with _refused(registry, Damaged, "roll back to a version with force and a reason"):
        roll_back(registry, "acme", versions[1], by="me", reason="mend")
    with _refused(registry, Damaged, "roll back to a version with force and a reason"):
        apply_verdict(registry, "acme", versions[1], by="run-7")
    pointer = roll_back(registry, "acme", versions[1], by="me", reason="mend", is_forced=True)
    assert registry.active("acme") == pointer
    assert [entry.version for entry in registry.history("acme").entries] == versions[:2]


def test_a_version_whose_evaluation_is_damaged_comes_back_by_force(registry: Registry, versions: list[str]) -> None:
    put(registry, f"acme/{versions[1]}/evaluation.json", b"{")
    with _refused(registry, Damaged, "evaluation.json"):
        roll_back(registry, "acme", versions[1], by="me", reason="mend")
    assert roll_back(registry, "acme", versions[1], by="me", reason="mend", is_forced=True).version == versions[1]


def test_a_pointer_of_a_newer_release_is_not_written_over_by_force(registry: Registry, versions: list[str]) -> None:
    put(registry, "acme/active.json", b'{"format": 99}')
    with _refused(registry, UnsupportedFormat):
        roll_back(registry, "acme", versions[1], by="me", reason="mend", is_forced=True)


def test_a_withdrawal_leaves_no_version_active_and_is_in_the_history_with_who_when_and_why(
    registry: Registry, versions: list[str]
) -> None:
    former, stamp = registry.active("acme"), registry.pointer_stamp("acme")
    assert withdraw(registry, "acme", by="the sensor", reason="other leads")
    assert registry.active("acme") is None
    assert registry.pointer_stamp("acme") not in (stamp, None)
    [activation, withdrawal] = registry.history("acme").entries
    assert activation == former
    assert isinstance(withdrawal, Withdrawal)
    assert (withdrawal.withdrawn, withdrawal.by, withdrawal.reason) == (former, "the sensor", "other leads")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(withdrawal.withdrawn_at)) < timedelta(minutes=1)
    assert registry.history("acme").active_version is None
    with _unchanged(registry):
        assert not withdraw(registry, "acme", by="the sensor", reason="other leads")


def test_nothing_is_published_or_activated_for_an_org_that_was_withdrawn(
    registry: Registry, versions: list[str], publish: Publish
) -> None:
    withdraw(registry, "acme", by="the sensor", reason="other leads")
    says = r"no longer has the leads by which org acme was known, .*; one of the former was expected\. Run .* `--same`"
    with _refused(registry, OrgChanged, says):
        apply_verdict(registry, "acme", versions[1], by="run-7")
    for is_forced in (False, True):
        with _refused(registry, OrgChanged, says):
            roll_back(registry, "acme", versions[0], by="me", reason="it was mine", is_forced=is_forced)
    with _refused(registry, OrgChanged, says):
        publish(registry)
    with _refused(registry, OrgChanged, says):
        registry.check_same_customer("acme")


def test_a_withdrawal_outlives_the_damage_of_its_file(registry: Registry, versions: list[str]) -> None:
    """A forced rollback writes a damaged pointer anew, but not past a withdrawal."""
    withdraw(registry, "acme", by="the sensor", reason="other leads")
    put(registry, f"acme/{POINTER_FILE}", b"{")
    with _refused(registry, OrgChanged):
        roll_back(registry, "acme", versions[0], by="me", reason="mend", is_forced=True)


@pytest.mark.parametrize("content", [b"{", b"{}", b'{"format": 5, "withdrawn_at": 1}'])
def test_a_damaged_pointer_is_withdrawn_too(content: bytes, registry: Registry, versions: list[str]) -> None:
    put(registry, f"acme/{POINTER_FILE}", content)
    assert withdraw(registry, "acme", by="the sensor", reason="other leads")
    assert registry.active("acme") is None
    assert reinstate(registry, "acme", by="me", reason="the same") == Reinstated(None)


def test_the_same_customers_version_becomes_active_again_with_who_when_and_why(
    registry: Registry, versions: list[str]
) -> None:
    former = registry.active("acme")
    assert reinstate(registry, "acme", by="me", reason="the same") is None
    withdraw(registry, "acme", by="the sensor", reason="other leads")
    assert reinstate(registry, "acme", by="me", reason="the same") == Reinstated(versions[0])
    pointer = registry.active("acme")
    assert (pointer.version, pointer.manifest_sha256) == (former.version, former.manifest_sha256)
    assert (pointer.previous, pointer.by, pointer.reason) == (None, "me", "the same")
    assert registry.history("acme").entries[-1] == pointer
    assert apply_verdict(registry, "acme", versions[1], by="run-7").is_activated


def test_a_damaged_version_does_not_become_active_again_and_others_can(registry: Registry, versions: list[str]) -> None:
    withdraw(registry, "acme", by="the sensor", reason="other leads")
    put(registry, f"acme/{versions[0]}/{FOREST_FILE}", b"")
    found = reinstate(registry, "acme", by="me", reason="the same")
    assert found.version is None
    assert "forest.safetensors.gz is damaged: its SHA-256 is not the recorded one" in found.problem
    assert registry.active("acme") is None
    assert roll_back(registry, "acme", versions[1], by="me", reason="the other").version == versions[1]


def test_an_org_without_an_active_version_is_withdrawn_and_reinstated_without_one(
    registry: Registry, publish: Publish, judge: Judge
) -> None:
    judge(registry, version := publish(registry))
    withdraw(registry, "acme", by="the sensor", reason="other leads")
    with _refused(registry, OrgChanged):
        apply_verdict(registry, "acme", version, by="run-7")
    assert reinstate(registry, "acme", by="me", reason="the same") == Reinstated(None)
    assert registry.pointer_stamp("acme") is None
    assert apply_verdict(registry, "acme", version, by="run-7").is_activated


@pytest.mark.parametrize("reason", ["withdrawn_at", '"withdrawn_at": "now"', "\\"])
def test_no_text_of_a_reason_makes_an_activation_a_withdrawal(
    reason: str, registry: Registry, versions: list[str]
) -> None:
    pointer = roll_back(registry, "acme", versions[1], by=reason, reason=reason)
    assert registry.active("acme") == pointer
    assert registry.history("acme").entries[-1] == pointer


def test_a_worker_that_lost_its_claim_changes_nothing(
    registry: Registry, versions: list[str], publish: Publish, judge: Judge
) -> None:
    """Whatever it was about to do: publish, store a judgement, activate, roll back or withdraw."""
    unjudged = publish(registry)

    def lost(org_id: str) -> None:
        raise ClaimLost(org_id, "run-2")

    late = registry.fenced(lost)
    for act in (
        lambda: publish(late),
        lambda: judge(late, unjudged),
        lambda: apply_verdict(late, "acme", versions[1], by="run-1"),
        lambda: roll_back(late, "acme", versions[1], by="run-1", reason="test"),
        lambda: withdraw(late, "acme", by="run-1", reason="test"),
    ):
        with _refused(registry, ClaimLost, match="run-2 trains it by now"):
            act()
    asked: list[str] = []
    assert apply_verdict(registry.fenced(asked.append), "acme", versions[1], by="run-1").is_activated
    assert asked == ["acme"]
