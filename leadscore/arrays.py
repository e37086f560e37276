"""The types of the arrays that the parts of the project exchange, named after their content, and a sample.

A kernel's own packed arrays, such as the bits of a node, are typed where they are packed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Float32s = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
Indices = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]
Texts = npt.NDArray[np.str_]


def evenly_spread(length: int, most: int) -> Indices:
    """Return up to `most` evenly spaced places in an array of that length, including the first and the last."""
    return np.unique(np.linspace(0, length - 1, min(length, most)).astype(np.intp))
