"""The lead that a start shows: the best of one batch, with the line that scores it again."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from leadscore.settings import Settings
from standalone.api import Answer, Api
from standalone.showcase import ScoredLead, print_lead, score_best_lead
from tests.standalone.scripted_api import SCORE, ScriptedApi


def test_batch_is_no_larger_than_the_server_takes(with_open_leads: Callable[[int], list[int]]) -> None:
    limits = with_open_leads(600)
    predictions = [{"lead_id": "lead 1", "error": "odd"}, {"lead_id": "lead 2", "conversion_probability": 0.1}]
    scripted = ScriptedApi(Answer(200, {"predictions": predictions}), Answer(200, SCORE))
    shown = score_best_lead(scripted, Settings(max_batch_size=7), "a")
    assert isinstance(shown, ScoredLead)
    assert (shown.lead_id, limits, len(scripted.bodies[0]["batch"])) == ("lead 2", [7], 7)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ([Answer(413, {"detail": "too large"})], "its 3 open leads were not scored: too large"),
        ([Answer(503, {})], "its 3 open leads were not scored: HTTP 503"),
        (
            [Answer(200, {"predictions": [{"lead_id": "lead 1"}]}), Answer(422, {"error": "odd"})],
            "lead lead 1 was not scored: odd",
        ),
    ],
    ids=["too large", "no model", "lead refused"],
)
def test_lead_that_was_not_scored_is_a_reason_in_words(
    script: list[Answer], why: str, with_open_leads: Callable[[int], list[int]]
) -> None:
    with_open_leads(3)
    assert score_best_lead(ScriptedApi(*script), Settings(), "a") == why


def test_lead_is_printed_with_the_line_that_repeats_it() -> None:
    output = io.StringIO()
    lead = ScoredLead("a", "lead 0", {"response_time_minutes": None}, SCORE)
    print_lead(Console(file=output, width=200), Api("http://here"), lead)
    assert "probability 0.500, confidence 0.90: NURTURE" in output.getvalue()
    assert """-d '{"org_id": "a", "features": {"response_time_minutes": null}}'""" in output.getvalue()
