"""A forest becomes scikit-learn's and back without a difference, and its file is read by `joblib.load`."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from leadscore.forest import Forest
from leadscore_assets.training.estimator import estimator_bytes, estimator_of, flatten
from leadscore_assets.training.shapes import FINE, TREES, grow

Make = Callable[..., Any]


@pytest.fixture
def forest(make_leads: Make) -> Forest:
    leads = make_leads(120)
    return flatten(grow(leads.rows.astype(np.float32), leads.converted, leads.numbers, FINE))


def test_a_forest_is_the_same_after_it_was_an_estimator(forest: Forest, make_leads: Make) -> None:
    width = make_leads(1).rows.shape[1]
    again = flatten(estimator_of(forest, width)).to_arrays()
    for name, array in forest.to_arrays().items():
        assert again[name].dtype == array.dtype
        assert again[name].tolist() == array.tolist(), name


def test_what_notebooks_ask_of_a_forest_is_there(forest: Forest, make_leads: Make) -> None:
    """Depths, paths and importances are those of the estimator that the forest came from."""
    leads = make_leads(120)
    rows = leads.rows.astype(np.float32)
    grown, again = grow(rows, leads.converted, leads.numbers, FINE), estimator_of(forest, rows.shape[1])
    assert [member.get_depth() for member in again.estimators_] == [m.get_depth() for m in grown.estimators_]
    paths, places = again.decision_path(rows)
    of_grown, its_places = grown.decision_path(rows)
    assert (paths != of_grown).nnz == 0
    assert places.tolist() == its_places.tolist()
    assert again.feature_importances_ == pytest.approx(grown.feature_importances_, abs=1e-6)


def test_a_stored_estimator_of_a_forest_gives_its_probabilities_and_votes(forest: Forest, make_leads: Make) -> None:
    rows = make_leads(200, seed=9).rows
    assert np.isnan(rows).any()
    stored = joblib.load(io.BytesIO(estimator_bytes(estimator_of(forest, rows.shape[1]))))
    assert type(stored) is RandomForestClassifier
    table = rows.astype(np.float32)
    assert stored.predict_proba(table)[:, 1] == pytest.approx(forest.probabilities(rows), abs=1e-9)
    votes = sum(member.predict_proba(table)[:, 1] >= 0.5 for member in stored.estimators_)
    assert np.asarray(votes).tolist() == forest.verdicts(rows)[1].tolist()
    assert (len(stored.estimators_), stored.n_features_in_) == (TREES, rows.shape[1])
