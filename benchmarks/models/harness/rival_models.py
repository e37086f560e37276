"""Models to compare: ours, the plain forest, gradient boosting, logistic regression, and the base rate.

A model is a function from the leads to train on to a function from rows to probabilities. Each runs on one core.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from benchmarks.models.harness.lead_rows import FOLDS, LeadRows
from leadscore.arrays import Floats
from leadscore_assets.report.straight_line import straight_line
from leadscore_assets.training.estimator import flatten
from leadscore_assets.training.fit import fit
from leadscore_assets.training.shrinkage import shrink

Scorer = Callable[[Floats], Floats]
Model = Callable[[LeadRows], Scorer]

OURS = "ours"
PLAIN = "plain forest"
SEED = 42
FORMER_SHRINKAGE = 40.0


def ours(train: LeadRows) -> Scorer:
    """Fit as a training does."""
    return flatten(fit(train.rows, train.converted, train.numbers()).estimator).probabilities


def plain_forest(train: LeadRows) -> Scorer:
    """Fit 100 trees of depth 10, split 10, leaf 5, on bags of rows."""
    parameters = {"n_estimators": 100, "max_depth": 10, "min_samples_split": 10, "min_samples_leaf": 5}
    return _of_class(RandomForestClassifier(**parameters, random_state=SEED, n_jobs=1), train)


def shrunk_random_forest(train: LeadRows) -> Scorer:
    """Fit the plain forest, and shrink it by 40 rows: an org's own model before half of its trees were others."""
    parameters = {"n_estimators": 100, "max_depth": 10, "min_samples_split": 10, "min_samples_leaf": 5}
    estimator = RandomForestClassifier(**parameters, random_state=SEED, n_jobs=1)
    estimator.fit(train.rows.astype(np.float32), train.converted.astype(np.int8))
    shrink(estimator, FORMER_SHRINKAGE)
    return flatten(estimator).probabilities


def hist_gradient_boosting(train: LeadRows) -> Scorer:
    """Fit scikit-learn's HistGradientBoosting as it comes."""
    return _of_class(HistGradientBoostingClassifier(random_state=SEED), train)


def logistic_regression(train: LeadRows) -> Scorer:
    """Fit a logistic regression on scaled features; the unknown become the median, with a mark where one can be."""
    return _of_class(straight_line(), train)


def lightgbm(**parameters: Any) -> Model:
    """Return LightGBM with `parameters`, 100 rounds."""

    def model(train: LeadRows) -> Scorer:
        import lightgbm as library  # noqa: PLC0415  # not everyone who reads this module has it

        given = {"objective": "binary", "verbosity": -1, "num_threads": 1, "seed": SEED, "deterministic": True}
        booster = library.train(given | parameters, library.Dataset(train.rows, train.converted.astype(float)))
        return lambda rows: np.asarray(booster.predict(rows))

    return model


def catboost(train: LeadRows) -> Scorer:
    """Fit CatBoost as it comes, but for 300 rounds."""
    import catboost as library  # noqa: PLC0415  # not everyone who reads this module has it

    given = {"iterations": 300, "thread_count": 1, "random_seed": SEED, "verbose": False, "allow_writing_files": False}
    return _of_class(library.CatBoostClassifier(**given), train)


def base_rate(train: LeadRows) -> Scorer:
    """Give every row the share of converted rows."""
    rate = float(train.converted.mean())
    return lambda rows: np.full(len(rows), rate)


MODELS: dict[str, Model] = {
    OURS: ours,
    PLAIN: plain_forest,
    "LightGBM": lightgbm(),
    "LightGBM, 8 leaves": lightgbm(num_leaves=8, learning_rate=0.05),
    "CatBoost": catboost,
    "HistGradientBoosting": hist_gradient_boosting,
    "logistic regression": logistic_regression,
    "base rate": base_rate,
}


@dataclass(frozen=True)
class OutOfFold:
    """What a model gives each row when it is fitted on the other folds, shape (rows,); and a fit's seconds."""

    probabilities: Floats
    folds: npt.NDArray[np.intp]
    fit_seconds: float


def out_of_fold(model: Model, leads: LeadRows) -> OutOfFold:
    """Fit `model` FOLDS times, each time without one fold of the leads, and score that fold."""
    folds, seconds = leads.folds(), 0.0
    probabilities = np.empty(len(folds))
    for fold in range(FOLDS):
        start = time.process_time()
        scorer = model(leads.where(folds != fold))
        seconds += time.process_time() - start
        probabilities[folds == fold] = scorer(leads.rows[folds == fold])
    return OutOfFold(probabilities, folds, seconds / FOLDS)


def require_rivals() -> None:
    """End the program when LightGBM or CatBoost is not installed."""
    missing = [name for name in ("lightgbm", "catboost") if importlib.util.find_spec(name) is None]
    if missing:
        sys.exit(f"this benchmark compares with {' and '.join(missing)}, not installed: run `make bench-setup` first")


def _of_class(estimator: Any, train: LeadRows) -> Scorer:
    estimator.fit(train.rows, train.converted)
    return lambda rows: np.asarray(estimator.predict_proba(rows)[:, 1])
