"""What may need attention in an org follows from its row, a rule at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from leadscore_assets.health.attention import Deadlines, ready_since_of, warnings_of
from leadscore_assets.health.database_facts import Facts
from leadscore_assets.health.tables import Attention, CameTrue, DataPlan, LastRun, Model, OpenLeads

NOW = datetime(2026, 6, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
DUE = Deadlines(scores=NOW - DAY, trainings=NOW - 60 * DAY)
LATE, IN_TIME = NOW - 61 * DAY, NOW - 59 * DAY
FINE = Model("active", LATE, "", "20260601060000", "own", LATE, NOW, "20260601060000", "activate", [], IN_TIME, None)
READY = DataPlan(is_ready=True)


def found(
    model: dict[str, Any] | None = None,
    *,
    plan: DataPlan = READY,
    ready_since: datetime | None = LATE,
    last_training: Any = "activated",
    scored_as_of: datetime | None = NOW,
) -> list[str]:
    fact = Facts(LastRun(NOW, "a run", last_training, NOW), None, OpenLeads(scored_as_of), CameTrue())
    changed = msgspec.structs.replace(FINE, **(model or {}))
    return list(warnings_of(changed, fact, plan, ready_since, DUE))


def test_an_org_that_is_fine_has_none() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("arguments", "warning"),
    [
        ({"plan": DataPlan(is_ready=False), "ready_since": None}, "not_ready"),
        ({"model": {"judged_at": LATE}}, "training_overdue"),
        ({"model": {"judged_at": None, "verdict": None}}, "training_overdue"),
        ({"last_training": "failed"}, "training_failed"),
        ({"model": {"verdict": "refuse"}}, "refused"),
        ({"model": {"verdict": "hold", "held_since": NOW}}, "held"),
        ({"scored_as_of": NOW - 2 * DAY}, "scores_overdue"),
        ({"scored_as_of": None}, "scores_overdue"),
    ],
)
def test_each_is_found(arguments: dict[str, Any], warning: str) -> None:
    assert found(**arguments) == [warning]


@pytest.mark.parametrize(
    "arguments",
    [
        {"plan": DataPlan(), "ready_since": None},
        {"model": {"judged_at": LATE}, "plan": DataPlan(), "ready_since": None},
        {"model": {"judged_at": None, "verdict": None}, "ready_since": IN_TIME},
        {"model": {"state": "no_model", "model_version": None, "activated_at": None}, "scored_as_of": None},
        {"model": {"activated_at": NOW}, "scored_as_of": None},
        {"model": {"state": "pooled", "state_since": NOW}, "scored_as_of": None},
    ],
    ids=["not counted yet", "not ready", "ready since lately", "no model", "activated lately", "pooled since lately"],
)
def test_an_org_that_could_not_be_reached_yet_is_not_overdue(arguments: dict[str, Any]) -> None:
    assert found(**arguments) == []


def test_an_org_is_ready_since_it_was_first_seen_to_be() -> None:
    assert ready_since_of(READY, None, NOW) == NOW
    assert ready_since_of(READY, Attention(), NOW) == NOW
    assert ready_since_of(READY, Attention(LATE), NOW) == LATE
    assert ready_since_of(DataPlan(is_ready=False), Attention(LATE), NOW) is None
