"""The query of the lease names the registry of a holder that lives, and of no other."""

from __future__ import annotations

import psycopg
import pytest

from leadscore.control_plane import LEASE_SECONDS, LIVING_REGISTRY
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.source.control_plane import held


@pytest.mark.parametrize(
    ("silent_seconds", "lives"), [(0, True), (LEASE_SECONDS - 5, True), (LEASE_SECONDS + 1, False)]
)
def test_a_holder_lives_until_its_lease_expires(database: Settings, silent_seconds: int, lives: bool) -> None:
    aged = "UPDATE leadscore.control_plane SET heartbeat_at = clock_timestamp() - make_interval(secs => %s)"
    with held(database), psycopg.connect(**database.database_arguments(), autocommit=True) as connection:
        connection.execute(aged, [silent_seconds])
        found = connection.execute(LIVING_REGISTRY).fetchall()
    assert found == ([(Registry(database.model_path).registry_id(),)] if lives else [])
