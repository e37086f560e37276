"""The backtest: older leads teach, newer leads judge, never the other way round."""

from __future__ import annotations

import numpy as np
import pytest

from leadscore_assets.report import backtest as module
from leadscore_assets.report.backtest import backtest

SEED_WITHOUT_LEAD = 4
PARAMETERS = {"shape": "fine", "shrinkage": 10.0}


def test_it_never_trains_on_a_lead_as_new_as_those_it_is_judged_on(make_features, with_rows, monkeypatch):
    """The day of creation, smuggled in as a feature, tells who was trained on; leads of one day stay together."""
    features = make_features(leads=300, days=60)
    days = np.asarray(features.rows["created_on"], dtype="datetime64[D]").astype(float)
    features = with_rows(features, features.rows.assign(property_price=days))
    seen, real = [], module.grow

    def watched(rows, *others):
        seen.append(rows[:, features.contract.names.index("property_price")])
        return real(rows, *others)

    monkeypatch.setattr(module, "grow", watched)
    result = backtest(features, PARAMETERS)
    first_day = np.datetime64(result.first_day, "D").astype(float)
    [trained_on] = seen
    assert trained_on.max() < first_day
    assert len(trained_on) == (days < first_day).sum()
    assert result.newer_rows == (days >= first_day).sum()
    assert result.newer_leads / 300 == pytest.approx(0.2, abs=0.03)


def test_it_shows_a_change_that_the_holdout_hides(make_features, with_rows):
    """When in the newest fifth the other leads convert, the backtest ranks worse than chance."""
    features = make_features(leads=400)
    newest = features.rows["created_on"] >= backtest(features, PARAMETERS).first_day
    turned = features.rows["converted"].where(~newest, 1 - features.rows["converted"])
    steady, changed = (
        backtest(given, PARAMETERS) for given in (features, with_rows(features, features.rows.assign(converted=turned)))
    )
    assert steady.comparison.roc_auc.candidate.low > 0.55
    assert changed.comparison.roc_auc.candidate.high < 0.45


def test_a_line_learns_from_the_older_leads_too(make_features, with_rows):
    """It is compared where it is ahead: when the newest leads have values beyond all that a tree has seen."""
    features = make_features(leads=800, seed=SEED_WITHOUT_LEAD)
    steady = backtest(features, PARAMETERS)
    is_newest = features.rows["created_on"] >= steady.first_day
    beyond = {
        name: features.rows[name].where(~is_newest, features.rows[name] + by)
        for name, by in (("appointments_count", 10), ("lead_source_score", 100))
    }
    moved = backtest(with_rows(features, features.rows.assign(**beyond)), PARAMETERS)
    assert (steady.line_roc_auc > 0.6, steady.line_comparison) == (True, None)
    assert moved.line_comparison.roc_auc.candidate.value == pytest.approx(moved.line_roc_auc)
    assert moved.line_comparison.roc_auc.baseline.value == moved.comparison.roc_auc.candidate.value


def test_without_older_leads_or_both_outcomes_there_is_none(make_features, with_rows):
    features = make_features(leads=100)
    one_day = features.rows.assign(created_on="2026-01-01")
    newest = features.rows["created_on"] >= "2026-04-01"
    no_new_conversions = features.rows.assign(converted=features.rows["converted"].where(~newest, 0))
    assert backtest(with_rows(features, one_day), PARAMETERS) is None
    assert backtest(with_rows(features, no_new_conversions), PARAMETERS) is None


def test_fewer_than_five_new_leads_are_not_judged_on(make_features, with_rows):
    features = make_features(leads=22)
    rows = features.rows.assign(converted=(features.rows["lead_id"].str[-1].astype(int) % 2))
    assert backtest(with_rows(features, rows), PARAMETERS).newer_leads == 5
    assert backtest(with_rows(features, rows[rows["lead_id"] > "lead-000003"]), PARAMETERS) is None


def test_very_many_leads_are_sampled_whole(make_features, monkeypatch):
    monkeypatch.setattr(module, "MOST_LEADS", 120)
    result = backtest(make_features(leads=400), PARAMETERS)
    assert result.older_leads + result.newer_leads == 120
    assert result.newer_rows == 3 * result.newer_leads
