"""The SQL against the same rules written down plainly in Python, on random CRMs."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.models.harness.plain_records import PlainRules
from benchmarks.models.harness.random_crm import load, random_crm, random_window
from benchmarks.models.records_fuzz import ORG, differences
from tests.leadscore_assets.source.hand_made_crm import Crm


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(chance=st.randoms(use_true_random=True), leads=st.sampled_from((4, 25, 120)))
def test_the_sql_gives_what_the_rules_give_in_plain_python(own_statuses: Crm, chance: Random, leads: int) -> None:
    """Rows, labels and features, the leads that are left out, and the records that readiness and schedule count.

    `python -m benchmarks.models.records_fuzz` compares 10,000 leads.
    """
    crm, window = random_crm(chance, leads), random_window(chance)
    load(own_statuses.connection, crm)
    rules = PlainRules(crm.of_org(ORG), window, datetime.now(UTC))
    assert differences(own_statuses.connection, rules, window) == []
