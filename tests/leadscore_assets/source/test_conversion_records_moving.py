"""Outcomes that move: a lead may be reopened, merged, misdated, or closed by a slip.

Each case is a lead with its moves, in days after its creation, as of a day; `expected` are the label at each landmark
that gives a row, or the reason why the lead is no record.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from leadscore.outcome_forecast import OutcomeCounts
from leadscore_assets.source.lead_features import open_leads
from leadscore_assets.source.orgs import training_needs
from leadscore_assets.source.outcomes import outcome_counts
from tests.leadscore_assets.source.hand_made_crm import AS_OF, ORG, Crm, window

ALL = (0, 1, 3, 7, 14, 30, 60)
MINUTE = 1 / 1_440
FINAL = {"conversion_is_final": True}


class Case(NamedTuple):
    """A lead created `age` days before AS_OF."""

    age: float
    moves: tuple[tuple[str, float], ...]
    expected: dict[int, int] | str
    status: str | None = None
    changed: Mapping[str, Any] = MappingProxyType({})


def rows(label: int, *ages: int) -> dict[int, int]:
    return dict.fromkeys(ages, label)


LOST_AND_RESTORED = (("LOST", 3), ("QUALIFYING", 5))
CASES = {
    "lost, restored, still open": Case(26, LOST_AND_RESTORED, "still_open"),
    "the same before it was restored": Case(4, LOST_AND_RESTORED[:1], rows(0, 0, 1)),
    "lost, restored, window over": Case(120, LOST_AND_RESTORED, rows(0, 0, 1, 7, 14, 30, 60)),
    "lost, restored, won": Case(41, (*LOST_AND_RESTORED, ("WON", 40)), rows(1, 0, 1, 7, 14, 30)),
    "lost, restored at a landmark": Case(41, (("LOST", 3), ("NEW", 7), ("WON", 40)), rows(1, 0, 1, 7, 14, 30)),
    "lost, restored, lost again": Case(41, (*LOST_AND_RESTORED, ("LOST", 20)), rows(0, 0, 1, 7, 14)),
    "lost, then won without a move between": Case(41, (("LOST", 3), ("WON", 40)), rows(1, 0, 1)),
    "lost twice": Case(41, (("LOST", 3), ("LOST", 9)), rows(0, 0, 1)),
    "restored after the window": Case(120, (("LOST", 3), ("QUALIFYING", 95)), rows(0, 0, 1)),
    "restored as the window ends": Case(120, (("LOST", 3), ("QUALIFYING", 90)), rows(0, 0, 1)),
    "won after the window": Case(120, (("WON", 91),), rows(0, *ALL)),
    "won, then lost: a slip": Case(41, (("WON", 2), ("LOST", 2 + MINUTE)), rows(0, 0, 1)),
    "the same, conversions being final": Case(41, (("WON", 2), ("LOST", 2 + MINUTE)), rows(1, 0, 1), changed=FINAL),
    "won, lost after the window": Case(120, (("WON", 2), ("LOST", 95)), rows(1, 0, 1)),
    "won, then reopened": Case(41, (("WON", 2), ("QUALIFYING", 4)), "still_open"),
    "won, then reopened, conversions being final": Case(
        41, (("WON", 2), ("QUALIFYING", 4)), rows(1, 0, 1), changed=FINAL
    ),
    "lost, then won, conversions being final": Case(
        41, (("LOST", 1), ("NEW", 2), ("WON", 9), ("LOST", 10)), rows(1, 0, 3, 7), changed=FINAL
    ),
    "won twice in one moment with lost, written last": Case(41, (("WON", 5), ("LOST", 5)), rows(0, 0, 1, 3)),
    "merged: the duplicate was lost before": Case(
        30, (("LOST", -5), ("QUALIFYING", 1), ("WON", 20)), rows(1, 0, 1, 3, 7, 14)
    ),
    "merged: the only closing lies before": Case(30, (("LOST", -5),), "outcome_time_unknown"),
    "merged: lost before, open since": Case(30, (("LOST", -5), ("QUALIFYING", 1)), "still_open"),
    "merged: won before, lost since": Case(30, (("WON", -5), ("LOST", 8)), rows(0, 0, 1, 3, 7)),
    "won, but no move says so": Case(30, (("QUALIFYING", 1),), "outcome_time_unknown", status="WON"),
    "lost, then won, but no move says so": Case(30, (("LOST", 3),), "outcome_time_unknown", status="WON"),
    "won in 2062": Case(30, (("WON", 13_000),), "outcome_time_unknown"),
    "lost, then won in 2062": Case(30, (("LOST", 3), ("WON", 13_000)), "outcome_time_unknown"),
    "won after as_of": Case(30, (("WON", 31),), "still_open"),
    "closed at creation, then reopened": Case(41, (("LOST", 0), ("NEW", 2), ("WON", 20)), rows(1, 3, 7, 14)),
    "closed at every landmark": Case(
        41, (("LOST", 0.5), ("NEW", 2), ("LOST", 2.5)), "open_at_no_landmark", changed={"landmark_days": (1, 3, 7)}
    ),
    "another name for lost": Case(
        41, (("DISQUALIFIED", 9),), rows(0, 0, 1, 3, 7), changed={"lost_statuses": ("DISQUALIFIED", "LOST")}
    ),
    "a name that no setting has": Case(100, (("DISQUALIFIED", 9),), rows(0, *ALL)),
}


@pytest.fixture(params=CASES)
def made(request: pytest.FixtureRequest, own_statuses: Crm) -> tuple[Crm, str, Case]:
    """Give a CRM that holds the lead of one case alone."""
    case = CASES[request.param]
    created_at = AS_OF - timedelta(days=case.age)
    moves = [(status, created_at + timedelta(days=days)) for status, days in case.moves]
    return own_statuses, own_statuses.lead(created_at, *moves, status=case.status), case


def test_a_lead_gives_a_row_at_each_age_at_which_it_was_open_with_what_holds_in_the_end(
    made: tuple[Crm, str, Case],
) -> None:
    crm, lead, case = made
    found = {age: row["converted"] for age, row in crm.rows(lead, **case.changed).items()}
    excluded = {case.expected: 1} if isinstance(case.expected, str) else {}
    assert (found or case.expected, crm.extract(**case.changed).counts.excluded) == (case.expected, excluded)


def test_readiness_schedule_and_open_leads_follow_the_same_rule(made: tuple[Crm, str, Case]) -> None:
    crm, lead, case = made
    asked = window(**case.changed)
    is_record = not isinstance(case.expected, str)
    is_converted = is_record and 1 in case.expected.values()

    counts = outcome_counts(crm.connection, ORG, asked)
    assert [group.is_converted for group in counts.records] == ([is_converted] if is_record else [])
    assert len(counts.open_leads) == (case.expected == "still_open")
    [need] = training_needs(crm.connection, asked, {}, 1)
    assert need.records == is_record
    leads, left_out = open_leads(crm.connection, ORG, asked), why_left_out(case)
    assert leads.lead_ids == ([lead] if is_open(case) and left_out is None else [])
    assert leads.left_out == ({left_out: 1} if is_open(case) and left_out else {})


def why_left_out(case: Case) -> str | None:
    """Return why the case's lead, where it is open, cannot be scored."""
    if case.expected == "outcome_time_unknown":
        return "outcome_time_unknown"
    return "window_over" if case.age >= window().conversion_window_days else None


