"""The gate: a candidate's report, the champion's report and a policy give a decision. Pure, and the only such rule.

*activate*: the candidate is better than the champion, or beats chance where there is none. *hold*: a fine,
ordinary outcome; the champion stays. *refuse*: too little data to say anything. A decision always carries its
reasons: a code, the figure, the threshold and what to do.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from leadscore.evaluation import EvaluationReport
from leadscore.formats import FORMAT
from leadscore.settings import Settings

Verdict = Literal["activate", "hold", "refuse"]

RECOMMENDED_BASE_RATE = 0.2


class Policy(msgspec.Struct, frozen=True):
    """The gate's numbers. There are no defaults here: a gate without numbers is an error, never a pass."""

    min_records: int
    min_holdout_per_class: int
    min_roc_auc: float
    min_roc_auc_gain: float
    max_brier_increase: float


class Reason(msgspec.Struct, frozen=True):
    """Why a decision fell: a code, a sentence with the figures, the figure, its threshold, and the remedy."""

    code: str
    message: str
    figure: float
    threshold: float
    remedy: str = ""

    @property
    def text(self) -> str:
        """The sentence and, where there is one, the remedy."""
        return f"{self.message}. {self.remedy}." if self.remedy else f"{self.message}."


class Decision(msgspec.Struct, frozen=True):
    """The verdict with its reasons. `notes` recommend something but decided nothing."""

    verdict: Verdict
    reasons: tuple[Reason, ...]
    notes: tuple[Reason, ...] = ()

    @property
    def text(self) -> str:
        """The decision in words."""
        return " ".join(reason.text for reason in self.reasons)


class Unevaluable(msgspec.Struct, frozen=True):
    """A champion that cannot be evaluated any more, and why: its files are damaged, or its features are gone."""

    version: str
    why: str


class Judgement(msgspec.Struct, frozen=True):
    """What is stored with a version once it was judged: its report, the champion's, and the decision."""

    report: EvaluationReport
    champion: EvaluationReport | None
    champion_problem: Unevaluable | None
    decision: Decision
    manifest_sha256: str
    judged_at: str
    run_id: str | None
    format: int = FORMAT

    @property
    def champion_version(self) -> str | None:
        """The version that was active when this one was judged."""
        if self.champion_problem:
            return self.champion_problem.version
        return self.champion.version if self.champion else None


def policy_from(settings: Settings) -> Policy:
    """Return the policy that `settings` ask for."""
    return Policy(
        min_records=settings.min_records,
        min_holdout_per_class=settings.min_holdout_per_class,
        min_roc_auc=settings.min_roc_auc,
        min_roc_auc_gain=settings.min_roc_auc_gain,
        max_brier_increase=settings.max_brier_increase,
    )


def decide(candidate: EvaluationReport, champion: EvaluationReport | Unevaluable | None, policy: Policy) -> Decision:
    """Return what becomes of `candidate`, whose report and the champion's are from the same holdout."""
    notes = _notes(candidate)
    refusals = [
        *data_refusals(candidate.records, candidate.converted_records, policy),
        *_holdout_refusals(candidate, policy),
    ]
    if refusals:
        return Decision("refuse", tuple(refusals), notes)
    if isinstance(champion, EvaluationReport):
        verdict, reasons = _against(candidate, champion, policy)
    else:
        verdict, reasons = _against_chance(candidate, champion, policy)
    return Decision(verdict, reasons, notes)


def refuse_unfittable(
    records: int, converted_records: int, training_records: int, training_converted_records: int, policy: Policy
) -> Decision | None:
    """Return the refusal of data to which no model can be fitted, or None.

    That is data without records, with one class only, or with one class only outside the holdout.
    """
    if training_records and 0 < training_converted_records < training_records:
        return None
    reasons = data_refusals(records, converted_records, policy)
    if not any(reason.code == "one_class" for reason in reasons) and records:
        reasons.append(_one_class("one_class_in_training", training_records, training_converted_records))
    return Decision("refuse", tuple(reasons))


def data_refusals(records: int, converted_records: int, policy: Policy) -> list[Reason]:
    """Return what is wrong with the records themselves: too few, or all of one class."""
    reasons = []
    if records < policy.min_records:
        missing = policy.min_records - records
        reasons.append(
            Reason(
                "too_few_records",
                f"{records} of {policy.min_records} records with a known outcome",
                records,
                policy.min_records,
                f"Train again when {missing} more lead{'s have' if missing > 1 else ' has'} a known outcome"
                + ("" if records else ", or check the org's id: no lead of it counts yet"),
            )
        )
    if records and converted_records in (0, records):
        reasons.append(_one_class("one_class", records, converted_records))
    return reasons


