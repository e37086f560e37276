"""From feature vectors to scores: probability, prediction, confidence, contributions and the recommended action."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Literal

import msgspec
import numpy as np

from leadscore.engine.scorer import Floats, Scorer
from leadscore.settings import Settings

DECISION_THRESHOLD = 0.5


class Action(StrEnum):
    """What the CRM should do with a lead, most urgent first."""

    HIGH_PRIORITY = "HIGH_PRIORITY"
    MEDIUM_PRIORITY = "MEDIUM_PRIORITY"
    NURTURE = "NURTURE"
    LOW_PRIORITY = "LOW_PRIORITY"


class ActionPolicy(msgspec.Struct, frozen=True):
    """The thresholds of the recommended action; all are shares from 0 to 1, and a threshold itself qualifies."""

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


def action_policy_from(settings: Settings) -> ActionPolicy:
    """Return the action policy that `settings` ask for."""
    return ActionPolicy(
        high_probability=settings.high_priority_probability,
        high_confidence=settings.high_priority_confidence,
        medium_probability=settings.medium_priority_probability,
        medium_confidence=settings.medium_priority_confidence,
        nurture_probability=settings.nurture_probability,
    )


class Score(msgspec.Struct, frozen=True):
    """One lead's score. `contributions` are in the contract's order, None when they were not asked for.

    `probability` is in [0, 1], `confidence` the share of trees that agree with `prediction`; `base_value` plus the
    sum of the contributions is the probability.
    """

    probability: float
    prediction: Literal[0, 1]
    confidence: float
    action: Action
    base_value: float
    contributions: Sequence[float] | None


def score_row(scorer: Scorer, row: Sequence[float], policy: ActionPolicy) -> Score:
    """Return one row's score with its contributions, as `score_rows` does, in less time. NaN is unknown."""
    probability, votes, contributions = scorer.explain(row)
    prediction = probability >= DECISION_THRESHOLD
    confidence = (votes if prediction else scorer.trees - votes) / scorer.trees
    action = policy.action(probability, confidence)
    return Score(probability, 1 if prediction else 0, confidence, action, scorer.base_value, contributions)


def score_rows(scorer: Scorer, rows: Floats, policy: ActionPolicy, *, with_contributions: bool = True) -> list[Score]:
    """Return a score for each of `rows`, shape (rows, features), in order."""
    probabilities, votes = scorer.verdicts(rows)
    predictions, trees = probabilities >= DECISION_THRESHOLD, scorer.trees
    confidences = np.where(predictions, votes, trees - votes) / trees
    contributions = scorer.contributions(rows).tolist() if with_contributions else [None] * len(rows)
    of_rows = zip(probabilities.tolist(), predictions.tolist(), confidences.tolist(), contributions, strict=True)
    action, base_value = policy.action, scorer.base_value
    return [
        Score(probability, 1 if prediction else 0, confidence, action(probability, confidence), base_value, given)
        for probability, prediction, confidence, given in of_rows
    ]
