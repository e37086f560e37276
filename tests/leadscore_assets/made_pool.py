"""A pool of made-up orgs, and its pooled model, active in a registry."""

from __future__ import annotations

import pandas as pd

from leadscore.pooling import POOLED
from leadscore.registry.activation import roll_back
from leadscore.registry.store import Registry
from leadscore_assets.dataset import ORG_COLUMN, FeatureRows
from leadscore_assets.training.train import train
from tests.leadscore_assets.made_rows import checked, made_features

ORGS = ("north", "south", "east", "west")
LEADS = 150


def org_features(org_id: str, leads: int = LEADS) -> FeatureRows:
    """Return the rows of one org of the pool."""
    return made_features(leads, seed=ORGS.index(org_id) + 1, prefix=org_id)


def pooled_features(orgs: tuple[str, ...] = ORGS) -> FeatureRows:
    """Return the rows of all these orgs, as the pooled model gets them."""
    return checked(pd.concat([org_features(org_id).rows.assign(**{ORG_COLUMN: org_id}) for org_id in orgs]))


def activate_pool(registry: Registry, features: FeatureRows | None = None) -> str:
    """Train the pooled model on `features`, or on all orgs, make it active, and return its version."""
    version = train(registry, POOLED, pooled_features() if features is None else features).version
    roll_back(registry, POOLED, version, by="a test", reason="to teach orgs", is_forced=True)
    return version
