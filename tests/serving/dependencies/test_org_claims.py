"""A training over HTTP claims its org in the database, so that neither a run of many orgs nor a server takes it too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from leadscore.errors import AlreadyTraining
from leadscore_assets.source.database import connect
from leadscore_assets.trainings.claims import TrainingClaims
from serving.dependencies.org_claims import OrgClaims
from serving.services import build_services
from tests.serving.crm_of_leads import Crm


@pytest.fixture
def claims(crm: Crm) -> OrgClaims:
    return OrgClaims(build_services(crm.settings).crm)


@pytest.fixture
def batch(crm: Crm) -> Iterator[TrainingClaims]:
    """Give the claims of a run of many orgs."""
    claims = TrainingClaims(crm.settings, "batch-run")
    yield claims
    claims.close()


def held(crm: Crm) -> list[Any]:
    with connect(crm.settings, read_only=True) as connection:
        return connection.execute("SELECT org_id, holder FROM leadscore.training_claim").fetchall()


def test_the_run_that_is_launched_goes_on_with_the_claim(crm: Crm, claims: OrgClaims) -> None:
    with claims.held("acme", "request-1") as claim:
        assert held(crm) == [("acme", "request request-1")]
        claim.hand_over("run-1")
    assert held(crm) == [("acme", "run-1")]
    run = TrainingClaims(crm.settings, "run-1")
    run.take("acme", wait_seconds=0)
    run.close()


def test_a_launch_that_fails_frees_the_org(crm: Crm, claims: OrgClaims) -> None:
    with pytest.raises(OSError, match="no Dagster"), claims.held("acme", "request-1"):
        raise OSError("no Dagster")
    assert held(crm) == []


def test_an_org_that_a_run_of_many_is_at_work_on_is_refused_with_that_run(
    crm: Crm, claims: OrgClaims, batch: TrainingClaims
) -> None:
    batch.take("acme")
    with pytest.raises(AlreadyTraining) as caught, claims.held("acme", "request-1"):
        pytest.fail("the org is taken")
    assert (caught.value.run_id, caught.value.is_followable) == ("batch-run", False)
    batch.release("acme")
    with claims.held("acme", "request-1"):
        pass


def test_of_two_servers_one_launches(crm: Crm, claims: OrgClaims) -> None:
    other = OrgClaims(build_services(crm.settings).crm)
    with claims.held("acme", "request-1"), pytest.raises(AlreadyTraining) as caught, other.held("acme", "request-2"):
        pytest.fail("both have it")
    assert caught.value.run_id is None


def test_without_the_database_a_training_is_launched_all_the_same(crm: Crm, caplog: pytest.LogCaptureFixture) -> None:
    away = OrgClaims(build_services(replace(crm.settings, db_port=1)).crm)
    with away.held("acme", "request-1") as claim:
        claim.hand_over("run-1")
    assert "a training is launched without a claim on its org" in caplog.text
