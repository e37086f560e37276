"""What requests brought is compared with the CRM's data as of their time, and kept with an example for the operator."""

from __future__ import annotations

from math import isnan
from typing import Any

import pytest

from leadscore.features import CONTRACT
from leadscore_assets.proof.sent_features import SkewFound, compare_sent_features, stored_skew
from leadscore_assets.retention.erasure import erase_at_once
from leadscore_assets.source.lead_features import features_at, open_leads
from tests.leadscore_assets.scored_org import DAY, NOW, ORG, Scored

ANSWERED = """
INSERT INTO leadscore.answered_score (
    org_id, lead_id, landmark_days, answered_at, age_days, probability, model_version, model_scope,
    feature_names, features
) VALUES (%s, %s, 0, %s, 1, 0.5, 'v1', 'own', %s, %s)
"""
HOUR = DAY / 24


def ask(scored: Scored, leads: int = 30, **changed: Any) -> list[str]:
    """Send leads with the features that the CRM gives an hour before NOW, some of them changed; return the ids."""
    at = NOW - HOUR
    ids = open_leads(scored.connection, ORG, scored.window(-1)).lead_ids[:leads]
    moments = [at.replace(tzinfo=None)] * len(ids)
    values = features_at(scored.connection, ORG, ids, moments, CONTRACT, crm_time_zone="UTC")
    for lead_id, row in zip(ids, values.tolist(), strict=True):
        features = {name: None if isnan(value) else value for name, value in zip(CONTRACT.names, row, strict=True)}
        features |= {name: change(features[name]) for name, change in changed.items()}
        backwards = dict(reversed(features.items()))
        scored.connection.execute(ANSWERED, [ORG, lead_id, at, list(backwards), list(backwards.values())])
    return ids


def compare(scored: Scored) -> SkewFound:
    return compare_sent_features(scored.connection, ORG, scored.window())


def test_equal_features_are_counted_and_nothing_is_named(scored: Scored) -> None:
    ids = ask(scored)
    found = compare(scored)
    assert (found.compared, found.skews) == (len(ids), [])
    assert found.in_words == f"{len(ids)} requests of the last 7 days brought the features that the CRM's data give"


def test_what_came_after_the_request_does_not_count(scored: Scored) -> None:
    [lead_id, *_] = ask(scored)
    scored.connection.execute(
        "INSERT INTO message (org_id, dossier_id, direction, \"timestamp\") VALUES (%s, %s, 'INBOUND', %s)",
        [ORG, lead_id, (NOW - HOUR / 2).replace(tzinfo=None)],
    )
    assert compare(scored).skews == []


def test_a_feature_that_is_computed_otherwise_is_named_and_its_example_kept(scored: Scored) -> None:
    ids = ask(scored, days_since_creation=lambda days: days + 2 / 24)
    found = compare(scored)
    [skew] = found.named
    assert skew.cause == "+2 hours, as of another time zone"
    assert found.in_words.startswith(
        f"days_since_creation differs from the CRM's data in {len(ids)} of {len(ids)} requests, +2 hours, as of"
    )
    assert skew.lead_id in ids
    assert skew.lead_id not in found.in_words.split()
    assert stored_skew(scored.connection, ORG) == [skew]


def test_what_is_mended_is_forgotten(scored: Scored) -> None:
    ask(scored, inbound_messages_count=lambda count: count + 1)
    assert compare(scored).named
    scored.connection.execute("DELETE FROM leadscore.answered_score")
    assert compare(scored).compared == 0
    assert stored_skew(scored.connection, ORG) == []


def test_only_requests_of_the_last_days_with_features_of_known_leads_are_compared(scored: Scored) -> None:
    ids = ask(scored, leads=10)
    update = "UPDATE leadscore.answered_score SET {} WHERE lead_id = %s"
    for lead_id, change in zip(
        ids,
        [
            "answered_at = answered_at - interval '8 days'",
            "feature_names = NULL, features = NULL",
            "lead_id = 'unheard-of'",
            "feature_names = '{of_another_release}', features = '{1}'",
        ],
        strict=False,
    ):
        scored.connection.execute(update.format(change).encode(), [lead_id])
    assert compare(scored).compared == 6


def test_an_example_is_erased_with_its_lead(scored: Scored) -> None:
    ask(scored, inbound_messages_count=lambda count: count + 1)
    [skew] = compare(scored).named
    erase_at_once(scored.connection, ORG, [skew.lead_id])
    assert stored_skew(scored.connection, ORG) == []


@pytest.mark.parametrize("org_id", ["unheard-of"])
def test_without_requests_nothing_is_compared(scored: Scored, org_id: str) -> None:
    found = compare_sent_features(scored.connection, org_id, scored.window())
    assert "no request of the last 7 days was compared" in found.in_words