def _one_class(code: str, records: int, converted_records: int) -> Reason:
    where = "" if code == "one_class" else " outside the holdout"
    outcome, missing = ("none", "converted") if converted_records == 0 else ("all", "not converted")
    return Reason(
        code,
        f"Of {records} records{where}, {outcome} converted: there is nothing to tell apart",
        converted_records,
        1,
        f"Train again when some leads have {missing}, or check CONVERSION_STATUSES",
    )


def _holdout_refusals(candidate: EvaluationReport, policy: Policy) -> list[Reason]:
    counts = {
        "converted": candidate.holdout_converted_records,
        "unconverted": candidate.holdout_records - candidate.holdout_converted_records,
    }
    return [
        Reason(
            f"too_few_{kind}_in_holdout",
            f"The holdout has {count} {kind} lead{'' if count == 1 else 's'} of the {policy.min_holdout_per_class}"
            " needed to judge a model",
            count,
            policy.min_holdout_per_class,
            f"Train again when more {kind} leads are known",
        )
        for kind, count in counts.items()
        if count < policy.min_holdout_per_class
    ]


def _against(
    candidate: EvaluationReport, champion: EvaluationReport, policy: Policy
) -> tuple[Verdict, tuple[Reason, ...]]:
    auc, champion_auc = _auc(candidate), _auc(champion)
    brier, champion_brier = candidate.metrics.brier_score, champion.metrics.brier_score
    auc_reason = Reason(
        "roc_auc_improved" if auc - champion_auc > policy.min_roc_auc_gain else "roc_auc_not_improved",
        f"ROC-AUC {auc:.3f} against {champion_auc:.3f} of the active version {champion.version}"
        f" on the same {candidate.holdout_records} leads (needs more than {policy.min_roc_auc_gain:+.3f})",
        auc - champion_auc,
        policy.min_roc_auc_gain,
        "" if auc - champion_auc > policy.min_roc_auc_gain else "Train again when new outcomes are known",
    )
    brier_is_worse = brier - champion_brier > policy.max_brier_increase
    brier_reason = Reason(
        "brier_score_worse" if brier_is_worse else "brier_score_kept",
        f"Brier score {brier:.3f} against {champion_brier:.3f} (may rise by {policy.max_brier_increase:.3f})",
        brier - champion_brier,
        policy.max_brier_increase,
        "Its probabilities fit worse: see the calibration, and train again on more leads" if brier_is_worse else "",
    )
    is_better = auc_reason.code == "roc_auc_improved" and not brier_is_worse
    return ("activate" if is_better else "hold"), (auc_reason, brier_reason)


def _against_chance(
    candidate: EvaluationReport, champion: Unevaluable | None, policy: Policy
) -> tuple[Verdict, tuple[Reason, ...]]:
    auc = _auc(candidate)
    beats_chance = auc > policy.min_roc_auc
    reason = Reason(
        "better_than_chance" if beats_chance else "not_better_than_chance",
        f"ROC-AUC {auc:.3f} (needs more than {policy.min_roc_auc:.3f}) on {candidate.holdout_records} leads",
        auc,
        policy.min_roc_auc,
        "" if beats_chance else "Train again when more outcomes are known",
    )
    verdict: Verdict = "activate" if beats_chance else "hold"
    if champion is None:
        return verdict, (reason,)
    problem = f"The active version {champion.version} cannot be compared: {champion.why}"
    remedy = "The candidate is judged against chance instead"
    return verdict, (Reason("champion_not_evaluable", problem, 0, 0, remedy), reason)


def _auc(report: EvaluationReport) -> float:
    """Return the ROC-AUC; the refusals see to it that both classes are there before anybody asks."""
    if report.metrics.roc_auc is None:
        raise ValueError(f"version {report.version} has no ROC-AUC: its holdout has one class")
    return report.metrics.roc_auc


def _notes(candidate: EvaluationReport) -> tuple[Reason, ...]:
    if candidate.base_rate >= RECOMMENDED_BASE_RATE:
        return ()
    return (
        Reason(
            "low_base_rate",
            f"{candidate.base_rate:.1%} of the records converted ({RECOMMENDED_BASE_RATE:.0%} or more is recommended)",
            candidate.base_rate,
            RECOMMENDED_BASE_RATE,
            "A longer TRAINING_WINDOW_DAYS brings in more conversions",
        ),
    )
