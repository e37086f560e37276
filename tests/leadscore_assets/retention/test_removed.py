"""What was removed is counted, and told in a line."""

from __future__ import annotations

from leadscore_assets.retention.removed import Removed, total


def test_parts_are_added_up() -> None:
    assert total("runs", iter([(1, 200), (2, 1_000_000)])) == Removed("runs", 3, 1_000_200)
    assert total("runs", []) == Removed("runs", 0, 0)


def test_it_is_told_with_its_size() -> None:
    assert str(Removed("events of assets", 12_345, 3_210_000)) == "12,345 events of assets (3.2 MB)"
