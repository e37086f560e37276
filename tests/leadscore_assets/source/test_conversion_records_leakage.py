"""Nothing that happens after a landmark changes its row, and nothing after `as_of` changes a training."""

from __future__ import annotations

import random
from datetime import timedelta

import pandas as pd
import pytest

from tests.leadscore_assets.source.hand_made_crm import AS_OF, MICROSECOND, ORG, Crm, day

LANDMARKS = (0, 1, 3, 7, 14, 30, 60)


def make_leads(crm: Crm, seed: int) -> dict[str, timedelta]:
    """Fill the CRM with random leads and events; return the leads with their age at AS_OF."""
    chance = random.Random(seed)
    ages = {}
    for _ in range(25):
        age = timedelta(days=chance.uniform(1, 180))
        created_at = AS_OF - age
        closing = (chance.choice(("WON", "LOST")), created_at + chance.random() * timedelta(days=100))
        is_closed = closing[1] < AS_OF and chance.random() < 0.7
        reopening = ("QUALIFYING", closing[1] + (AS_OF - closing[1]) * chance.random() / 4)
        moves = [closing, reopening][: chance.choice((1, 1, 2))] if is_closed else []
        listing = crm.listing(price=1000, created_at=created_at - timedelta(days=1)) if chance.random() < 0.5 else None
        lead = crm.lead(created_at, *moves, annonce_id=listing)
        ages[lead] = age
        for _ in range(chance.randrange(6)):
            happened_at = created_at + chance.expovariate(1 / 5) * timedelta(days=1)
            crm.message(lead, happened_at, chance.choice(("INBOUND", "OUTBOUND")))
            crm.appointment(lead, happened_at)
    return ages


def up_to(table: pd.DataFrame, landmark_days: int) -> pd.DataFrame:
    return table[table["landmark_days"] <= landmark_days].reset_index(drop=True)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_event_after_a_landmark_changes_its_row(crm: Crm, seed: int) -> None:
    ages = make_leads(crm, seed)
    before = crm.extract().rows
    assert set(before["landmark_days"]) == set(LANDMARKS)
    for landmark in reversed(LANDMARKS):
        for lead, age in ages.items():
            just_after = AS_OF - age + timedelta(days=landmark) + MICROSECOND
            crm.message(lead, just_after)
            crm.message(lead, just_after, "OUTBOUND")
            crm.appointment(lead, just_after)
        crm.connection.execute(
            "UPDATE appointment SET status = 'CANCELLED', updated_at = dossier.created_at + %s * interval '1 day' + %s"
            " FROM dossier"
            " WHERE dossier.id = dossier_id AND appointment.updated_at IS NULL AND appointment.id %% 2 = 0",
            [landmark, MICROSECOND],
        )
        changed = crm.extract().rows
        pd.testing.assert_frame_equal(up_to(changed, landmark), up_to(before, landmark))
        if landmark < LANDMARKS[-1]:
            assert not changed.equals(before)


@pytest.mark.parametrize("seed", [1, 2])
def test_no_move_after_a_landmark_changes_its_row_but_for_the_label(crm: Crm, seed: int) -> None:
    """A closing or a reopening decides about later rows, and about the outcome, which is what a row must not show."""
    ages = make_leads(crm, seed)
    before = crm.extract().rows
    is_label_changed = False
    for landmark in reversed(LANDMARKS):
        for number, (lead, age) in enumerate(ages.items()):
            status = ("LOST", "WON", "QUALIFYING")[number % 3]
            crm.move(lead, status, AS_OF - age + timedelta(days=landmark) + MICROSECOND)
            crm.connection.execute("UPDATE dossier SET status = 'NEW' WHERE id = %s", [lead])
        changed = crm.extract().rows
        known = set(before["lead_id"]) & set(changed["lead_id"])
        then, now = (up_to(rows[rows["lead_id"].isin(known)], landmark) for rows in (before, changed))
        pd.testing.assert_frame_equal(now.drop(columns="converted"), then.drop(columns="converted"))
        is_label_changed |= not now["converted"].equals(then["converted"])
    assert is_label_changed


def test_nothing_after_as_of_changes_a_training(crm: Crm) -> None:
    ages = make_leads(crm, seed=4)
    before = crm.extract()
    late = AS_OF + MICROSECOND
    for lead in ages:
        crm.message(lead, late, "OUTBOUND")
        crm.appointment(lead, late)
        crm.move(lead, "WON", late)
        crm.lead(late)
    crm.connection.execute("UPDATE dossier SET status = 'WON' WHERE org_id = %s", [ORG])
    after = crm.extract()
    pd.testing.assert_frame_equal(after.rows, before.rows)
    assert after.counts == before.counts


def test_leads_created_on_or_after_a_landmarks_day_do_not_change_its_row(crm: Crm) -> None:
    for age in (150, 140, 130):
        crm.lead(day(age), ("LOST", day(age - 0.5)))
    before = crm.extract().rows
    for _ in range(5):
        crm.lead(day(130) + timedelta(hours=1))
    after = crm.extract().rows
    pd.testing.assert_frame_equal(after[after["lead_id"].isin(before["lead_id"])], before)
