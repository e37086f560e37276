"""What moved on the call list since the day before: up, down and new, of the leads that are still open."""

from __future__ import annotations

from datetime import timedelta

import pytest

from serving.dependencies.grade_moves import GradeMoves
from serving.services import build_services
from tests.serving.crm_of_leads import Crm
from tests.serving.scored_leads import SCORED_AT, Lead, Scores

YESTERDAY = SCORED_AT - timedelta(days=1)


@pytest.fixture
def moves(crm: Crm) -> GradeMoves:
    return build_services(crm.settings).grade_moves


def test_leads_that_moved_are_counted_and_the_best_named_first(crm: Crm, moves: GradeMoves) -> None:
    scores = Scores(crm.settings)
    grades = {"up": "CA", "up-one": "CB", "down": "AD", "same": "BB", "new": "-B", "at-landmark": "DC"}
    scores.scored("acme", [Lead(name, 0.5, now) for name, (_, now) in grades.items()])
    for name, (before, now) in grades.items():
        if before != "-":
            scores.said("acme", name, YESTERDAY, grade=before)
        # a new lead, and one that reached a landmark as its grade changed, have a row for the landmark
        scores.said("acme", name, SCORED_AT, "landmark" if name in ("new", "at-landmark") else "change", now)
    scores.said("acme", "closed", YESTERDAY, grade="A")
    scores.said("acme", "closed", SCORED_AT, grade="B")
    scores.said("other", "up", SCORED_AT, grade="B")

    found = moves.of("acme", most=2)
    assert (found.new, found.up, found.down) == (1, 3, 1)
    assert [(move.lead_id, move.grade_before, move.grade) for move in found.largest] == [
        ("down", "A", "D"),
        ("up", "C", "A"),
    ]


def test_only_moves_since_yesterday_count_and_several_a_day_are_one(crm: Crm, moves: GradeMoves) -> None:
    scores = Scores(crm.settings)
    scores.scored("acme", [Lead("old", 0.5, "B"), Lead("back", 0.5, "C"), Lead("twice", 0.75, "A")])
    scores.said("acme", "old", YESTERDAY - timedelta(days=1), grade="C")
    scores.said("acme", "old", YESTERDAY, grade="B")
    for lead_id, said in (("back", "CBC"), ("twice", "CBA")):
        scores.said("acme", lead_id, YESTERDAY, grade=said[0])
        scores.said("acme", lead_id, SCORED_AT - timedelta(hours=6), grade=said[1])
        scores.said("acme", lead_id, SCORED_AT, grade=said[2])
    found = moves.of("acme", most=10)
    assert (found.new, found.up, found.down) == (0, 1, 0)
    assert [(move.lead_id, move.grade_before, move.grade) for move in found.largest] == [("twice", "C", "A")]


def test_an_org_that_was_never_scored_has_no_moves(moves: GradeMoves) -> None:
    found = moves.of("unheard-of", most=10)
    assert (found.new, found.up, found.down, found.largest) == (0, 0, 0, [])
