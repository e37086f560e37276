"""Scoring: one lead, or a batch of them. The features are judged by the contract of the version that scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from flask import Blueprint, Response

from leadscore.artifact import Served
from leadscore.errors import Fault, InvalidFeatures
from leadscore.features import CONTRACT, Contract
from leadscore.forest import Floats
from leadscore.pooling import scope_of
from leadscore.scoring import Score, score_rows
from serving.boundary import MAX_UNKNOWN_NAMES
from serving.operation import answer, operation
from serving.problems import Refusal, refusal_of
from serving.services import services
from serving.wire import (
    BatchAnswer,
    BatchFault,
    BatchRequest,
    BatchScore,
    Contribution,
    LeadId,
    PredictAnswer,
    PredictRequest,
    ScoringQuery,
)

# beyond every feature's range, and the last for which no caller's integer is too long for a float
BIGGEST_INTEGER = 2**63

routes = Blueprint("scoring", __name__)

_REFUSALS = {
    404: ("no_active_model",),
    422: ("invalid_request", "invalid_features"),
    503: ("model_unavailable", "registry_unavailable"),
}


@dataclass(frozen=True)
class Item:
    """One lead of a request: where it stands, what was given for it, and its vector unless that has faults."""

    index: int
    lead_id: int | str | None
    features: Mapping[str, Any]
    vector: Floats | None
    faults: tuple[Fault, ...] = ()


@routes.post("/api/v1/predict")
@operation({200: PredictAnswer}, query=ScoringQuery, body=PredictRequest, refusals=_REFUSALS, is_quick=True)
def predict(query: ScoringQuery, body: PredictRequest) -> Response:
    """Score one lead."""
    model = services().models.active(body.org_id)
    vector = vector_of(model.manifest.contract, body.features, "/features")
    [score] = _score(model, vector[None, :], query)
    scored = PredictAnswer(**_score_fields(model, body.org_id, body.features, score))
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
    most = services().settings.max_batch_size
    if len(body.batch) > most:
        raise Refusal(413, "too_large", f"a batch may have {most} items; send fewer at a time")
    model = services().models.active(body.org_id)
    items = [_item(model.manifest.contract, index, given) for index, given in enumerate(body.batch)]
    vectors = [item.vector for item in items if item.vector is not None]
    services().metrics.invalid_items.inc(len(items) - len(vectors))
    if not vectors:
        faults = tuple(fault for item in items for fault in item.faults)
        raise Refusal(422, "nothing_scorable", "no item of the batch could be scored", faults=faults)
    scores = iter(_score(model, np.stack(vectors), query))
    predictions = [_prediction(model, body.org_id, item, scores) for item in items]
    batch = BatchAnswer(
        predictions=predictions,
        count=len(items),
        failed=len(items) - len(vectors),
        model_version=model.manifest.version,
        model_scope=scope_of(model.manifest.org_id),
    )
    return answer(batch, version=model.manifest.version)


def vector_of(contract: Contract, features: Mapping[str, Any], pointer: str) -> Floats:
    """Return the feature vector, shape (features,). Raises InvalidFeatures with every fault."""
    most = len({*contract.names, *CONTRACT.names}) + MAX_UNKNOWN_NAMES
    if len(features) > most:
        raise InvalidFeatures((Fault(pointer, "too_many", f"at most {most} features"),))
    # an integer may be too long for a float; as infinity it is as far out of range
    finite = {
        name: float("inf") if isinstance(value, int) and abs(value) > BIGGEST_INTEGER else value
        for name, value in features.items()
    }
    return contract.vector(finite, pointer)


def _score(model: Served, rows: Floats, query: ScoringQuery) -> list[Score]:
    metrics = services().metrics
    with metrics.prediction_latency_seconds.time():
        scores = score_rows(model.scorer, rows, services().policy, with_contributions=query.contributions)
    metrics.count_predictions(model.manifest.version, [score.probability for score in scores])
    return scores


def _score_fields(model: Served, org_id: str, features: Mapping[str, Any], score: Score) -> dict[str, Any]:
    return {
        "prediction": score.prediction,
        "conversion_probability": score.probability,
        "confidence": score.confidence,
        "model_version": model.manifest.version,
        "model_scope": scope_of(model.manifest.org_id),
        "recommended_action": score.action,
        "feature_contributions": _contributions(model.manifest.contract, features, score),
        "org_id": org_id,
        "base_value": score.base_value,
    }


def _contributions(contract: Contract, features: Mapping[str, Any], score: Score) -> list[Contribution]:
    if score.contributions is None:
        return []
    given = zip(contract.names, score.contributions, strict=True)
    found = [Contribution(feature=name, value=features.get(name), contribution=share) for name, share in given]
    return sorted(found, key=lambda entry: -abs(entry.contribution))


def _item(contract: Contract, index: int, given: Mapping[str, Any]) -> Item:
    """Return the item, in the nested form when it has `features`, else in the flat one."""
    pointer = f"/batch/{index}"
    is_nested = "features" in given
    lead_id, faults = _lead_id(given.get("lead_id"), pointer)
    features = given["features"] if is_nested else {name: given[name] for name in given if name != "lead_id"}
    if is_nested:
        others = [name for name in given if name not in ("features", "lead_id")]
        if others:
            faults.append(Fault(pointer, "unknown", "next to features there may be lead_id and nothing else"))
    if not isinstance(features, dict):
        return Item(index, lead_id, {}, None, (*faults, Fault(f"{pointer}/features", "wrong_type", "an object")))
    try:
        vector = vector_of(contract, features, f"{pointer}/features" if is_nested else pointer)
    except InvalidFeatures as error:
        return Item(index, lead_id, features, None, (*faults, *error.faults))
    return Item(index, lead_id, features, None if faults else vector, tuple(faults))


def _lead_id(given: Any, pointer: str) -> tuple[int | str | None, list[Fault]]:
    try:
        return (None if given is None else msgspec.convert(given, LeadId)), []
    except msgspec.ValidationError:
        rule = "a string of at most 128 characters or an integer of 64 bits"
        return None, [Fault(f"{pointer}/lead_id", "wrong_type", rule)]


def _prediction(model: Served, org_id: str, item: Item, scores: Any) -> BatchScore | BatchFault:
    if item.vector is not None:
        return BatchScore(**_score_fields(model, org_id, item.features, next(scores)), lead_id=item.lead_id)
    refusal = refusal_of(InvalidFeatures(item.faults))
    return BatchFault(
        error=refusal.detail, index=item.index, lead_id=item.lead_id, code=refusal.code, errors=item.faults
    )
