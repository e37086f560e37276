"""Relative features know the org's past only, and do not see a rise that goes on."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.models.regime_change import COUNTS, beside_the_past, beyond, rising
from tests.leadscore_assets.made_rows import made_features

CHANGED = "2026-04-20"


@pytest.fixture(scope="module")
def rows():
    return made_features(leads=240).rows


def test_a_value_stands_beside_the_median_of_the_leads_before_it(rows):
    """A lead's price is divided by the median of the newest rows of the leads created on the 90 days before."""
    relative = beside_the_past(rows)
    lead = rows[rows["created_on"] == CHANGED].iloc[0]
    before = rows[(rows["created_on"] >= "2026-01-20") & (rows["created_on"] < CHANGED)]
    usual = before.drop_duplicates("lead_id", keep="last")["property_price"].median()
    assert relative.loc[lead.name, "property_price"] == pytest.approx(lead["property_price"] / usual)


def test_a_count_stands_beside_those_of_leads_that_reached_the_age_before(rows):
    relative, name = beside_the_past(rows), COUNTS[0]
    of_age = rows[rows["landmark_days"] == 14]
    lead = of_age[of_age["created_on"] == CHANGED].iloc[0]
    before = of_age[(of_age["created_on"] >= "2026-01-20") & (of_age["created_on"] < CHANGED)]
    assert relative.loc[lead.name, name] == pytest.approx(lead[name] / before[name].mean())


def test_what_comes_later_changes_nothing_before(rows):
    later = rows["created_on"] > CHANGED
    moved = rows.assign(property_price=rows["property_price"].where(~later, 1e9))
    is_settled = (rows["created_on"] <= CHANGED) & (rows["created_on"] > "2026-02-01")
    before, after = (beside_the_past(given)[is_settled] for given in (rows, moved))
    assert before.equals(after)


def test_a_steady_rise_moves_relative_prices_far_less(rows):
    risen = rising(0.2)(rows)
    newest = rows["created_on"] > CHANGED
    absolute, relative = (
        (np.median(after["property_price"][newest]) / np.median(before["property_price"][newest]))
        for after, before in ((risen, rows), (beside_the_past(risen), beside_the_past(rows)))
    )
    assert absolute > 1.9
    assert relative < 1.5


def test_beyond_moves_the_newest_fifth_alone(rows):
    moved = beyond(rows)
    is_moved = moved["lead_source_score"] != rows["lead_source_score"]
    assert rows["lead_id"][is_moved].nunique() / 240 == pytest.approx(0.2, abs=0.02)
    assert rows["created_on"][is_moved].min() > rows["created_on"][~is_moved].max()
