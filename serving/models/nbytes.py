"""How many bytes a loaded version holds in memory: those of its arrays, each counted once."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np


def nbytes_by_array(value: Any) -> dict[int, int]:
    """Return the bytes of all arrays in `value`, by identity: in fields, in what it derived and kept, in tuples."""
    arrays: dict[int, int] = {}
    _add(value, arrays)
    return arrays


def _add(value: Any, arrays: dict[int, int]) -> None:
    if isinstance(value, np.ndarray):
        arrays[id(value)] = value.nbytes
    elif isinstance(value, (tuple, list)):
        for part in value:
            _add(part, arrays)
    elif is_dataclass(value) and not isinstance(value, type):
        parts = vars(value) if hasattr(value, "__dict__") else {f.name: getattr(value, f.name) for f in fields(value)}
        for part in parts.values():
            _add(part, arrays)
