"""Equal fingerprints give equal scores; a value that the forest can tell apart, or one shown otherwise, another one."""

from __future__ import annotations

import numpy as np
import pytest

from leadscore.features import CONTRACT
from leadscore_assets.scoring.fingerprints import fingerprints
from leadscore_assets.scoring.leads_to_score import Leads
from tests.leadscore_assets.scored_org import Scored

EXAMPLE = np.array([list(CONTRACT.example.values())], np.float64)
CREATED = "2026-05-01T00:00:00"


def prints(
    scored: Scored,
    now: np.ndarray,
    before: np.ndarray = EXAMPLE,
    *,
    has_history: bool = True,
    created_at: str = CREATED,
) -> list[bytes]:
    """Return the fingerprints of leads, a row each, with these features at the two moments."""
    count = len(now)
    leads = Leads(
        [str(place) for place in range(count)],
        [created_at] * count,
        np.full(count, 31.0),
        now,
        before,
        np.full(count, has_history),
    )
    return fingerprints(scored.model, leads)


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
    same = [a == b for a, b in zip(prints(scored, rows, rows), prints(scored, moved, moved), strict=True)]
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
        ("property_price", EXAMPLE[0, CONTRACT.names.index("property_price")] + 1),
        ("engagement_rate", EXAMPLE[0, CONTRACT.names.index("engagement_rate")] + 0.1),
    ],
)
def test_a_fact_that_the_reasons_show_changes_it(scored: Scored, name: str, value: float) -> None:
    before = changed(
        name, 1_000 if name.startswith("inbound") and value > 1_000 else EXAMPLE[0, CONTRACT.names.index(name)]
    )
    assert prints(scored, changed(name, value)) != prints(scored, before)


def test_another_creation_changes_it(scored: Scored) -> None:
    """The reasons say how old a lead is, by its creation."""
    assert prints(scored, EXAMPLE, created_at="2026-04-30T00:00:00") != prints(scored, EXAMPLE)


def test_the_past_counts_for_those_who_have_one(scored: Scored) -> None:
    past = changed("appointments_count", 0)
    assert prints(scored, EXAMPLE, past) != prints(scored, EXAMPLE)
    assert prints(scored, EXAMPLE, past, has_history=False) == prints(scored, EXAMPLE, has_history=False)


def test_another_version_changes_it(scored: Scored) -> None:
    first = prints(scored, EXAMPLE)
    scored.train_another()
    assert prints(scored, EXAMPLE) != first
