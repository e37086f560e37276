"""Each lead counts once per landmark age, however often its org is scored."""

from __future__ import annotations

import numpy as np
import pytest

from leadscore_assets.retention.erasure import erase_at_once
from leadscore_assets.scoring import score_org as scoring
from leadscore_assets.scoring.input_counts import input_bins, remove_old_counts
from leadscore_assets.source.database import connect
from tests.leadscore_assets.proof.kept_bins import forget_bins
from tests.leadscore_assets.scored_org import DAY, NOW, ORG, Scored

COUNTS = "SELECT * FROM leadscore.input_counts ORDER BY said_at, landmark_days"
BY_AGE = "SELECT landmark_days, sum(leads)::int FROM leadscore.input_counts GROUP BY 1 ORDER BY 1"
SAID = """
SELECT landmark_days, count(*)::int FROM leadscore.lead_score_history
WHERE because = 'landmark' GROUP BY 1 ORDER BY 1
"""


def test_each_row_of_a_landmark_in_the_history_is_counted(scored: Scored) -> None:
    for days in range(5):
        scored.score(days=days)
    assert scored.rows(BY_AGE) == scored.rows(SAID) != []


def test_a_repeat_counts_nothing_again(scored: Scored) -> None:
    for days in (0, 0, 0.4, 0.4, 1):
        scored.score(days=days)
    repeated = scored.rows(BY_AGE)
    scored.connection.execute("DELETE FROM leadscore.input_counts")
    scored.connection.execute("DELETE FROM leadscore.scoring_run")
    scored.connection.execute("DELETE FROM leadscore.lead_score_history")
    for days in (0, 0.4, 1):
        scored.score(days=days)
    assert scored.rows(BY_AGE) == repeated


def test_scores_that_are_replaced_are_counted_anew(scored: Scored) -> None:
    scored.score()
    first = scored.rows(COUNTS)
    scored.score(days=1)
    scored.score(replaces_later=True)
    assert scored.rows(COUNTS) == first
    scored.score(days=0.5)
    scored.score(days=1)
    assert scored.rows(BY_AGE) == scored.rows(SAID)


def test_a_scoring_that_fails_counts_nothing(scored: Scored, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(scoring.stored, "record_run", fail)
    with pytest.raises(RuntimeError):
        scored.score()
    with connect(scored.settings) as other:
        assert other.execute("SELECT count(*) FROM leadscore.input_counts").fetchone() == (0,)


def test_the_features_are_those_at_the_very_age(scored: Scored) -> None:
    """The age is a feature: it is the landmark itself, though the lead is scored hours later."""
    for days in range(4):
        scored.score(days=days + 0.37)
    bins = input_bins(scored.registry, ORG, scored.model.name)
    assert bins is not None
    place = [each.name for each in bins.features].index("days_since_creation")
    for *_, landmark_days, leads, counts in scored.rows(COUNTS):
        of_age = counts[bins.slices[place]]
        [at] = bins.features[place].places(np.array([float(landmark_days)]))
        assert of_age[at] == leads == sum(of_age)


def test_a_version_of_an_earlier_release_counts_nothing(scored: Scored) -> None:
    forget_bins(scored)
    scored.score()
    assert scored.rows(COUNTS) == []
    assert scored.value("SELECT count(*) > 0 FROM leadscore.lead_score")


def test_counts_are_removed_with_their_retention_and_with_their_org(scored: Scored) -> None:
    for days in range(3):
        scored.score(days=days)
    assert remove_old_counts(scored.connection, NOW + DAY) > 0
    assert scored.value("SELECT min(said_at) FROM leadscore.input_counts") == NOW + DAY
    erase_at_once(scored.connection, ORG)
    assert scored.rows(COUNTS) == []
