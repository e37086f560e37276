"""Which orgs there are, and what to do where the database cannot tell."""

from __future__ import annotations

import pytest

from leadscore.errors import SourceMismatch
from leadscore.settings import Settings
from leadscore_assets.source.database import connect
from leadscore_assets.source.orgs import orgs, training_needs
from tests.leadscore_assets.source.hand_made_crm import Crm, day, window


def test_orgs_are_those_with_leads_once_each_and_sorted(crm: Crm) -> None:
    for org_id in ("south", "a-b", "north", "a_b", "south", "Zed", "north"):
        crm.lead(day(1), org_id=org_id)
    assert orgs(crm.connection) == ["Zed", "a-b", "a_b", "north", "south"]


def test_a_crm_without_leads_has_no_orgs(crm: Crm) -> None:
    assert (orgs(crm.connection), training_needs(crm.connection, window(), {}, 1)) == ([], [])


def test_a_database_without_the_crms_tables_is_refused_with_the_remedy(database: Settings) -> None:
    with connect(database) as connection, pytest.raises(SourceMismatch, match=r'relation "dossier".*Point DB_HOST'):
        orgs(connection)


def test_a_database_without_our_functions_is_refused_with_the_remedy(database: Settings) -> None:
    with (
        connect(database) as connection,
        pytest.raises(SourceMismatch, match=r"leadscore_assets\.commands\.set_up_database"),
    ):
        training_needs(connection, window(), {}, 1)
