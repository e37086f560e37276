"""A straight line that is ahead on the newest leads is a warning, unless it is ahead on all leads."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from leadscore.comparison import Difference, Estimate
from leadscore.gate import policy_from
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.report.backtest import backtest
from leadscore_assets.report.describe import described
from leadscore_assets.report.figures import held_out_of
from leadscore_assets.report.line_ahead import exceeds, line_ahead, noted
from leadscore_assets.report.slices import HeldOut
from leadscore_assets.training.judge import holdout_of, judge
from leadscore_assets.training.train import train
from tests.leadscore_assets.report.page import Page

PARAMETERS = {"shape": "fine", "shrinkage": 40.0}
CODE = "line_ranks_newest_better"


def difference(value: float, low: float, high: float) -> Difference:
    nothing = Estimate(0, 0, 0)
    return Difference(nothing, nothing, Estimate(value, low, high), 0.5)


@pytest.fixture
def moved(make_features, with_rows):
    """Give leads of which the newest fifth has values beyond all older ones, in the features that tell who converts."""
    features = make_features(leads=800)
    rows = features.rows
    is_newest = rows["created_on"] >= backtest(features, PARAMETERS).first_day
    beyond = {"appointments_count": 10, "lead_source_score": 100}
    return with_rows(
        features, rows.assign(**{name: rows[name].where(~is_newest, rows[name] + by) for name, by in beyond.items()})
    )


def judging_of(registry, features):
    version = train(registry, "acme", features).version
    return judge(registry, "acme", version, features, policy_from(Settings()))


def test_newest_leads_beyond_all_that_a_tree_has_seen_are_warned_of(moved, models):
    """The forest ranks them like chance and the line does not: the judgement and the page say so with the figures."""
    registry = Registry(models())
    judging = judging_of(registry, moved)
    judgement, files = described(Settings(), judging)
    [note] = [note for note in judgement.decision.notes if note.code == CODE]
    line = backtest(moved, judging.candidate.manifest.parameters).line_comparison.roc_auc
    assert line.baseline.value < 0.6
    assert line.candidate.value > 0.65
    assert f"ROC-AUC {line.candidate.value:.3f} against {line.baseline.value:.3f} on the" in note.message
    assert note.text.startswith("A straight line ranks the newest leads better than the forest: ROC-AUC 0.")
    assert "may have changed" in note.text
    page = Page(files["report.html"])
    assert note.text in page.text
    assert judgement.decision.verdict == judging.judgement.decision.verdict
    assert not judging.judgement.decision.notes


def test_hardly_ever_is_anything_said_of_an_unchanged_world_though_its_leads_convert_along_a_line(
    make_features, models
):
    said = []
    for seed in range(8):
        features = make_features(leads=400, seed=seed)
        judging = judging_of(Registry(models()), features)
        judgement, files = described(Settings(), judging)
        is_said = judgement != judging.judgement
        assert is_said == ("A straight line ranks" in Page(files["report.html"]).text)
        said.append(is_said)
    assert sum(said) <= 1


def test_a_taught_version_is_compared_as_the_orgs_own_leads_alone_would_be(taught, moved):
    """Its pooled forest knows the leads of all months, so the line's lead would always look unusual beside it."""
    parameters = taught.material.manifest.parameters
    test = backtest(moved, parameters)
    held_out = replace(held_out_of_perfect(moved), base_rate=0.3)
    assert line_ahead(test, moved, held_out, parameters) is not None
    assert line_ahead(test, moved, held_out, parameters).usual.roc_auc.baseline.value < 0.99


def held_out_of_perfect(features):
    """Return the holdout with a version that knows every outcome."""
    holdout = holdout_of(features)
    return HeldOut(holdout, holdout.lead_ids, holdout.converted.astype(float), None, 0.0)


def test_a_line_that_is_ahead_everywhere_is_only_the_better_model(moved, models):
    """The version ranks the holdout the wrong way round here, so the line is ahead there, too."""
    judging = judging_of(Registry(models()), moved)
    test = backtest(moved, judging.candidate.manifest.parameters)
    held_out = held_out_of(judging.candidate, moved, None)
    wrong = replace(held_out, candidate=1.0 - held_out.holdout.converted)
    assert line_ahead(test, moved, held_out, PARAMETERS) is not None
    assert line_ahead(test, moved, wrong, PARAMETERS) is None


def test_it_is_silent_where_nothing_can_be_compared(moved, models):
    judging = judging_of(Registry(models()), moved)
    test = backtest(moved, judging.candidate.manifest.parameters)
    held_out = held_out_of(judging.candidate, moved, None)
    one_class = msgspec.structs.replace(held_out.holdout, converted=np.zeros(len(held_out.candidate), dtype=bool))
    assert line_ahead(None, moved, held_out, PARAMETERS) is None
    assert line_ahead(replace(test, line_comparison=None), moved, held_out, PARAMETERS) is None
    assert line_ahead(test, moved, replace(held_out, holdout=one_class), PARAMETERS) is None
    rows = moved.rows.assign(converted=moved.rows["converted"].where(moved.rows["is_held_out"] == 1, 0))
    assert line_ahead(test, replace(moved, rows=rows), held_out, PARAMETERS) is None


def test_a_gain_exceeds_another_by_more_than_chance_explains():
    usual = difference(0.01, -0.02, 0.04)
    assert exceeds(difference(0.08, 0.03, 0.13), usual)  # by 0.070; chance explains 2.33 / 1.96 * 0.058 = 0.069
    assert not exceeds(difference(0.07, 0.02, 0.12), usual)


def test_without_a_lead_the_judgement_stays(first):
    assert noted(first.judgement, None) is first.judgement
