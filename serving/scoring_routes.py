"""Scoring: one lead, or a batch of them. The features are judged by the contract of the version that scores."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any, TypeVar

import numpy as np
from flask import Blueprint, Response

from leadscore.artifact import Served
from leadscore.errors import InvalidFeatures
from leadscore.pooling import scope_of
from leadscore.scoring import Scores, score_row, score_rows
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
    [scored] = _scored(PredictAnswer, model, body.org_id, [values], query)
    return answer(scored, version=model.manifest.version)


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
    lead_ids = [lead.lead_id for lead in leads if lead.values is not None]
    scored = _scored(BatchScore, model, body.org_id, values, query, lead_ids)
    batch = BatchAnswer(
        predictions=scored if len(values) == len(leads) else _with_faults(leads, iter(scored)),
        count=len(leads),
        failed=len(leads) - len(values),
        model_version=model.manifest.version,
        model_scope=scope_of(model.manifest.org_id),
    )
    return answer(batch, version=model.manifest.version)


def _scored(
    kind: type[Scored],
    model: Served,
    org_id: str,
    values: Sequence[Values],
    query: ScoringQuery,
    *others: Sequence[Any],
) -> list[Scored]:
    """Return an answer of `kind` for each lead, by `values`; `others` are what it has beyond a lead's score."""
    scores = _score(model, values, query)
    version, scope = repeat(model.manifest.version), repeat(scope_of(model.manifest.org_id))
    names, shares = repeat(model.manifest.contract.names), scores.contributions
    reasons = map(_reasons, names, values, shares) if query.contributions else repeat(())
    columns = (scores.predictions, scores.probabilities, scores.confidences, version, scope, scores.actions, reasons)
    return list(map(kind, *columns, repeat(org_id), repeat(model.scorer.base_value), *others))


def _score(model: Served, values: Sequence[Values], query: ScoringQuery) -> Scores:
    parts, started_seconds = services(), time.perf_counter()
    if len(values) == 1 and query.contributions:
        scores = score_row(model.scorer, row_of(values[0]), parts.policy)
    else:
        # numpy takes None for NaN
        rows = np.array(values, dtype=np.float64)
        scores = score_rows(model.scorer, rows, parts.policy, with_contributions=query.contributions)
    parts.journal.scored(model.manifest.version, scores.probabilities, time.perf_counter() - started_seconds)
    return scores


def _reasons(names: Sequence[str], values: Values, contributions: Sequence[float]) -> list[Contribution]:
    found = list(map(Contribution, names, values, contributions))
    found.sort(key=_strength, reverse=True)
    return found


def _strength(entry: Contribution) -> float:
    return abs(entry.contribution)


def _with_faults(leads: Sequence[Lead], scored: Iterator[BatchScore]) -> list[BatchScore | BatchFault]:
    return [next(scored) if lead.values is not None else _fault(lead) for lead in leads]


def _fault(lead: Lead) -> BatchFault:
    refusal = refusal_of(InvalidFeatures(lead.faults))
    return BatchFault(
        error=refusal.detail, index=lead.index, lead_id=lead.lead_id, code=refusal.code, errors=lead.faults
    )
