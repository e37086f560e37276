"""What was left out of the records, in words; and a remedy for every reason that the records' SQL can give."""

from __future__ import annotations

import re

import msgspec
import pytest

from leadscore.left_out import ADVICE, CORRECT_VALUES, FEW, MUCH, causes_of, largest_first, rows_in_words
from leadscore.records import RecordCounts
from leadscore.settings import PROJECT_ROOT

SQL = PROJECT_ROOT / "leadscore_assets/source"


def counted(
    records: int = 100,
    *,
    excluded: dict[str, int] | None = None,
    set_aside: dict[str, int] | None = None,
    set_aside_rows: int = 0,
    lost_records: int = 0,
    rows: int = 500,
) -> RecordCounts:
    return RecordCounts(
        records,
        40,
        rows,
        excluded or {},
        "c0ffee",
        set_aside or {},
        "f00d",
        set_aside_rows=set_aside_rows,
        lost_records=lost_records,
    )


SPOILT = counted(21, rows=99, set_aside={"property_price below 0": 1122}, set_aside_rows=1122, lost_records=220)


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
            "9 of 1,221 rows have a, 8 have b, 7 have c, 6 have d, 5 have e, and other rows have 1 more fault",
        ),
        (
            {"h": 1, "g": 2, "f": 3, "e": 4, "d": 5, "c": 6, "b": 7, "a": 8},
            "8 of 1,221 rows have a, 7 have b, 6 have c, 5 have d, 4 have e, and other rows have 3 more faults",
        ),
    ],
)
def test_the_largest_faults_of_rows_are_named_first_and_five_at_most(set_aside: dict[str, int], words: str) -> None:
    read = sum(set_aside.values())
    counts = counted(rows=1221 - read, set_aside=set_aside, set_aside_rows=read)
    assert rows_in_words(counts) == words
    assert rows_in_words(counts, is_past=True) == words.replace(" have ", " had ").replace(" has ", " had ")


def test_rows_set_aside_are_a_cause_with_the_records_that_they_cost() -> None:
    [cause] = causes_of(SPOILT)
    assert cause.message == (
        "1,122 of 1,221 rows have property_price below 0; these rows were set aside, so 220 of 241 records were lost"
    )
    assert (cause.code, cause.leads, cause.remedy) == ("rows_set_aside", 220, CORRECT_VALUES)
    assert cause.share == pytest.approx(220 / 241)


def test_rows_set_aside_that_cost_no_record_are_not_a_cause() -> None:
    assert causes_of(counted(set_aside={"property_price below 0": 9}, set_aside_rows=9)) == ()


def test_closed_leads_without_a_time_are_a_cause_with_its_own_remedy() -> None:
    [cause] = causes_of(counted(18, excluded={"outcome_time_unknown": 223}))
    assert cause.message == (
        "223 closed leads have no usable time of closing in dossier_status_history (outcome_time_unknown)"
    )
    assert (cause.code, cause.leads, cause.remedy) == ("leads_excluded", 223, "Let the CRM write it")
    assert "CONVERSION_STATUSES" not in cause.message + cause.remedy


def test_open_leads_are_a_cause_that_only_time_helps() -> None:
    [cause] = causes_of(counted(37, excluded={"still_open": 53}))
    assert (cause.message, cause.remedy) == ("53 leads are still open (still_open)", "")


def test_a_reason_of_a_sites_own_sql_is_named_with_its_count() -> None:
    one, many = (causes_of(counted(excluded={"test_account": leads}, records=9))[0] for leads in (1, 12))
    assert one.message == "1 lead is excluded by RECORDS_SQL for the reason test_account"
    assert many.message == "12 leads are excluded by RECORDS_SQL for the reason test_account"
    assert (one.remedy, many.remedy) == ("", "")


def test_causes_are_rows_set_aside_and_then_the_three_largest_reasons_for_excluded_leads() -> None:
    excluded = {"open_at_no_landmark": 20, "outcome_time_unknown": 50, "closed_at_creation": 60, "test_account": 50}
    counts = counted(100, excluded=excluded, set_aside={"x unknown": 9}, set_aside_rows=9, lost_records=1)
    assert [(cause.code, cause.message.split()[0]) for cause in causes_of(counts)] == [
        ("rows_set_aside", "9"),
        ("leads_excluded", "60"),
        ("leads_excluded", "50"),
        ("leads_excluded", "50"),
    ]
    assert "outcome_time_unknown" in causes_of(counts)[2].message


@pytest.mark.parametrize(("records", "causes"), [(99, 0), (98, 1)])
def test_a_reason_of_a_hundredth_of_the_leads_or_less_is_no_cause(records: int, causes: int) -> None:
    assert len(causes_of(counted(records, excluded={"closed_at_creation": 1}))) == causes
    assert FEW == 0.01


def test_open_leads_are_no_cause_beside_another() -> None:
    """Every org has some, and to wait is what a refusal advises anyway."""
    [cause] = causes_of(counted(37, excluded={"still_open": 53, "closed_at_creation": 2}))
    assert cause.message == "2 leads were closed when they were created (closed_at_creation)"
    spoilt = msgspec.structs.replace(SPOILT, excluded={"still_open": 53})
    assert [cause.code for cause in causes_of(spoilt)] == ["rows_set_aside"]


@pytest.mark.parametrize(
    ("excluded", "may_hide"),
    [
        ({"outcome_time_unknown": 12}, True),
        ({"outcome_time_unknown": 11}, False),
        ({"still_open": 500}, False),
        ({"test_account": 500}, False),
    ],
)
def test_a_tenth_of_the_leads_with_a_remedy_may_be_those_of_an_outcome_that_is_missing(
    excluded: dict[str, int], may_hide: bool
) -> None:
    [cause] = causes_of(counted(108, excluded=excluded))
    assert cause.may_hide_an_outcome is may_hide
    assert MUCH == 0.1


def reasons_in_sql() -> set[str]:
    """Return every reason for which our SQL excludes a lead: the text that a CASE gives."""
    sql = "\n".join(path.read_text() for path in sorted(SQL.glob("*.sql")))
    return set(re.findall(r"\b(?:THEN|ELSE)\s+'(\w+)'", sql))


def test_there_is_advice_for_every_reason_that_the_sql_can_give() -> None:
    reasons = reasons_in_sql()
    assert {"still_open", "outcome_time_unknown", "closed_at_creation"} <= reasons
    # of the open leads alone, none of which is a record
    assert sorted(reasons - ADVICE.keys()) == ["window_over"]


@pytest.mark.parametrize("reason", ADVICE)
def test_each_advice_is_a_sentence_for_one_lead_and_for_many(reason: str) -> None:
    one, many = (causes_of(counted(1, excluded={reason: leads}))[0] for leads in (1, 1200))
    assert re.fullmatch(rf"1 (closed )?lead (is|has|was) [\w ]+ \({reason}\)", one.message)
    assert re.fullmatch(rf"1,200 (closed )?leads (are|have|were) [\w ]+ \({reason}\)", many.message)
    assert bool(many.remedy) == (reason != "still_open")
    assert not many.remedy.endswith(".")


def test_nothing_left_out_is_no_cause() -> None:
    assert causes_of(counted(0, rows=0)) == causes_of(counted(200)) == ()


def test_reasons_are_ordered_by_size_and_then_by_name() -> None:
    assert largest_first({"b": 1, "c": 2, "a": 1}) == [("c", 2), ("a", 1), ("b", 1)]
