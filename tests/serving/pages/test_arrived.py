"""The page says which features arrive otherwise, to act on and to note, and never an example lead."""

from __future__ import annotations

from datetime import UTC, date, datetime

from leadscore.errors import DatabaseUnavailable
from leadscore.live_inputs import InputFinding, LiveInputs
from serving.dependencies.live_proof import Arrived, NamedSkew
from serving.pages.arrived import NOT_COMPARED, what_arrives

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)


class Source:
    """Gives what it was made with."""

    def __init__(self, found: Arrived | None) -> None:
        self.found = found

    def arrived(self, _org_id: str) -> Arrived:
        if self.found is None:
            raise DatabaseUnavailable("the database is away")
        return self.found


def finding(name: str, *, is_alarm: bool) -> InputFinding:
    day = date(2026, 5, 1)
    return InputFinding(name, "unknown", is_alarm, day, day, 100, 0.9, 0.2, -0.06, f"{name}: unknown.", "Look at it.")


def inputs(*findings: InputFinding) -> LiveInputs:
    return LiveInputs(
        org_id="acme",
        as_of=AS_OF,
        state="as_learned",
        in_words="What arrives is as it was learned.",
        findings=[*findings],
    )


def test_findings_are_told_apart_from_notes() -> None:
    found = what_arrives(Source(Arrived(inputs(finding("a", is_alarm=True), finding("b", is_alarm=False)), [])), "acme")
    assert (found.in_words, found.alarms, found.notes) == ("", ["a: unknown. Look at it."], ["b: unknown. Look at it."])


def test_what_requests_bring_is_said_by_label_and_name() -> None:
    skew = NamedSkew("days_since_creation", AS_OF, 40, 30, 2.0, 1.9, "+2 hours, as of another time zone", False)
    [said] = what_arrives(Source(Arrived(None, [skew])), "acme").skews
    assert said.endswith(
        "(days_since_creation) differs from the CRM's data in 30 of 40 requests: +2 hours, as of another time zone."
    )
    assert not said.startswith("days_since_creation")


def test_without_findings_a_sentence_says_so() -> None:
    assert what_arrives(Source(Arrived(inputs(), [])), "acme").in_words == "What arrives is as it was learned."
    assert what_arrives(Source(Arrived(None, [])), "acme").in_words == NOT_COMPARED


def test_a_database_that_is_away_costs_this_section_alone() -> None:
    assert what_arrives(Source(None), "acme").problem == "the database is away"
