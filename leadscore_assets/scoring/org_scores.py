"""What a model says of leads: probabilities, contributions, and the words for them, as arrays over the leads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from leadscore.arrays import Flags, Floats, Indices
from leadscore.engine.scorer import Scorer
from leadscore.scoring import DECISION_THRESHOLD, ActionPolicy
from leadscore_assets.scoring.grades import CutPoints
from leadscore_assets.scoring.leads_to_score import Leads
from leadscore_assets.scoring.trends import trends


class Verdicts(NamedTuple):
    """The probabilities, the confidences, and the probabilities of 7 days ago, NaN without a history; all (leads,)."""

    probabilities: Floats
    confidences: Floats
    before: Floats

    @classmethod
    def of(cls, rows: Sequence[tuple[float, float, float]]) -> Verdicts:
        """Return the verdicts in `rows`, one for each lead."""
        table = np.array(rows, np.float64).reshape(len(rows), 3)
        return cls(*table.T)

    def differ_from(self, others: Verdicts) -> Flags:
        """Return for which leads any number is another one, shape (leads,); unknown is equal to unknown."""
        are_equal = [(a == b) | (np.isnan(a) & np.isnan(b)) for a, b in zip(self, others, strict=True)]
        differs: Flags = ~np.logical_and.reduce(are_equal)
        return differs

    def at(self, places: Indices) -> Verdicts:
        """Return the verdicts on the leads at these places."""
        return Verdicts(*(column[places] for column in self))

    def with_others(self, places: Indices, others: Verdicts) -> Verdicts:
        """Return these verdicts with `others` in these places."""
        columns = [column.copy() for column in self]
        for column, new in zip(columns, others, strict=True):
            column[places] = new
        return Verdicts(*columns)


UNSCORED = (np.nan, np.nan, np.nan)


class Labels(NamedTuple):
    """The words for a lead's score, as they are stored."""

    grade: str
    action: str
    trend: str
    is_beyond_landmarks: bool


def score(scorer: Scorer, leads: Leads, places: Indices) -> Verdicts:
    """Return what the model says of the leads at these places."""
    probabilities, votes = scorer.verdicts(leads.now[places])
    is_positive = probabilities >= DECISION_THRESHOLD
    confidences = np.where(is_positive, votes, scorer.trees - votes) / scorer.trees
    before, with_history = np.full(len(places), np.nan), np.flatnonzero(leads.has_history[places])
    before[with_history] = scorer.probabilities(leads.before[places[with_history]])
    return Verdicts(probabilities, confidences, before)


def explain(scorer: Scorer, leads: Leads, places: Indices) -> tuple[Floats, Floats]:
    """Return the contributions now and 7 days ago, both of shape (places, features); NaN without a history."""
    before, with_history = np.full((len(places), leads.now.shape[1]), np.nan), leads.has_history[places]
    before[with_history] = scorer.contributions(leads.before[places[with_history]])
    return scorer.contributions(leads.now[places]), before


def labels(
    verdicts: Verdicts, ages_days: Floats, cuts: CutPoints, policy: ActionPolicy, landmark_days: Sequence[int]
) -> list[Labels]:
    """Return the words for each lead."""
    is_beyond: Flags = ages_days > landmark_days[-1]
    actions = [str(action) for action in policy.actions(verdicts.probabilities, verdicts.confidences)]
    columns = (
        cuts.grades(verdicts.probabilities),
        actions,
        trends(verdicts.probabilities, verdicts.before, cuts),
        is_beyond.tolist(),
    )
    return [Labels(*row) for row in zip(*columns, strict=True)]
