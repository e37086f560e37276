"""What was said of an org's leads is joined with what they became, once, when their conversion window is over."""

from __future__ import annotations

from datetime import UTC, date

import msgspec
import numpy as np
import pytest

from leadscore.live_performance import LivePerformance
from leadscore_assets.proof.promises import Promises
from leadscore_assets.proof.prove_org import prove_org, stored_figures
from leadscore_assets.retention.erasure import erase_at_once
from tests.leadscore_assets.scored_org import DAY, NOW, ORG, Scored

OUTCOMES = """
SELECT lead.lead_id, lead.is_converted
FROM leadscore.lead_outcomes(%s, 400, 90, '{WON}', '{LOST}', false, '{0,1,3,7,14,30,60}', 'UTC') AS lead
WHERE lead.org_id = %s
"""


def prove(scored: Scored, days: float = 0) -> LivePerformance:
    return prove_org(scored.connection, Promises(scored.registry), ORG, scored.window(days))


@pytest.fixture
def served(scored: Scored) -> Scored:
    """Give an org whose leads were scored every third day, from 130 to 91 days before NOW."""
    for days in range(-130, -90, 3):
        scored.score(days=days)
    return scored


def test_a_lead_is_judged_by_what_it_became(served: Scored) -> None:
    figures = prove(served)
    became = dict(served.rows(OUTCOMES, NOW.replace(tzinfo=None), ORG))
    judged = served.rows("SELECT lead_id, is_converted, created_at FROM leadscore.judged_score")
    assert len(judged) > 200
    assert all(became[lead_id] == is_converted for lead_id, is_converted, _ in judged)
    last = max(created_at for *_, created_at in judged)
    assert last.date() <= figures.judged_through == (NOW - 91 * DAY).date()
    assert figures.overall is not None
    assert figures.overall.leads == len({lead_id for lead_id, *_ in judged})


def test_what_was_said_first_in_each_span_of_ages_counts(served: Scored) -> None:
    prove(served)
    differing = served.rows(
        "SELECT 1 FROM leadscore.judged_score AS judged JOIN leadscore.lead_score_history AS said USING (lead_id)"
        " WHERE said.age_days >= judged.landmark_days AND said.said_at < judged.said_at"
    )
    assert differing == []
    assert (
        served.value("SELECT count(*) FROM leadscore.judged_score WHERE landmark_days NOT IN (0,1,3,7,14,30,60)") == 0
    )


def test_no_lead_counts_before_all_of_its_day_are_mature(served: Scored) -> None:
    prove(served, days=-10)
    [(first, last)] = served.rows("SELECT min(created_at)::date, max(created_at)::date FROM leadscore.judged_score")
    assert first < last <= (NOW - 101 * DAY).date()


def test_proving_day_by_day_is_the_same_as_at_once(served: Scored) -> None:
    at_once = prove(served)
    rows = served.rows("SELECT * FROM leadscore.judged_score ORDER BY lead_id, landmark_days")
    processes = served.rows("SELECT model_version, process FROM leadscore.live_evidence ORDER BY 1")
    for table in ("judged_score", "live_evidence", "live_performance"):
        served.connection.execute(f"DELETE FROM leadscore.{table}".encode())
    for days in range(-40, 1):
        day_by_day = prove(served, days=days)
    assert day_by_day == at_once
    assert served.rows("SELECT * FROM leadscore.judged_score ORDER BY lead_id, landmark_days") == rows
    assert served.rows("SELECT model_version, process FROM leadscore.live_evidence ORDER BY 1") == processes


def test_a_repeat_changes_nothing(served: Scored) -> None:
    first = prove(served)
    again = prove(served)
    assert again == first == stored_figures(served.connection, ORG)


