"""Compares what an org's requests brought with what the CRM's data give; `feature_skew` keeps the differences."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np

from leadscore.arrays import Flags
from leadscore.features import CONTRACT, Contract
from leadscore.records import Window, crm_time
from leadscore_assets.proof.skew import Sent, Skew, skews
from leadscore_assets.proof.tables import REMEDY
from leadscore_assets.source.database import Connection, explaining
from leadscore_assets.source.lead_features import features_at
from leadscore_assets.source.org_locks import lock_scores

COMPARED_DAYS = 7
MOST_REQUESTS = 5_000
SAMPLE = """
SELECT lead_id, answered_at, feature_names, features
FROM leadscore.answered_score
WHERE org_id = %s AND features IS NOT NULL AND answered_at > %s AND answered_at <= %s
ORDER BY answered_at DESC LIMIT %s
"""
FORGET = "DELETE FROM leadscore.feature_skew WHERE org_id = %s"
SAVE = """
INSERT INTO leadscore.feature_skew (
    org_id, feature, as_of, compared, differing, sent, computed, lead_id, cause, is_of_today, is_named
) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
STORED = """
SELECT feature, compared, differing, sent, computed, lead_id, cause, is_of_today
FROM leadscore.feature_skew WHERE org_id = %s ORDER BY feature
"""


class SkewFound(NamedTuple):
    """How many requests were compared, and the features that differ in any."""

    org_id: str
    compared: int
    skews: list[Skew]

    @property
    def named(self) -> list[Skew]:
        """The features that callers compute otherwise."""
        return [skew for skew in self.skews if skew.is_named]

    @property
    def in_words(self) -> str:
        """What was found, without an example: that is for the operator, in `leadscore.feature_skew`."""
        if not self.compared:
            return "no request of the last 7 days was compared: none in the sample brought features and named its lead"
        if not self.named:
            return f"{self.compared:,} requests of the last 7 days brought the features that the CRM's data give"
        return "; ".join(said(skew) for skew in self.named) + (
            ". leadscore.feature_skew has an example lead of each. Correct what the caller computes, or send lead_id"
            " alone: then the server reads the features"
        )


def said(skew: Skew) -> str:
    """Return a difference in words, without the lead."""
    today = " (compared with today's value)" if skew.is_of_today else ""
    cause = f", {skew.cause}" if skew.cause else ""
    return (
        f"{skew.feature} differs from the CRM's data in {skew.differing:,} of {skew.compared:,} requests{today}{cause};"
        f" the worst is {_number(skew.sent)} where {_number(skew.right)} is right"
    )


def compare_sent_features(connection: Connection, org_id: str, window: Window) -> SkewFound:
    """Compare the sampled requests of the last COMPARED_DAYS with the CRM's data, and keep what differs.

    Raises SourceMismatch before the set-up or without the CRM's tables, DatabaseUnavailable.
    """
    as_of = window.as_of.astimezone(UTC)
    with explaining(f"comparing the features that requests of org {org_id} brought", REMEDY), connection.transaction():
        # an erasure waits, so that no erased lead is kept as an example
        lock_scores(connection, [org_id])
        since = as_of - timedelta(days=COMPARED_DAYS)
        rows: list[Any] = connection.execute(SAMPLE, [org_id, since, as_of, MOST_REQUESTS]).fetchall()
        sent = _sent(connection, org_id, rows, window.crm_time_zone)
        differing = list(skews(CONTRACT, sent))
        connection.execute(FORGET, [org_id])
        with connection.cursor() as cursor:
            cursor.executemany(SAVE, [_row(org_id, as_of, skew) for skew in differing])
    return SkewFound(org_id, len(sent.lead_ids), differing)


def stored_skew(connection: Connection, org_id: str) -> list[Skew]:
    """Return the differences that were last found. Raises SourceMismatch before the set-up, DatabaseUnavailable."""
    with explaining(f"reading which features differ in org {org_id}", REMEDY), connection.transaction():
        rows: list[Any] = connection.execute(STORED, [org_id]).fetchall()
    return [Skew(*row) for row in rows]


def _sent(connection: Connection, org_id: str, rows: Sequence[Any], crm_time_zone: str) -> Sent:
    """Return the requests that brought the features of the contract, with what the CRM's data give."""
    known = [row for row in rows if set(row[2]) == set(CONTRACT.names)]
    lead_ids = [lead_id for lead_id, *_ in known]
    moments = [crm_time(answered_at) for _, answered_at, *_ in known]
    right = features_at(connection, org_id, lead_ids, moments, CONTRACT, crm_time_zone=crm_time_zone)
    sent = np.array([_in_order(CONTRACT, names, values) for *_, names, values in known], np.float64)
    is_in_crm: Flags = ~np.logical_and.reduce(np.isnan(right), axis=1)
    return Sent(
        [lead_id for lead_id, is_there in zip(lead_ids, is_in_crm.tolist(), strict=True) if is_there],
        sent.reshape(right.shape)[is_in_crm],
        right[is_in_crm],
    )


def _in_order(contract: Contract, names: Sequence[str], values: Sequence[float | None]) -> list[float | None]:
    by_name = dict(zip(names, values, strict=True))
    return [by_name[name] for name in contract.names]


def _row(org_id: str, as_of: datetime, skew: Skew) -> tuple[Any, ...]:
    return (
        *(org_id, skew.feature, as_of, skew.compared, skew.differing, skew.sent, skew.right, skew.lead_id),
        *(skew.cause, skew.is_of_today, skew.is_named),
    )


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.6g}"
