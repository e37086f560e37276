"""Scoring: one lead, or a batch of leads. The contract of the version that scores checks the features."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from itertools import repeat

from flask import Blueprint
from msgspec import UNSET, UnsetType

from leadscore.errors import Fault, InvalidFeatures
from leadscore.registry.version import LoadedVersion, Manifest
from leadscore.scoring import Scores, score_row, score_rows
from serving.api.endpoint import JsonResponse, answer, endpoint
from serving.api.lead_parsing import (
    Faulty,
    Leads,
    Values,
    check_count,
    check_is_object,
    leads_of,
    row_of,
    values_of,
    values_told,
)
from serving.api.problems import CODES, Refusal, invalid, refusal_of
from serving.api.schema import (
    BatchAnswer,
    BatchFault,
    BatchRequest,
    BatchScore,
    Contribution,
    PredictAnswer,
    PredictRequest,
    ScoringQuery,
)
from serving.services import Services

routes = Blueprint("scoring", __name__)

_REFUSALS = {
    404: ("no_active_model",),
    422: ("invalid_request", "invalid_features"),
    503: ("model_unavailable", "registry_unavailable"),
}
# In a valid body only a key stands before a colon. Without this key, the answer waits for the database.
_HAS_FEATURES = re.compile(rb'"features"\s*:')


@routes.post("/api/v1/predict")
@endpoint(
    {200: PredictAnswer},
    scope="score",
    query=ScoringQuery,
    body=PredictRequest,
    refusals={
        404: (*_REFUSALS[404], "lead_not_found"),
        422: (*_REFUSALS[422], "invalid_lead"),
        503: (*_REFUSALS[503], "database_unavailable"),
    },
    is_quick=True,
    quick_with=_HAS_FEATURES,
)
def predict(services: Services, query: ScoringQuery, body: PredictRequest) -> JsonResponse:
    """Score one lead, by its features or by its id alone: then its features are read from the CRM now.

    With features, the CRM's database is never asked.
    """
    _check_names_a_lead(body)
    version = services.models.active(body.org_id)
    manifest, scorer = version.manifest, version.scorer
    if body.features is UNSET:
        values = _values_now(services, manifest, body)
    else:
        values = values_of(manifest.contract, body.features)
    started_seconds = time.perf_counter()
    score = score_row(scorer, row_of(values), services.policy, with_contributions=query.contributions)
    services.recorder.scored(manifest.version, [score.probability], time.perf_counter() - started_seconds)
    if body.lead_id is not None:
        services.answered_scores.remember(
            *(body.org_id, version, (body.lead_id,), (score.probability,), (values,)),
            has_own_features=body.features is not UNSET,
        )
    scored = PredictAnswer(
        prediction=score.prediction,
        conversion_probability=score.probability,
        confidence=score.confidence,
        model_version=manifest.version,
        model_scope=version.scope,
        recommended_action=score.action,
        feature_contributions=_reasons(manifest.contract.names, values, score.contributions),
        org_id=body.org_id,
        base_value=scorer.base_value,
        lead_id=body.lead_id,
        note=_note(manifest, values),
    )
    return answer(scored, version=manifest.version)


def _check_names_a_lead(body: PredictRequest) -> None:
    """Raise Refusal 422 for a body that has neither features nor a lead's id."""
    if body.features is not UNSET:
        check_is_object(body.features)
    elif body.lead_id is None:
        fault = Fault("/features", "missing", "required, unless lead_id is given in their place")
        raise invalid((fault,), 422, "invalid_request")


def _values_now(services: Services, manifest: Manifest, body: PredictRequest) -> Values:
    """Return the values of the lead that the body names, as the CRM tells them now.

    Raises Refusal 404 for a lead that is not there, 422 for one whose values break the contract; DatabaseUnavailable.
    """
    contract = manifest.contract
    told = services.lead_reader.features(body.org_id, str(body.lead_id), contract.names)
    if told is None:
        raise Refusal(404, "lead_not_found", CODES["lead_not_found"])
    try:
        return values_told(contract, told)
    except InvalidFeatures as error:
        detail = f"the CRM's values of this lead cannot be scored; correct them there: {refusal_of(error).detail}"
        raise Refusal(422, "invalid_lead", detail, faults=error.faults) from error