def test_the_figures_are_those_of_the_rows(served: Scored) -> None:
    figures = prove(served)
    rows = np.array(
        served.rows("SELECT probability, is_converted::int FROM leadscore.judged_score ORDER BY lead_id"), float
    )
    assert figures.quality is not None
    assert figures.quality.brier_score.value == pytest.approx(((rows[:, 0] - rows[:, 1]) ** 2).mean())
    assert sum(group.outcomes.leads for group in figures.by_month) == figures.overall.leads  # type: ignore[union-attr]
    assert {group.name for group in figures.by_grade} <= {"A", "B", "C", "D"}
    [version] = figures.versions
    assert (version.version, version.role, version.rows) == (served.model.name, "served", len(rows))


def test_an_org_that_was_never_scored_says_so(scored: Scored) -> None:
    figures = prove(scored)
    assert (figures.state, figures.in_words) == ("no_scores", "No lead of the org was scored yet.")
    assert scored.rows("SELECT * FROM leadscore.live_evidence") == []


def test_a_young_org_is_told_from_which_day_it_can_be_judged(scored: Scored) -> None:
    scored.score()
    figures = prove(scored)
    assert figures.state == "too_young"
    assert figures.judgeable_on is not None
    assert NOW.date() < figures.judgeable_on < date(2027, 12, 31)
    assert "There will be enough around " in figures.in_words


def test_an_answer_over_http_counts_like_a_daily_score(served: Scored) -> None:
    lead_id, said_at, age = served.rows(
        "SELECT lead_id, said_at, age_days FROM leadscore.lead_score_history WHERE landmark_days = 3 ORDER BY 1 LIMIT 1"
    )[0]
    served.connection.execute(
        "INSERT INTO leadscore.answered_score (org_id, lead_id, landmark_days, answered_at, age_days, probability,"
        " model_version, model_scope) VALUES (%s, %s, 3, %s, 3, 0.123, %s, 'own')",
        [ORG, lead_id, said_at - (age - 3) * DAY, served.model.name],
    )
    prove(served)
    grade = served.value(
        "SELECT grade FROM leadscore.lead_score_history WHERE lead_id = %s AND said_at = %s", lead_id, said_at
    )
    assert served.rows(
        "SELECT said_by, probability, grade FROM leadscore.judged_score WHERE lead_id = %s AND landmark_days = 3",
        lead_id,
    ) == [("predict", 0.123, grade)]


def test_an_answer_for_a_lead_that_is_closed_or_whose_window_is_over_is_not_judged(served: Scored) -> None:
    """A CRM may ask for a lead as it is won: what is known by then is no promise."""
    won = served.rows(
        "SELECT dossier_id, min(transitioned_at) FROM dossier_status_history AS move WHERE to_status = 'WON'"
        " AND NOT EXISTS (SELECT FROM dossier_status_history AS later WHERE later.dossier_id = move.dossier_id"
        " AND later.transitioned_at > move.transitioned_at) GROUP BY 1"
    )
    for lead_id, closed_at in won:
        for hours in (1, 2_000):
            served.connection.execute(
                "INSERT INTO leadscore.answered_score (org_id, lead_id, landmark_days, answered_at, age_days,"
                " probability, model_version, model_scope) VALUES (%s, %s, %s, %s, 0, 0.1, %s, 'own')",
                [ORG, lead_id, hours, closed_at.replace(tzinfo=UTC) + hours * DAY / 24, served.model.name],
            )
    prove(served)
    assert len(won) > 50
    assert served.value("SELECT count(*) FROM leadscore.judged_score WHERE said_by = 'predict'") == 0


def test_scores_that_answer_another_question_are_left_out(served: Scored) -> None:
    other = msgspec.structs.replace(served.window(), conversion_window_days=60)
    figures = prove_org(served.connection, Promises(served.registry), ORG, other)
    assert figures.overall is None
    assert served.rows("SELECT * FROM leadscore.judged_score") == []


def test_an_erased_lead_leaves_what_was_judged(served: Scored) -> None:
    prove(served)
    lead_id = served.value("SELECT min(lead_id) FROM leadscore.judged_score")
    erase_at_once(served.connection, ORG, [lead_id])
    assert served.value("SELECT count(*) FROM leadscore.judged_score WHERE lead_id = %s", lead_id) == 0
