"""What was left out of an org's records, in words, the largest reason first."""

from __future__ import annotations

from collections.abc import Mapping

from leadscore.records import RecordCounts

MOST_REASONS = 5  # in a sentence about rows


def rows_in_words(counts: RecordCounts, *, is_past: bool = False) -> str:
    """Return how many rows have which fault, such as "1,122 of 1,221 rows have property_price below 0".

    At least one row must have been set aside.
    """
    reasons, parts = largest_first(counts.set_aside), list[str]()
    for reason, rows in reasons[:MOST_REASONS]:
        verb = "had" if is_past else "has" if rows == 1 else "have"
        parts.append(f"{rows:,}{'' if parts else f' of {counts.read_rows:,} rows'} {verb} {reason}")
    if more := len(reasons[MOST_REASONS:]):
        parts.append(f"{more} more reason{'s' if more > 1 else ''}")
    return ", and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def largest_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return the reasons with their counts, the largest first, and those of the same size by name."""
    return sorted(counts.items(), key=lambda reason: (-reason[1], reason[0]))
