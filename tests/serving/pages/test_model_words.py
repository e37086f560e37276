"""What a model is good for is one sentence, by leads, and nothing is promised on too few of them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from leadscore.evaluation import LeadQuality
from leadscore.gate import Judgement
from serving.pages.model_words import measured_on, promise


@pytest.fixture
def judgement(shelf: Any) -> Judgement:
    return shelf.registry.judgement("default", shelf.judged())


def with_quality(judgement: Judgement, quality: LeadQuality | None) -> Judgement:
    return msgspec.structs.replace(judgement, report=msgspec.structs.replace(judgement.report, by_lead=quality))


def test_the_sentence_says_what_the_first_leads_hold(judgement: Judgement) -> None:
    judged = with_quality(judgement, LeadQuality(400, 80, 80, 34, 0.75, 0.2))
    assert promise(judged, "own") == "Of new leads, the 20% that it puts first hold 42% of the conversions."
    assert promise(judged, "pooled").startswith("Of new leads, the 20% that the pooled model puts first hold")
    assert measured_on(judged) == "Measured on 400 leads that it was not trained on, 80 of them converted."


@pytest.mark.parametrize("conversions", [0, 9])
def test_on_few_conversions_nothing_is_promised(judgement: Judgement, conversions: int) -> None:
    judged = with_quality(judgement, LeadQuality(40, conversions, 8, 0, None, 0.2))
    assert promise(judged, "own").endswith("too few of the held-out leads converted.")
    assert measured_on(judged) == ""


def test_a_version_of_an_earlier_release_or_without_an_evaluation_says_what_to_do(judgement: Judgement) -> None:
    for judged in (with_quality(judgement, None), None):
        assert promise(judged, "own") == "How well it ranks leads was not measured by lead; train again to know."
        assert measured_on(judged) == ""
