"""The data that a training needs: records to learn from, and a holdout to judge a version on.

The gate refuses data that does not meet these requirements, readiness predicts when they will be met, and the schedule
waits for the number of records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from leadscore.outcome_forecast import LeadFilter

FEWEST_TO_LEARN_FROM = 1  # of each outcome: a forest of one outcome gives every lead the same probability

ALL_RECORDS = LeadFilter()


@dataclass(frozen=True)
class SplitCounts:
    """How many leads with a known outcome there are, on both sides of the split and in the holdout alone."""

    records: int
    converted_records: int
    holdout_records: int
    holdout_converted_records: int

    def of(self, leads: LeadFilter) -> int:
        """Return how many records pass the filter."""
        records, converted = {
            None: (self.records, self.converted_records),
            True: (self.holdout_records, self.holdout_converted_records),
            False: (
                self.records - self.holdout_records,
                self.converted_records - self.holdout_converted_records,
            ),
        }[leads.is_held_out]
        return {None: records, True: converted, False: records - converted}[leads.is_converted]


@dataclass(frozen=True)
class Requirement:
    """At least `needed` leads must pass the filter `leads`. `text` names these leads in a sentence."""

    name: str
    text: str
    leads: LeadFilter
    needed: int

    def is_met_by(self, counts: SplitCounts) -> bool:
        """Return whether enough leads pass the filter."""
        return counts.of(self.leads) >= self.needed


def training_requirements(min_records: int, min_holdout_per_class: int) -> tuple[Requirement, ...]:
    """Return the requirements of a training: enough records, and both outcomes on both sides of the split."""
    requirements = [Requirement("records", "records with a known outcome", ALL_RECORDS, min_records)]
    for outcome in ("converted", "unconverted"):
        for side, needed in (("in", min_holdout_per_class), ("outside", FEWEST_TO_LEARN_FROM)):
            leads = LeadFilter(is_converted=outcome == "converted", is_held_out=side == "in")
            text = f"{outcome} leads {side} the holdout"
            requirements.append(Requirement(f"{outcome}_{side}_holdout", text, leads, needed))
    return tuple(requirements)


def requirement_of_records(requirements: Sequence[Requirement]) -> Requirement:
    """Return the requirement on the number of records, which needs no split to be checked."""
    return next(requirement for requirement in requirements if requirement.leads == ALL_RECORDS)
