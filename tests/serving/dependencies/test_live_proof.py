"""What came true is read as the proof stored it; a text of another form is as if the database were not set up."""

from __future__ import annotations

import pytest

from leadscore.errors import DatabaseUnavailable
from leadscore_assets.source.database import connect
from serving.dependencies.live_proof import LiveProof
from serving.services import build_services
from tests.live_figures import figures_of, proved
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
