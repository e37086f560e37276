"""What the model says of leads, in the order of the leads, whichever of them are asked for."""

from __future__ import annotations

import numpy as np

from leadscore.scoring import action_policy_from, score_rows
from leadscore_assets.scoring.grades import CutPoints
from leadscore_assets.scoring.leads_to_score import read_open_leads
from leadscore_assets.scoring.org_scores import Verdicts, explain, labels, score
from tests.leadscore_assets.scored_org import ORG, Scored


def test_some_leads_are_scored_as_they_are_among_all(scored: Scored) -> None:
    leads = read_open_leads(scored.connection, ORG, scored.model, scored.window()).leads
    scorer, places = scored.model.version.scorer, np.arange(1, len(leads.ids), 3)
    every = np.arange(len(leads.ids))
    everything, some = score(scorer, leads, every), score(scorer, leads, places)
    for column, expected in zip(some, everything.at(places), strict=True):
        assert np.array_equal(column, expected, equal_nan=True)
    for column, expected in zip(explain(scorer, leads, places), explain(scorer, leads, every), strict=True):
        assert np.array_equal(column, expected[places], equal_nan=True)


def test_the_words_are_those_of_the_api(scored: Scored) -> None:
    leads = read_open_leads(scored.connection, ORG, scored.model, scored.window()).leads
    policy, scorer = action_policy_from(scored.settings), scored.model.version.scorer
    verdicts = score(scorer, leads, np.arange(len(leads.ids)))
    answered = score_rows(scorer, leads.now, policy, with_contributions=False)
    said = labels(verdicts, leads.ages_days, CutPoints(0.6, 0.4, 0.2), policy, (0, 1, 30))
    assert verdicts.probabilities.tolist() == answered.probabilities
    assert verdicts.confidences.tolist() == answered.confidences
    assert [each.action for each in said] == [str(action) for action in answered.actions]
    assert [each.is_beyond_landmarks for each in said] == (leads.ages_days > 30).tolist()


def test_verdicts_differ_where_a_number_does() -> None:
    one = Verdicts.of([(0.1, 1.0, np.nan), (0.2, 1.0, 0.3), (0.3, 1.0, 0.4)])
    other = Verdicts.of([(0.1, 1.0, np.nan), (0.2, 1.0, np.nan), (0.3, 0.9, 0.4)])
    assert one.differ_from(other).tolist() == [False, True, True]
    assert one.differ_from(one).tolist() == [False] * 3
    assert one.with_others(np.array([1]), other.at(np.array([1]))).differ_from(other).tolist() == [False, False, True]
