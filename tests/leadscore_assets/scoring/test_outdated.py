"""Which orgs are scored again: those that another version serves, and those whose grades were set."""

from __future__ import annotations

import logging

import pytest

from leadscore_assets.scoring.outdated import outdated_orgs
from leadscore_assets.scoring.stored_scores import set_rule
from tests.leadscore_assets.scored_org import ORG, Scored

LOG = logging.getLogger("test")


def outdated(scored: Scored) -> dict[str, str]:
    return outdated_orgs(scored.settings, scored.registry, [ORG, "without-model"], LOG)


def test_an_org_is_scored_once_for_each_version(scored: Scored) -> None:
    first = outdated(scored)
    assert list(first) == [ORG]
    assert outdated(scored) == first
    scored.score()
    assert outdated(scored) == {}
    scored.train_another()
    again = outdated(scored)
    assert list(again) == [ORG]
    assert again != first


def test_a_version_that_serves_again_is_another_reason_than_before(scored: Scored) -> None:
    """Otherwise Dagster would take the second request for a repeat of the first."""
    reasons, first = [outdated(scored)], scored.model.name
    scored.score()
    second = scored.train_another()
    for version in (first, second, first):
        reasons.append(outdated(scored))
        scored.score()
        scored.activate(version)
    assert [list(reason) for reason in reasons] == [[ORG]] * len(reasons)
    assert len({reason[ORG] for reason in reasons}) == len(reasons)


def test_an_org_whose_model_is_gone_loses_its_scores(scored: Scored) -> None:
    scored.score()
    (scored.registry.root / ORG / "active.json").unlink()
    assert list(outdated(scored)) == [ORG]
    scored.score()
    assert outdated(scored) == {}


def test_an_org_is_graded_anew_each_time_that_its_rule_is_set(scored: Scored) -> None:
    scored.score()
    set_rule(scored.connection, ORG, 3, set_by="test")
    first = outdated(scored)
    assert list(first) == [ORG]
    set_rule(scored.connection, ORG, 4, set_by="test")
    assert outdated(scored) != first
    scored.score()
    assert outdated(scored) == {}


def test_a_rule_of_an_org_without_a_model_waits_for_one(scored: Scored) -> None:
    set_rule(scored.connection, "without-model", 3, set_by="test")
    assert "without-model" not in outdated(scored)


def test_an_org_whose_pointer_is_damaged_keeps_its_scores(scored: Scored, caplog: pytest.LogCaptureFixture) -> None:
    scored.score()
    (scored.registry.root / ORG / "active.json").write_text("{")
    with caplog.at_level(logging.WARNING):
        assert outdated(scored) == {}
    assert "the leads of org north are not scored again" in caplog.text
