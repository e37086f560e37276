"""Messages and appointments lie within their lead's life."""

from __future__ import annotations

import psycopg
import pytest

from tests.standalone.crm_rows import count


@pytest.mark.parametrize(("table", "column"), [("message", "timestamp"), ("appointment", "created_at")])
def test_events_lie_within_their_leads_life_and_org(demo: psycopg.Connection, table: str, column: str) -> None:
    outside = f"""
        SELECT count(*) FROM {table} e JOIN dossier d ON d.id = e.dossier_id
        WHERE e.{column} < d.created_at OR e.org_id <> d.org_id
           OR (d.status IN ('WON', 'LOST') AND e.{column} > d.updated_at)"""
    assert count(demo, outside) == 0


def test_settled_appointments_say_when(demo: psycopg.Connection) -> None:
    assert count(demo, "SELECT count(*) FROM appointment WHERE (status = 'SCHEDULED') <> (updated_at IS NULL)") == 0
    assert count(demo, "SELECT count(*) FROM appointment WHERE updated_at NOT BETWEEN created_at AND start_time") == 0
    assert count(demo, "SELECT count(*) FROM appointment WHERE status = 'CANCELLED'") > 100
