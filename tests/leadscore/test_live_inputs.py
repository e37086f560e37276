"""The findings to act on are told from the notes."""

from __future__ import annotations

from datetime import UTC, date, datetime

import msgspec

from leadscore.live_inputs import InputFinding, LiveInputs

DAY = date(2026, 5, 3)
NOTE = InputFinding("market_activity_score", "season", False, DAY, DAY, 40, 0.8, 0.5, 0.02, "It moved.", "Train.")
ALARM = msgspec.structs.replace(NOTE, feature="response_time_minutes", kind="unknown", is_alarm=True)
INPUTS = LiveInputs(
    org_id="north", as_of=datetime(2026, 6, 1, tzinfo=UTC), state="shifted", in_words="", findings=[ALARM, NOTE]
)


def test_the_alarms_are_the_findings_to_act_on() -> None:
    assert INPUTS.alarms == [ALARM]


def test_they_read_back_as_they_were_written() -> None:
    assert msgspec.json.decode(msgspec.json.encode(INPUTS), type=LiveInputs) == INPUTS
