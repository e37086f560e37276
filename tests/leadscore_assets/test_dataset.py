"""What the assets hand on: feature vectors in the contract's order, and leads counted once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from leadscore_assets.dataset import FeatureRows, count_leads


def test_the_matrix_has_the_contracts_order_whatever_the_tables(make_features: Callable[..., FeatureRows]) -> None:
    features = make_features(leads=20)
    shuffled = replace(features, rows=features.rows[sorted(features.rows.columns, reverse=True)])
    assert np.array_equal(shuffled.matrix(), features.matrix(), equal_nan=True)
    assert features.matrix()[:, 0].tolist() == features.rows["lead_source_score"].tolist()


def test_a_lead_is_counted_once_however_many_rows_it_has(make_features: Callable[..., FeatureRows]) -> None:
    features = make_features(leads=20)
    assert len(features.rows) == 60
    assert count_leads(features.rows) == (20, int(features.outcomes().sum()) // 3)
