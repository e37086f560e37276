"""Counts what arrives: each lead once per landmark age, in the bins of the version that scores it.

The features that are counted are those at the very landmark, as a training takes them: a lead is scored up to a day
later, and its first hours are those in which most happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
import numpy as np

from leadscore.errors import Damaged, NotKept, VersionNotFound, VersionRemoved
from leadscore.formats import decode_document
from leadscore.input_bins import InputBins
from leadscore.pooling import is_of_the_org
from leadscore.registry.store import Registry
from leadscore.registry.version import INPUT_BINS_FILE
from leadscore_assets.scoring.landmarks import AtLandmarks
from leadscore_assets.scoring.org_models import OrgModel
from leadscore_assets.scoring.stored_scores import add_input_counts
from leadscore_assets.source.database import Connection

REMOVE_OLD = "DELETE FROM leadscore.input_counts WHERE said_at < %s"


def input_bins(registry: Registry, org_id: str, version: str) -> InputBins | None:
    """Return the bins of an org's own version, None where an earlier release kept none, or they cannot be read."""
    try:
        content = registry.file(org_id, version, INPUT_BINS_FILE)
        return decode_document(content, InputBins, INPUT_BINS_FILE, "train again")
    except (Damaged, NotKept, VersionNotFound, VersionRemoved):
        return None


def bins_of(registry: Registry, org_id: str, model: OrgModel) -> InputBins | None:
    """Return the bins of the model that scores the org; None for the pooled one, which learned from other orgs."""
    return input_bins(registry, org_id, model.name) if is_of_the_org(model.scope) else None


def count_inputs(
    connection: Connection, org_id: str, version: str, as_of: datetime, *, bins: InputBins, rows: AtLandmarks
) -> None:
    """Count the leads that reached a landmark age since the scoring before, within the caller's transaction."""
    counts = bins.count(rows.landmark_days, rows.features)
    leads = [int((rows.landmark_days == age).sum()) for age in bins.landmark_days]
    ages = zip(bins.landmark_days, leads, counts, strict=True)
    said = (org_id, version, as_of.isoformat())
    add_input_counts(connection, [(*said, str(age), str(of_age), _array(row)) for age, of_age, row in ages if of_age])


def _array(row: Sequence[int]) -> str:
    return "{" + msgspec.json.encode(np.asarray(row).tolist()).decode()[1:-1] + "}"


def remove_old_counts(connection: Connection, before: datetime) -> int:
    """Remove what was counted before that moment; return the number of rows."""
    with connection.transaction():
        return connection.execute(REMOVE_OLD, [before]).rowcount
