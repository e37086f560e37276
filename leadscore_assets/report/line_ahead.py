"""Whether a straight line ranks the newest leads surely better than the forest, and more so than it usually does.

Then the newest leads may have values that no tree has seen, or convert in another way: the forest's score may rank the
leads that come next no better. The judgement and the report say so; the gate does not use it.

A line alone that is ahead says little. Where leads convert along a line it is the better model of them at any time: in
10 % of simulated trainings, in which nothing changes, it was surely ahead on the newest leads by LEAST_LEAD. So its
lead there must exceed its lead on the holdout, whose leads are of all months, by more than chance explains. The
interval of the difference follows from those of both (Zou and Donner 2008, "Construction of confidence limits about
effect measures"). That leaves 0.9 %; `benchmarks.models.regime_change` has the figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import hypot
from typing import Any

import msgspec

from leadscore.comparison import Baseline, Comparison, Difference, compare
from leadscore.evaluation import has_both_outcomes
from leadscore.gate import Judgement, Reason
from leadscore_assets.dataset import FeatureRows, feature_matrix
from leadscore_assets.report.backtest import LEAST_LEAD, Backtest, is_taught, sampled, small_forest
from leadscore_assets.report.slices import HeldOut
from leadscore_assets.report.straight_line import line_probabilities

SURELY = 0.975
# an interval's end is 1.96 standard errors away; 2.33 are exceeded by chance in one of a hundred orgs, not one of forty
WIDER = 2.33 / 1.96
REMEDY = (
    "The way leads convert, or how the CRM records them, may have changed; look at what is new about these leads, and"
    " train again when more of their outcomes are known"
)


@dataclass(frozen=True)
class LineAhead:
    """The line, as the candidate, against the forest: on the newest leads of a backtest, and on the holdout."""

    first_day: str
    newest: Comparison
    usual: Comparison

    @property
    def note(self) -> Reason:
        """What the judgement says of it."""
        newest, usual = self.newest.roc_auc, self.usual.roc_auc
        message = (
            f"A straight line ranks the newest leads better than the forest: ROC-AUC {_against(newest)} on the"
            f" {self.newest.leads} leads created since {self.first_day}, when both learn from older leads only"
            f" ({_against(usual)} on held-out leads of all months)"
        )
        return Reason("line_ranks_newest_better", message, newest.gain.value, LEAST_LEAD, REMEDY)


def line_ahead(
    test: Backtest | None, features: FeatureRows, held_out: HeldOut, parameters: Mapping[str, Any]
) -> LineAhead | None:
    """Return by how much the line is ahead; None where it is not surely so, or no more than on the holdout.

    `held_out` holds the version's probabilities, `parameters` are the version's. The cost is a comparison more, where
    the line is ahead at all; of a taught version also a small forest of the org's own leads, as the backtest has it.
    """
    newest = test.line_comparison if test else None
    if test is None or newest is None or newest.roc_auc.probability_better < SURELY:
        return None
    usual = _on_the_holdout(features, held_out, parameters)
    if usual is None or not exceeds(newest.roc_auc, usual.roc_auc):
        return None
    return LineAhead(test.first_day, newest, usual)


def exceeds(one: Difference, other: Difference) -> bool:
    """Return whether the gain of `one` is greater than that of `other` by more than chance explains."""
    chance = WIDER * hypot(one.gain.value - one.gain.low, other.gain.high - other.gain.value)
    return one.gain.value - other.gain.value > chance


def noted(judgement: Judgement, ahead: LineAhead | None) -> Judgement:
    """Return the judgement with the note that a line is ahead, where it is."""
    if ahead is None:
        return judgement
    decision = msgspec.structs.replace(judgement.decision, notes=(*judgement.decision.notes, ahead.note))
    return msgspec.structs.replace(judgement, decision=decision)


def _on_the_holdout(features: FeatureRows, held_out: HeldOut, parameters: Mapping[str, Any]) -> Comparison | None:
    """Compare the line with the version, or with the org's own forest for a taught one, fitted outside the holdout.

    None where either side has one outcome only.
    """
    is_held_out = features.holdout_mask()
    learned = sampled(features.rows[~is_held_out])
    if learned["converted"].nunique() == 1 or not has_both_outcomes(held_out.holdout.converted):
        return None
    rows, asked = (feature_matrix(part, features.contract) for part in (learned, features.rows[is_held_out]))
    line = line_probabilities(rows, learned["converted"].to_numpy(dtype=bool), asked)
    forest = small_forest(learned, rows, asked, parameters) if is_taught(parameters) else held_out.candidate
    return compare(line, forest, held_out.holdout, against=Baseline("own", "forest"))


def _against(difference: Difference) -> str:
    return f"{difference.candidate.value:.3f} against {difference.baseline.value:.3f}"
