"""What a retention removed of one kind: how many, and the bytes that they took."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Removed(NamedTuple):
    """What was removed: its name in the plural, how many, and their bytes on the disk or in the database."""

    what: str
    items: int = 0
    freed_bytes: int = 0

    def __str__(self) -> str:
        return f"{self.items:,} {self.what} ({self.freed_bytes / 1e6:,.1f} MB)"


def total(what: str, parts: Iterable[tuple[int, int]]) -> Removed:
    """Return the sum of `parts`, each a count and its bytes."""
    items = freed_bytes = 0
    for part_items, part_bytes in parts:
        items += part_items
        freed_bytes += part_bytes
    return Removed(what, items, freed_bytes)
