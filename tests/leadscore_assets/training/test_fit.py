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

from leadscore.artifact import encode_arrays
from leadscore_assets.training import fit as fitting
from leadscore_assets.training.bagging import TREES
from leadscore_assets.training.fit import LEADS_WORTH_A_CHOICE, SHAPES, Fitted, estimator_bytes, fit, flatten
from leadscore_assets.training.selection import STRENGTHS

Make = Callable[..., Any]


def _fitted(leads: Any) -> Fitted:
    return fit(leads.rows, leads.converted, leads.numbers)


def test_the_stored_estimator_is_a_forest_of_scikit_learn_that_gives_our_probabilities(make_leads: Make) -> None:
    leads = make_leads(120)
    fitted = _fitted(leads)
    stored = joblib.load(io.BytesIO(estimator_bytes(fitted.estimator)))
    assert type(stored) is RandomForestClassifier
    assert (stored.n_jobs, stored.warm_start, len(stored.estimators_)) == (1, False, TREES)
    ours = flatten(fitted.estimator).probabilities(leads.rows)
    assert ours == pytest.approx(stored.predict_proba(leads.rows.astype(np.float32))[:, 1], abs=1e-9)


def test_the_same_rows_give_the_same_bytes(make_leads: Make) -> None:
    first, again = (_fitted(make_leads(120)) for _ in range(2))
    assert estimator_bytes(first.estimator) == estimator_bytes(again.estimator)
    assert encode_arrays(flatten(first.estimator).to_arrays()) == encode_arrays(flatten(again.estimator).to_arrays())
    assert msgspec.json.encode(first.parameters) == msgspec.json.encode(again.parameters)


def test_the_number_of_cores_changes_nothing(make_leads: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "LEADS_WORTH_A_CHOICE", 1)
    alone = _fitted(make_leads(120))
    monkeypatch.setattr(fitting, "ROWS_WORTH_TWO_CORES", 1)
    together = _fitted(make_leads(120))
    assert estimator_bytes(alone.estimator) == estimator_bytes(together.estimator)
    assert alone.parameters == together.parameters


def test_a_leads_name_plays_no_part(make_leads: Make) -> None:
    leads = make_leads(120)
    renamed = fit(leads.rows, leads.converted, leads.numbers * 7 + 3)
    assert estimator_bytes(renamed.estimator) == estimator_bytes(_fitted(leads).estimator)


def test_few_leads_cost_one_forest_and_many_one_per_shape(make_leads: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    grown: list[int] = []

    def count(*arguments: Any) -> Any:
        grown.append(len(arguments[0]))
        return fitting_grow(*arguments)

    fitting_grow = fitting.grow
    monkeypatch.setattr(fitting, "grow", count)
    _fitted(make_leads(LEADS_WORTH_A_CHOICE - 1, rows_each=1))
    assert len(grown) == 1
    _fitted(make_leads(LEADS_WORTH_A_CHOICE, rows_each=1))
    assert len(grown) == 1 + len(SHAPES)


def test_the_parameters_say_what_was_tried_and_chosen_in_plain_values(make_leads: Make) -> None:
    parameters = _fitted(make_leads(120)).parameters
    assert msgspec.json.decode(msgspec.json.encode(parameters)) == parameters
    assert [tried["shrinkage"] for tried in parameters["tried"]] == list(STRENGTHS)
    least = min(parameters["tried"], key=lambda tried: tried["log_loss"])
    assert (parameters["shape"], parameters["shrinkage"]) == (least["shape"], least["shrinkage"])
    assert parameters["out_of_bag"]["log_loss"] == pytest.approx(least["log_loss"])
    assert 0.5 < parameters["out_of_bag"]["roc_auc"] < 1


def test_the_chosen_shape_is_that_of_the_forest(make_leads: Make) -> None:
    fitted = _fitted(make_leads(LEADS_WORTH_A_CHOICE, rows_each=1))
    given = fitted.estimator.get_params()
    assert {name: given[name] for name in SHAPES["fine"]} == SHAPES[fitted.parameters["shape"]]
    assert len(fitted.parameters["tried"]) == len(SHAPES) * len(STRENGTHS)


def test_what_is_out_of_bag_tells_what_new_leads_will_show(make_leads: Make) -> None:
    fitted, new = _fitted(make_leads(400)), make_leads(4_000, seed=2)
    probabilities = flatten(fitted.estimator).probabilities(new.rows)
    brier = float(np.mean((probabilities - new.converted) ** 2))
    assert fitted.parameters["out_of_bag"]["brier_score"] == pytest.approx(brier, abs=0.02)


def test_a_lead_that_is_never_drawn_by_a_tree_and_one_class_bags_are_fine() -> None:
    rows = np.arange(12, dtype=np.float64)[:, None]
    converted = np.arange(12) >= 11
    fitted = fit(rows, converted, np.arange(12))
    assert flatten(fitted.estimator).base_value == pytest.approx(converted.mean(), abs=0.05)
