"""One org's scoring: who is scored, what is written, that a repeat writes nothing, and that a kill leaves no half."""

from __future__ import annotations

import multiprocessing
import signal
import time
from typing import Any

import numpy as np
import pytest

from leadscore.errors import InvalidInput
from leadscore.records import crm_time
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.scoring import stored_scores
from leadscore_assets.scoring.stored_scores import set_rule
from leadscore_assets.source.database import connect
from leadscore_assets.source.lead_features import features_at, open_leads
from tests.leadscore_assets.scored_org import DAY, NOW, ORG, Scored

SCORES = "SELECT * FROM leadscore.lead_score ORDER BY lead_id"
SHOWN = """
SELECT lead_id, rank, probability, confidence, grade, action, trend, probability_before, reasons, moves, created_at
FROM leadscore.call_list ORDER BY lead_id
"""
HISTORY = "SELECT * FROM leadscore.lead_score_history ORDER BY lead_id, said_at"
RUNS = "SELECT * FROM leadscore.scoring_run ORDER BY as_of"


def everything(scored: Scored) -> list[Any]:
    return [scored.rows(query) for query in (SCORES, HISTORY, RUNS)]


def move(scored: Scored, lead_id: str, status: str, *, days: float) -> None:
    at = crm_time(scored.window(days).as_of)
    scored.connection.execute(
        "INSERT INTO dossier_status_history (org_id, dossier_id, to_status, transitioned_at) VALUES (%s, %s, %s, %s)",
        [ORG, lead_id, status, at],
    )
    scored.connection.execute("UPDATE dossier SET status = %s WHERE id = %s", [status, lead_id])


def write_to(scored: Scored, lead_id: str, *, days: float, times: int = 1) -> None:
    at = crm_time(scored.window(days).as_of)
    for _ in range(times):
        scored.connection.execute(
            'INSERT INTO message (org_id, dossier_id, direction, "timestamp") VALUES (%s, %s, %s, %s)',
            [ORG, lead_id, "INBOUND", at],
        )


def test_every_open_lead_in_its_window_is_scored_as_the_model_scores_it(scored: Scored) -> None:
    found = open_leads(scored.connection, ORG, scored.window())
    scoring = scored.score()
    assert scoring.open_leads == len(found.lead_ids) + sum(found.left_out.values())
    assert scoring.left_out == dict(found.left_out)
    assert scoring.scored == scoring.changed == len(found.lead_ids) > 50
    contract, scorer = scored.model.version.manifest.contract, scored.model.version.scorer
    features = features_at(
        scored.connection, ORG, found.lead_ids, [crm_time(NOW)] * len(found.lead_ids), contract, crm_time_zone="UTC"
    )
    stored = {
        row[0]: row[1:] for row in scored.rows("SELECT lead_id, probability, contributions FROM leadscore.lead_score")
    }
    assert [stored[lead_id][0] for lead_id in found.lead_ids] == scorer.probabilities(features).tolist()
    assert [stored[lead_id][1] for lead_id in found.lead_ids] == scorer.contributions(features).tolist()


def test_the_contributions_sum_to_the_probability_and_their_difference_to_the_move(scored: Scored) -> None:
    scored.score()
    base_value = scored.value("SELECT base_value FROM leadscore.last_scoring")
    rows = scored.rows(
        "SELECT probability, contributions, probability_before, contributions_before FROM leadscore.lead_score"
    )
    for now, contributions, before, contributions_before in rows:
        assert base_value + sum(contributions) == pytest.approx(now, abs=1e-6)
        assert (before is None) == (contributions_before is None)
        if before is not None:
            assert sum(contributions) - sum(contributions_before) == pytest.approx(now - before, abs=1e-6)
    assert {row[2] is None for row in rows} == {True, False}


def test_a_repeat_writes_nothing(scored: Scored) -> None:
    first = scored.score()
    before = everything(scored)
    again = scored.score()
    assert (again.rescored, again.changed, again.removed) == (0, 0, 0)
    assert again.content == first.content
    assert everything(scored) == before


