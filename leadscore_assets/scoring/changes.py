"""What a scoring changes: the new scores compared with the stored ones.

A lead is scored again, and its row is written again, when its fingerprint changed. A row is written, too, when its
words changed, because the cut points of the grades or the policy of the actions did.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from leadscore.arrays import Flags
from leadscore.scoring import ActionPolicy
from leadscore_assets.scoring.fingerprints import fingerprints, shown
from leadscore_assets.scoring.grades import CutPoints
from leadscore_assets.scoring.leads_to_score import Leads
from leadscore_assets.scoring.org_models import OrgModel
from leadscore_assets.scoring.org_scores import UNSCORED, Labels, Verdicts, explain, labels, score
from leadscore_assets.scoring.stored_scores import StoredReasons, StoredScore


class Changes(NamedTuple):
    """The leads' scores, in the order of the leads, and which differ from the stored ones.

    `is_changed` are the leads whose row is written, `is_said` those among them with another grade, trend or scope than
    before, or with none; both of shape (leads,). `rescored` leads were scored. `unequal` counts those of them whose
    fingerprint is the stored one and whose score is not.
    """

    fingerprints: list[bytes]
    verdicts: Verdicts
    labels: list[Labels]
    is_changed: Flags
    is_said: Flags
    rescored: int
    unequal: int

    def content(self, leads: Leads) -> str:
        """Return a hash of all scores: the same for the same leads with the same scores."""
        digest = hashlib.sha256()
        for row in sorted(zip(leads.ids, self.verdicts.probabilities.tolist(), self.labels, strict=True)):
            digest.update(repr(row).encode())
        return digest.hexdigest()


def compare(
    model: OrgModel,
    leads: Leads,
    stored: dict[str, StoredScore],
    cuts: CutPoints,
    policy: ActionPolicy,
    *,
    reasons: Mapping[str, StoredReasons] | None = None,
) -> Changes:
    """Score the leads whose fingerprint is not the stored one, and compare with the stored scores.

    With the stored `reasons` every lead is scored and explained, and they are compared, too.
    """
    is_full = reasons is not None
    prints = fingerprints(model, leads)
    rows = [stored.get(lead_id) for lead_id in leads.ids]
    is_same = np.array(
        [row is not None and row.fingerprint == each for row, each in zip(rows, prints, strict=True)], bool
    )
    known = Verdicts.of([row.verdict if row else UNSCORED for row in rows])
    to_score = np.flatnonzero(~is_same | is_full)
    verdicts = known.with_others(to_score, score(model.version.scorer, leads, to_score))
    words = labels(verdicts, leads.ages_days, cuts, policy, model.version.manifest.window.landmark_days)
    is_unequal = verdicts.differ_from(known) & is_same
    if reasons is not None:
        is_unequal |= _are_explained_otherwise(model, leads, reasons) & is_same
    return Changes(
        prints,
        verdicts,
        words,
        is_changed=~is_same | is_unequal | _are_said_otherwise(rows, words, model),
        is_said=np.array(
            [not (row and row.is_said_as(said, model.scope)) for row, said in zip(rows, words, strict=True)], bool
        ),
        rescored=len(to_score),
        unequal=int(is_unequal.sum()),
    )


def _are_explained_otherwise(model: OrgModel, leads: Leads, stored: Mapping[str, StoredReasons]) -> Flags:
    """Return for which leads the stored reasons are others, as finely as they are shown; shape (leads,)."""
    now, before = explain(model.version.scorer, leads, np.arange(len(leads.ids)))
    known = [stored.get(lead_id) for lead_id in leads.ids]
    features = np.array([each.features if each else leads.now[0] for each in known], np.float64)
    is_otherwise = (shown(model, features) != shown(model, leads.now)).any(axis=1)
    pairs = zip(leads.created_at, now.tolist(), before.tolist(), leads.has_history.tolist(), strict=True)
    explained = [(since, row, row_before if has_history else None) for since, row, row_before, has_history in pairs]
    is_otherwise |= [each is None or each[1:] != right for each, right in zip(known, explained, strict=True)]
    flags: Flags = is_otherwise
    return flags


def _are_said_otherwise(rows: list[StoredScore | None], words: list[Labels], model: OrgModel) -> Flags:
    """Return for which leads the stored words, version or scope are others; shape (leads,)."""
    said_by = (model.name, model.scope)
    return np.array(
        [not (row and (row.labels, row.said_by) == (said, said_by)) for row, said in zip(rows, words, strict=True)],
        bool,
    )
