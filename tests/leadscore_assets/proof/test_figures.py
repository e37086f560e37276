"""An org's figures count its leads once in each group, and its state follows from how much evidence there is."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from leadscore.live_performance import Evidence
from leadscore.records import Window
from leadscore.settings import Settings
from leadscore_assets.proof.figures import JUDGEABLE_LEADS, Findings, live_performance
from leadscore_assets.proof.judged_scores import Judged
from leadscore_assets.proof.process import Process
from leadscore_assets.proof.promises import UNKNOWN, Promise
from tests.leadscore_assets.scored_org import NOW

DAY = timedelta(days=1)
WINDOW = Window(NOW, 183, 90, ("WON",), Settings.landmark_days)


class NoPromises:
    """A registry that knows of no version."""

    def of(self, *_: str) -> Promise:
        return UNKNOWN

    def active(self, _: str) -> None:
        return None

    def scope(self, *_: str) -> str:
        return "taught"


def judged(leads: int = 60, rows: int = 3) -> Judged:
    """Return leads, ten a day, whose probability is their place: the first two of ten convert."""
    lead, nth = np.repeat(np.arange(leads), rows), np.tile(np.arange(rows), leads)
    days = np.datetime64("2026-01-26") + lead // 10
    probability = 0.9 - (lead % 10) * 0.08 - nth * 0.01
    grades = np.where(nth == 0, np.where(lead % 10 < 3, "A", "C"), "B")
    nothing = np.full(len(lead), "")
    previous = np.where(lead < 20, "20251201000000", "")
    return Judged(
        lead,
        nth,
        nth * 7,
        days,
        days.astype("datetime64[us]"),
        probability,
        grades,
        np.where(lead < 30, "20260101000000", "20260201000000"),
        np.full(len(lead), "own"),
        nothing,
        np.full(len(lead), np.nan),
        previous,
        np.where(lead < 20, 0.2, np.nan),
        lead % 10 < 2,
    )


def findings(**more: object) -> Findings:
    process = Process(leads=60, through=date(2026, 3, 2))
    found = Findings("acme", WINDOW, judged(), {"": process}, [], None)
    return found._replace(**more)  # type: ignore[arg-type]


def figures(**more: object):  # type: ignore[no-untyped-def]  # of the function under test
    return live_performance(findings(**more), NoPromises())  # type: ignore[arg-type]


def test_each_lead_counts_once_by_what_was_said_first() -> None:
    found = figures()
    assert (found.overall.leads, found.overall.converted.value) == (60, pytest.approx(0.2))
    assert [(group.name, group.outcomes.leads) for group in found.by_grade] == [("A", 18), ("C", 42)]
    assert [(group.name, group.outcomes.leads) for group in found.by_month] == [("2026-01", 60)]
    assert [(group.name, group.outcomes.leads) for group in found.by_age] == [
        ("0 days", 60),
        ("7 days", 60),
        ("14 days", 60),
    ]
    assert found.quality.brier_score.value == pytest.approx(
        ((judged().probability - judged().is_converted) ** 2).mean()
    )


def test_leads_that_were_named_are_compared_with_the_others() -> None:
    by_grade = figures().capacity
    assert (by_grade.by, by_grade.named.leads, by_grade.named.converted.value) == (
        "grade A",
        18,
        pytest.approx(12 / 18),
    )
    by_capacity = figures(weekly_capacity=10).capacity
    assert by_capacity.by == "the best 10 new leads of each week"
    assert by_capacity.named.leads == 10 * len(set((judged().created_on.astype(int) // 7).tolist()))
    # in each week the best ten of all that are new, which are those in front of their days
    assert by_capacity.named.promised > by_capacity.others.promised
    assert figures(weekly_capacity=1_000).capacity is None


def test_leads_without_a_grade_are_neither_named_by_it_nor_left_out() -> None:
    rows = judged()
    graded = figures(scores=rows).capacity
    some = figures(scores=rows._replace(grade=np.where(rows.lead % 10 == 9, "", rows.grade))).capacity
    assert (some.named, some.others.leads) == (graded.named, graded.others.leads - 6)


def test_a_shadow_is_compared_since_the_fault_began() -> None:
    alarm = Evidence(300, 8.0, "too_high", date(2026, 1, 27))
    shadow = figures(processes={"": Process(leads=10, alarm=alarm, alarmed_on=date(2026, 5, 1))}).versions[-1]
    assert (shadow.role, shadow.outcomes.leads) == ("shadow", 10)


def test_each_version_is_counted_with_its_own_rows_and_shadows_with_what_they_would_have_said() -> None:
    newer, older, shadow = figures().versions
    assert [(each.version, each.role, each.rows) for each in (newer, older, shadow)] == [
        ("20260201000000", "served", 90),
        ("20260101000000", "served", 90),
        ("20251201000000", "shadow", 60),
    ]
    assert (newer.scope, shadow.scope) == ("own", "taught")
    assert shadow.outcomes.promised == pytest.approx(0.2)
    part = judged().where(judged().lead < 20)
    gained = (part.probability - part.is_converted) ** 2 - (0.2 - part.is_converted) ** 2
    assert shadow.gain.value == pytest.approx(gained.mean())
    assert (newer.gain, shadow.evidence) == (None, None)


@pytest.mark.parametrize(
    ("process", "state"),
    [
        (Process(leads=JUDGEABLE_LEADS), "fine"),
        (Process(leads=JUDGEABLE_LEADS - 1), "too_young"),
        (Process(leads=10, alarm=Evidence(300, 8.0, "too_high"), alarmed_on=date(2026, 5, 1)), "alarm"),
        (Process(leads=JUDGEABLE_LEADS, alarm=Evidence(300, 8.0, "too_high"), alarmed_on=date(2025, 5, 1)), "fine"),
    ],
)
def test_the_state_follows_from_the_evidence(process: Process, state: str) -> None:
    found = figures(processes={"": process})
    assert found.state == state
    assert (found.alarmed_on is not None) == (state == "alarm")


def test_the_day_on_which_there_are_enough_leads_is_counted_then_extrapolated() -> None:
    today = NOW.date()
    waiting = [(today - 30 * DAY, 100), (today - 20 * DAY, 95), (today - 10 * DAY, 50)]
    assert figures(pending=waiting).judgeable_on == today - 20 * DAY + 91 * DAY
    # 60 are mature and 40 wait, which came in 30 days: the other 150 take 113 more
    assert figures(pending=[(today - 30 * DAY, 40)]).judgeable_on == today + 91 * DAY + 113 * DAY
    assert figures().judgeable_on is None
