"""The gate: the only rule that decides whether a candidate is activated, held or refused.

*activate*: nothing says that the candidate is worse than the org's champion: it may well rank the same leads better, it
reaches the level that the champion had when it was judged, and its probabilities are not much worse. If the org has no
champion but the pooled model scores its leads, a candidate that was taught from the pooled model may well give better
probabilities than that. A candidate of the org's own leads alone must surely rank leads better than the pooled model,
or give better probabilities, and none of its figures may be much worse; the more of the candidate's training window is
newer than the pooled model, the less sure the gate must be. With neither, the candidate must rank better than chance,
and give better probabilities than the base rate.
*hold*: one of these is not so, which is an ordinary outcome. The active version stays.
*refuse*: the data does not meet a requirement.

The verdict is about quality alone. `withheld` says what else keeps a version from becoming active: it was only tried,
or its data is older than that of the active version.

`comparison` measures how sure a difference is, and `requirements` lists the data that a training needs.
`benchmarks.models.gate` measures the effect of the rule and its numbers. Each reason of a decision has a code, a
figure, a threshold and a remedy.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from leadscore.comparison import Comparison, Difference, probability_no_lower
from leadscore.evaluation import EvaluationReport
from leadscore.formats import FORMAT
from leadscore.left_out import Cause
from leadscore.outcome_forecast import LeadFilter
from leadscore.pooling import Scope, is_of_the_org
from leadscore.requirements import (
    ALL_RECORDS,
    FEWEST_TO_LEARN_FROM,
    Requirement,
    SplitCounts,
    requirement_of_records,
    training_requirements,
)
from leadscore.settings import Settings

Verdict = Literal["activate", "hold", "refuse"]

RECOMMENDED_BASE_RATE = 0.2
# an own version of fewer records was worse than the pooled model in nine of ten trials or more, see
# `benchmarks.models.first_versions`, so a small holdout's word for it must be as sure as can be
FEWEST_OWN_RECORDS, SURE_OF_FEW = 1_000, 0.975
LEAST_SHARED_WINDOW = 0.1  # the probabilities may get worse by more the older the champion is, but tenfold at most
ROLL_BACK_TO_IT = "Only a rollback to it, or a run with `activate_anyway` if it passed the gate, makes it active"


class Policy(msgspec.Struct, frozen=True):
    """The gate's thresholds. None has a default, so a gate without thresholds is an error and never a pass.

    `min_probability_better` says what is surely better, and applies against chance and a pooled model of the same time;
    `min_probability_better_stale` applies against a pooled model that is older than the whole training window. Between
    the two, the threshold is interpolated. `min_probability_not_worse` applies against the org's own champion of the
    same time, and falls to 0 for one that is older than the whole window; a taught candidate needs it against the
    pooled model, where it falls to a tenth. `max_roc_auc_decrease` applies to a candidate of the org's own leads alone,
    against the pooled model.
    """

    min_records: int
    min_holdout_per_class: int
    min_probability_better: float
    min_probability_better_stale: float
    min_probability_not_worse: float
    max_roc_auc_decrease: float
    max_brier_increase: float
    max_log_loss_increase: float

    @property
    def requirements(self) -> tuple[Requirement, ...]:
        """What data a training needs under this policy."""
        return training_requirements(self.min_records, self.min_holdout_per_class)


class Reason(msgspec.Struct, frozen=True):
    """One reason of a decision: a code, a sentence, a figure, its threshold, and the remedy.

    `speaks_for` is true when it counts for the candidate, false when it counts against it, None when it is neutral.
    """

    code: str
    message: str
    figure: float
    threshold: float
    remedy: str = ""
    speaks_for: bool | None = False

    @property
    def text(self) -> str:
        """The sentence and, where there is one, the remedy."""
        return f"{self.message}. {self.remedy}." if self.remedy else f"{self.message}."


class Decision(msgspec.Struct, frozen=True):
    """The verdict with its reasons. `notes` are recommendations that decide nothing."""

    verdict: Verdict
    reasons: tuple[Reason, ...]
    notes: tuple[Reason, ...] = ()

    @property
    def text(self) -> str:
        """The decision in words."""
        return " ".join(reason.text for reason in self.reasons)


class Unevaluable(msgspec.Struct, frozen=True):
    """A baseline that can no longer be evaluated, and why: its files are damaged, or its features no longer exist.

    It is the org's champion or, with the scope "pooled", the pooled model that serves an org without a champion.
    """

    version: str
    why: str
    scope: Scope = "own"


class Judgement(msgspec.Struct, frozen=True):
    """Stored with a version when it is judged: its report, the champion's report, and the decision.

    `comparison` is None when the holdout has one outcome only. `withheld` says why the version does not become active
    even if the verdict is `activate`. `files` has the SHA-256 of each file that is stored with the judgement.
    """

    report: EvaluationReport
    champion: EvaluationReport | None
    champion_problem: Unevaluable | None
    decision: Decision
    manifest_sha256: str
    judged_at: str
    run_id: str | None
    comparison: Comparison | None = None
    files: dict[str, str] = {}
    format: int = FORMAT
    withheld: tuple[Reason, ...] = ()

    @property
    def may_become_active(self) -> bool:
        """Whether the version passed the gate, and nothing withholds it."""
        return self.decision.verdict == "activate" and not self.withheld

    @property
    def champion_version(self) -> str | None:
        """The org's own version that was active when this version was judged."""
        if self.champion_problem:
            return self.champion_problem.version if is_of_the_org(self.champion_problem.scope) else None
        return self.champion.version if self.champion else None


