"""The tags of runs: Dagster keeps its own names for itself, so ours stand in a namespace of their own."""

from __future__ import annotations

from leadscore.run_tags import ASKER_TAG, ORG_TAG


def test_our_tags_are_told_from_dagsters_own() -> None:
    assert [tag.partition("/")[0] for tag in (ORG_TAG, ASKER_TAG)] == ["leadscore", "leadscore"]
