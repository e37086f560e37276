"""Scores are too old when they are of a time before the schedule's last one, after some grace."""

from __future__ import annotations

from datetime import UTC, datetime

from leadscore.settings import Settings
from leadscore_assets.score_ages import stale_scores
from leadscore_assets.scoring.stored_scores import LastScoring

DAILY = Settings(score_schedule="0 5 * * *")


def test_each_org_is_told_how_old_its_scores_are() -> None:
    scorings = {
        org_id: LastScoring(org_id, moment(as_of), moment(as_of), "20260101000000", "own")
        for org_id, as_of in (("fresh", "2026-06-02T05:00"), ("stale", "2026-06-01T05:00"))
    }
    stale = stale_scores(DAILY, scorings, ["fresh", "stale", "never"], moment("2026-06-02T12:00"))
    assert stale.keys() == {"stale", "never"}
    assert stale["stale"].startswith(
        "the scores are of 2026-06-01 05:00 UTC, but those of 2026-06-02 05:00 UTC or later"
    )
    assert stale["never"].startswith("the org was never scored, but")


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
