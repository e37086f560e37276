"""From feature vectors to scores: probability, prediction, confidence, contributions and the recommended action."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from leadscore.arrays import Floats
from leadscore.engine.scorer import Scorer
from leadscore.settings import Settings

DECISION_THRESHOLD = 0.5


class Action(StrEnum):
    """What the CRM should do with a lead, most urgent first."""

    HIGH_PRIORITY = "HIGH_PRIORITY"
    MEDIUM_PRIORITY = "MEDIUM_PRIORITY"
    NURTURE = "NURTURE"
    LOW_PRIORITY = "LOW_PRIORITY"


_BY_URGENCY = np.array(list(Action), object)


class ActionPolicy(msgspec.Struct, frozen=True):
    """The minimum probabilities and confidences of the recommended actions, as shares from 0 to 1."""

    high_probability: float
    high_confidence: float
    medium_probability: float
    medium_confidence: float
    nurture_probability: float

    def action(self, probability: float, confidence: float) -> Action:
        """Return the action for a lead of this probability, on which this share of the trees agrees."""
        if probability >= self.high_probability and confidence >= self.high_confidence:
            return Action.HIGH_PRIORITY
        if probability >= self.medium_probability and confidence >= self.medium_confidence:
            return Action.MEDIUM_PRIORITY
        return Action.NURTURE if probability >= self.nurture_probability else Action.LOW_PRIORITY

    def actions(self, probabilities: Floats, confidences: Floats) -> list[Action]:
        """Return `action` for each lead; both arrays have the shape (leads,). Faster than single calls."""
        is_high = (probabilities >= self.high_probability) & (confidences >= self.high_confidence)
        is_medium = (probabilities >= self.medium_probability) & (confidences >= self.medium_confidence)
        is_nurtured = probabilities >= self.nurture_probability
        place = np.select([is_high, is_medium, is_nurtured], [0, 1, 2], 3)
        found: list[Action] = _BY_URGENCY[place].tolist()
        return found


def action_policy_from(settings: Settings) -> ActionPolicy:
    """Return the action policy that `settings` ask for."""
    return ActionPolicy(
        high_probability=settings.high_priority_probability,
        high_confidence=settings.high_priority_confidence,
        medium_probability=settings.medium_priority_probability,
        medium_confidence=settings.medium_priority_confidence,
        nurture_probability=settings.nurture_probability,
    )


class Score(NamedTuple):
    """A row's score.

    The probability is in [0, 1], the confidence the share of trees that agree with the prediction. The contributions
    are in the contract's order; the scorer's base value plus their sum is the probability. There are none when they
    were not asked for.
    """

    probability: float
    prediction: Literal[0, 1]
    confidence: float
    action: Action
    contributions: list[float]


class Scores(NamedTuple):
    """The scores of some rows, column by column, in the order of the rows. `Score` explains the fields."""

    probabilities: list[float]
    predictions: list[int]
    confidences: list[float]
    actions: list[Action]
    contributions: list[list[float]]


def score_row(scorer: Scorer, row: Sequence[float], policy: ActionPolicy, *, with_contributions: bool = True) -> Score:
    """Return the score of a single row, with NaN for unknown values: the same as `score_rows`, but faster."""
    probability, votes, contributions = scorer.explain(row, with_contributions=with_contributions)
    is_positive = probability >= DECISION_THRESHOLD
    confidence = (votes if is_positive else scorer.trees - votes) / scorer.trees
    return Score(
        probability, 1 if is_positive else 0, confidence, policy.action(probability, confidence), contributions
    )


def score_rows(scorer: Scorer, rows: Floats, policy: ActionPolicy, *, with_contributions: bool = True) -> Scores:
    """Return the scores of `rows`, shape (rows, features)."""
    probabilities, votes = scorer.verdicts(rows)
    predictions, trees = probabilities >= DECISION_THRESHOLD, scorer.trees
    confidences = np.where(predictions, votes, trees - votes) / trees
    return Scores(
        probabilities=probabilities.tolist(),
        predictions=predictions.astype(int).tolist(),
        confidences=confidences.tolist(),
        actions=policy.actions(probabilities, confidences),
        contributions=scorer.contributions(rows).tolist() if with_contributions else [],
    )
