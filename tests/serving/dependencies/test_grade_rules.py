"""The rule of grades as the database keeps it; tests/serving/api/test_grades.py sets it over HTTP."""

from __future__ import annotations

import pytest

from leadscore_assets.source.database import connect
from serving.dependencies.grade_rules import GradeRules, GradeSetting
from serving.services import build_services
from tests.serving.crm_of_leads import Crm


@pytest.fixture
def rules(crm: Crm) -> GradeRules:
    return build_services(crm.settings).grade_rules


def test_a_rule_is_kept_for_its_org_alone(rules: GradeRules) -> None:
    assert rules.read("acme") == GradeSetting()
    kept = rules.set("acme", "capacity", 40, set_by="a test", is_known=True)
    assert kept is not None
    assert (kept.rule, kept.weekly_capacity, kept.cut_points, kept.set_by) == ("capacity", 40, None, "a test")
    assert (rules.read("acme"), rules.read("beta")) == (kept, GradeSetting())


def test_setting_a_rule_forgets_the_cut_points_of_the_one_before(crm: Crm, rules: GradeRules) -> None:
    rules.set("acme", "base_rate", None, set_by="a test", is_known=True)
    with connect(crm.settings) as connection:
        connection.execute("UPDATE leadscore.org_setting SET cut_points = '{0.5,0.25,0.125}'")
    assert rules.read("acme").cut_points == [0.5, 0.25, 0.125]
    rules.set("acme", "base_rate", None, set_by="another test", is_known=True)
    assert (rules.read("acme").cut_points, rules.read("acme").set_by) == (None, "another test")


def test_for_an_org_that_nobody_knows_nothing_is_set(rules: GradeRules) -> None:
    assert rules.set("acme", "base_rate", None, set_by="a test", is_known=False) is None
    assert rules.read("acme") == GradeSetting()
