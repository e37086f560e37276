"""Grafana finds the dashboards and their sources, each panel has its place, and its SQL runs on a real database.

No Grafana draws them here. So that a query is right, and that it finds rows, is proved; how a panel looks is not.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import psycopg
import pytest
import yaml

from leadscore_assets.source.database import connect
from tests.architecture.dashboards import DASHBOARDS, FOLDER, Dashboard
from tests.architecture.live_metrics import lived_through
from tests.serving.crm_of_leads import Crm

NAMES = [dashboard.path.stem for dashboard in DASHBOARDS]
KINDS = {"barchart", "heatmap", "stat", "state-timeline", "table", "timeseries"}
WIDTH = 24
READER = """
CREATE ROLE {role} LOGIN;
GRANT USAGE ON SCHEMA leadscore TO {role};
GRANT SELECT ON ALL TABLES IN SCHEMA leadscore TO {role};
"""


def provisioned(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((FOLDER / "provisioning" / name / "leadscore.yml").read_text()))


SOURCES = {source["uid"]: source for source in provisioned("datasources")["datasources"]}


def test_there_is_one_for_the_service_the_orgs_the_trainings_and_live_quality() -> None:
    assert NAMES == ["live_quality", "orgs", "service", "trainings"]
    uids = [dashboard.described["uid"] for dashboard in DASHBOARDS]
    assert uids == [f"leadscore-{name.replace('_', '-')}" for name in NAMES]


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=NAMES)
def test_each_panel_has_a_title_a_place_of_its_own_and_a_source_that_is_provisioned(dashboard: Dashboard) -> None:
    panels = [panel.described for panel in dashboard.panels]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    places = []
    for panel in panels:
        assert panel["type"] in KINDS
        x, y, width, height = (panel["gridPos"][key] for key in "xywh")
        assert x >= 0
        assert x + width <= WIDTH
        places.append((x, y, x + width, y + height))
        for source in (panel["datasource"], *(target["datasource"] for target in panel["targets"])):
            assert SOURCES[source["uid"]]["type"] == source["type"]
    for one, other in combinations(places, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


@pytest.fixture
def crm_with_history(crm: Crm, shelf: Any, features: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Crm:
    lived_through(crm, shelf, features, monkeypatch)
    return crm


def test_each_sql_runs_as_a_role_that_only_reads_our_schema_and_finds_rows(crm_with_history: Crm) -> None:
    settings, role = crm_with_history.settings, f"grafana_{crm_with_history.settings.db_name}"
    with connect(settings) as connection:
        connection.execute(READER.format(role=role).encode())
        try:
            connection.execute(f"SET ROLE {role}".encode())
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("SELECT * FROM dossier")
            for panel in (panel for dashboard in DASHBOARDS for panel in dashboard.panels):
                for query in panel.sql:
                    cursor = connection.execute(query.encode())
                    columns = [column.name for column in cursor.description or []]
                    assert cursor.fetchall(), panel.place
                    assert (panel.described["type"] == "timeseries") == ("time" in columns), panel.place
        finally:
            connection.execute("RESET ROLE")
            connection.execute(f"DROP OWNED BY {role}".encode())
            connection.execute(f"DROP ROLE {role}".encode())


def test_the_sources_take_their_addresses_and_secrets_from_composes_environment(
    services: dict[str, dict[str, Any]],
) -> None:
    environment = services["grafana"]["environment"]
    used = set()
    for source in SOURCES.values():
        values = [source["url"], source.get("user", ""), *source["jsonData"].values()]
        values += source.get("secureJsonData", {}).values()
        used |= {name for value in values for name in str(value).replace("$", " $").replace(":", " ").split()}
    names = {name[1:] for name in used if name.startswith("$")}
    assert names == set(environment) - {name for name in environment if name.startswith("GF_")} - {
        "DB_USER",
        "DB_PASSWORD",
    }
    assert (environment["GRAFANA_DB_USER"], environment["GRAFANA_DB_PASSWORD"]) == ("postgres", "p4ss")
    assert all("$" in str(source.get("secureJsonData", "$")) for source in SOURCES.values())
    host, port = environment["PROMETHEUS_URL"].removeprefix("http://").split(":")
    assert services[host]["ports"][0].endswith(f":{port}")


def test_the_image_holds_the_files_where_grafana_looks_for_them(
    images: dict[str, Any], services: dict[str, dict[str, Any]]
) -> None:
    copied = dict(text.split()[-2:] for text in images["leadscore-grafana"].all("COPY"))
    assert copied["deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
    [provider] = provisioned("dashboards")["providers"]
    assert copied["deploy/grafana/dashboards"] == provider["options"]["path"]
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home in {f"{provider['options']['path']}/{name}.json" for name in NAMES}