def test_only_leads_that_something_happened_to_are_written(scored: Scored) -> None:
    """Of two scorings in one minute: the market and the ages cross no threshold, so one lead alone is scored again."""
    scored.score()
    lead_id = scored.value("SELECT min(lead_id) FROM leadscore.lead_score")
    write_to(scored, lead_id, days=0.0001, times=3)
    scoring = scored.score(days=0.0002)
    since = scored.rows("SELECT lead_id FROM leadscore.lead_score WHERE scored_since > %s", NOW)
    assert lead_id in {each for (each,) in since}
    assert len(since) == scoring.changed < scoring.scored / 5


def test_scoring_what_changed_is_the_same_as_scoring_everything(scored: Scored) -> None:
    """Ten days on which leads are written to, closed and reopened; each day both ways, row for row."""
    random = np.random.default_rng(2)
    for days in range(10):
        leads = [lead_id for (lead_id,) in scored.rows("SELECT lead_id FROM leadscore.lead_score ORDER BY lead_id")]
        for lead_id in random.choice(leads, min(len(leads), 6), replace=False).tolist():
            write_to(scored, lead_id, days=days - 0.4)
            if random.random() < 0.3:
                move(scored, lead_id, random.choice(["LOST", "WON", "QUALIFYING"]), days=days - 0.3)
        incremental = scored.score(days=days)
        rows = scored.rows(SCORES)
        full = scored.score(days=days, is_full=True)
        assert (full.unequal, full.changed, full.removed) == (0, 0, 0)
        assert full.rescored == full.scored == incremental.scored
        assert scored.rows(SCORES) == rows


def test_what_the_crm_shows_otherwise_is_written_though_the_score_stays(scored: Scored) -> None:
    """The reasons say prices as they are, so the rows are those that a first scoring would write."""
    scored.score()
    scored.connection.execute("UPDATE annonce SET price = price * 1.01")
    scored.score(days=0.0001)
    rows = scored.rows(SHOWN)
    scored.connection.execute("DELETE FROM leadscore.lead_score")
    scored.score(days=0.0001)
    assert scored.rows(SHOWN) == rows


@pytest.mark.parametrize(
    "wrong",
    [
        "probability = probability + 1e-9",
        "contributions[2] = 0.5",
        "features[1] = 7777",
        "created_at = created_at - interval '1 day'",
    ],
)
def test_a_full_scoring_finds_and_mends_a_wrong_row(scored: Scored, wrong: str) -> None:
    scored.score()
    right = scored.rows(SCORES)
    scored.connection.execute(
        f"UPDATE leadscore.lead_score SET {wrong}"
        " WHERE lead_id = (SELECT min(lead_id) FROM leadscore.lead_score)".encode()
    )
    assert scored.score().changed == 0
    assert (scored.score(is_full=True).unequal, scored.rows(SCORES)) == (1, right)


def test_a_lead_that_closed_leaves_the_list_and_stays_in_the_history(scored: Scored) -> None:
    scored.score()
    lead_id = scored.value("SELECT min(lead_id) FROM leadscore.lead_score")
    move(scored, lead_id, "LOST", days=0.5)
    assert scored.score(days=1).removed >= 1
    assert scored.rows("SELECT FROM leadscore.lead_score WHERE lead_id = %s", lead_id) == []
    assert scored.value("SELECT count(*) FROM leadscore.lead_score_history WHERE lead_id = %s", lead_id) >= 1


def test_another_version_scores_all_leads_again(scored: Scored) -> None:
    scored.score()
    version = scored.train_another()
    scoring = scored.score()
    assert scoring.changed == scoring.scored
    assert scored.rows("SELECT DISTINCT model_version FROM leadscore.lead_score") == [(version,)]


def test_the_cut_points_stay_when_the_version_changes(scored: Scored) -> None:
    scored.score()
    cuts = scored.value("SELECT cut_points FROM leadscore.org_setting")
    assert cuts[1] == scored.model.base_rate
    scored.train_another()
    scored.score()
    assert scored.value("SELECT cut_points FROM leadscore.org_setting") == cuts


def test_a_rule_that_is_set_grades_all_leads_anew(scored: Scored) -> None:
    scored.score()
    set_rule(scored.connection, ORG, 2, set_by="test")
    scoring = scored.score()
    assert 0 < scoring.changed <= scoring.scored
    assert scoring.rescored == 0
    assert scored.value("SELECT cut_points IS NOT NULL AND set_by = 'test' FROM leadscore.org_setting")