def is_open(case: Case) -> bool:
    """Return whether no move has closed the case's lead by AS_OF."""
    closing = {"WON", *case.changed.get("lost_statuses", ("LOST",))}
    since = [(days, status) for status, days in case.moves if 0 <= days <= case.age]
    is_final = case.changed.get("conversion_is_final", False) and any(status == "WON" for _, status in since)
    return not is_final and (not since or max(since, key=lambda move: move[0])[1] not in closing)


@pytest.mark.parametrize("at", ["infinity", "-infinity", "0001-01-01", "1989-12-31 23:59:59", "2062-01-01"])
def test_a_closing_at_an_impossible_time_is_unknown_and_counted(crm: Crm, at: str) -> None:
    lead = crm.lead(AS_OF - timedelta(days=30), status="WON")
    crm.connection.execute(
        "INSERT INTO dossier_status_history (org_id, dossier_id, to_status, transitioned_at)"
        " VALUES (%s, %s, 'WON', %s)",
        [ORG, lead, at],
    )
    assert crm.extract().counts.excluded == {"outcome_time_unknown": 1}


def test_renamed_statuses_give_the_same_records(own_statuses: Crm) -> None:
    """Under their new name the leads are the same records; without the setting they would be open."""
    crm = own_statuses
    for nth in range(20):
        created_at = AS_OF - timedelta(days=100 - nth)
        crm.lead(created_at, ("LOST" if nth % 3 else "WON", created_at + timedelta(days=5 + nth)))
    before = crm.extract()
    crm.connection.execute("UPDATE dossier SET status = 'DISQUALIFIED' WHERE status = 'LOST'")
    crm.connection.execute("UPDATE dossier_status_history SET to_status = 'DISQUALIFIED' WHERE to_status = 'LOST'")
    after = crm.extract(lost_statuses=("DISQUALIFIED",))
    assert after.rows.equals(before.rows)
    assert (after.counts.records, after.counts.converted_records, after.counts.unknown_statuses) == (20, 7, {})
    without = crm.extract(open_statuses=("NEW",)).counts
    assert (without.records, without.unknown_statuses) == (14, {"DISQUALIFIED": 13})


def test_an_outcome_that_changed_since_a_training_is_new(crm: Crm) -> None:
    """A conversion that turned out a slip makes its org due, though it was a record before."""
    created_at = AS_OF - timedelta(days=50)
    crm.lead(created_at, ("WON", created_at + timedelta(days=2)), ("LOST", created_at + timedelta(days=40)))
    trained = (AS_OF - timedelta(days=20)).replace(tzinfo=window().as_of.tzinfo)
    [need] = training_needs(crm.connection, window(), {ORG: trained}, 1)
    assert (need.records, need.new_outcomes) == (1, 1)
    [before] = training_needs(crm.connection, window(as_of=trained), {}, 1)
    assert before.records == 1


def test_an_org_without_possible_times_has_no_records_and_fails_nothing(crm: Crm) -> None:
    for created_at in ("infinity", "-infinity", "0001-01-01"):
        crm.connection.execute(
            "INSERT INTO dossier (org_id, status, created_at, updated_at) VALUES (%s, 'NEW', %s, now())",
            [ORG, created_at],
        )
    assert crm.extract().counts.excluded == {"creation_time_unknown": 3}
    assert outcome_counts(crm.connection, ORG, window()) == OutcomeCounts(None)
