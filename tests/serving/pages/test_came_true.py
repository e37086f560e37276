"""The figures that the org's page shows stand on one scale, and are put in words."""

from __future__ import annotations

import msgspec
import pytest

from leadscore.comparison import Estimate
from leadscore.errors import DatabaseUnavailable
from leadscore.live_performance import Capacity, Group, LivePerformance, Outcomes
from serving.pages.came_true import Bar, came_true, lift, role
from tests.live_figures import figures_of


class Proof:
    """Answers with these figures, or with this error."""

    def __init__(self, said: LivePerformance | DatabaseUnavailable | None) -> None:
        self.said = said

    def of(self, _org_id: str) -> LivePerformance | None:
        """Return the figures."""
        if isinstance(self.said, DatabaseUnavailable):
            raise self.said
        return self.said


def outcomes(promised: float, converted: float, low: float, high: float) -> Outcomes:
    return Outcomes(40, promised, Estimate(converted, low, high))


def test_grades_and_months_stand_on_one_scale_that_no_share_exceeds() -> None:
    figures = msgspec.structs.replace(
        figures_of(),
        by_grade=[Group("A", outcomes(0.2, 0.3, 0.1, 0.38))],
        by_month=[Group("2026-03", outcomes(0.1, 0.2, 0.1, 0.3))],
    )
    grades, months = came_true(Proof(figures), "acme").tables
    assert (grades.title, grades.scale, months.scale) == ("Grade", 0.4, 0.4)
    assert (months.title, months.rows[0].name) == ("Created in", "Mar 2026")
    assert grades.rows[0].bar == Bar(50.0, 75.0, 25.0, 95.0)


@pytest.mark.parametrize(("high", "scale"), [(0.0, 0.1), (0.95, 1.0), (1.0, 1.0)])
def test_a_scale_ends_between_a_tenth_and_one(high: float, scale: float) -> None:
    figures = msgspec.structs.replace(figures_of(), by_grade=[Group("A", outcomes(0.0, 0.0, 0.0, high))], by_month=[])
    [table] = came_true(Proof(figures), "acme").tables
    assert table.scale == scale


def test_an_org_that_cannot_be_judged_has_no_tables() -> None:
    assert came_true(Proof(figures_of(state="too_young")), "acme").tables == []
    not_judged = came_true(Proof(None), "acme")
    assert not_judged.figures is not None
    assert (not_judged.figures.state, not_judged.tables) == ("no_scores", [])


def test_figures_that_cannot_be_read_leave_their_reason() -> None:
    found = came_true(Proof(DatabaseUnavailable("it is away")), "acme")
    assert (found.figures, found.tables, found.problem) == (None, [], "it is away")


def test_the_lift_is_a_multiple_unless_no_other_lead_converted() -> None:
    named = outcomes(0.5, 0.4, 0.3, 0.5)
    assert lift(Capacity("grade A", named, outcomes(0.2, 0.2, 0.1, 0.3))) == 2.0
    assert lift(Capacity("grade A", named, outcomes(0.2, 0.0, 0.0, 0.1))) is None


def test_a_version_is_called_by_who_saw_its_scores() -> None:
    served, pooled, held = figures_of().versions
    assert [role(entry) for entry in (served, pooled, held)] == ["served", "served, pooled model", "shadow, held"]
    assert role(msgspec.structs.replace(held, verdict="activate")) == "shadow, active before"
