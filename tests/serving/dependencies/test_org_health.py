"""The orgs' health is read in any order, and of the orgs that may be seen alone."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from leadscore_assets.health.tables import COLUMNS
from leadscore_assets.source.database import connect
from serving.dependencies.org_health import Order, OrgHealth, OrgHealthTable
from serving.services import build_services
from tests.serving.crm_of_leads import Crm
from tests.serving.standing_orgs import refreshed, standing_orgs


@pytest.fixture
def table(crm: Crm, shelf: Any) -> OrgHealthTable:
    standing_orgs(crm, shelf)
    return build_services(crm.settings).org_health


def ids(table: OrgHealthTable, **asked: Any) -> list[str]:
    usual: dict[str, Any] = {"org_ids": None, "state": None, "search": "", "order": "org", "most": 10}
    return [org.org_id for org in table.sorted(**usual | asked).orgs]


def test_orgs_come_in_the_order_that_is_asked_for(table: OrgHealthTable) -> None:
    orders = {order: ids(table, order=order) for order in get_args(Order)}
    assert orders["org"] == ["acme", "beta", "gone", "new"]
    assert orders["state"] == ["gone", "new", "acme", "beta"]
    assert orders["grade_a"][0] == orders["open_leads"][0] == "acme"
    assert orders["held"][0] == "beta"
    assert orders["came_true"] == orders["org"]
    assert all(sorted(order) == orders["org"] for order in orders.values())


def test_orgs_are_found_by_state_and_by_a_part_of_their_id(table: OrgHealthTable) -> None:
    assert ids(table, state="active") == ["acme", "beta"]
    assert ids(table, search="E") == ["acme", "beta", "gone", "new"]
    assert ids(table, search="ET") == ["beta"]
    assert ids(table, search="%") == ids(table, search="_") == ids(table, search="'") == []
    found = table.sorted(None, state="active", search="", order="org", most=1)
    assert (found.total, len(found.orgs)) == (2, 1)
    assert found.by_state == {"active": 2, "withdrawn": 1, "no_model": 1}


def test_a_page_goes_on_where_the_one_before_ended(table: OrgHealthTable) -> None:
    assert ids(table, most=2, skipped=2) == ["gone", "new"]
    after = table.after(None, "beta", state=None, most=10)
    assert ([org.org_id for org in after.orgs], after.total) == (["gone", "new"], 4)


def test_only_the_orgs_that_may_be_seen_are_counted(table: OrgHealthTable) -> None:
    found = table.after(("beta", "unknown"), "", state=None, most=10)
    assert ([org.org_id for org in found.orgs], found.total, found.by_state) == (["beta"], 1, {"active": 1})
    assert table.after((), "", state=None, most=10).total == 0


def test_one_org_is_read_by_its_id(table: OrgHealthTable) -> None:
    acme = table.org("acme")
    assert acme is not None
    assert (acme.state, acme.leads_a, acme.leads_b, acme.improving_leads, acme.declining_leads) == (
        "active",
        1,
        2,
        1,
        1,
    )
    assert table.org("unknown") is None


def test_before_the_first_refresh_there_is_nothing(crm: Crm, shelf: Any) -> None:
    table = build_services(crm.settings).org_health
    found = table.sorted(None, state=None, search="", order="org", most=10)
    assert (found.total, found.refreshed_at, found.orgs) == (0, None, [])
    refreshed(crm, shelf, "new")
    assert table.sorted(None, state=None, search="", order="org", most=10).refreshed_at is not None


def test_the_fields_are_columns_of_the_table(table: OrgHealthTable, crm: Crm) -> None:
    assert set(OrgHealth.__struct_fields__) <= set(COLUMNS)
    with connect(crm.settings) as connection:
        connection.execute("SELECT refreshed_at FROM leadscore.org_health_refresh")
