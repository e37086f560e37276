"""The fitted forest is scikit-learn's own, the same every time, and says what was tried and chosen."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import joblib
import msgspec
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from leadscore.registry.safetensors import encode_arrays
from leadscore_assets.training import shapes
from leadscore_assets.training.estimator import estimator_bytes, flatten
from leadscore_assets.training.fit import Fitted, fit
from leadscore_assets.training.selection import STRENGTHS, USUAL
from leadscore_assets.training.shapes import COARSE, FINE, SHAPES, TREES, grow
from leadscore_assets.training.shrinkage import shrink
from leadscore_assets.training.stretch import NONE, Stretch, stretch

Make = Callable[..., Any]


def _fitted(leads: Any) -> Fitted:
    return fit(leads.rows, leads.converted, leads.numbers)


def test_the_stored_estimator_is_a_forest_of_scikit_learn_that_gives_our_probabilities(make_leads: Make) -> None:
    leads = make_leads(120)
    fitted = _fitted(leads)
    stored = joblib.load(io.BytesIO(estimator_bytes(fitted.estimator)))
    assert type(stored) is RandomForestClassifier
    assert (stored.n_jobs, len(stored.estimators_)) == (1, TREES)
    ours = flatten(fitted.estimator).probabilities(leads.rows)
    assert ours == pytest.approx(stored.predict_proba(leads.rows.astype(np.float32))[:, 1], abs=1e-9)


def test_it_is_the_plain_forest_shrunk_by_the_chosen_strength_and_stretched(make_leads: Make) -> None:
    leads = make_leads(120, signal=0.3)
    fitted = _fitted(leads)
    chosen = fitted.parameters
    plain = grow(leads.rows.astype(np.float32), leads.converted, leads.numbers, chosen["shape"])
    assert chosen["shrinkage"] > 0
    shrink(plain, chosen["shrinkage"])
    stretch(plain, Stretch(**chosen["stretch"]))
    assert flatten(plain).value.tolist() == flatten(fitted.estimator).value.tolist()


def test_the_same_rows_give_the_same_bytes(make_leads: Make) -> None:
    first, again = (_fitted(make_leads(120)) for _ in range(2))
    assert estimator_bytes(first.estimator) == estimator_bytes(again.estimator)
    assert encode_arrays(flatten(first.estimator).to_arrays()) == encode_arrays(flatten(again.estimator).to_arrays())
    assert msgspec.json.encode(first.parameters) == msgspec.json.encode(again.parameters)


def test_the_number_of_cores_changes_nothing(make_leads: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = _fitted(make_leads(120))
    monkeypatch.setattr(shapes, "ROWS_WORTH_TWO_CORES", 1)
    together = _fitted(make_leads(120))
    assert estimator_bytes(alone.estimator) == estimator_bytes(together.estimator)
    assert alone.parameters == together.parameters


def test_a_leads_number_plays_no_part_beyond_its_order(make_leads: Make) -> None:
    leads = make_leads(120)
    renamed = fit(leads.rows, leads.converted, leads.numbers * 7 + 3)
    assert estimator_bytes(renamed.estimator) == estimator_bytes(_fitted(leads).estimator)


def test_the_parameters_say_what_was_tried_and_chosen_in_plain_values(make_leads: Make) -> None:
    parameters = _fitted(make_leads(120)).parameters
    assert msgspec.json.decode(msgspec.json.encode(parameters)) == parameters
    judged = parameters["left_out_leads"]
    assert [tried["shrinkage"] for tried in judged["tried"]] == list(STRENGTHS)
    assert 0.5 < judged["roc_auc"] < 1


@pytest.mark.parametrize("shape", [FINE, COARSE])
def test_the_shape_is_that_of_the_forest(make_leads: Make, shape: str) -> None:
    leads = make_leads(120)
    fitted = fit(leads.rows, leads.converted, leads.numbers, shape)
    given = fitted.estimator.get_params()
    assert {name: given[name] for name in SHAPES[shape]} == SHAPES[shape]
    assert fitted.parameters["shape"] == shape


def test_what_left_out_leads_show_is_what_new_leads_show(make_leads: Make) -> None:
    fitted, new = _fitted(make_leads(400)), make_leads(4_000, seed=2)
    probabilities = flatten(fitted.estimator).probabilities(new.rows)
    brier = float(np.mean((probabilities - new.converted) ** 2))
    assert fitted.parameters["left_out_leads"]["brier_score"] == pytest.approx(brier, abs=0.02)


def test_one_converted_lead_among_many_is_fitted_with_the_usual_strength_unstretched(make_leads: Make) -> None:
    leads = make_leads(50)
    fitted = fit(leads.rows, leads.numbers == 7, leads.numbers)
    assert (fitted.parameters["shrinkage"], Stretch(**fitted.parameters["stretch"])) == (USUAL, NONE)
    assert fitted.parameters["left_out_leads"]["tried"] == []
    assert 0 < flatten(fitted.estimator).base_value < 0.1
