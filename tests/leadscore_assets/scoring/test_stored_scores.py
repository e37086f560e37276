"""What is read from the tables of the scores is what was written."""

from __future__ import annotations

import numpy as np
import pytest

from leadscore.errors import SourceMismatch
from leadscore.settings import Settings
from leadscore_assets.scoring import stored_scores as stored
from leadscore_assets.scoring.grades import CutPoints
from leadscore_assets.source.database import connect
from tests.leadscore_assets.scored_org import NOW, ORG, Scored


def test_a_stored_score_is_read_as_it_was_said(scored: Scored) -> None:
    scored.score()
    rows = stored.stored_scores(scored.connection, ORG)
    for lead_id, probability, before, grade, version in scored.rows(
        "SELECT lead_id, probability, probability_before, grade, model_version FROM leadscore.lead_score"
    ):
        row = rows[lead_id]
        assert (row.verdict[0], row.labels.grade, row.said_by) == (probability, grade, (version, "own"))
        assert np.isnan(row.verdict[2]) if before is None else row.verdict[2] == before


def test_a_rule_is_set_and_its_cut_points_are_kept_once(scored: Scored) -> None:
    connection = scored.connection
    assert stored.setting(connection, ORG) == stored.Setting()
    stored.set_rule(connection, ORG, 40, set_by="somebody")
    assert stored.setting(connection, ORG) == stored.Setting("capacity", 40, None)
    for a in (0.5, 0.9):
        made = stored.Setting("capacity", 40, CutPoints(a, 0.3, 0.1))
        stored.save_cut_points(connection, ORG, made)
    assert stored.setting(connection, ORG).cut_points == (0.5, 0.3, 0.1)
    stored.set_rule(connection, ORG, None, set_by="somebody")
    assert stored.setting(connection, ORG) == stored.Setting("base_rate", None, None)


def test_a_scoring_keeps_no_cut_points_for_a_rule_that_was_set_while_it_ran(scored: Scored) -> None:
    connection = scored.connection
    stored.set_rule(connection, ORG, 40, set_by="somebody")
    for earlier in (
        stored.Setting("capacity", 30, CutPoints(0.5, 0.3, 0.1)),
        stored.Setting("base_rate", None, CutPoints(0.6, 0.3, 0.1)),
    ):
        stored.save_cut_points(connection, ORG, earlier)
        assert stored.setting(connection, ORG) == stored.Setting("capacity", 40, None)


def test_the_last_run_is_the_one_of_the_latest_time(scored: Scored) -> None:
    assert stored.last_run(scored.connection, ORG) is None
    scored.score()
    scored.score(days=1)
    last = stored.last_run(scored.connection, ORG)
    assert last is not None
    assert (last.as_of, last.model_version) == (scored.window(1).as_of, scored.model.name)
    assert stored.scored_before(scored.connection, ORG, scored.window(1).as_of) == NOW
    assert stored.scored_before(scored.connection, ORG, NOW) is None


def test_the_orgs_with_scores_are_listed(scored: Scored) -> None:
    assert stored.scored_orgs(scored.connection) == []
    scored.score()
    assert stored.scored_orgs(scored.connection) == [ORG]


def test_before_the_set_up_the_error_says_what_to_do(database: Settings) -> None:
    with connect(database) as connection, pytest.raises(SourceMismatch, match="set_up_database"):
        stored.scored_orgs(connection)
