"""The five steps of one org's training, one after the other in one process, and what Dagster gets of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from leadscore.pooling import POOLED
from leadscore.records import Window
from leadscore.training_status import TrainingStatus
from leadscore_assets import plausible_times
from leadscore_assets.assets.active_model import activated, active_model, ended_as
from leadscore_assets.assets.conversion_records import conversion_records, extracted
from leadscore_assets.assets.evaluation import evaluated, evaluation
from leadscore_assets.assets.lead_features import checked, lead_features
from leadscore_assets.assets.org_training import Made, OrgTraining
from leadscore_assets.assets.trained_model import trained, trained_model
from leadscore_assets.io_managers import to_stored
from leadscore_assets.lanes.events import Event
from leadscore_assets.metadata.readiness_plan import (
    MINIMUM_RECORDS,
    Refused,
    plan_for,
    refused_check,
    refused_evaluation,
)
from leadscore_assets.metadata.training_checks import (
    METRICS_IMPROVE,
    Result,
    event_of,
    metrics_improve_result,
    minimum_records_result,
    plausible_times_result,
)
from leadscore_assets.source.database import Connection
from leadscore_assets.source.tables import store


@dataclass
class Chain:
    """What was made of an org so far: the events for Dagster, and the data versions by asset."""

    training: OrgTraining
    connection: Connection
    events: list[Event] = field(default_factory=list)
    data_versions: dict[dg.AssetKey, str] = field(default_factory=dict)

    def keep(self, asset: dg.AssetsDefinition, made: Made[Any]) -> None:
        """Store what a step made where its asset would, so that a person can go on from there, and note the event."""
        org_id, key = self.training.org_id, asset.key
        made_from = {upstream: self.data_versions[upstream] for upstream in asset.asset_deps[key]}
        self.data_versions[key] = made.data_version
        self.events.append(made.event(key, org_id, made_from))
        if made.value is not None:
            document, rows = to_stored(made.value)
            store(self.connection, key.path[-1], org_id, run_id=self.training.run_id, info=document, rows=rows)

    def check(self, asset: dg.AssetsDefinition, name: str, result: Result) -> None:
        """Note what a check says."""
        self.events.append(event_of(asset.key, name, self.training.org_id, result))


@dataclass(frozen=True)
class Ended:
    """How the org's training ended, why, and what Dagster gets."""

    status: TrainingStatus
    reasons: str
    version: str | None
    events: list[Event]


def train_org(training: OrgTraining, connection: Connection, window: Window, *, is_trial: bool) -> Ended:
    """Do the five steps for the org. What its data is refused for is an end like others; see the steps for errors."""
    chain = Chain(training, connection)
    try:
        return _trained(chain, window, is_trial=is_trial)
    except Refused as refused:
        shown: list[Event] = [refused_evaluation(training.org_id, refused), refused_check(training.org_id, refused)]
        return Ended("insufficient_data", refused.decision.text, None, [*chain.events, *shown])


def _trained(chain: Chain, window: Window, *, is_trial: bool) -> Ended:
    training = chain.training
    records = extracted(training, window)
    chain.keep(conversion_records, records)
    chain.check(conversion_records, plausible_times.CHECK, _times_are_plausible(training, window))
    features = checked(training, records.value)
    chain.keep(lead_features, features)
    candidate = trained(training, features.value)
    chain.keep(trained_model, candidate)
    version = candidate.value.version
    judged, judgement = evaluated(training, features.value, candidate.value, is_trial=is_trial)
    chain.keep(evaluation, judged)
    is_refused = judgement.decision.verdict == "refuse"
    plan = plan_for(training.settings, training.org_id, window, training.log) if is_refused else None
    chain.check(evaluation, MINIMUM_RECORDS, minimum_records_result(judgement, plan))
    chain.check(evaluation, METRICS_IMPROVE, metrics_improve_result(judgement))
    if is_refused:
        return Ended("insufficient_data", judgement.decision.text, version, chain.events)
    served, applied = activated(training, candidate.value)
    chain.keep(active_model, served)
    status, reasons = ended_as(applied)
    return Ended(status, reasons, version, chain.events)


def _times_are_plausible(training: OrgTraining, window: Window) -> Result:
    lags: Mapping[int, int] = {} if training.org_id == POOLED else training.crm.answer_lags(training.org_id, window)
    return plausible_times_result(plausible_times.zone_signs(lags), window)