def test_an_org_without_a_model_has_no_scores(scored: Scored) -> None:
    scored.score()
    (scored.registry.root / ORG / "active.json").unlink()
    scoring = scored.score(days=1)
    assert (scoring.scored, scoring.model) == (0, None)
    assert scoring.left_out["no_model"] > 0
    assert scored.rows(SCORES) == []
    assert scored.value("SELECT model_version FROM leadscore.last_scoring") is None


def test_an_earlier_time_does_not_replace_a_later_one_unasked(scored: Scored) -> None:
    scored.score(days=1)
    rows = scored.rows(SCORES)
    with pytest.raises(InvalidInput, match=r"scored as of 2026-06-02 00:00 UTC, which is later than 2026-06-01 00:00"):
        scored.score()
    assert scored.rows(SCORES) == rows
    assert scored.score(replaces_later=True).changed > 0
    assert scored.rows("SELECT as_of FROM leadscore.last_scoring") == [(NOW,)]
    assert scored.rows("SELECT DISTINCT scored_as_of FROM leadscore.call_list") == [(NOW,)]
    assert scored.value("SELECT max(said_at) FROM leadscore.lead_score_history") == NOW
    assert scored.score(days=0.5).changed > 0


def test_a_scoring_of_the_present_that_another_overtook_scores_as_of_its_time(scored: Scored) -> None:
    scored.score(days=1)
    rows = scored.rows(SCORES)
    overtaken = scored.score(is_present=True)
    assert (overtaken.as_of, overtaken.changed, overtaken.removed) == (NOW + DAY, 0, 0)
    assert scored.rows(SCORES) == rows


def test_each_landmark_of_a_lead_is_said_once(scored: Scored) -> None:
    for days in range(9):
        scored.score(days=days)
    said = scored.rows(
        "SELECT lead_id, landmark_days, count(*), min(age_days - landmark_days), max(age_days - landmark_days)"
        " FROM leadscore.lead_score_history WHERE because = 'landmark' GROUP BY 1, 2"
    )
    assert {landmark for _, landmark, *_ in said} >= {1, 3, 7, 14, 30}
    assert all(times == 1 and 0 <= earliest <= latest <= 1 for _, _, times, earliest, latest in said)


def test_the_history_has_every_change_of_what_is_said(scored: Scored) -> None:
    """Its last row of each lead is what the lead's row says."""
    for days in (0, 3, 6):
        scored.score(days=days)
    differing = scored.rows(
        "SELECT lead_id FROM leadscore.lead_score AS score"
        " JOIN LATERAL (SELECT * FROM leadscore.lead_score_history AS said"
        " WHERE said.lead_id = score.lead_id ORDER BY said_at DESC LIMIT 1) AS last USING (lead_id)"
        " WHERE (score.grade, score.trend, score.model_scope) <> (last.grade, last.trend, last.model_scope)"
    )
    assert differing == []
    assert scored.value("SELECT count(DISTINCT lead_id) FROM leadscore.lead_score_history WHERE because = 'change'") > 0


def test_the_ages_behind_the_last_landmark_are_marked(scored: Scored) -> None:
    scored.score()
    marked = scored.rows(
        "SELECT DISTINCT is_beyond_landmarks, %s - created_at > interval '60 days' FROM leadscore.lead_score",
        crm_time(NOW),
    )
    assert sorted(marked) == [(False, False), (True, True)]


def score_and_stall(settings: Settings, written: Any, writes: int) -> None:
    """Score the next day, and sleep after so many writes."""
    write, done = stored_scores._copy, 0

    def stalling(*arguments: Any) -> None:
        nonlocal done
        write(*arguments)
        done += 1
        if done == writes:
            written.set()
            time.sleep(60)

    stored_scores._copy = stalling
    with connect(settings) as connection:
        Scored(settings, connection, Registry(settings.model_path)).score(days=1)


@pytest.mark.parametrize("writes", [1, 2])
def test_a_kill_leaves_the_org_as_it_was(scored: Scored, writes: int) -> None:
    """After the scores, or after the history, were written: the transaction is gone with the process."""
    scored.score()
    before = everything(scored)
    spawn = multiprocessing.get_context("spawn")
    written = spawn.Event()
    process = spawn.Process(target=score_and_stall, args=(scored.settings, written, writes))
    process.start()
    assert written.wait(60)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert everything(scored) == before
    assert scored.score(days=1).changed > 0  # nothing waits for the lock of the killed one
