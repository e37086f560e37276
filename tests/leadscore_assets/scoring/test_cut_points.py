"""The cut points of an org: those that were set stay, others are made from its base rate or its new leads."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from leadscore.records import crm_time
from leadscore_assets.scoring.cut_points import cut_points_of
from leadscore_assets.scoring.grades import CutPoints, by_base_rate
from leadscore_assets.scoring.stored_scores import Setting
from leadscore_assets.source.lead_features import features_at
from tests.leadscore_assets.scored_org import NOW, ORG, Scored


def made(scored: Scored, setting: Setting) -> CutPoints:
    return cut_points_of(scored.connection, ORG, setting, scored.model, scored.window())


def test_cut_points_that_were_made_stay(scored: Scored) -> None:
    cuts = CutPoints(0.9, 0.8, 0.7)
    assert made(scored, Setting(cut_points=cuts)) == cuts


def test_without_a_rule_the_base_rate_counts(scored: Scored) -> None:
    assert made(scored, Setting()) == by_base_rate(scored.model.base_rate)


def test_capacity_counts_the_leads_of_eight_weeks_as_they_were_a_day_old(scored: Scored) -> None:
    rows = scored.rows(
        "SELECT id::text, created_at FROM dossier WHERE created_at > %s AND created_at <= %s",
        crm_time(NOW - timedelta(days=57)),
        crm_time(NOW - timedelta(days=1)),
    )
    moments = [created_at + timedelta(days=1) for _, created_at in rows]
    features = features_at(
        scored.connection,
        ORG,
        [lead_id for lead_id, _ in rows],
        moments,
        scored.model.version.manifest.contract,
        crm_time_zone="UTC",
    )
    probabilities = np.sort(scored.model.version.scorer.probabilities(features))
    a, b, c = made(scored, Setting("capacity", 2))
    weeks = (crm_time(NOW) - min(moments)) / timedelta(weeks=1)
    assert a == probabilities[-round(2 * weeks)]
    assert b == probabilities[-round(4 * weeks)]
    assert c == probabilities[-round(8 * weeks)]


def test_an_org_without_new_leads_gives_every_lead_an_a(scored: Scored) -> None:
    scored.connection.execute("DELETE FROM dossier WHERE created_at > %s", [crm_time(NOW - timedelta(days=70))])
    assert made(scored, Setting("capacity", 2)) == (0, 0, 0)
