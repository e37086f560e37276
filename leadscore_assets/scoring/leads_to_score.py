"""Reads the open leads of an org with their features, now and 7 days ago, and counts those that are left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
import numpy as np

from leadscore.arrays import Flags, Floats
from leadscore.features import Contract
from leadscore.records import Window, crm_time
from leadscore_assets.scoring.landmarks import AtLandmarks, Reached, reached
from leadscore_assets.scoring.org_models import OrgModel
from leadscore_assets.scoring.trends import TREND_DAYS
from leadscore_assets.source.database import Connection
from leadscore_assets.source.lead_features import OpenLeads, features_at, open_leads

NO_MODEL, INVALID_FEATURES = "no_model", "invalid_features"
DAY = timedelta(days=1)


class Leads(NamedTuple):
    """The leads to score: ids, creation times (UTC), ages in days, and their features at two moments.

    The features now and 7 days ago have shape (leads, features), NaN for unknown. Those of before count where
    `has_history`, shape (leads,).
    """

    ids: list[str]
    created_at: list[str]
    ages_days: Floats
    now: Floats
    before: Floats
    has_history: Flags

    def where(self, mask: Flags) -> Leads:
        """Return the leads of the mask alone, shape (leads,)."""
        places = np.flatnonzero(mask).tolist()
        return Leads(
            [self.ids[place] for place in places],
            [self.created_at[place] for place in places],
            self.ages_days[mask],
            self.now[mask],
            self.before[mask],
            self.has_history[mask],
        )


class LeadsToScore(NamedTuple):
    """The open leads of an org: their number, those to score, and how many are left out for each reason.

    `at_landmarks` are the features of those to score that reached a landmark age; its places are not of `leads`.
    """

    open_leads: int
    leads: Leads
    left_out: dict[str, int]
    at_landmarks: AtLandmarks


def count_open_leads(connection: Connection, org_id: str, window: Window) -> tuple[int, dict[str, int]]:
    """Return how many leads of an org without a model are open, and how many have no score for which reason."""
    found = open_leads(connection, org_id, window)
    left_out = Counter(found.left_out) + Counter({NO_MODEL: len(found.lead_ids)})
    return left_out.total(), dict(sorted(left_out.items()))


def read_open_leads(
    connection: Connection, org_id: str, model: OrgModel, window: Window, *, landmarks_since: datetime | None = None
) -> LeadsToScore:
    """Return the org's leads that are open at the window's `as_of`, for the question that the model answers.

    Of those that reached a landmark age after `landmarks_since`, the features at that age are read, too. Raises
    SourceMismatch when a feature of the model is not among those that the CRM gives, DatabaseUnavailable.
    """
    manifest = model.version.manifest
    asked = msgspec.structs.replace(window, conversion_window_days=manifest.window.conversion_window_days)
    found = open_leads(connection, org_id, asked)
    within_days = (window.as_of - landmarks_since) / DAY if landmarks_since else 0.0
    passed = _landmarks_passed(found, asked, manifest.window.landmark_days, within_days)
    leads, at_landmarks = _with_features(connection, org_id, found, asked, manifest.contract, passed=passed)
    is_invalid = _is_invalid(leads, manifest.contract)
    left_out = Counter(found.left_out) + Counter({INVALID_FEATURES: int(is_invalid.sum())})
    count = len(found.lead_ids) + sum(found.left_out.values())
    return LeadsToScore(
        count, leads.where(~is_invalid), dict(sorted(left_out.items())), at_landmarks.of_leads(~is_invalid)
    )


def _landmarks_passed(found: OpenLeads, window: Window, landmark_days: Sequence[int], within_days: float) -> Reached:
    return reached(found.created_at, _ages_days(found, window), landmark_days, within_days)


def _ages_days(found: OpenLeads, window: Window) -> Floats:
    now = crm_time(window.as_of)
    return np.array([(now - created_at) / DAY for created_at in found.created_at], np.float64)


def _with_features(
    connection: Connection, org_id: str, found: OpenLeads, window: Window, contract: Contract, *, passed: Reached
) -> tuple[Leads, AtLandmarks]:
    """Return the leads with their features now and 7 days ago, and the features of some at a landmark age."""
    ids, now = found.lead_ids, crm_time(window.as_of)
    before = now - TREND_DAYS * DAY
    has_history = np.array([created_at <= before for created_at in found.created_at], bool)
    older = [ids[place] for place in np.flatnonzero(has_history)]
    asked, moments = [*ids, *older], [now] * len(ids) + [before] * len(older)
    # one question for all, because its cost is that of the org's messages, whatever the number of moments
    asked += [ids[place] for place in passed.places.tolist()]
    moments += passed.moments
    features = features_at(connection, org_id, asked, moments, contract, crm_time_zone=window.crm_time_zone)
    features_before = np.full((len(ids), len(contract.names)), np.nan)
    features_before[has_history] = features[len(ids) : len(ids) + len(older)]
    leads = Leads(
        ids=ids,
        created_at=[created_at.isoformat() for created_at in found.created_at],
        ages_days=_ages_days(found, window),
        now=features[: len(ids)],
        before=features_before,
        has_history=has_history,
    )
    return leads, AtLandmarks(passed.places, passed.landmark_days, features[len(ids) + len(older) :])


def _is_invalid(leads: Leads, contract: Contract) -> Flags:
    """Return which leads break the contract, now or 7 days ago."""
    is_invalid = np.zeros(len(leads.ids), bool)
    for values, counts in ((leads.now, np.ones(len(leads.ids), bool)), (leads.before, leads.has_history)):
        columns = {name: values[:, place] for place, name in enumerate(contract.names)}
        for is_bad in contract.bad_rows(columns).values():
            is_invalid |= is_bad & counts
    return is_invalid
