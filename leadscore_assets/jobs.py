"""The one job: train an org, from its conversion records to its active model, with the checks in between."""

from __future__ import annotations

import dagster as dg

from leadscore_assets.assets import ALL

train_job = dg.define_asset_job(
    "train",
    selection=dg.AssetSelection.assets(*ALL),
    description="Extracts an org's records, trains a candidate, judges it, and activates it when it is better.",
)
