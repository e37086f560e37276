"""A forest of one tree with one split, whose every figure can be computed by hand."""

from __future__ import annotations

import numpy as np

from leadscore.forest import LEAF, Forest


def stump(feature: int, threshold: float) -> Forest:
    """Make one tree: a feature up to the threshold, or unknown, gives 0.2; more gives 0.6."""
    return Forest(
        feature=np.array([feature, LEAF, LEAF], np.int16),
        threshold=np.array([threshold, 0, 0], np.float32),
        left=np.array([1, LEAF, LEAF], np.int32),
        right=np.array([2, LEAF, LEAF], np.int32),
        missing_goes_left=np.array([True, False, False]),
        value=np.array([0.4, 0.2, 0.6]),
        cover=np.array([8.0, 4.0, 4.0]),
        roots=np.array([0], np.int32),
    )