def policy_from(settings: Settings) -> Policy:
    """Return the policy that `settings` ask for: each of its numbers is the setting of the same name."""
    return Policy(**{name: getattr(settings, name) for name in Policy.__struct_fields__})


def decide(
    candidate: EvaluationReport,
    comparison: Comparison | None,
    champion_problem: Unevaluable | None,
    policy: Policy,
    causes: Sequence[Cause] = (),
) -> Decision:
    """Decide about `candidate`, which `comparison` compares with the champion or another baseline.

    `causes` say why there are not more records; a refusal names them, and its remedies follow from them. Raises
    ValueError when there is enough data to decide but no comparison.
    """
    notes = _notes(candidate)
    counts = SplitCounts(
        candidate.records,
        candidate.converted_records,
        candidate.holdout_records,
        candidate.holdout_converted_records,
    )
    refusals = _refusals(counts, policy.requirements, causes)
    if refusals:
        return Decision("refuse", refusals, notes)
    if comparison is None:
        raise ValueError(f"version {candidate.version} was not compared with a baseline; train again")
    reasons = _reasons(comparison, policy, candidate.records)
    is_better = all(reason.speaks_for for reason in reasons)
    remarks = (_not_evaluable(champion_problem),) if champion_problem else ()
    return Decision("activate" if is_better else "hold", (*remarks, *reasons), notes)


def withheld(as_of: datetime, active_as_of: datetime | None, *, is_trial: bool) -> tuple[Reason, ...]:
    """Return why a version of `as_of` does not become active whatever its verdict; empty where nothing withholds it.

    `active_as_of` is that of the org's active version, None without one. `is_trial` when the training was asked to
    judge only.
    """
    reasons = []
    if is_trial:
        reasons.append(Reason("only_tried", "The training was asked to judge only", 0, 0, ROLL_BACK_TO_IT))
    if active_as_of is not None and as_of < active_as_of:
        message = f"Its data ends on {_day(as_of)}, before that of the active version ({_day(active_as_of)})"
        days_older = (active_as_of - as_of) / timedelta(days=1)
        reasons.append(Reason("older_than_active", message, days_older, 0, ROLL_BACK_TO_IT))
    return tuple(reasons)


