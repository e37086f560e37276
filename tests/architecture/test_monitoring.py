"""Prometheus scrapes what the server has, and alerts and dashboards ask for metrics and labels that a server shows."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from flask import Flask

from leadscore.settings import PROJECT_ROOT, Settings
from serving.app import create_app
from serving.telemetry import metrics
from tests.architecture.dashboards import DASHBOARDS, Panel
from tests.architecture.live_metrics import lived_through, samples
from tests.architecture.promql import Series, parsed, problems
from tests.serving.crm_of_leads import Crm

RULES = [
    rule
    for group in yaml.safe_load((PROJECT_ROOT / "deploy" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
NAMES = [rule["alert"] for rule in ALERTS]
TEMPLATE_WORDS = {"humanize", "humanizeDuration", "humanizePercentage"}
PANELS = [panel for dashboard in DASHBOARDS for panel in dashboard.panels]
# every query in PromQL, by where it stands
QUERIES = {rule.get("alert", rule.get("record")): rule["expr"] for rule in RULES} | {
    f"{panel.place}, {number}": query for panel in PANELS for number, query in enumerate(panel.promql)
}


@pytest.fixture
def lived(crm: Crm, shelf: Any, features: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Flask:
    return lived_through(crm, shelf, features, monkeypatch)


def all_problems(app: Flask) -> dict[str, list[str]]:
    """Return what is wrong with the queries, by where they stand; recorded series have the labels that rules keep."""
    recorded: Series = {rule["record"]: [{}] for rule in RULES if "record" in rule}
    series = recorded | samples(app)
    found = {place: problems(query, series) for place, query in QUERIES.items()}
    return {place: wrong for place, wrong in found.items() if wrong}


def test_every_query_asks_for_metrics_and_labels_that_a_server_shows(lived: Flask) -> None:
    assert len(QUERIES) > 60
    assert all_problems(lived) == {}


def test_a_metric_that_is_renamed_in_the_code_is_missed(lived: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {selector.metric for query in QUERIES.values() for selector in parsed(query).selectors}
    generate = metrics.generate_latest
    renamed = sorted(name for name in asked if name != "up" and ":" not in name)
    assert len(renamed) > 15
    for name in renamed:
        with monkeypatch.context() as patched:
            patched.setattr(
                metrics, "generate_latest", lambda it, name=name: generate(it).replace(name.encode(), b"other_total")
            )
            found = all_problems(lived)
        assert any(f"there is no metric {name}" in wrong for wrong in found.values()), name


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("sum(leadscore_org)", "there is no metric leadscore_org"),
        ('leadscore_orgs{status="active"}', "no series of leadscore_orgs has status MatchOp.Equal 'active'"),
        ('leadscore_orgs{state="fine"}', "no series of leadscore_orgs has state MatchOp.Equal 'fine'"),
        ("max by (why) (leadscore_orgs)", "it groups by why, which none of its metrics has"),
        ("1 + 1", "it asks for no metric"),
    ],
)
def test_what_a_query_asks_for_in_vain_is_named(query: str, problem: str) -> None:
    assert problems(query, {"leadscore_orgs": [{"state": "active"}]}) == [problem]


def test_what_is_no_promql_is_refused() -> None:
    with pytest.raises(ValueError, match="unclosed left parenthesis"):
        parsed("sum by (state (leadscore_orgs)")


@pytest.mark.parametrize("rule", ALERTS, ids=NAMES)
def test_an_alerts_routes_exist(rule: dict[str, Any]) -> None:
    routes = {route.rule for route in create_app(Settings()).url_map.iter_rules()}
    for _, matchers in parsed(rule["expr"]).selectors:
        asked = {route for label, _, value in matchers if label == "route" for route in value.split("|")}
        assert asked <= routes


@pytest.mark.parametrize("rule", ALERTS, ids=NAMES)
def test_an_alert_is_well_formed_and_says_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert set(rule["annotations"]) == {"summary", "action"}
    for template in re.findall(r"\{\{(.*?)\}\}", str(rule["annotations"])):
        assert re.fullmatch(r" \$(value|labels\.\w+)( \| \w+)? ", template)
        assert set(re.findall(r"\| (\w+)", template)) <= TEMPLATE_WORDS


def test_no_two_alerts_have_one_name() -> None:
    assert len(NAMES) == len(set(NAMES)) > 15


def test_prometheus_scrapes_the_server_where_compose_runs_it(
    services: dict[str, dict[str, Any]], images: dict[str, Any]
) -> None:
    config = yaml.safe_load((PROJECT_ROOT / "deploy" / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    ((target,),) = [static["targets"] for static in job["static_configs"]]
    host, port = target.split(":")
    assert services[host]["environment"]["PORT"] == port
    assert job["metrics_path"] in {route.rule for route in create_app(Settings()).url_map.iter_rules()}
    matchers = [
        matcher for query in QUERIES.values() for selector in parsed(query).selectors for matcher in selector[1]
    ]
    assert {value for label, _, value in matchers if label == "job"} == {job["job_name"]}
    _, *copied, folder = images["leadscore-prometheus"].all("COPY")[0].split()
    inside = [name.replace("deploy/", folder) for name in copied]
    assert inside[1:] == [f"/etc/prometheus/{name}" for name in config["rule_files"]]
    assert f"--config.file={inside[0]}" in services["prometheus"]["command"]


def panel_queries(panel: Panel) -> int:
    return len(panel.promql) + len(panel.sql)


def test_every_panel_asks_for_something() -> None:
    assert [panel.place for panel in PANELS if not panel_queries(panel)] == []
