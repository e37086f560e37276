"""What a loaded version weighs: the bytes of its arrays, each counted once."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np


def weight_bytes(value: Any) -> int:
    """Return the bytes of all arrays that `value` holds."""
    return sum(arrays_in(value).values())


def arrays_in(value: Any) -> dict[int, int]:
    """Return the bytes, by identity, of all arrays in `value`: in fields, in what it derived and kept, in tuples."""
    arrays: dict[int, int] = {}
    _weigh(value, arrays)
    return arrays


def _weigh(value: Any, arrays: dict[int, int]) -> None:
    if isinstance(value, np.ndarray):
        arrays[id(value)] = value.nbytes
    elif isinstance(value, (tuple, list)):
        for part in value:
            _weigh(part, arrays)
    elif is_dataclass(value) and not isinstance(value, type):
        parts = vars(value) if hasattr(value, "__dict__") else {f.name: getattr(value, f.name) for f in fields(value)}
        for part in parts.values():
            _weigh(part, arrays)
