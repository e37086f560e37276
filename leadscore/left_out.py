"""What an org's records are short of, in words: rows that were set aside and leads that were excluded, with remedies.

`ADVICE` has the words and the remedy for each reason for which conversion_records.sql excludes a lead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from leadscore.records import RecordCounts

MOST_REASONS = 5  # in a sentence about rows
MOST_CAUSES = 3  # reasons for excluded leads in a refusal
STILL_OPEN = "still_open"
SET_ASIDE, EXCLUDED = "rows_set_aside", "leads_excluded"
FEW = 0.01  # a share of leads or rows up to which a reason is not worth a word
MUCH = 0.1  # a share of leads from which a reason may be why one outcome is missing

CORRECT_VALUES = (
    "Correct the values in the CRM, or treat them as unknown (docs/training.md#values-outside-the-contract)"
)


@dataclass(frozen=True)
class Advice:
    """What one lead or many leads excluded for a reason are, and what helps; an empty remedy means to wait."""

    one: str
    many: str
    remedy: str


ADVICE = {
    STILL_OPEN: Advice("lead is still open", "leads are still open", ""),
    "outcome_time_unknown": Advice(
        "closed lead has no usable time of closing in dossier_status_history",
        "closed leads have no usable time of closing in dossier_status_history",
        "Let the CRM write it",
    ),
    "creation_time_unknown": Advice(
        "lead has no usable time of creation in dossier",
        "leads have no usable time of creation in dossier",
        "Let the CRM write it",
    ),
    "closed_at_creation": Advice(
        "lead was closed when it was created",
        "leads were closed when they were created",
        "Correct the times of creation and closing; an import often sets both to its own time",
    ),
    "open_at_no_landmark": Advice(
        "lead was open at no age of LANDMARK_DAYS",
        "leads were open at no age of LANDMARK_DAYS",
        "Add ages to LANDMARK_DAYS at which leads are open",
    ),
}


@dataclass(frozen=True)
class Cause:
    """Why there are not more records: a sentence, how many leads it is about, their share of all, and the remedy."""

    code: str
    message: str
    leads: int
    share: float
    remedy: str

    @property
    def may_hide_an_outcome(self) -> bool:
        """Whether there is a remedy for so many leads that they may be those of an outcome that is missing."""
        return bool(self.remedy) and self.share >= MUCH


def causes_of(counts: RecordCounts) -> tuple[Cause, ...]:
    """Return why there are not more records: rows set aside, then the largest reasons for excluded leads."""
    all_leads = counts.read_records + sum(counts.excluded.values())
    set_aside = [_set_aside(counts, all_leads)] if counts.lost_records else []
    main = {reason: leads for reason, leads in largest_first(counts.excluded) if leads > FEW * all_leads}
    if set_aside or len(main) > 1:
        main.pop(STILL_OPEN, None)  # every org has such leads; to wait is the advice that needs no cause
    excluded = [_excluded(reason, leads, leads / all_leads) for reason, leads in main.items()]
    return (*set_aside, *excluded[:MOST_CAUSES])


def _set_aside(counts: RecordCounts, all_leads: int) -> Cause:
    lost, records = counts.lost_records, counts.read_records
    return Cause(
        SET_ASIDE,
        f"{rows_in_words(counts)}; these rows were set aside, so {lost:,} of {records:,} records were lost",
        lost,
        lost / all_leads,
        CORRECT_VALUES,
    )


def _excluded(reason: str, leads: int, share: float) -> Cause:
    advice = ADVICE.get(reason)
    if advice is None:  # a site's own RECORDS_SQL gives it
        verb = "lead is" if leads == 1 else "leads are"
        return Cause(EXCLUDED, f"{leads:,} {verb} excluded by RECORDS_SQL for the reason {reason}", leads, share, "")
    what = advice.one if leads == 1 else advice.many
    return Cause(EXCLUDED, f"{leads:,} {what} ({reason})", leads, share, advice.remedy)


def rows_in_words(counts: RecordCounts, *, is_past: bool = False) -> str:
    """Return how many rows have which fault, such as "1,122 of 1,221 rows have property_price below 0".

    At least one row must have been set aside.
    """
    reasons, parts = largest_first(counts.set_aside), list[str]()
    for reason, rows in reasons[:MOST_REASONS]:
        verb = "had" if is_past else "has" if rows == 1 else "have"
        parts.append(f"{rows:,}{'' if parts else f' of {counts.read_rows:,} rows'} {verb} {reason}")
    if more := len(reasons[MOST_REASONS:]):
        parts.append(f"other rows {'had' if is_past else 'have'} {more} more fault{'s' if more > 1 else ''}")
    return ", and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def largest_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return the reasons with their counts, the largest first, and those of the same size by name."""
    return sorted(counts.items(), key=lambda reason: (-reason[1], reason[0]))
