"""The rows of `lead_score` and `lead_score_history` that a scoring writes, as PostgreSQL's COPY takes them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
import numpy as np

from leadscore.arrays import Floats, Indices
from leadscore_assets.scoring.changes import Changes
from leadscore_assets.scoring.landmarks import last_landmark
from leadscore_assets.scoring.leads_to_score import DAY, Leads
from leadscore_assets.scoring.org_models import OrgModel
from leadscore_assets.scoring.org_scores import explain
from leadscore_assets.scoring.shadows import Shadows
from leadscore_assets.scoring.stored_scores import StoredScore

LANDMARK, CHANGE = "landmark", "change"
NULL = r"\N"


class Said(NamedTuple):
    """The places of the leads that get a row of the history, and the landmarks that they reached, NaN for none."""

    places: Indices
    landmark_days: Floats


class HistoryRow(NamedTuple):
    """A lead's row of the history: its values in the order of HISTORY_COLUMNS."""

    lead_id: str
    values: Sequence[str]


@dataclass(frozen=True)
class ScoreRows:
    """What a scoring as of `as_of` says of an org's leads, and how that differs from what was stored."""

    org_id: str
    model: OrgModel
    as_of: datetime
    leads: Leads
    changes: Changes

    def replaced(self, stored: dict[str, StoredScore]) -> list[str]:
        """Return the leads whose rows are replaced."""
        return [self.leads.ids[place] for place in self._changed if self.leads.ids[place] in stored]

    @property
    def _changed(self) -> list[int]:
        return np.flatnonzero(self.changes.is_changed).tolist()

    def scores(self) -> Iterator[Sequence[str]]:
        """Yield the changed rows, in the order of SCORE_COLUMNS."""
        places, verdicts = np.flatnonzero(self.changes.is_changed), self.changes.verdicts
        now, before = explain(self.model.version.scorer, self.leads, places)
        columns = (
            places.tolist(),
            _numbers(verdicts.before[places]),
            _arrays(self.leads.now[places]),
            _arrays(now),
            _arrays(before),
        )
        org_id, since = text(self.org_id), self.as_of.isoformat()
        for place, probability_before, features, contributions, contributions_before in zip(*columns, strict=True):
            label = self.changes.labels[place]
            yield (
                org_id,
                text(self.leads.ids[place]),
                self.leads.created_at[place],
                repr(float(verdicts.probabilities[place])),
                repr(float(verdicts.confidences[place])),
                label.grade,
                label.action,
                label.trend,
                probability_before,
                features,
                contributions,
                contributions_before,
                "t" if label.is_beyond_landmarks else "f",
                self.model.name,
                self.model.scope,
                since,
                rf"\\x{self.changes.fingerprints[place].hex()}",
            )

    def said(self, since: datetime, *, with_landmarks_alone: bool) -> Said:
        """Return the leads that get a row of the history.

        A lead gets one when what is said of it changed and, `with_landmarks_alone`, when it reached a landmark after
        `since`, the `as_of` of the scoring before.
        """
        passed = self._landmarks_passed(since)
        places = np.flatnonzero(self.changes.is_said | (~np.isnan(passed) & with_landmarks_alone))
        return Said(places, passed[places])

    def history(self, said: Said, shadows: Shadows) -> list[HistoryRow]:
        """Return the rows of the history for the leads that get one, with what the shadows say of them."""
        by_shadows = zip(*_columns_of(shadows), strict=True)
        rows = zip(said.places.tolist(), said.landmark_days.tolist(), by_shadows, strict=True)
        return [self._history_row(*row) for row in rows]

    def _history_row(self, place: int, landmark: float, by_shadows: Sequence[str]) -> HistoryRow:
        label, lead_id = self.changes.labels[place], self.leads.ids[place]
        return HistoryRow(
            lead_id,
            (
                text(self.org_id),
                text(lead_id),
                self.as_of.isoformat(),
                CHANGE if math.isnan(landmark) else LANDMARK,
                NULL if math.isnan(landmark) else f"{landmark:.0f}",
                repr(float(self.leads.ages_days[place])),
                repr(float(self.changes.verdicts.probabilities[place])),
                label.grade,
                label.trend,
                self.model.name,
                self.model.scope,
                *by_shadows,
            ),
        )

    def _landmarks_passed(self, since: datetime) -> Floats:
        """Return the last landmark that each lead reached after `since`, NaN for none; shape (leads,)."""
        days_since = (self.as_of - since.astimezone(UTC)) / DAY
        return last_landmark(self.leads.ages_days, self.model.version.manifest.window.landmark_days, days_since)


def text(value: str) -> str:
    r"""Return a text as COPY takes it: a backslash and what ends a field or a row are escaped."""
    return value.replace("\\", r"\\").replace("\t", r"\t").replace("\n", r"\n").replace("\r", r"\r")


def _columns_of(shadows: Shadows) -> list[list[str]]:
    """Return each shadow's version and probabilities, as two columns."""
    columns = []
    for shadow in shadows:
        columns += [[shadow.version or NULL] * len(shadow.probabilities), _numbers(shadow.probabilities)]
    return columns


def _numbers(column: Floats) -> list[str]:
    return [NULL if math.isnan(value) else repr(value) for value in column.tolist()]


def _arrays(matrix: Floats) -> list[str]:
    r"""Return each row as an array in text, with null for NaN; a row of NaN alone is \N."""
    if not len(matrix):
        return []
    lines = msgspec.json.encode(matrix.tolist()).decode()[2:-2].split("],[")
    unknown = np.logical_and.reduce(np.isnan(matrix), axis=1)
    return [NULL if is_unknown else f"{{{line}}}" for line, is_unknown in zip(lines, unknown.tolist(), strict=True)]
