"""due_orgs.sql: how many records an org has, and how many outcomes became known since its last training."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pandas as pd
import pytest

from leadscore.requirements import SplitCounts
from leadscore_assets.source.orgs import NO_RECORDS, TrainingNeed, training_needs
from leadscore_assets.training.split import holdout_mask
from tests.leadscore_assets.source.hand_made_crm import AS_OF, MICROSECOND, ORG, Crm, day, window


def need(crm: Crm, trained: datetime | None = None, *, min_records: int = 2, **changed: object) -> TrainingNeed:
    trained_as_of = {} if trained is None else {ORG: trained.replace(tzinfo=UTC)}
    (found,) = training_needs(crm.connection, window(**changed), trained_as_of, min_records)
    return replace(found, counts=NO_RECORDS)


def test_an_org_with_too_few_records_is_told_how_many(crm: Crm) -> None:
    crm.lead(day(100), ("WON", day(90)))
    crm.lead(day(10))
    assert need(crm) == TrainingNeed(ORG, 1, 1, is_due=False, reason="1 of 2 records")


def test_an_org_without_any_record_is_listed_too(crm: Crm) -> None:
    crm.lead(day(10))
    assert need(crm) == TrainingNeed(ORG, 0, 0, is_due=False, reason="0 of 2 records")


def test_an_org_with_enough_records_that_was_never_trained_is_due(crm: Crm) -> None:
    crm.lead(day(100), ("WON", day(90)))
    crm.lead(day(100), ("LOST", day(90)))
    assert need(crm) == TrainingNeed(ORG, 2, 2, is_due=True, reason="2 records, never trained")


@pytest.mark.parametrize(
    ("trained", "new", "reason"),
    [
        (day(20), 0, "no new outcomes since 2026-05-12 00:00 UTC"),
        (day(20) - MICROSECOND, 1, "2 records, 1 new outcomes since 2026-05-11 23:59 UTC"),
    ],
)
def test_an_org_is_due_again_once_an_outcome_became_known(crm: Crm, trained: datetime, new: int, reason: str) -> None:
    crm.lead(day(100), ("WON", day(90)))
    crm.lead(day(100), ("LOST", day(20)))
    # Known when its window ended, 30 days ago; and one that is known too late.
    crm.lead(day(10), ("WON", AS_OF + MICROSECOND))
    assert need(crm, trained, conversion_window_days=80) == TrainingNeed(ORG, 2, new, is_due=new > 0, reason=reason)


def test_the_end_of_a_conversion_window_is_a_new_outcome(crm: Crm) -> None:
    for _ in range(2):
        crm.lead(day(100))
    assert need(crm, day(10)).new_outcomes == 0
    assert need(crm, day(10) - MICROSECOND).new_outcomes == 2


def test_the_records_are_counted_by_outcome_and_side_as_a_training_splits_them(crm: Crm) -> None:
    leads = [crm.lead(day(100), (status, day(90))) for status in ("WON", "LOST", "LOST") * 20]
    is_held_out = holdout_mask(pd.Series([str(lead) for lead in leads]))
    held_out_won = int(is_held_out[::3].sum())
    (found,) = training_needs(crm.connection, window(), {}, 1)
    assert 0 < held_out_won < is_held_out.sum()
    assert found.counts == SplitCounts(60, 20, int(is_held_out.sum()), held_out_won)


def test_each_org_is_judged_by_its_own_leads_and_training(crm: Crm) -> None:
    for org_id in ("north", "south", "east"):
        crm.lead(day(100), ("WON", day(50)), org_id=org_id)
    trained = {"north": day(60).replace(tzinfo=UTC), "south": day(40).replace(tzinfo=UTC)}
    needs = training_needs(crm.connection, window(), trained, 1)
    assert [(found.org_id, found.is_due) for found in needs] == [("east", True), ("north", True), ("south", False)]
