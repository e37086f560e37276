"""Each alert fires in its case, alone where one cause has one alert, and all are silent while everything is well."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
import yaml

from leadscore.live_performance import LiveState
from leadscore.org_warnings import OrgWarning
from leadscore.settings import PROJECT_ROOT
from leadscore.training_status import TrainingStatus
from tests.architecture.promtool import promtool

ALERTS = PROJECT_ROOT / "deploy" / "alerts.yml"
NAMES = [
    rule["alert"]
    for group in yaml.safe_load(ALERTS.read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
]
FAST, STEADILY, SLOWLY = "ScoringFailsFast", "ScoringFails", "ScoringFailsSlowly"
FIRING = 'count by (alertname) (ALERTS{alertstate="firing"})'
PREDICT, TRAIN = 'route="/api/v1/predict"', 'route="/api/v1/model/train"'
SLOW = "leadscore_http_request_duration_seconds_bucket{%s, le=%s}"
STATUSES: tuple[str, ...] = get_args(TrainingStatus)
# a value as it stays, or as it grows by a minute, from a minute on
Values = str


def always(value: float) -> Values:
    return f"{value:g}x10000"


def growing(by: float, start: float = 0) -> Values:
    return f"{start:g}+{by:g}x10000"


def from_hour(hour: float, before: float, by: float) -> Values:
    """Return what stays until that hour, and then grows by so much a minute."""
    return f"{before:g}x{hour * 60 - 1:.0f} {before:g}+{by:g}x10000"


def once_at_hour(hour: float, before: float, after: float) -> Values:
    return f"{before:g}x{hour * 60 - 1:.0f} {after:g}x10000"


HEALTHY: dict[str, Values] = {
    'up{job="leadscore", instance="a"}': always(1),
    f'leadscore_http_requests_total{{{PREDICT}, status="200"}}': growing(100),
    f'leadscore_http_requests_total{{{PREDICT}, status="503"}}': always(0),
    f'leadscore_http_requests_total{{{TRAIN}, status="503"}}': growing(1),
    SLOW % (PREDICT, '"0.005"'): growing(100),
    SLOW % (PREDICT, '"0.5"'): growing(100),
    SLOW % (PREDICT, '"+Inf"'): growing(100),
    **{f'leadscore_dependency_up{{dependency="{name}"}}': always(1) for name in ("database", "dagster", "daemon")},
    "leadscore_log_lines_dropped_total": always(3),
    "leadscore_invalid_leads_total": growing(1),
    "leadscore_score_count": growing(100),
    "leadscore_score_sum": growing(30),
    # that of another job than a scoring has failed long ago
    'leadscore_failed_runs_total{job_name="judge_scores"}': always(2),
    **{f'ml_model_training_total{{status="{status}"}}': always(7) for status in STATUSES},
    'ml_model_training_total{status="held"}': growing(1),
    'leadscore_orgs{state="active"}': always(900),
    **{f'leadscore_orgs_came_true{{state="{state}"}}': always(0) for state in get_args(LiveState)},
    **{f'leadscore_orgs_warned{{why="{why}"}}': always(0) for why in (*get_args(OrgWarning), "skew", "shifted")},
    # that some are held, refused or not ready is as it should be
    **{f'leadscore_orgs_warned{{why="{why}"}}': always(30) for why in ("held", "refused", "not_ready")},
}


class Case(NamedTuple):
    """What is otherwise than while all is well, which alerts fire then, and at which hour."""

    alerts: set[str]
    series: Mapping[str, Values]
    at_hour: float = 8


REQUESTS_FAILED = f'leadscore_http_requests_total{{{PREDICT}, status="503"}}'
ANSWERED = f'leadscore_http_requests_total{{{PREDICT}, status="200"}}'
# there are eight hours of history, so that what fails of them also fails of the last three days
CASES = {
    "nothing": Case(set(), {}),
    "no server": Case({"ServerDown"}, {'up{job="leadscore", instance="a"}': always(0)}),
    "2 % of the scorings fail for half an hour": Case({FAST, SLOWLY}, {REQUESTS_FAILED: from_hour(7.05, 0, 2)}),
    "2 % of them fail since an hour and a half": Case({FAST, SLOWLY}, {REQUESTS_FAILED: from_hour(6.5, 0, 2)}),
    "1 % of them fail since hours": Case({STEADILY, SLOWLY}, {REQUESTS_FAILED: from_hour(2, 0, 1)}),
    # the ticket stays for six hours
    "2 % of them failed, and none does any more": Case({SLOWLY}, {REQUESTS_FAILED: "0x240 0+2x120 240x10000"}),
    "one of 50 requests a day fails": Case(set(), {ANSWERED: growing(0.03), REQUESTS_FAILED: once_at_hour(7.5, 0, 1)}),
    "every one of few requests fails": Case(
        {FAST, STEADILY, SLOWLY},
        {ANSWERED: always(500), REQUESTS_FAILED: from_hour(6, 0, 0.2)},
    ),
    "a defect": Case(
        {"Defect"}, {f'leadscore_http_requests_total{{{TRAIN}, status="500"}}': "_x475 1x10000"}, at_hour=8
    ),
    "slow answers": Case({"ScoringSlow"}, {SLOW % (PREDICT, '"0.005"'): growing(90)}),
    "a version that cannot be loaded": Case(
        {"VersionNotLoaded"}, {'leadscore_model_load_failures_total{code="damaged"}': "_x475 1x10000"}
    ),
    "no daemon": Case({"DependencyDown"}, {'leadscore_dependency_up{dependency="daemon"}': always(0)}),
    "dropped log lines": Case({"LogLinesDropped"}, {"leadscore_log_lines_dropped_total": once_at_hour(7.9, 3, 9)}),
    "refused leads": Case({"LeadsRefused"}, {"leadscore_invalid_leads_total": growing(10)}),
    "a schedule that is off": Case(
        {"ScheduleMissed"}, {'leadscore_schedule_next_run_timestamp_seconds{schedule="daily"}': always(3600)}
    ),
    "a first failed run": Case(
        {"RunFailed"}, {'leadscore_failed_runs_total{job_name="score_open_leads"}': "_x450 1x10000"}
    ),
    "another failed run": Case(
        {"RunFailed"}, {'leadscore_failed_runs_total{job_name="judge_scores"}': once_at_hour(7.5, 2, 3)}
    ),
    "a training that failed": Case(
        {"TrainingFails"}, {'ml_model_training_total{status="failed"}': once_at_hour(7.5, 7, 8)}
    ),
    "a training run that failed": Case(
        set(), {'leadscore_failed_runs_total{job_name="train"}': once_at_hour(7.5, 7, 8)}
    ),
    "many trainings that failed": Case(
        {"TrainingFails", "TrainingsFailForMany"}, {'ml_model_training_total{status="failed"}': from_hour(7, 7, 1)}
    ),
    "what was promised does not come true": Case(
        {"PromisesBroken"}, {'leadscore_orgs_came_true{state="alarm"}': always(1)}
    ),
    "requests with other features": Case({"FeaturesDiffer"}, {'leadscore_orgs_warned{why="skew"}': always(1)}),
    "inputs that shifted": Case({"FeaturesDiffer"}, {'leadscore_orgs_warned{why="shifted"}': always(1)}),
    "overdue scores": Case({"ScoresOverdue"}, {'leadscore_orgs_warned{why="scores_overdue"}': always(2)}),
    "a sensor that is off": Case({"OrgHealthOld"}, {"leadscore_org_health_refreshed_timestamp_seconds": always(3600)}),
    "no database": Case(
        {"DependencyDown"},
        {
            'leadscore_dependency_up{dependency="database"}': always(0),
            **{name: "_x10000" for name in HEALTHY if name.startswith(("leadscore_org", "leadscore_sch", "ml_model"))},
        },
    ),
}
# the alerts that look at days: the values are of half hours
DAYS = {
    "nothing": Case(set(), {}),
    "0.2 % of the scorings fail for days": Case({SLOWLY}, {REQUESTS_FAILED: growing(0.2)}),
    "0.05 % of them fail": Case(set(), {REQUESTS_FAILED: growing(0.05)}),
    "other probabilities": Case(
        {"ScoresMoved"},
        {"leadscore_score_sum": "0+3000x180 540000+6000x10000", "leadscore_score_count": growing(9_000)},
    ),
    "orgs that no training reaches": Case(
        {"OrgsNotTrained"}, {'leadscore_orgs_warned{why="training_overdue"}': always(1)}
    ),
}


def rule_tests(cases: Mapping[str, Case], *, minutes: int) -> dict[str, Any]:
    """Return promtool's document of the cases, whose series have a value every so many minutes."""
    moving = {
        "leadscore_org_health_refreshed_timestamp_seconds": growing(60 * minutes),
        'leadscore_schedule_next_run_timestamp_seconds{schedule="daily"}': growing(60 * minutes, start=3_600),
    }
    return {
        "rule_files": [str(ALERTS)],
        "evaluation_interval": f"{max(5, minutes)}m",
        "tests": [
            {
                "name": name,
                "interval": f"{minutes}m",
                "input_series": [
                    {"series": series, "values": values}
                    for series, values in (HEALTHY | moving | dict(case.series)).items()
                ],
                "promql_expr_test": [
                    {
                        "expr": FIRING,
                        "eval_time": f"{case.at_hour * 60 * minutes:.0f}m",
                        "exp_samples": [
                            {"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in sorted(case.alerts)
                        ],
                    }
                ],
            }
            for name, case in cases.items()
        ],
    }


def test_the_rules_are_right_by_prometheus_own_judgement() -> None:
    assert "SUCCESS" in promtool("check", "rules", ALERTS)


@pytest.mark.parametrize(("cases", "minutes"), [(CASES, 1), (DAYS, 30)], ids=["within hours", "within days"])
def test_each_alert_fires_when_it_should_and_only_then(tmp_path: Path, cases: Mapping[str, Case], minutes: int) -> None:
    document = tmp_path / "tests.yml"
    document.write_text(yaml.safe_dump(rule_tests(cases, minutes=minutes)))
    promtool("test", "rules", document)


def test_each_alert_has_a_case() -> None:
    fired = set[str]().union(*(case.alerts for case in [*CASES.values(), *DAYS.values()]))
    assert fired == set(NAMES)


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_without_promtool_the_tests_are_skipped_but_fail_where_changes_land(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="apt-get install --no-install-recommends prometheus"):
        promtool("--version")
