"""Scoring: one lead, or a batch of them. The features are judged by the contract of the version that scores."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import repeat

from flask import Blueprint, request

from leadscore.errors import InvalidFeatures
from leadscore.pooling import scope_of
from leadscore.registry.version import LoadedVersion
from leadscore.scoring import Scores, score_row, score_rows
from serving.api.endpoint import answer, operation
from serving.api.json_response import Encoded
from serving.api.lead_parsing import CURRENT_BATCH, CURRENT_PREDICT, Faulty, Leads, Values, leads_of, row_of, values_of
from serving.api.problems import Refusal, refusal_of
from serving.api.request_parsing import read_again
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
from serving.services import services

routes = Blueprint("scoring", __name__)

_REFUSALS = {
    404: ("no_active_model",),
    422: ("invalid_request", "invalid_features"),
    503: ("model_unavailable", "registry_unavailable"),
}


@routes.post("/api/v1/predict")
@operation(
    {200: PredictAnswer},
    query=ScoringQuery,
    body=PredictRequest,
    usual_body=CURRENT_PREDICT,
    refusals=_REFUSALS,
    is_quick=True,
    is_computing=True,
)
def predict(query: ScoringQuery, body: PredictRequest) -> Encoded:
    """Score one lead."""
    parts = services()
    model = parts.models.active(body.org_id)
    manifest, scorer = model.manifest, model.scorer
    values = values_of(
        manifest.contract, body.features, again=lambda: read_again(PredictRequest, request.environ).features
    )
    started_seconds = time.perf_counter()
    score = score_row(scorer, row_of(values), parts.policy, with_contributions=query.contributions)
    parts.journal.scored(manifest.version, [score.probability], time.perf_counter() - started_seconds)
    scored = PredictAnswer(
        prediction=score.prediction,
        conversion_probability=score.probability,
        confidence=score.confidence,
        model_version=manifest.version,
        model_scope=scope_of(manifest.org_id),
        recommended_action=score.action,
        feature_contributions=_reasons(manifest.contract.names, values, score.contributions),
        org_id=body.org_id,
        base_value=scorer.base_value,
    )
    return answer(scored, version=manifest.version)


@routes.post("/api/v1/predict/batch")
@operation(
    {200: BatchAnswer},
    query=ScoringQuery,
    body=BatchRequest,
    usual_body=CURRENT_BATCH,
    refusals={**_REFUSALS, 413: ("too_large",), 422: ("invalid_request", "nothing_scorable")},
    is_computing=True,
)
def predict_batch(query: ScoringQuery, body: BatchRequest) -> Encoded:
    """Score many leads with one version, in order; an item that cannot be scored gives its faults in its place."""
    parts = services()
    model = parts.models.active(body.org_id)
    leads = leads_of(model.manifest.contract, body.batch, again=lambda: read_again(BatchRequest, request.environ).batch)
    if leads.size > parts.settings.max_batch_size:
        most = parts.settings.max_batch_size
        raise Refusal(413, "too_large", f"a batch may have {most} items; send fewer at a time")
    parts.metrics.invalid_items.inc(len(leads.faulty))
    if not leads.leads:
        faults = tuple(fault for faulty in leads.faulty for fault in faulty.faults)
        raise Refusal(422, "nothing_scorable", "no item of the batch could be scored", faults=faults)
    scored = _scored(model, body.org_id, leads, query)
    batch = BatchAnswer(
        predictions=_in_order(scored, leads.faulty) if leads.faulty else scored,
        count=leads.size,
        failed=len(leads.faulty),
        model_version=model.manifest.version,
        model_scope=scope_of(model.manifest.org_id),
    )
    return answer(batch, version=model.manifest.version)


def _scored(model: LoadedVersion, org_id: str, leads: Leads, query: ScoringQuery) -> list[BatchScore]:
    """Return the answer for each lead that can be scored."""
    scores, manifest = _scores(model, leads, query), model.manifest
    version, scope = repeat(manifest.version), repeat(scope_of(manifest.org_id))
    reasons = map(_reasons, repeat(manifest.contract.names), leads.values(), scores.contributions)
    columns = (
        *(scores.predictions, scores.probabilities, scores.confidences, version, scope, scores.actions),
        *(reasons if query.contributions else repeat(()), repeat(org_id), repeat(model.scorer.base_value)),
    )
    return list(map(BatchScore, *columns, leads.lead_ids))


def _scores(model: LoadedVersion, leads: Leads, query: ScoringQuery) -> Scores:
    parts, started_seconds = services(), time.perf_counter()
    rows = leads.rows(len(model.manifest.contract.features))
    scores = score_rows(model.scorer, rows, parts.policy, with_contributions=query.contributions)
    parts.journal.scored(model.manifest.version, scores.probabilities, time.perf_counter() - started_seconds)
    return scores


def _reasons(names: Sequence[str], values: Values, contributions: Sequence[float]) -> list[Contribution]:
    found = list(map(Contribution, names, values, contributions))
    found.sort(key=_strength, reverse=True)
    return found


def _strength(entry: Contribution) -> float:
    return abs(entry.contribution)


def _in_order(scored: list[BatchScore], faulty: list[Faulty]) -> list[BatchScore | BatchFault]:
    """Return both, each in its place in the batch."""
    faults, rest = {one.place: one for one in faulty}, iter(scored)
    places = range(len(scored) + len(faulty))
    return [_fault(faults[place]) if place in faults else next(rest) for place in places]


def _fault(faulty: Faulty) -> BatchFault:
    refusal = refusal_of(InvalidFeatures(faulty.faults))
    return BatchFault(
        error=refusal.detail, index=faulty.place, lead_id=faulty.lead_id, code=refusal.code, errors=faulty.faults
    )
