"""What was left out of the records, in words."""

from __future__ import annotations

import pytest

from leadscore.left_out import largest_first, rows_in_words
from leadscore.records import RecordCounts


@pytest.mark.parametrize(
    ("set_aside", "words"),
    [
        ({"a below 0": 1}, "1 of 1,221 rows has a below 0"),
        ({"a below 0": 1122}, "1,122 of 1,221 rows have a below 0"),
        ({"a below 0": 1, "b unknown": 30}, "30 of 1,221 rows have b unknown, and 1 has a below 0"),
        (
            {"a": 9, "b": 8, "c": 8, "d": 6, "e": 5},
            "9 of 1,221 rows have a, 8 have b, 8 have c, 6 have d, and 5 have e",
        ),
        (
            {"a": 9, "b": 8, "c": 7, "d": 6, "e": 5, "f": 4},
            "9 of 1,221 rows have a, 8 have b, 7 have c, 6 have d, 5 have e, and 1 more reason",
        ),
        (
            {"h": 1, "g": 2, "f": 3, "e": 4, "d": 5, "c": 6, "b": 7, "a": 8},
            "8 of 1,221 rows have a, 7 have b, 6 have c, 5 have d, 4 have e, and 3 more reasons",
        ),
    ],
)
def test_the_largest_faults_of_rows_are_named_first_and_five_at_most(set_aside: dict[str, int], words: str) -> None:
    read = sum(set_aside.values())
    counts = RecordCounts(100, 40, 1221 - read, {}, "", set_aside, set_aside_rows=read)
    assert rows_in_words(counts) == words
    assert rows_in_words(counts, is_past=True) == words.replace(" have ", " had ").replace(" has ", " had ")


def test_reasons_are_ordered_by_size_and_then_by_name() -> None:
    assert largest_first({"b": 1, "c": 2, "a": 1}) == [("c", 2), ("a", 1), ("b", 1)]
