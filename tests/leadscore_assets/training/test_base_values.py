"""The pooled model serves each org at the org's own rate."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from leadscore.features import CONTRACT
from leadscore.pooling import POOLED, shift_to_base_value
from leadscore.records import window_from
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.dataset import ORG_COLUMN, FeatureRows, feature_matrix
from leadscore_assets.resources import Crm
from leadscore_assets.source.database import connect
from leadscore_assets.training.contract_check import check_rows
from leadscore_assets.training.train import train as train_version
from standalone.crm import create_tables
from standalone.orgs import Org
from standalone.simulator import into_database, simulate

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def two_rates(database: Settings) -> FeatureRows:
    """Give the pooled rows of four orgs, two of which win a tenth of their leads and two a half."""
    rates = {"low-1": 0.1, "low-2": 0.1, "high-1": 0.5, "high-2": 0.5}
    set_up(database)
    with connect(database) as connection:
        create_tables(connection)
        orgs = [Org(org_id, leads=1_200, conversion_rate=rate) for org_id, rate in rates.items()]
        into_database(connection, simulate(orgs, seed=11, now=NOW))
    settings = replace(database, pooled_model=True, as_of=NOW)
    return check_rows(Crm(settings).conversion_records(POOLED, window_from(settings)), CONTRACT)


def test_each_orgs_own_base_rate_is_respected(two_rates: FeatureRows, database: Settings) -> None:
    """On leads that nothing was learned from, the mean probability is near the org's own rate, not the pool's."""
    registry = Registry(database.model_path)
    version = train_version(registry, POOLED, two_rates).version
    artifact = registry.load(POOLED, version)
    assert artifact.base_values is not None
    held_out = two_rates.rows[two_rates.holdout_mask()]
    for org_id, rows in held_out.groupby(ORG_COLUMN):
        matrix, rate = feature_matrix(rows, CONTRACT), float(np.mean(rows["converted"]))
        shifted = shift_to_base_value(artifact.scorer, artifact.base_values.orgs[org_id]).probabilities(matrix)
        unshifted = artifact.scorer.probabilities(matrix)
        assert abs(shifted.mean() - rate) < 0.08
        assert abs(unshifted.mean() - rate) > 0.1
