"""Versions that nobody sees score what the history says: the newest held one, and the one that was active before."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from leadscore.gate import policy_from
from leadscore_assets.scoring.leads_to_score import read_open_leads
from leadscore_assets.scoring.shadows import shadows
from leadscore_assets.training.judge import judge
from leadscore_assets.training.train import train
from tests.leadscore_assets.scored_org import ORG, Scored

SAID = """
SELECT held_version, held_probability, previous_version, previous_probability, probability, said_at, lead_id
FROM leadscore.lead_score_history ORDER BY lead_id
"""


def hold(scored: Scored) -> str:
    """Train a version that the gate holds, for it asks for certainty here; return its id."""
    features = scored.features()
    version = train(scored.registry, ORG, features).version
    strict = policy_from(replace(scored.settings, min_probability_not_worse=1.0))
    judging = judge(scored.registry, ORG, version, features, strict)
    assert judging.judgement.decision.verdict == "hold"
    scored.registry.record_judgement(ORG, version, judging.judgement, {})
    return version


def test_without_others_there_are_no_shadows(scored: Scored) -> None:
    scored.score()
    assert {row[:4] for row in scored.rows(SAID)} == {(None, None, None, None)}


def test_a_held_version_and_the_former_one_score_the_same_leads(scored: Scored) -> None:
    first = scored.model.name
    second = scored.train_another()
    held = hold(scored)
    scored.score()
    rows = scored.rows(SAID)
    assert {(row[0], row[2]) for row in rows} == {(held, first)}
    twin, former, served = (np.array([row[place] for row in rows], float) for place in (1, 3, 4))
    # the held version has the rows of the first one, and so the same trees
    assert (twin == former).all()
    assert not (former == served).all()
    assert scored.model.name == second


def test_a_held_version_that_is_older_than_the_active_one_is_no_candidate_any_more(scored: Scored) -> None:
    hold(scored)
    scored.train_another()
    scored.score()
    assert {row[0] for row in scored.rows(SAID)} == {None}


@pytest.mark.parametrize("file", ["engine.safetensors", "manifest.json", "evaluation.json"])
def test_a_damaged_shadow_is_left_out(scored: Scored, file: str) -> None:
    held = hold(scored)
    (scored.registry.root / ORG / held / file).write_bytes(b"{")
    assert scored.score().scored > 0
    assert {row[0] for row in scored.rows(SAID)} == {None}


def test_a_version_that_asks_for_another_window_is_no_shadow(scored: Scored) -> None:
    """What it says would be judged by outcomes that it did not predict."""
    hold(scored)
    model, leads = scored.model, read_open_leads(scored.connection, ORG, scored.model, scored.window()).leads
    places = np.arange(3)
    assert shadows(scored.registry, ORG, model, leads, places).held.version
    manifest = model.version.manifest
    window = msgspec.structs.replace(manifest.window, conversion_window_days=30)
    other = replace(
        model, version=msgspec.structs.replace(model.version, manifest=msgspec.structs.replace(manifest, window=window))
    )
    assert not shadows(scored.registry, ORG, other, leads, places).held.version
