"""The metadata of a scoring: an org without a model is shown, too."""

from __future__ import annotations

from leadscore.settings import Settings
from leadscore_assets.metadata.scores import scoring_metadata
from leadscore_assets.scoring.score_org import Scoring
from tests.leadscore_assets.scored_org import NOW


def test_an_org_without_a_model_says_so() -> None:
    shown = scoring_metadata(Settings(), Scoring("north", NOW, 7, {"no_model": 5, "window_over": 2}))
    assert (shown["version"], shown["model_scope"], shown["dagster/row_count"]) == ("none", "none", 0)
    assert shown["left_out"].value == {"no_model": 5, "window_over": 2}
