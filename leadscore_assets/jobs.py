"""The jobs: two train, one org or many, from the records to the active model; two score and judge all orgs' leads."""

from __future__ import annotations

import dagster as dg

from leadscore_assets import absent_orgs, changed_orgs
from leadscore_assets.assets import TRAINING, conversion_records, retention
from leadscore_assets.lanes.proof import judge_scores
from leadscore_assets.lanes.scoring import score_open_leads
from leadscore_assets.lanes.training import train_orgs
from leadscore_assets.retention import absent_leads

# whether the CRM has all orgs and their leads is no question of one org's training
_OF_ALL_ORGS = [
    dg.AssetCheckKey(conversion_records.key, name)
    for name in (absent_orgs.CHECK, changed_orgs.CHECK, absent_leads.CHECK)
]

train_job = dg.define_asset_job(
    "train",
    selection=dg.AssetSelection.assets(*TRAINING) - dg.AssetSelection.checks(*_OF_ALL_ORGS),
    description="Extracts an org's records, trains a candidate, judges it, and activates it when it passes the gate.",
)

retention_job = dg.define_asset_job(
    "remove_what_is_old",
    selection=dg.AssetSelection.assets(retention),
    description="Removes old versions, rows and history, as the settings KEEP_… say.",
)

ALL = (train_job, train_orgs, score_open_leads, judge_scores, retention_job)

__all__ = ["ALL", "judge_scores", "retention_job", "score_open_leads", "train_job", "train_orgs"]
