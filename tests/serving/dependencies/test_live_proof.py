"""What came true is read as the proof stored it; a text of another form is as if the database were not set up."""

from __future__ import annotations

import msgspec
import pytest

from leadscore.errors import DatabaseUnavailable
from leadscore.live_inputs import LiveInputs
from leadscore_assets.source.database import connect
from serving.dependencies.live_proof import Arrived, LiveProof
from serving.services import build_services
from tests.live_figures import AS_OF, figures_of, proved
from tests.serving.crm_of_leads import Crm


@pytest.fixture
def live_proof(crm: Crm) -> LiveProof:
    return build_services(crm.settings).live_proof


def test_figures_are_read_as_they_were_stored_and_of_their_org_alone(crm: Crm, live_proof: LiveProof) -> None:
    proved(crm.settings, figures_of("acme", "alarm"), figures_of("beta", "too_young"))
    assert live_proof.of("acme") == figures_of("acme", "alarm")
    assert live_proof.of("beta") == figures_of("beta", "too_young")
    assert live_proof.of("gamma") is None


def test_figures_of_another_form_are_refused(crm: Crm, live_proof: LiveProof) -> None:
    proved(crm.settings, figures_of("acme"))
    with connect(crm.settings) as connection:
        connection.execute('UPDATE leadscore.live_performance SET figures = figures || \'{"state": "splendid"}\'')
    with pytest.raises(DatabaseUnavailable, match="lacks this release's functions and tables"):
        live_proof.of("acme")


SKEW = """
INSERT INTO leadscore.feature_skew (
    org_id, feature, as_of, compared, differing, sent, computed, lead_id, cause, is_of_today, is_named
) VALUES (%s, 'days_since_creation', now(), 40, 30, 2, 1.9, 'lead-17', '+2 hours', false, %s)
"""


def test_what_arrives_is_read_without_the_example_lead(crm: Crm, live_proof: LiveProof) -> None:
    inputs = LiveInputs(org_id="acme", as_of=AS_OF, state="as_learned", in_words="As it was learned.")
    with connect(crm.settings) as connection:
        connection.execute(
            "INSERT INTO leadscore.live_inputs (org_id, as_of, state, in_words, alarms, figures)"
            " VALUES ('acme', now(), 'as_learned', '', 0, %s)",
            [msgspec.json.encode(inputs).decode()],
        )
        connection.execute(SKEW, ["acme", True])
        connection.execute(SKEW, ["beta", False])
    found = live_proof.arrived("acme")
    assert found.inputs == inputs
    [skew] = found.skews
    assert (skew.feature, skew.differing, skew.cause) == ("days_since_creation", 30, "+2 hours")
    assert "lead-17" not in str(found)
    assert live_proof.arrived("beta") == Arrived(None, [])
