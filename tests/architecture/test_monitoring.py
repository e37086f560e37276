"""Prometheus scrapes what the server has, and its alerts ask for metrics, labels and routes that exist."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from leadscore.settings import PROJECT_ROOT, Settings
from serving.app import create_app
from serving.services import EXTENSION

ALERTS = yaml.safe_load((PROJECT_ROOT / "deploy" / "alerts.yml").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
NAMES = [rule["alert"] for rule in RULES]
METRIC = re.compile(r"\b(up|(?:ml|leadscore)_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(=~|!=|=)"([^"]*)"')
WORDS = {"abs", "and", "by", "histogram_quantile", "increase", "le", "offset", "or", "rate", "sum", "code", "route"}
TEMPLATE_WORDS = {"humanize", "humanizeDuration", "humanizePercentage"}


@pytest.fixture(scope="module")
def app() -> Flask:
    return create_app(Settings())


@pytest.fixture(scope="module")
def labels(app: Flask) -> dict[str, set[str]]:
    """Give the labels of every series that /metrics can show, apart from those that Prometheus adds."""
    text = app.test_client().get("/metrics").text
    registry = app.extensions[EXTENSION].metrics.registry
    suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
    found: dict[str, set[str]] = {"up": set()}
    for family in text_string_to_metric_families(text):
        names = set(registry._names_to_collectors[family.name]._labelnames)
        for suffix in suffixes[family.type]:
            found[family.name + suffix] = names | ({"le"} if suffix == "_bucket" else set())
    return found


def selectors(rule: dict[str, Any]) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Return the rule's metrics, each with its matchers as (label, operator, value)."""
    return [(name, MATCHER.findall(matchers)) for name, matchers in METRIC.findall(rule["expr"])]


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_an_alert_asks_only_for_metrics_and_labels_that_the_server_has(
    rule: dict[str, Any], labels: dict[str, set[str]]
) -> None:
    assert selectors(rule)
    for metric, matchers in selectors(rule):
        assert {label for label, _, _ in matchers} <= labels[metric] | {"job", "instance"}
    grouped = {label.strip() for names in re.findall(r"by \(([^)]*)\)", rule["expr"]) for label in names.split(",")}
    known = set[str]().union(*(labels[metric] for metric, _ in selectors(rule)))
    assert grouped <= known


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_an_alerts_routes_exist(rule: dict[str, Any], app: Flask) -> None:
    routes = {route.rule for route in app.url_map.iter_rules()}
    for _, matchers in selectors(rule):
        asked = {route for label, _, value in matchers if label == "route" for route in value.split("|")}
        assert asked <= routes


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_an_alert_is_well_formed_and_says_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert set(rule["annotations"]) == {"summary", "action"}
    assert rule["expr"].count("(") == rule["expr"].count(")")
    bare = re.sub(r'"[^"]*"|\[\d+[mhd]\]|offset \d+[mhd]', " ", METRIC.sub(" ", rule["expr"]))
    assert set(re.findall(r"[A-Za-z_]\w*", bare)) <= WORDS
    for template in re.findall(r"\{\{(.*?)\}\}", str(rule["annotations"])):
        assert re.fullmatch(r" \$(value|labels\.\w+)( \| \w+)? ", template)
        assert set(re.findall(r"\| (\w+)", template)) <= TEMPLATE_WORDS


def test_no_two_alerts_have_one_name() -> None:
    assert len(NAMES) == len(set(NAMES)) > 5


def test_prometheus_scrapes_the_server_where_compose_runs_it(
    services: dict[str, dict[str, Any]], images: dict[str, Any], app: Flask
) -> None:
    config = yaml.safe_load((PROJECT_ROOT / "deploy" / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    ((target,),) = [static["targets"] for static in job["static_configs"]]
    host, port = target.split(":")
    assert services[host]["environment"]["PORT"] == port
    assert job["metrics_path"] in {route.rule for route in app.url_map.iter_rules()}
    assert {
        value for rule in RULES for _, matchers in selectors(rule) for label, _, value in matchers if label == "job"
    } == {job["job_name"]}
    _, *copied, folder = images["leadscore-prometheus"].all("COPY")[0].split()
    inside = [name.replace("deploy/", folder) for name in copied]
    assert inside[1:] == [f"/etc/prometheus/{name}" for name in config["rule_files"]]
    assert f"--config.file={inside[0]}" in services["prometheus"]["command"]
