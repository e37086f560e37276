"""The check warns of findings to act on, and passes with notes."""

from __future__ import annotations

import dagster as dg
import pytest
from msgspec.structs import replace

from leadscore.live_inputs import InputState
from leadscore_assets.metadata.inputs import inputs_event, inputs_result
from tests.leadscore.test_live_inputs import INPUTS


def test_what_was_not_judged_passes_and_says_so() -> None:
    assert inputs_result(None)["passed"]
    assert "not judged yet" in inputs_result(None)["description"]


@pytest.mark.parametrize(
    ("state", "passed"), [("as_learned", True), ("noted", True), ("not_judged", True), ("shifted", False)]
)
def test_it_fails_by_findings_to_act_on_alone(state: InputState, passed: bool) -> None:
    event = inputs_event(replace(INPUTS, state=state, in_words="said"))
    assert (event.passed, event.severity, event.partition) == (passed, dg.AssetCheckSeverity.WARN, "north")
    assert event.description == "said"


def test_the_findings_are_a_table() -> None:
    metadata = inputs_result(INPUTS)["metadata"]
    assert (metadata["alarms"], len(metadata["findings"].records)) == (1, 2)
