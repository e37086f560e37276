"""No table of ours can hold an id without being on the list by which ids are erased."""

from __future__ import annotations

from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.retention.held_ids import HELD
from leadscore_assets.source.control_plane import held as control_plane
from leadscore_assets.source.database import connect

# a table with a column of ids that no erasure has to know, and why
EXEMPT: dict[str, str] = {}
COLUMNS = """
SELECT relname, array_agg(attname::text ORDER BY attname) FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = 'leadscore'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
    AND (attname LIKE '%lead_id%' OR attname LIKE '%org_id%')
GROUP BY relname
"""


def test_every_table_with_ids_is_erased_from_by_all_its_columns(database: Settings) -> None:
    set_up(database)
    with control_plane(database), connect(database) as connection:
        found = dict(connection.execute(COLUMNS.encode()).fetchall())
    listed = {held.table: sorted([*held.org_columns, *(["lead_id"] if held.has_leads else [])]) for held in HELD}
    assert {table: columns for table, columns in found.items() if table not in EXEMPT} == listed


def test_an_exemption_has_its_reason() -> None:
    assert [table for table, reason in EXEMPT.items() if len(reason.split()) < 5] == []
