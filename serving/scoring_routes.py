"""Scoring: one lead, or a batch of them. The features are judged by the contract of the version that scores."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from flask import Blueprint, Response

from leadscore.artifact import Served
from leadscore.errors import InvalidFeatures
from leadscore.features import Contract
from leadscore.pooling import scope_of
from leadscore.scoring import Score, score_row, score_rows
from serving.leads import Lead, Values, leads_of, row_of, values_of
from serving.operation import answer, operation
from serving.problems import Refusal, refusal_of
from serving.services import services
from serving.wire import (
    BatchAnswer,
    BatchFault,
    BatchRequest,
    BatchScore,
    Contribution,
    PredictAnswer,
    PredictRequest,
    ScoringQuery,
)

Scored = TypeVar("Scored", bound=PredictAnswer)

routes = Blueprint("scoring", __name__)

_REFUSALS = {
    404: ("no_active_model",),
    422: ("invalid_request", "invalid_features"),
    503: ("model_unavailable", "registry_unavailable"),
}


@routes.post("/api/v1/predict")
@operation({200: PredictAnswer}, query=ScoringQuery, body=PredictRequest, refusals=_REFUSALS, is_quick=True)
def predict(query: ScoringQuery, body: PredictRequest) -> Response:
    """Score one lead."""
    model = services().models.active(body.org_id)
    values = values_of(model.manifest.contract, body.features, "/features")
    [score] = _score(model, [values], query)
    return answer(_scored(PredictAnswer, model, body.org_id, values, score), version=model.manifest.version)


@routes.post("/api/v1/predict/batch")
@operation(
    {200: BatchAnswer},
    query=ScoringQuery,
    body=BatchRequest,
    refusals={**_REFUSALS, 413: ("too_large",), 422: ("invalid_request", "nothing_scorable")},
)
def predict_batch(query: ScoringQuery, body: BatchRequest) -> Response:
    """Score many leads with one version, in order; an item that cannot be scored gives its faults in its place."""
    model = services().models.active(body.org_id)
    leads = leads_of(model.manifest.contract, body.batch)
    most = services().settings.max_batch_size
    if len(leads) > most:
        raise Refusal(413, "too_large", f"a batch may have {most} items; send fewer at a time")
    values = [lead.values for lead in leads if lead.values is not None]
    services().metrics.invalid_items.inc(len(leads) - len(values))
    if not values:
        faults = tuple(fault for lead in leads for fault in lead.faults)
        raise Refusal(422, "nothing_scorable", "no item of the batch could be scored", faults=faults)
    scores = iter(_score(model, values, query))
    batch = BatchAnswer(
        predictions=[_prediction(model, body.org_id, lead, scores) for lead in leads],
        count=len(leads),
        failed=len(leads) - len(values),
        model_version=model.manifest.version,
        model_scope=scope_of(model.manifest.org_id),
    )
    return answer(batch, version=model.manifest.version)


def _score(model: Served, values: list[Values], query: ScoringQuery) -> list[Score]:
    parts, started_seconds = services(), time.perf_counter()
    if len(values) == 1 and query.contributions:
        scores = [score_row(model.scorer, row_of(values[0]), parts.policy)]
    else:
        # numpy takes None for NaN
        rows = np.array(values, dtype=np.float64)
        scores = score_rows(model.scorer, rows, parts.policy, with_contributions=query.contributions)
    duration_seconds = time.perf_counter() - started_seconds
    parts.journal.scored(model.manifest.version, [score.probability for score in scores], duration_seconds)
    return scores


def _prediction(model: Served, org_id: str, lead: Lead, scores: Iterator[Score]) -> BatchScore | BatchFault:
    if lead.values is not None:
        return _scored(BatchScore, model, org_id, lead.values, next(scores), lead_id=lead.lead_id)
    refusal = refusal_of(InvalidFeatures(lead.faults))
    return BatchFault(
        error=refusal.detail, index=lead.index, lead_id=lead.lead_id, code=refusal.code, errors=lead.faults
    )


def _scored(
    kind: type[Scored], model: Served, org_id: str, values: Values, score: Score, **others: int | str | None
) -> Scored:
    return kind(
        prediction=score.prediction,
        conversion_probability=score.probability,
        confidence=score.confidence,
        model_version=model.manifest.version,
        model_scope=scope_of(model.manifest.org_id),
        recommended_action=score.action,
        feature_contributions=_contributions(model.manifest.contract, values, score),
        org_id=org_id,
        base_value=score.base_value,
        **others,
    )


def _contributions(contract: Contract, values: Values, score: Score) -> list[Contribution]:
    if score.contributions is None:
        return []
    found = list(map(Contribution, contract.names, values, score.contributions))
    found.sort(key=_strength, reverse=True)
    return found


def _strength(entry: Contribution) -> float:
    return abs(entry.contribution)
