"""An org's state and last verdict are what the registry has, and what cannot have changed is not read again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from leadscore.gate import Decision, Reason
from leadscore.registry.store import History, Pointer, Registry, Withdrawal
from leadscore_assets.health.registry_facts import model_of, refused_by
from leadscore_assets.health.tables import Attention, CameTrue, DataPlan, LastRun, Model, OpenLeads, OrgHealth
from tests.leadscore_assets.metadata.judged_versions import ORG, judged, published

NOW = datetime(2026, 6, 1, tzinfo=UTC)
JUDGED_AT = datetime(2026, 3, 15, 6, 0, 1, tzinfo=UTC)
ACTIVATED_AT = datetime(2026, 3, 16, tzinfo=UTC)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "models")


def activate(registry: Registry, version: str, at: datetime = ACTIVATED_AT) -> None:
    history = registry.history(ORG)
    sha256 = registry.manifest_sha256(ORG, version)
    pointer = Pointer(version, history.active_version, at.isoformat(), "a test", "better", sha256)
    registry.swap_pointer(ORG, pointer, history)


def known(model: Model) -> OrgHealth:
    return OrgHealth(ORG, model, LastRun(), DataPlan(), OpenLeads(), CameTrue(), Attention())


def test_an_org_with_an_active_version_shows_its_age_and_verdict(registry: Registry) -> None:
    version = judged(registry, "activate")
    activate(registry, version)
    assert model_of(registry, ORG, None, None, NOW) == Model(
        state="active",
        state_since=ACTIVATED_AT,
        problem="",
        model_version=version,
        model_scope="own",
        activated_at=ACTIVATED_AT,
        trained_at=datetime(2026, 3, 15, 6, tzinfo=UTC),
        judged_version=version,
        verdict="activate",
        verdict_reasons=["Because."],
        judged_at=JUDGED_AT,
        held_since=None,
    )


def test_a_state_that_goes_on_keeps_its_beginning_and_another_one_begins(registry: Registry) -> None:
    before = model_of(registry, ORG, None, None, NOW - timedelta(days=9))
    assert (before.state, before.state_since) == ("no_model", NOW - timedelta(days=9))
    assert model_of(registry, ORG, None, known(before), NOW).state_since == before.state_since
    activate(registry, judged(registry, "activate"))
    active = model_of(registry, ORG, None, known(before), NOW)
    assert (active.state, active.state_since) == ("active", ACTIVATED_AT)
    activate(registry, judged(registry, "activate"), at=NOW)
    again = model_of(registry, ORG, None, known(active), NOW)
    assert (again.state_since, again.activated_at) == (ACTIVATED_AT, NOW)


def test_a_withdrawn_org_says_since_when_and_why(registry: Registry) -> None:
    activate(registry, judged(registry, "activate"))
    history = registry.history(ORG)
    registry.swap_pointer(ORG, Withdrawal(history.pointer, NOW.isoformat(), "a sensor", "Its leads are gone"), history)
    found = model_of(registry, ORG, None, None, NOW + timedelta(days=1))
    assert (found.state, found.state_since, found.problem) == ("withdrawn", NOW, "Its leads are gone")


def test_an_org_is_held_since_the_first_of_the_last_held_versions(registry: Registry) -> None:
    judged(registry, "activate")
    versions = [judged(registry, "hold") for _ in range(2)]
    published(registry)  # not judged yet
    found = model_of(registry, ORG, None, None, NOW)
    assert (found.judged_version, found.verdict, found.held_since) == (versions[-1], "hold", JUDGED_AT)
    judged(registry, "refuse")
    assert model_of(registry, ORG, None, known(found), NOW).held_since is None


def test_what_cannot_have_changed_is_not_read_again(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    activate(registry, judged(registry, "activate"))
    before = model_of(registry, ORG, None, None, NOW)

    def fail(*_: Any) -> None:
        raise AssertionError("a file was opened")

    for name in ("manifest", "judgement", "history"):
        monkeypatch.setattr(registry, name, fail)
    assert model_of(registry, ORG, None, known(before), NOW + timedelta(days=1)) == before


@pytest.mark.parametrize(
    ("name", "problem"), [("active.json", "active.json"), ("manifest.json", "manifest.json of version")]
)
def test_damage_is_a_state_of_that_org_and_said_in_words(registry: Registry, name: str, problem: str) -> None:
    version = judged(registry, "activate")
    activate(registry, version)
    (path,) = [*registry.root.glob(f"{ORG}/{name}"), *registry.root.glob(f"{ORG}/{version}/{name}")]
    path.write_bytes(b"{")
    found = model_of(registry, ORG, None, None, NOW)
    assert (found.state, found.state_since) == ("damaged", NOW)
    assert problem in found.problem


def test_a_folder_that_may_not_be_read_is_damage_of_that_org(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(registry, "versions", refuse)
    found = model_of(registry, ORG, None, None, NOW)
    assert (found.state, found.problem) == ("damaged", "a file cannot be read (Permission denied)")


def test_a_judgement_that_cannot_be_read_hides_no_older_one(registry: Registry) -> None:
    older, newer = judged(registry, "activate"), judged(registry, "hold")
    (registry.root / ORG / newer / "evaluation.json").write_bytes(b"{")
    assert model_of(registry, ORG, None, None, NOW).judged_version == older


def test_a_version_that_was_only_tried_is_not_what_became_of_the_last_training(registry: Registry) -> None:
    held, tried = judged(registry, "hold"), published(registry)
    judgement = registry.judgement(ORG, held)
    assert judgement is not None
    withheld = (Reason("only_tried", "The training was asked to judge only", 0, 0),)
    registry.record_judgement(ORG, tried, msgspec.structs.replace(judgement, withheld=withheld))
    found = model_of(registry, ORG, None, None, NOW)
    assert (found.judged_version, found.verdict, found.held_since) == (held, "hold", JUDGED_AT)


def test_a_refusal_without_a_version_is_the_last_verdict(registry: Registry) -> None:
    judged(registry, "hold")
    decision = Decision("refuse", (Reason("one_class", "None of 320 records converted", 0, 1),))
    found = refused_by(model_of(registry, ORG, None, None, NOW), decision, NOW)
    assert (found.judged_version, found.verdict, found.verdict_reasons, found.judged_at, found.held_since) == (
        None,
        "refuse",
        ["None of 320 records converted."],
        NOW,
        None,
    )


def test_the_history_knows_nothing_of_an_org_without_one(registry: Registry) -> None:
    assert registry.history(ORG) == History([], None)
    assert msgspec.structs.asdict(model_of(registry, ORG, None, None, NOW))["verdict"] is None
