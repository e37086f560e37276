"""The engine's outside: rows of any number and width are scored and explained, and what does not fit is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from leadscore.engine import native
from leadscore.engine.scorer import Scorer
from leadscore.errors import Damaged
from leadscore.forest import Forest

ROWS = np.array([[1.0, *[0.0] * 10], [2.0, *[0.0] * 10], [np.nan, *[0.0] * 10]])
SCORES = [0.25, 0.75, 0.25]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 16, 17, 33])
def test_any_number_of_rows_is_scored_in_order(make_forest: Callable[..., Forest], count: int) -> None:
    assert native.kernels() is not None
    rows = np.resize(ROWS, (count, 11))
    probabilities, votes = make_forest().verdicts(rows)
    assert probabilities.tolist() == np.resize(SCORES, count).tolist()
    assert votes.tolist() == np.resize([0.0, 1.0, 0.0], count).tolist()


def test_columns_beyond_all_features_change_nothing(make_forest: Callable[..., Forest]) -> None:
    """A row's values have room for as many as a forest may have features, and may be followed by more."""
    assert native.kernels() is not None
    wide = np.full((5, 300), 9.0)
    wide[:3, 0] = ROWS[:, 0]
    assert make_forest().probabilities(wide)[:3].tolist() == SCORES


@pytest.mark.parametrize("unknown_goes_left", [False, True])
def test_a_split_of_unknown_values_from_all_others_is_exact(unknown_goes_left: bool) -> None:
    """scikit-learn writes an infinite threshold where knowing the value is all that matters."""
    forest = Forest(
        feature=np.array([0, -1, -1], np.int16),
        threshold=np.array([-np.inf if unknown_goes_left else np.inf, 0, 0], np.float32),
        left=np.array([1, -1, -1], np.int32),
        right=np.array([2, -1, -1], np.int32),
        missing_goes_left=np.array([unknown_goes_left, False, False]),
        value=np.array([0.5, 0.25, 0.75]),
        cover=np.array([8.0, 4.0, 4.0]),
        roots=np.array([0], np.int32),
    )
    assert native.kernels() is not None
    known, unknown = (0.75, 0.25) if unknown_goes_left else (0.25, 0.75)
    rows = np.array([[-3e38], [np.nan], [0.0], [3e38], [np.nan]])
    assert forest.probabilities(rows).tolist() == [known, unknown, known, known, unknown]


def test_rows_without_a_column_for_every_feature_are_refused(make_forest: Callable[..., Forest]) -> None:
    """The kernels look at no bounds, so this is looked at before."""
    forest = dataclasses.replace(make_forest(), feature=np.array([3, -1, -1], np.int16))
    for score in (forest.probabilities, forest.contributions):
        with pytest.raises(ValueError, match="but this forest has 4 features"):
            score(np.zeros((1, 3)))
        with pytest.raises(ValueError, match="but this forest has 4 features"):
            score(np.zeros(4))


def test_arrays_of_other_names_types_or_shapes_are_no_scorer(make_forest: Callable[..., Forest]) -> None:
    arrays = make_forest().scorer.to_arrays()
    with pytest.raises(Damaged, match="expected"):
        Scorer.from_arrays({name: array for name, array in arrays.items() if name != "words"}, 11)
    wrong = [{name: array[None]} for name, array in arrays.items()] + [
        {name: np.zeros_like(array, np.int16)} for name, array in arrays.items()
    ]
    wrong += [{"trees_and_depth": np.array([1], np.int64)}, {"groups": arrays["groups"][:, :3]}]
    for changed in wrong:
        with pytest.raises(Damaged, match="do not fit each other"):
            Scorer.from_arrays(arrays | changed, 11)


def test_a_forest_that_is_too_large_for_the_engine_is_refused_with_what_to_do(
    make_forest: Callable[..., Forest],
) -> None:
    wide = dataclasses.replace(make_forest(), feature=np.array([127, -1, -1], np.int16))
    with pytest.raises(ValueError, match="at most 127 features are expected; train a smaller one"):
        wide.scorer.probabilities(ROWS)
    widest = dataclasses.replace(make_forest(), feature=np.array([126, -1, -1], np.int16)).scorer
    rows = np.zeros((5, 127))
    rows[:, 126] = [1, 2, 1, 2, np.nan]
    assert widest.probabilities(rows).tolist() == [0.25, 0.75, 0.25, 0.75, 0.25]


def test_one_row_explained_is_the_row_of_a_batch(make_forest: Callable[..., Forest]) -> None:
    scorer = make_forest().scorer
    for row, contributions, *verdict in zip(ROWS, scorer.contributions(ROWS), *scorer.verdicts(ROWS), strict=True):
        assert scorer.explain(row.tolist()) == (*verdict, contributions.tolist())
    with pytest.raises(ValueError, match="the row has 0 values, but this forest has 1 features"):
        scorer.explain([])
