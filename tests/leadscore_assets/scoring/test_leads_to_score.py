"""Which leads are scored, with which features, and how those that are not are counted."""

from __future__ import annotations

import numpy as np

from leadscore.features import CONTRACT
from leadscore_assets.scoring.leads_to_score import count_open_leads, read_open_leads
from tests.leadscore_assets.scored_org import ORG, Scored


def test_each_open_lead_is_read_now_and_seven_days_ago(scored: Scored) -> None:
    found = read_open_leads(scored.connection, ORG, scored.model, scored.window())
    ages = found.leads.now[:, CONTRACT.names.index("days_since_creation")]
    ages_before = found.leads.before[:, CONTRACT.names.index("days_since_creation")]
    assert np.allclose(ages, found.leads.ages_days)
    assert (found.leads.has_history == (ages >= 7)).all()
    assert np.allclose(ages_before[found.leads.has_history], ages[found.leads.has_history] - 7)
    assert np.isnan(ages_before[~found.leads.has_history]).all()
    assert found.open_leads == len(found.leads.ids) + sum(found.left_out.values())


def test_a_lead_is_over_when_the_models_own_window_is(scored: Scored) -> None:
    """What the settings ask of the next training does not change the question that this model answers."""
    window = scored.window()
    assert read_open_leads(scored.connection, ORG, scored.model, window).leads.ages_days.max() < 90
    shorter = type(window)(
        **{**{name: getattr(window, name) for name in window.__struct_fields__}, "conversion_window_days": 5}
    )
    again = read_open_leads(scored.connection, ORG, scored.model, shorter)
    assert again.left_out == read_open_leads(scored.connection, ORG, scored.model, window).left_out


def test_a_lead_whose_values_break_the_contract_is_left_out(scored: Scored) -> None:
    before = read_open_leads(scored.connection, ORG, scored.model, scored.window())
    [lead_id] = [before.leads.ids[0]]
    scored.connection.execute("UPDATE lead_score SET source_score = 101 WHERE dossier_id = %s", [lead_id])
    after = read_open_leads(scored.connection, ORG, scored.model, scored.window())
    assert after.left_out == {**before.left_out, "invalid_features": 1}
    assert (after.open_leads, after.leads.ids) == (before.open_leads, before.leads.ids[1:])


def test_without_a_model_open_leads_are_counted(scored: Scored) -> None:
    read = read_open_leads(scored.connection, ORG, scored.model, scored.window())
    count, left_out = count_open_leads(scored.connection, ORG, scored.window())
    assert count == read.open_leads
    assert left_out == {**read.left_out, "no_model": len(read.leads.ids)}


def test_an_unknown_org_has_no_leads(scored: Scored) -> None:
    assert count_open_leads(scored.connection, "nobody", scored.window()) == (0, {})
