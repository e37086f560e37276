"""The types of the arrays that all parts of the project hand to each other, named after what is in them.

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
