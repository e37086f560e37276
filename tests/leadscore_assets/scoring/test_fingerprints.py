"""Equal fingerprints give equal scores; a value that the forest can tell apart, or a fact, gives another one."""

from __future__ import annotations

import numpy as np
import pytest

from leadscore.features import CONTRACT
from leadscore_assets.scoring.fingerprints import fingerprints
from tests.leadscore_assets.scored_org import Scored

EXAMPLE = np.array([list(CONTRACT.example.values())], np.float64)
HISTORY = np.array([True])


def changed(name: str, value: float) -> np.ndarray:
    row = EXAMPLE.copy()
    row[0, CONTRACT.names.index(name)] = value
    return row


def test_leads_with_equal_fingerprints_have_equal_scores(scored: Scored) -> None:
    """Random leads, each with its numbers moved a little: where the fingerprint stays, so do score and reasons."""
    random, scorer = np.random.default_rng(1), scored.model.version.scorer
    rows = scored.features().matrix()[:300]
    moved = rows * np.where(
        [feature.kind == "number" for feature in CONTRACT.features], 1 + random.normal(0, 1e-3, rows.shape), 1
    )
    history = np.ones(len(rows), bool)
    same = [
        a == b
        for a, b in zip(
            fingerprints(scored.model, rows, rows, history),
            fingerprints(scored.model, moved, moved, history),
            strict=True,
        )
    ]
    assert 10 < sum(same) < len(rows)
    assert (scorer.probabilities(rows)[same] == scorer.probabilities(moved)[same]).all()
    assert (scorer.contributions(rows)[same] == scorer.contributions(moved)[same]).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("inbound_messages_count", 1_000),
        ("inbound_messages_count", 1_001),
        ("has_property", 0),
        ("response_time_minutes", np.nan),
    ],
)
def test_a_fact_that_the_reasons_show_changes_it(scored: Scored, name: str, value: float) -> None:
    before = changed(
        name, 1_000 if name.startswith("inbound") and value > 1_000 else EXAMPLE[0, CONTRACT.names.index(name)]
    )
    assert fingerprints(scored.model, changed(name, value), EXAMPLE, HISTORY) != fingerprints(
        scored.model, before, EXAMPLE, HISTORY
    )


def test_the_past_counts_for_those_who_have_one(scored: Scored) -> None:
    past = changed("appointments_count", 0)
    assert fingerprints(scored.model, EXAMPLE, past, HISTORY) != fingerprints(scored.model, EXAMPLE, EXAMPLE, HISTORY)
    assert fingerprints(scored.model, EXAMPLE, past, ~HISTORY) == fingerprints(scored.model, EXAMPLE, EXAMPLE, ~HISTORY)


def test_another_version_changes_it(scored: Scored) -> None:
    first = fingerprints(scored.model, EXAMPLE, EXAMPLE, HISTORY)
    scored.train_another()
    assert fingerprints(scored.model, EXAMPLE, EXAMPLE, HISTORY) != first
