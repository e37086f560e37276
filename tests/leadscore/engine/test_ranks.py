"""A rank says as much about a value as the value does, and no value is looked up outside of its thresholds."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from leadscore.engine import native, scorer
from leadscore.engine.ranks import MOST_THRESHOLDS, UNKNOWN, Thresholds
from leadscore.engine.scorer import Scorer
from leadscore.errors import Damaged
from leadscore.forest import LEAF, Forest

INFINITY = np.float32(np.inf)
ENDS = np.array([[-INFINITY, 1.0], [0.5, 2.0], [2.0, INFINITY], [-INFINITY, INFINITY]], np.float32)


def _stumps(thresholds: list[float]) -> Forest:
    """Return a forest of one split for each threshold, all of feature 0, every second with an unknown value left."""
    trees = len(thresholds)
    roots = np.arange(trees, dtype=np.int32) * 3
    feature = np.tile(np.array([0, LEAF, LEAF], np.int16), trees)
    at = np.repeat(np.array(thresholds, np.float32), 3)
    return Forest(
        feature=feature,
        threshold=np.where(feature == 0, at, np.float32(0)),
        left=np.where(feature == 0, np.arange(len(feature)) + 1, LEAF).astype(np.int32),
        right=np.where(feature == 0, np.arange(len(feature)) + 2, LEAF).astype(np.int32),
        missing_goes_left=np.repeat(np.arange(trees) % 2 == 0, 3),
        value=np.tile([0.0, 0.25, 0.75], trees),
        cover=np.tile([4.0, 3.0, 1.0], trees),
        roots=roots,
    )


def test_a_rank_lies_inside_where_the_value_does() -> None:
    low, high = ENDS[:, :1], ENDS[:, 1:]
    thresholds = Thresholds.of(low, high)
    assert thresholds.values.tolist() == [0.5, 1.0, 2.0, np.inf]
    (first, last), known = thresholds.intervals(low, high), np.array([0.5, 1, 2, 7, -7, np.inf], np.float32)
    around = [np.nextafter(known, np.float32(end)) for end in (-np.inf, np.inf)]
    values = np.concatenate([known, *around, [-0.0, 0.0]]).astype(np.float32)[:, None]
    ranks = thresholds.ranks(values)
    assert ((ranks >= first.T) & (ranks <= last.T)).tolist() == ((values > low.T) & (values <= high.T)).tolist()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 9, 31, 64, 65])
def test_both_engines_find_the_rank_of_values_on_and_beside_thresholds(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert native.kernels() is not None
    thresholds = np.random.default_rng(count).normal(size=count).astype(np.float32)
    beside = [np.nextafter(thresholds, np.float32(end)) for end in (-np.inf, np.inf)]
    rows = np.concatenate([thresholds, *beside, [np.nan, np.inf, -1e30]])[:, None]
    found = _stumps(thresholds.tolist()).scorer
    compiled = found.contributions(rows)
    assert found.base_value + compiled[:, 0] == pytest.approx(found.probabilities(rows), abs=1e-7)
    assert [found.explain(row)[2] for row in rows.tolist()] == compiled.tolist()
    monkeypatch.setattr(scorer, "kernels", lambda: None)
    assert found.contributions(rows) == pytest.approx(compiled, abs=1e-7)


def test_an_unknown_value_is_inside_of_no_interval() -> None:
    low, high = ENDS[:, :1], ENDS[:, 1:]
    thresholds = Thresholds.of(low, high)
    assert thresholds.ranks(np.array([[np.nan]], np.float32)).tolist() == [[UNKNOWN]]
    assert thresholds.intervals(low, high)[1].max() < UNKNOWN


def test_as_many_thresholds_as_have_ranks_are_held_and_one_more_is_refused() -> None:
    high = np.arange(MOST_THRESHOLDS, dtype=np.float32)[:, None]
    low = np.full_like(high, -np.inf)
    most = Thresholds.of(low[1:], high[1:])
    assert most.is_sound()
    assert most.intervals(high[-1:], np.array([[INFINITY]]))[1].tolist() == [[UNKNOWN - 1]]
    assert most.ranks(np.array([[1e9], [np.nan]], np.float32)).tolist() == [[UNKNOWN - 1], [UNKNOWN]]
    with pytest.raises(ValueError, match=r"65,535 thresholds of one feature .* at most 65,534 are expected"):
        Thresholds.of(low, high)


def _changed(thresholds: Thresholds, **changes: Any) -> Thresholds:
    arrays = {name: np.array(items, getattr(thresholds, name).dtype) for name, items in changes.items()}
    return dataclasses.replace(thresholds, **arrays)


FORGED: dict[str, dict[str, list[float]]] = {
    "no infinity behind the last": {"values": [1.0, 2.0, 3.0]},
    "a threshold that is no number": {"values": [1.0, np.nan, np.inf]},
    "falling thresholds": {"values": [2.0, 1.0, np.inf]},
    "a threshold twice": {"values": [1.0, 1.0, np.inf]},
    "a threshold too few": {"values": [1.0, np.inf]},
    "a feature without any": {"starts": [0, 3, 3]},
    "a feature that goes back": {"starts": [0, 4, 3]},
    "a first that is not the first": {"starts": [1, 3]},
    "an end that is not the end": {"starts": [0, 4]},
    "no feature": {"starts": [0]},
    "not even an end": {"starts": []},
    "more features than a row has": {"values": [np.inf] * 12, "starts": [*range(13)]},
}


@pytest.mark.parametrize("forgery", FORGED)
def test_thresholds_among_which_a_search_could_go_astray_are_refused(forgery: str) -> None:
    found = _stumps([1.0, 2.0]).scorer
    assert found.boxes.is_sound(11)
    forged = dataclasses.replace(found.boxes, thresholds=_changed(found.boxes.thresholds, **FORGED[forgery]))
    assert not forged.is_sound(11)
    with pytest.raises(Damaged, match="the engine's arrays do not fit each other"):
        Scorer.from_arrays(dataclasses.replace(found, boxes=forged).to_arrays(), 11)


def test_too_many_of_one_feature_fill_no_more_than_the_ranks() -> None:
    starts = np.array([0, MOST_THRESHOLDS + 1])
    assert not Thresholds(np.append(np.arange(MOST_THRESHOLDS, dtype=np.float32), INFINITY), starts).is_sound()
