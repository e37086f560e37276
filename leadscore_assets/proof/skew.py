"""Which features a caller computes otherwise than the CRM's data do: value by value, without statistics.

Of a sample of the requests that bring features and name their lead, the features are computed again by the SQL of the
training, as of the request's time. What differs is another definition, another unit, a time zone, or a feed that lags.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from leadscore.arrays import Flags, Floats
from leadscore.features import Contract, Feature

# a few differences happen by themselves: an event that arrives together with the request is known to one side only
FEWEST_DIFFERENCES, LEAST_SHARE = 3, 0.1
# a cause is named when it explains so many of the differing values
EXPLAINED_SHARE = 0.9
# by the feature's unit: what two clocks and the rounding of a caller may make
TOLERANCES = {"days": 5 / 1440, "minutes": 1.0, "ratio": 0.01, "points": 1.0}
RELATIVE_TOLERANCE = 1e-6
# the CRM keeps no history of these, so the past is compared with what they are now
WITHOUT_HISTORY = frozenset({"lead_source_score", "property_price", "property_has_photos"})
SCALES = {
    60.0: "seconds where minutes are meant, or minutes where hours are",
    1 / 60: "hours where minutes are meant, or minutes where seconds are",
    1440.0: "minutes where days are meant",
    1 / 1440: "days where minutes are meant",
    24.0: "hours where days are meant",
    100.0: "hundredths",
    0.01: "whole units where hundredths are meant",
    1_000.0: "thousandths",
    0.001: "thousands",
}
SCALE_TOLERANCE, HOURS_TOLERANCE = 0.02, 0.1
HOURS_PER_UNIT = {"days": 24.0, "minutes": 1 / 60}


class Sent(NamedTuple):
    """What requests brought, and what the CRM's data give for the same leads at the same time.

    `sent` and `right` have shape (requests, features), NaN for unknown; the columns are those of the contract.
    """

    lead_ids: Sequence[str]
    sent: Floats
    right: Floats


class Skew(NamedTuple):
    """A feature that callers compute otherwise: in how many of the compared requests, and the worst difference.

    `sent` and `right` are the values of the worst, that of `lead_id`, None where unknown. `cause` is empty when none is
    known. `is_of_today` when the CRM has no history of the feature, so that it may only have changed since.
    """

    feature: str
    compared: int
    differing: int
    sent: float | None
    right: float | None
    lead_id: str
    cause: str
    is_of_today: bool

    @property
    def is_named(self) -> bool:
        """Whether it differs too often to have happened by itself."""
        return self.differing >= FEWEST_DIFFERENCES and self.differing >= LEAST_SHARE * self.compared


def skews(contract: Contract, sent: Sent) -> Iterator[Skew]:
    """Yield the features that differ in any request, in the order of the contract."""
    differs = np.column_stack(
        [
            _differs(feature, sent.sent[:, place], sent.right[:, place])
            for place, feature in enumerate(contract.features)
        ]
    )
    for place, feature in enumerate(contract.features):
        if differs[:, place].any():
            yield _skew(contract, feature, sent, differs[:, place])


def _differs(feature: Feature, sent: Floats, right: Floats) -> Flags:
    """Return which values differ by more than clocks and rounding explain; an unknown one differs from a known one."""
    allowed = np.maximum(TOLERANCES.get(feature.unit, 0.0), RELATIVE_TOLERANCE * np.abs(right))
    is_unknown = np.isnan(sent), np.isnan(right)
    differs: Flags = (is_unknown[0] != is_unknown[1]) | (np.abs(sent - right) > allowed)
    return differs


def _skew(contract: Contract, feature: Feature, sent: Sent, differs: Flags) -> Skew:
    place = contract.names.index(feature.name)
    ours, theirs = sent.sent[:, place], sent.right[:, place]
    distance = np.where(differs, np.nan_to_num(np.abs(ours - theirs), nan=np.inf), -1.0)
    worst = int(distance.argmax())
    return Skew(
        feature.name,
        len(ours),
        int(differs.sum()),
        _value(ours[worst]),
        _value(theirs[worst]),
        sent.lead_ids[worst],
        _cause(contract, feature, sent, differs),
        feature.name in WITHOUT_HISTORY,
    )


def _value(number: float) -> float | None:
    return None if np.isnan(number) else float(number)


def _cause(contract: Contract, feature: Feature, sent: Sent, differs: Flags) -> str:
    """Return what explains nearly all of the differing values, empty when nothing that is known does."""
    place = contract.names.index(feature.name)
    ours, theirs = sent.sent[differs, place], sent.right[differs, place]
    if _is_nearly_all(np.isnan(ours)):
        return "the requests do not know it"
    if _is_nearly_all(np.isnan(theirs)):
        return "the CRM does not know it"
    return (
        _swapped(contract, feature, sent, differs)
        or _scaled(ours, theirs)
        or _shifted(feature, ours, theirs)
        or _one_sided(ours, theirs)
    )


def _is_nearly_all(flags: Flags) -> bool:
    return bool(flags.mean() >= EXPLAINED_SHARE)


def _swapped(contract: Contract, feature: Feature, sent: Sent, differs: Flags) -> str:
    """Return which other feature's values the requests have in this one's place."""
    ours = sent.sent[differs, contract.names.index(feature.name)]
    for place, other in enumerate(contract.features):
        theirs = sent.right[differs, place]
        is_telling = len(np.unique(theirs[~np.isnan(theirs)])) > 1
        if other is not feature and is_telling and _is_nearly_all(~_differs(other, ours, theirs)):
            return f"the values are those of {other.name}"
    return ""


def _scaled(ours: Floats, theirs: Floats) -> str:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = ours / theirs
    for scale, meaning in SCALES.items():
        if _is_nearly_all(np.abs(ratio / scale - 1) < SCALE_TOLERANCE):
            return f"{scale:.4g} times as large: {meaning}"
    return ""


def _shifted(feature: Feature, ours: Floats, theirs: Floats) -> str:
    """Return by how many whole hours the values are off, as by a time zone."""
    hours = (ours - theirs) * HOURS_PER_UNIT.get(feature.unit, np.nan)
    middle = float(np.nanmedian(hours)) if np.isfinite(hours).any() else 0.0
    is_one = _is_nearly_all(np.abs(hours - round(middle)) < HOURS_TOLERANCE)
    return f"{round(middle):+d} hours, as of another time zone" if is_one and round(middle) else ""


def _one_sided(ours: Floats, theirs: Floats) -> str:
    if _is_nearly_all(ours > theirs):
        return "always higher: does it count what came later, or of another lead?"
    if _is_nearly_all(ours < theirs):
        return "always lower: does a feed lag, or count less?"
    return ""