def _note(manifest: Manifest, values: Values) -> str | UnsetType:
    """Return what to know about a lead whose conversion window is over."""
    place, window_days = manifest.contract.age_place, manifest.window.conversion_window_days
    age_days = None if place is None else values[place]
    if age_days is None or age_days < window_days:
        return UNSET
    return (
        f"The lead is {age_days:,.0f} days old. The model tells whether a lead converts within {window_days} days of"
        " its creation; that time is over, so the probability says nothing of what comes."
    )


@routes.post("/api/v1/predict/batch")
@endpoint(
    {200: BatchAnswer},
    scope="score",
    query=ScoringQuery,
    body=BatchRequest,
    refusals={
        **_REFUSALS,
        413: ("too_large",),
        422: ("invalid_request", "nothing_scorable"),
        503: (*_REFUSALS[503], "server_busy"),
    },
    is_computing=True,
)
def predict_batch(services: Services, query: ScoringQuery, body: BatchRequest) -> JsonResponse:
    """Score many leads with one version. The answer keeps their order; an item that cannot be scored has its faults."""
    check_count(body.batch, services.settings.max_batch_size)
    version = services.models.active(body.org_id)
    manifest = version.manifest
    leads = leads_of(manifest.contract, body.batch)
    services.metrics.invalid_items.inc(len(leads.faulty))
    if not leads.leads:
        faults = tuple(fault for faulty in leads.faulty for fault in faulty.faults)
        raise Refusal(
            422, "nothing_scorable", "no item of the batch could be scored; correct the faults in errors", faults=faults
        )
    scored = _scored(services, version, body.org_id, leads, query)
    batch = BatchAnswer(
        predictions=_in_order(scored, leads.faulty) if leads.faulty else scored,
        count=leads.size,
        failed=len(leads.faulty),
        model_version=manifest.version,
        model_scope=version.scope,
    )
    return answer(batch, version=manifest.version)


def _scored(
    services: Services, version: LoadedVersion, org_id: str, leads: Leads, query: ScoringQuery
) -> list[BatchScore]:
    """Return the answer for each lead that can be scored."""
    scores, manifest = _scores(services, version, leads, query), version.manifest
    services.answered_scores.remember(
        org_id, version, leads.lead_ids, scores.probabilities, leads.values(), has_own_features=True
    )
    version_id, scope = repeat(manifest.version), repeat(version.scope)
    reasons = map(_reasons, repeat(manifest.contract.names), leads.values(), scores.contributions)
    columns = (
        *(scores.predictions, scores.probabilities, scores.confidences, version_id, scope, scores.actions),
        *(reasons if query.contributions else repeat(()), repeat(org_id), repeat(version.scorer.base_value)),
    )
    return list(map(BatchScore, *columns, leads.lead_ids))


def _scores(services: Services, version: LoadedVersion, leads: Leads, query: ScoringQuery) -> Scores:
    started_seconds = time.perf_counter()
    rows = leads.rows(len(version.manifest.contract.features))
    scores = score_rows(version.scorer, rows, services.policy, with_contributions=query.contributions)
    services.recorder.scored(version.manifest.version, scores.probabilities, time.perf_counter() - started_seconds)
    return scores


def _reasons(names: Sequence[str], values: Values, contributions: Sequence[float]) -> list[Contribution]:
    reasons = list(map(Contribution, names, values, contributions))
    reasons.sort(key=_strength, reverse=True)
    return reasons


def _strength(entry: Contribution) -> float:
    return abs(entry.contribution)


def _in_order(scored: list[BatchScore], faulty: list[Faulty]) -> list[BatchScore | BatchFault]:
    """Return scores and faults, each in its place in the batch."""
    faults, rest = {one.place: one for one in faulty}, iter(scored)
    places = range(len(scored) + len(faulty))
    return [_fault(faults[place]) if place in faults else next(rest) for place in places]


def _fault(faulty: Faulty) -> BatchFault:
    refusal = refusal_of(InvalidFeatures(faulty.faults))
    return BatchFault(
        error=refusal.detail, index=faulty.place, lead_id=faulty.lead_id, code=refusal.code, errors=faulty.faults
    )
