"""A lead's features, read from the CRM's database as they are now."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leadscore.errors import DatabaseUnavailable, InvalidId
from leadscore.features import CONTRACT
from leadscore.pooling import POOLED
from leadscore.settings import Settings
from leadscore_assets.source.database import connect
from leadscore_assets.source.outcomes import create_functions
from serving.services import build_services
from tests.serving.crm_of_leads import AS_OF, Crm


def read(settings: Settings, org_id: str, lead_id: str, names: tuple[str, ...] = CONTRACT.names) -> Any:
    return build_services(settings).lead_reader.features(org_id, lead_id, names)


def test_features_come_by_name_in_the_order_of_the_names(crm: Crm) -> None:
    crm.leads("acme", 3, "NEW", every=5)
    settings = replace(crm.settings, as_of=AS_OF)
    assert list(read(settings, "acme", "1")) == list(CONTRACT.names)
    names = ("days_since_creation", "response_time_minutes")
    assert list(read(settings, "acme", "2", names).items()) == [(names[0], 10), (names[1], None)]


def test_now_is_now_unless_as_of_is_in_the_past(crm: Crm) -> None:
    now = datetime.now(UTC)
    with connect(crm.settings) as connection:
        connection.execute(
            "INSERT INTO dossier (org_id, status, created_at, updated_at) VALUES ('acme', 'NEW', %s, now())",
            [(now - timedelta(days=2)).replace(tzinfo=None)],
        )
    for as_of in (None, now + timedelta(days=9)):
        age = read(replace(crm.settings, as_of=as_of), "acme", "1", ("days_since_creation",))
        assert 2 <= age["days_since_creation"] < 2.1
    assert read(replace(crm.settings, as_of=AS_OF), "acme", "1") is None


def test_a_lead_that_is_not_there_is_none(crm: Crm) -> None:
    crm.leads("acme", 1, "NEW", every=5)
    settings = replace(crm.settings, as_of=AS_OF)
    assert [read(settings, "acme", lead) for lead in ("2", "", "\0", "x" * 129)] == [None] * 4
    assert read(settings, "south", "1") is None


def test_the_pooled_model_has_no_leads(crm: Crm) -> None:
    with pytest.raises(InvalidId):
        read(replace(crm.settings, pooled_model=True), POOLED, "1")


def test_a_feature_that_the_database_does_not_tell_is_named(crm: Crm) -> None:
    crm.leads("acme", 1, "NEW", every=5)
    with connect(crm.settings) as connection:
        create_functions(connection, type(CONTRACT)(CONTRACT.features[:10]))
    with pytest.raises(DatabaseUnavailable, match="does not tell market_activity_score"):
        read(replace(crm.settings, as_of=AS_OF), "acme", "1")
