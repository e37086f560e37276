"""A year of scheduled trainings of one small org: every decision is what the rules say, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from math import hypot
from pathlib import Path
from statistics import NormalDist

import msgspec
import pytest

from leadscore.comparison import Comparison
from leadscore.features import CONTRACT
from leadscore.gate import Judgement, policy_from
from leadscore.records import window_from
from leadscore.registry.activation import apply_verdict
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.due_orgs import training_needs
from leadscore_assets.source.database import connect
from leadscore_assets.source.extraction import extract
from leadscore_assets.training.contract_check import check_rows
from leadscore_assets.training.judge import judge
from leadscore_assets.training.train import train
from standalone import throwaway
from standalone.crm import create_tables
from standalone.orgs import Org
from standalone.postgres import EmbeddedPostgres
from standalone.simulator import into_database, simulate

ORG = Org("small-branch", leads=640, conversion_rate=0.35, history_days=425)
MONTHS = [datetime(2025 + (month + 4) // 12, (month + 4) % 12 + 1, 1, 2, tzinfo=UTC) for month in range(1, 14)]


@dataclass(frozen=True)
class Month:
    """What the schedule said of the org in a month, and what the training that it asked for came to."""

    as_of: datetime
    reason: str
    active_before: str | None
    judgement: Judgement | None


def live_through(settings: Settings, registry: Registry, months: list[datetime]) -> list[Month]:
    """Train in each month in which the org is due, and activate what the gate lets pass, as the assets do."""
    lived = []
    for as_of in months:
        window = window_from(settings, as_of)
        [need] = training_needs(settings, registry, window)
        pointer = registry.active(ORG.org_id)
        active = pointer.version if pointer else None
        judgement = None
        if need.is_due:
            features = check_rows(extract(settings, ORG.org_id, window), CONTRACT)
            version = train(registry, ORG.org_id, features).version
            judging = judge(registry, ORG.org_id, version, features, policy_from(settings))
            judgement = registry.record_judgement(ORG.org_id, version, judging.judgement)
            if judgement.decision.verdict == "activate":
                apply_verdict(registry, ORG.org_id, version, by="the year")
        lived.append(Month(as_of, need.reason, active, judgement))
    return lived


@pytest.fixture(scope="module")
def crm_of_a_year(postgres_server: EmbeddedPostgres) -> Settings:
    """Give settings for a CRM with one org, whose first leads came two months before the first training."""
    settings = throwaway.new_database(postgres_server, "crm_of_a_year")
    set_up(settings)
    with connect(settings) as connection:
        create_tables(connection)
        into_database(connection, simulate([ORG], seed=3, now=MONTHS[-1]))
    return settings


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return Registry(tmp_path_factory.mktemp("year") / "models")


@pytest.fixture(scope="module")
def year(crm_of_a_year: Settings, registry: Registry) -> list[Month]:
    """Give the year, lived once."""
    return live_through(crm_of_a_year, registry, MONTHS)


def says_the_rule(judgement: Judgement) -> bool:
    """State the gate's rule once more, in short, on the figures that are stored with the version."""
    compared = judgement.comparison
    assert compared is not None
    if compared.baseline == "base rate":
        return compared.roc_auc.probability_better >= 0.8 and compared.brier_score.gain.value > 0
    now, then = compared.roc_auc.candidate, compared.baseline_when_judged
    assert then is not None
    error = hypot(now.high - now.low, then.high - then.low) / 3.92
    needed, may_rise = 0.25 * compared.shared_window, 1 / max(0.1, compared.shared_window)
    level_kept = NormalDist(then.value, error).cdf(now.value) >= needed or compared.roc_auc.probability_better >= 0.8
    no_worse = compared.brier_score.gain.value >= -0.01 * may_rise and compared.log_loss.gain.value >= -0.03 * may_rise
    return compared.roc_auc.probability_better >= needed and level_kept and no_worse


def test_the_org_waits_until_it_has_enough_records_and_then_trains_every_month(year: list[Month]) -> None:
    """Before that the schedule leaves it alone, and says why."""
    waiting = [month for month in year if month.judgement is None]
    assert waiting == year[: len(waiting)]
    assert waiting
    assert all(" of 100 records" in month.reason or "needed to judge a model" in month.reason for month in waiting)
    assert "records, never trained" in year[len(waiting)].reason


def test_the_year_has_all_that_can_happen(year: list[Month]) -> None:
    """A first version, and then both replacements and holds: none of the tests below is about nothing."""
    verdicts = [month.judgement.decision.verdict for month in year if month.judgement]
    first = verdicts.index("activate")
    assert verdicts[:first] == []
    assert {"activate", "hold"} == set(verdicts[first + 1 :])


def test_every_decision_is_what_the_rule_says_of_the_stored_figures(year: list[Month]) -> None:
    for month in year:
        if month.judgement:
            decision = month.judgement.decision
            expected = "activate" if says_the_rule(month.judgement) else "hold"
            assert decision.verdict in {expected, "refuse"}
            few = any(reason.code.startswith("too_few") for reason in decision.reasons)
            assert few == (decision.verdict == "refuse")


def test_a_candidate_is_compared_with_the_version_that_was_active_then(year: list[Month], registry: Registry) -> None:
    """Without one it is compared with the base rate. The level of the active one is the one that it was judged with."""
    for month in year:
        if month.judgement and month.judgement.comparison:
            compared = month.judgement.comparison
            assert compared.baseline == (month.active_before or "base rate")
            if month.active_before:
                age = month.as_of - registry.manifest(ORG.org_id, month.active_before).window.as_of
                assert compared.shared_window == pytest.approx(max(0.0, 1 - age.days / 183))
                before = registry.judgement(ORG.org_id, month.active_before)
                assert before is not None
                assert before.comparison is not None
                assert compared.baseline_when_judged == before.comparison.roc_auc.candidate
                assert f"the active version {month.active_before} " in month.judgement.decision.text


def test_the_history_is_the_activations_and_nothing_else(year: list[Month], registry: Registry) -> None:
    judgements = [month.judgement for month in year if month.judgement]
    passed = [judgement.report.version for judgement in judgements if judgement.decision.verdict == "activate"]
    history = sorted(registry.history(ORG.org_id).entries, key=lambda entry: entry.version)
    pointer = registry.active(ORG.org_id)
    assert [entry.version for entry in history] == passed
    assert pointer is not None
    assert (pointer.version, pointer.previous) == (passed[-1], passed[-2])
    assert len(registry.versions(ORG.org_id)) == len(judgements)


def test_the_same_months_bring_the_same_decisions(year: list[Month], crm_of_a_year: Settings, tmp_path: Path) -> None:
    """Lived again in another registry, the figures are the same to the last digit; only the versions' ids differ."""
    again = live_through(crm_of_a_year, Registry(tmp_path / "models"), MONTHS[:5])
    for before, now in zip(year[:5], again, strict=True):
        assert (before.as_of, before.reason) == (now.as_of, now.reason)
        assert _figures(before.judgement) == _figures(now.judgement)


def _figures(judgement: Judgement | None) -> tuple[str, Comparison] | None:
    if judgement is None or judgement.comparison is None:
        return None
    return judgement.decision.verdict, msgspec.structs.replace(judgement.comparison, baseline="the active version")
