"""A lead counts at the last landmark age that it reached since the scoring before, as it was at that very age."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np

from leadscore_assets.scoring.landmarks import AtLandmarks, last_landmark, reached

NOW = datetime(2026, 6, 1)
AGES = np.array([0.5, 1.0, 2.9, 3.2, 40.0])


def test_the_last_landmark_reached_since_counts() -> None:
    assert np.nan_to_num(last_landmark(AGES, (0, 1, 3, 7), 1.0), nan=-1).tolist() == [0, 1, -1, 3, -1]


def test_of_several_landmarks_in_a_longer_time_the_last_one_counts() -> None:
    assert last_landmark(np.array([3.2]), (0, 1, 3, 7), 5.0).tolist() == [3]


def test_the_moment_is_that_of_the_landmark() -> None:
    created_at = [NOW - timedelta(days=age) for age in AGES.tolist()]
    found = reached(created_at, AGES, (0, 1, 3, 7), 1.0)
    assert found.places.tolist() == [0, 1, 3]
    assert found.landmark_days.tolist() == [0, 1, 3]
    assert found.moments == [NOW - timedelta(days=0.5), NOW, NOW - timedelta(days=3.2) + timedelta(days=3)]


def test_rows_of_leads_that_are_left_out_are_left_out() -> None:
    rows = AtLandmarks(np.array([0, 2]), np.array([0, 7]), np.array([[1.0], [2.0]]))
    kept = rows.of_leads(np.array([False, True, True]))
    assert (kept.places.tolist(), kept.landmark_days.tolist(), kept.features.tolist()) == ([2], [7], [[2.0]])