def _day(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def refuse_counts(counts: SplitCounts, policy: Policy) -> Decision | None:
    """Return the refusal with which a training of so many leads would end; None for enough data."""
    refusals = _refusals(counts, policy.requirements, ())
    return Decision("refuse", refusals) if refusals else None


def refuse_unfittable(
    records: int,
    converted_records: int,
    training_records: int,
    training_converted_records: int,
    policy: Policy,
    *,
    causes: Sequence[Cause] = (),
) -> Decision | None:
    """Return the refusal when no model can be fitted to the data, else None; `causes` are those of `decide`.

    No model can be fitted without records of both outcomes outside the holdout.
    """
    counts = SplitCounts(
        records,
        converted_records,
        holdout_records=records - training_records,
        holdout_converted_records=converted_records - training_converted_records,
    )
    to_fit = [requirement for requirement in policy.requirements if requirement.leads.is_held_out is False]
    if all(requirement.is_met_by(counts) for requirement in to_fit):
        return None
    return Decision("refuse", _refusals(counts, [requirement_of_records(policy.requirements), *to_fit], causes))


def _refusals(counts: SplitCounts, requirements: Sequence[Requirement], causes: Sequence[Cause]) -> tuple[Reason, ...]:
    """Return a reason for each unmet requirement, then the causes; requirements outside the holdout share one reason.

    A requirement has no remedy of its own where the remedy of a cause may meet it.
    """
    unmet = [requirement for requirement in requirements if not requirement.is_met_by(counts)]
    if not unmet:
        return ()
    is_explained = any(cause.may_hide_an_outcome for cause in causes)
    too_few = [
        _too_few_records(requirement, counts, causes) for requirement in unmet if requirement.leads == ALL_RECORDS
    ]
    has_one_class = counts.records and any(requirement.leads.is_held_out is False for requirement in unmet)
    one_class = [_one_class(counts, is_explained=is_explained)] if has_one_class else []
    in_holdout = [
        _too_few_in_holdout(requirement, counts, is_explained=is_explained)
        for requirement in unmet
        if requirement.leads.is_held_out
    ]
    return (*too_few, *one_class, *in_holdout, *map(_reason_of, causes))


def _reason_of(cause: Cause) -> Reason:
    return Reason(cause.code, cause.message, cause.leads, 0, cause.remedy)


def _too_few_records(requirement: Requirement, counts: SplitCounts, causes: Sequence[Cause]) -> Reason:
    needed, records = requirement.needed, counts.records
    missing = needed - records
    remedy = f"Train again when {missing} more lead{'s have' if missing > 1 else ' has'} a known outcome"
    if not records and not causes:
        remedy += ", or check the org's id: none of its leads has a known outcome yet"
    if sum(cause.leads for cause in causes if cause.remedy) >= missing:
        remedy = ""
    return Reason("too_few_records", f"{records} of {needed} {requirement.text}", records, needed, remedy)


def _one_class(counts: SplitCounts, *, is_explained: bool) -> Reason:
    """Return the reason that all records, or all outside the holdout, have the same outcome."""
    if 0 < counts.converted_records < counts.records:
        code, where, is_held_out, other_remedy = "one_class_in_training", " outside the holdout", False, ""
    else:
        code, where, is_held_out, other_remedy = "one_class", "", None, ", or check CONVERSION_STATUSES"
    records = counts.of(LeadFilter(is_held_out=is_held_out))
    converted = counts.of(LeadFilter(is_converted=True, is_held_out=is_held_out))
    outcome, missing = ("None of", "converted") if converted == 0 else ("All", "not converted")
    return Reason(
        code,
        f"{outcome} {records} records{where} converted, but a model needs leads of both outcomes",
        converted,
        FEWEST_TO_LEARN_FROM,
        "" if is_explained else f"Train again when some leads have {missing}{other_remedy}",
    )


def _too_few_in_holdout(requirement: Requirement, counts: SplitCounts, *, is_explained: bool) -> Reason:
    leads = counts.of(requirement.leads)
    outcome = "converted" if requirement.leads.is_converted else "unconverted"
    return Reason(
        f"too_few_{requirement.name}",
        f"The holdout has {leads} {outcome} lead{'' if leads == 1 else 's'}, but {requirement.needed}"
        f" {'is' if requirement.needed == 1 else 'are'} needed to judge a model",
        leads,
        requirement.needed,
        "" if is_explained else f"Train again when more {outcome} leads are known",
    )


def _reasons(comparison: Comparison, policy: Policy, records: int) -> tuple[Reason, ...]:
    """Return what counts for and against a candidate of so many records."""
    if comparison.against.kind == "own":
        return _against_own(comparison, policy)
    if comparison.against.kind == "base_rate":
        return _against_base_rate(comparison, policy)
    if comparison.is_taught:
        return _against_its_teacher(comparison, policy)
    return _against_pooled(comparison, policy if records >= FEWEST_OWN_RECORDS else _for_few_records(policy))


def _for_few_records(policy: Policy) -> Policy:
    fresh, stale = policy.min_probability_better, policy.min_probability_better_stale
    return msgspec.structs.replace(
        policy,
        min_probability_better=max(fresh, SURE_OF_FEW),
        min_probability_better_stale=max(stale, SURE_OF_FEW),
    )


def _against_its_teacher(comparison: Comparison, policy: Policy) -> tuple[Reason, ...]:
    """Return what counts for and against a candidate that the org's leads taught from the pooled model.

    Teaching makes the pooled model better in most orgs, and hardly worse in any, so only evidence against it counts:
    that of the Brier score, which tells more of a small change than the ROC-AUC.
    """
    brier, widened = comparison.brier_score, max(comparison.shared_window, LEAST_SHARED_WINDOW)
    may_fit_better = _surely(
        ("may_fit_better", "fits_no_better"),
        f"gives better probabilities than {comparison.against.in_words}",
        f"Brier score {_against(brier)} on the same {comparison.leads} leads",
        brier.probability_better,
        policy.min_probability_not_worse * widened,
        since=_newer(comparison),
    )
    return (
        may_fit_better,
        _guard("brier_score", "Brier score", brier, -policy.max_brier_increase / widened),
        _guard("log_loss", "Log loss", comparison.log_loss, -policy.max_log_loss_increase / widened),
    )


def _against_own(comparison: Comparison, policy: Policy) -> tuple[Reason, ...]:
    """Return what counts for and against a candidate for the place of the org's own champion.

    It has newer leads, or more of them, and is usually the better one, however little a small holdout can tell. So only
    evidence that it is worse holds it back, and more of it is needed the older the champion is. It comes from the leads
    of its holdout; and from the level that the champion had when it was judged, since a month with wrong outcomes makes
    both look bad on these leads.
    """
    auc, champion = comparison.roc_auc, comparison.against.in_words
    widened = max(comparison.shared_window, LEAST_SHARED_WINDOW)
    may_rank_better = _surely(
        ("may_rank_better", "ranks_no_better"),
        f"ranks leads better than {champion}",
        f"ROC-AUC {_against(auc)} on the same {comparison.leads} leads",
        auc.probability_better,
        policy.min_probability_not_worse * comparison.shared_window,
        since=_newer(comparison),
    )
    return (
        may_rank_better,
        *_level(comparison, policy),
        _guard("brier_score", "Brier score", comparison.brier_score, -policy.max_brier_increase / widened),
        _guard("log_loss", "Log loss", comparison.log_loss, -policy.max_log_loss_increase / widened),
    )


def _level(comparison: Comparison, policy: Policy) -> tuple[Reason, ...]:
    """Return whether the candidate reaches the champion's level of then; nothing where that is not known.

    If it surely ranks the same leads better, it need not: then the leads have become harder, and not the model worse.
    """
    now, then = comparison.roc_auc.candidate, comparison.baseline_when_judged
    if then is None:
        return ()
    is_surely_better = comparison.roc_auc.probability_better >= policy.min_probability_better
    level_kept = _surely(
        ("level_kept", "level_fell"),
        f"reaches the ROC-AUC with which {comparison.against.in_words} was judged",
        f"ROC-AUC {now.value:.3f} against {then.value:.3f} then",
        probability_no_lower(now, then),
        0.0 if is_surely_better else policy.min_probability_not_worse * comparison.shared_window,
        since=", since it surely ranks the same leads better" if is_surely_better else _newer(comparison),
        remedy="Look for wrong or missing outcomes in the newest months, and train again",
    )
    return (level_kept,)


def _against_pooled(comparison: Comparison, policy: Policy) -> tuple[Reason, ...]:
    ranks_better, fits_better = _claims(comparison, policy)
    roc_auc_kept = _guard("roc_auc", "ROC-AUC", comparison.roc_auc, -policy.max_roc_auc_decrease)
    log_loss_kept = _guard("log_loss", "Log loss", comparison.log_loss, -policy.max_log_loss_increase)
    if fits_better.speaks_for and not ranks_better.speaks_for:
        return roc_auc_kept, fits_better, log_loss_kept
    # `ranks_better` shows both figures; the guard adds something only where it holds back a candidate that ranks better
    is_held_back = ranks_better.speaks_for and not roc_auc_kept.speaks_for
    return (
        ranks_better,
        *((roc_auc_kept,) if is_held_back else ()),
        _guard("brier_score", "Brier score", comparison.brier_score, -policy.max_brier_increase),
        log_loss_kept,
    )


def _claims(comparison: Comparison, policy: Policy) -> tuple[Reason, Reason]:
    """Return how sure it is that the candidate ranks leads better, and that its probabilities are better."""
    auc, brier = comparison.roc_auc, comparison.brier_score
    needed = probability_needed(comparison.shared_window, policy)
    since = _newer(comparison)
    ranks_better = _surely(
        ("ranks_better", "ranks_no_better"),
        f"ranks leads better than {comparison.against.in_words}",
        f"ROC-AUC {_against(auc)} on the same {comparison.leads} leads",
        auc.probability_better,
        needed,
        since=since,
    )
    fits_better = _surely(
        ("fits_better", "fits_no_better"),
        f"gives better probabilities than {comparison.against.in_words}",
        f"Brier score {_against(brier)} on the same {comparison.leads} leads",
        brier.probability_better,
        needed,
        since=since,
    )
    return ranks_better, fits_better


def probability_needed(shared_window: float, policy: Policy) -> float:
    """Return the probability of being better that a candidate needs.

    `shared_window` is the share of its training window that is no newer than the pooled model.
    """
    fresh, stale = policy.min_probability_better, policy.min_probability_better_stale
    return stale + (fresh - stale) * shared_window


def _newer(comparison: Comparison) -> str:
    newer = f"{1 - comparison.shared_window:.0%}"
    return f", since {newer} of this training window is newer than that version" if newer != "0%" else ""


def _against_base_rate(comparison: Comparison, policy: Policy) -> tuple[Reason, ...]:
    auc, brier = comparison.roc_auc, comparison.brier_score
    ranking = _surely(
        ("better_than_chance", "not_better_than_chance"),
        "ranks leads better than chance",
        f"ROC-AUC {auc.candidate.value:.3f} on {comparison.leads} leads",
        auc.probability_better,
        policy.min_probability_better,
    )
    beats = brier.gain.value > 0
    base_rate = Reason(
        "better_than_base_rate" if beats else "not_better_than_base_rate",
        f"Brier score {_against(brier)} for the base rate",
        brier.candidate.value,
        brier.baseline.value,
        "" if beats else "Its probabilities are no better than the base rate; train again when more outcomes are known",
        speaks_for=beats,
    )
    return ranking, base_rate


def _surely(
    codes: tuple[str, str],
    claim: str,
    figures: str,
    probability: float,
    needed: float,
    *,
    since: str = "",
    remedy: str = "Train again when new outcomes are known",
) -> Reason:
    is_sure = probability >= needed
    digits = 2 if is_sure or f"{probability:.2f}" != f"{needed:.2f}" else 4  # so that it shows what is missing
    return Reason(
        codes[0] if is_sure else codes[1],
        f"The probability that it {claim} is {probability:.{digits}f} ({needed:.{digits}f} needed{since}); {figures}",
        probability,
        needed,
        "" if is_sure else remedy,
        speaks_for=is_sure,
    )


def _guard(code: str, name: str, difference: Difference, least_gain: float) -> Reason:
    is_kept = difference.gain.value >= least_gain
    moves = "fall" if code == "roc_auc" else "rise"
    return Reason(
        f"{code}_kept" if is_kept else f"{code}_worse",
        f"{name} {_against(difference)} (it may {moves} by at most {-least_gain:.3f})",
        difference.gain.value,
        least_gain,
        "" if is_kept else _REMEDIES[moves],
        speaks_for=is_kept,
    )


_REMEDIES = {
    "fall": "It ranks leads worse; train again when new outcomes are known",
    "rise": "Its probabilities are worse; look at the calibration, and train again on more leads",
}


def _against(difference: Difference) -> str:
    return f"{difference.candidate.value:.3f} against {difference.baseline.value:.3f}"


def _not_evaluable(problem: Unevaluable) -> Reason:
    whose = "active version" if is_of_the_org(problem.scope) else "pooled model"
    return Reason(
        "champion_not_evaluable",
        f"The {whose} {problem.version} cannot be compared: {problem.why}",
        0,
        0,
        "The candidate is judged against the base rate instead",
        speaks_for=None,
    )


def _notes(candidate: EvaluationReport) -> tuple[Reason, ...]:
    if candidate.base_rate >= RECOMMENDED_BASE_RATE:
        return ()
    return (
        Reason(
            "low_base_rate",
            f"{candidate.base_rate:.1%} of the records converted ({RECOMMENDED_BASE_RATE:.0%} or more is recommended)",
            candidate.base_rate,
            RECOMMENDED_BASE_RATE,
            "Raise TRAINING_WINDOW_DAYS to include more conversions",
        ),
    )
