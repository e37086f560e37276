"""The arrays that all parts of the project hand to each other: their types, named after what they hold, and a sample.

What a kernel packs for itself, such as the bits of a node, is typed where it is packed.
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
    """Return up to `most` places of an array of that length, the first and the last included, evenly spread."""
    return np.unique(np.linspace(0, length - 1, min(length, most)).astype(np.intp))
