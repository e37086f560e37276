"""The figures are stored as a document, which the server reads as it was made."""

from __future__ import annotations

from datetime import UTC, date, datetime

import msgspec
import pytest

from leadscore.comparison import Estimate
from leadscore.live_performance import Evidence, Group, LivePerformance, Outcomes

OUTCOMES = Outcomes(10, 0.25, Estimate(0.2, 0.1, 0.4))


def test_a_document_reads_back_as_it_was() -> None:
    figures = LivePerformance(
        org_id="acme",
        as_of=datetime(2026, 6, 1, tzinfo=UTC),
        state="alarm",
        in_words="What was promised does not come true.",
        alarmed_on=date(2026, 5, 1),
        evidence=Evidence(300, 7.0, "too_high", date(2026, 1, 1)),
        overall=OUTCOMES,
        by_grade=[Group("A", OUTCOMES)],
    )
    assert msgspec.json.decode(msgspec.json.encode(figures), type=LivePerformance) == figures


def test_a_state_that_is_not_known_is_refused() -> None:
    document = b'{"org_id": "acme", "as_of": "2026-06-01T00:00:00Z", "state": "odd", "in_words": ""}'
    with pytest.raises(msgspec.ValidationError, match="state"):
        msgspec.json.decode(document, type=LivePerformance)
