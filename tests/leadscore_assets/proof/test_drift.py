"""What arrives for an org is judged day by day, once each, against what the version that scores it learned from."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import numpy as np
import pytest

from leadscore.features import CONTRACT
from leadscore.live_inputs import LiveInputs
from leadscore_assets.proof.drift import (
    Cohorts,
    InputEvidence,
    judge_inputs,
    stored_inputs,
    with_base_rate,
    with_features,
)
from leadscore_assets.proof.input_bets import LOG_STAKE
from tests.leadscore_assets.proof.kept_bins import forget_bins
from tests.leadscore_assets.proof.made_inputs import BOOKED, RESPONSE, START, arrive, made_bins
from tests.leadscore_assets.scored_org import DAY, NOW, ORG, Scored

EVIDENCE = "SELECT evidence FROM leadscore.input_evidence"
NAMES = CONTRACT.names


def judge(scored: Scored, days: float = 0) -> LiveInputs:
    return judge_inputs(scored.connection, scored.registry, ORG, scored.window(days))


def test_leads_like_those_learned_from_are_never_found_otherwise() -> None:
    assert with_features(InputEvidence("v"), made_bins(), arrive(200)).found == {}


def test_a_feed_that_stopped_is_found_within_three_weeks() -> None:
    arrived = arrive(66, fault_from=45, column=RESPONSE, value=np.nan)
    evidence = with_features(InputEvidence("v"), made_bins(), arrived)
    assert evidence.found.keys() == {NAMES[RESPONSE]}
    assert evidence.found[NAMES[RESPONSE]]["unknown"] <= START + timedelta(days=65)


def test_what_is_found_is_over_when_it_was_as_learned_for_two_weeks() -> None:
    bad, good = arrive(30, fault_from=0, column=BOOKED, value=9), arrive(80)
    mended = good._replace(
        leads=np.concatenate([bad.leads, good.leads[30:]]), counts=np.concatenate([bad.counts, good.counts[30:]])
    )
    found = [
        bool(with_features(InputEvidence("v"), made_bins(), mended.upto(START + timedelta(days=day))).found)
        for day in (29, 31, 60, 79)
    ]
    assert found == [True, True, False, False]


def test_days_one_by_one_are_the_same_as_at_once() -> None:
    arrived = arrive(40, fault_from=20, column=BOOKED, value=9)
    one_by_one = InputEvidence("v")
    for day in arrived.days:
        one_by_one = with_features(one_by_one, made_bins(), arrived.upto(day))
    assert one_by_one == with_features(InputEvidence("v"), made_bins(), arrived)
    assert with_features(one_by_one, made_bins(), arrived) == one_by_one


def test_another_version_begins_with_a_stake_at_most_and_without_findings() -> None:
    evidence = with_features(InputEvidence("v"), made_bins(), arrive(30, fault_from=15, column=BOOKED, value=9))
    other = evidence.of_version("w")
    assert max(other.features.log_capital) <= LOG_STAKE
    assert (other.found, other.features.through) == ({}, evidence.features.through)
    assert evidence.of_version("v") is evidence


@pytest.mark.parametrize(("share", "is_found"), [(0.36, False), (0.75, True), (0.02, True)])
def test_another_base_rate_is_found(share: float, is_found: bool) -> None:
    """The version learned from leads of which 36 % converted."""
    days = [START + timedelta(days=day) for day in range(120)]
    leads = np.full(120, 10.0)
    evidence = with_base_rate(InputEvidence("v"), made_bins(), Cohorts(days, leads, leads * share))
    assert (evidence.base_rate_found_on is not None) == is_found
    assert with_base_rate(evidence, made_bins(), Cohorts(days, leads, leads * share)) == evidence


def test_evidence_reads_back_as_it_was_written() -> None:
    evidence = with_features(InputEvidence("v"), made_bins(), arrive(30, fault_from=15, column=BOOKED, value=9))
    assert evidence.found
    assert msgspec.json.decode(msgspec.json.encode(evidence), type=InputEvidence) == evidence


def test_an_org_whose_leads_come_as_ever_is_as_learned(scored: Scored) -> None:
    for days in range(-30, 1):
        scored.score(days=days)
    figures = judge(scored)
    assert figures.alarms == []
    assert (figures.state, figures.days) == ("as_learned", 30)
    assert figures.judged_through == (NOW - DAY).date()
    assert figures.in_words.startswith("What arrives is as it was learned: ")
    assert stored_inputs(scored.connection, ORG) == figures
    evidence = scored.rows(EVIDENCE)
    assert judge(scored) == figures
    assert scored.rows(EVIDENCE) == evidence


def test_an_org_whose_feed_of_messages_stops_is_told(scored: Scored) -> None:
    scored.connection.execute('DELETE FROM message WHERE "timestamp" >= %s', [NOW.replace(tzinfo=None) - 35 * DAY])
    for days in range(-45, 1):
        scored.score(days=days)
    figures = judge(scored)
    assert figures.state == "shifted"
    assert "Is the feed of messages running?" in figures.in_words
    [response] = [each for each in figures.findings if each.feature == "response_time_minutes"]
    assert (response.kind, response.is_alarm) == ("unknown", True)
    assert abs(response.since - (NOW - 35 * DAY).date()) <= 5 * DAY
    assert response.served > 0.5 > response.learned


def test_today_is_judged_tomorrow(scored: Scored) -> None:
    scored.score()
    assert judge(scored, days=0.5).days == 0
    assert judge(scored, days=1).days == 1


def test_a_version_that_kept_no_bins_is_not_judged(scored: Scored) -> None:
    forget_bins(scored)
    scored.score()
    figures = judge(scored, days=1)
    assert figures.state == "not_judged"
    assert "kept no bins; train the org again." in figures.in_words


def test_an_org_without_a_model_of_its_own_is_not_judged(scored: Scored) -> None:
    assert judge(scored).state == "not_judged"
    assert stored_inputs(scored.connection, "nobody") is None


CREATE_WON = """
WITH lead AS (
    INSERT INTO dossier (id, org_id, status, created_at, updated_at)
    SELECT 5000000 + day * 8 + nth, %s, 'WON', created_at, created_at
    FROM generate_series(0, 74) AS day, generate_series(0, 7) AS nth,
        LATERAL (SELECT timestamp '2026-03-15 12:00' + day * interval '1 day' AS created_at) AS creation
    RETURNING id, org_id, created_at
)
INSERT INTO dossier_status_history (dossier_id, org_id, from_status, to_status, transitioned_at)
SELECT id, org_id, 'NEW', 'WON', created_at + interval '2 hours' FROM lead
"""


def test_conversions_count_of_all_leads_that_were_not_mature_at_the_training(scored: Scored) -> None:
    """Also of those that closed before their first daily scoring, as these do: the training counts them, too."""
    scored.score(days=-1)
    scored.connection.execute(CREATE_WON, [ORG])
    figures = judge(scored, days=150)
    [finding] = [each for each in figures.findings if each.kind == "base_rate"]
    assert (finding.is_alarm, finding.leads >= 600, finding.served > 0.7 > finding.learned) == (True, True, True)
    assert figures.in_words.endswith("Train the org again.")
    assert scored.value("SELECT count(*) FROM leadscore.judged_score") == 0
