"""Whether a run of an org goes on is read from Dagster's own tables, as this release of Dagster writes them."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test

from leadscore.errors import AlreadyTraining
from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.source.control_plane import held
from leadscore_assets.source.database import Connection, connect
from leadscore_assets.source.org_runs import NOT_ENDED, check_no_run, runs_under_way

Status = dg.DagsterRunStatus
ORIGIN = RemoteRepositoryOrigin(GrpcServerCodeLocationOrigin(host="127.0.0.1", port=4000), "__repository__")


def under_way(settings: Settings, *org_ids: str) -> list[str]:
    with connect(settings, read_only=True) as connection:
        return runs_under_way(connection, org_ids)


def test_runs_that_have_a_process_are_found_by_their_org(
    database: Settings, postgres_instance: dg.DagsterInstance
) -> None:
    runs = {
        (org_id, status): create_run_for_test(
            postgres_instance, job_name="train", status=status, tags={"dagster/partition": org_id}
        ).run_id
        for org_id in ("acme", "other")
        for status in (
            Status.NOT_STARTED,
            Status.STARTED,
            Status.STARTING,
            Status.CANCELING,
            Status.SUCCESS,
            Status.FAILURE,
        )
    }
    active = (Status.STARTED, Status.STARTING, Status.CANCELING)
    with held(database):
        assert under_way(database, "acme") == sorted(runs["acme", status] for status in active)
        assert len(under_way(database, "acme", "other")) == 6
        assert under_way(database, "third") == []


def test_without_a_control_plane_no_run_can_be_under_way(
    database: Settings, postgres_instance: dg.DagsterInstance
) -> None:
    create_run_for_test(postgres_instance, job_name="train", status=Status.STARTED, tags={"dagster/partition": "acme"})
    assert under_way(database, "acme") == []


def test_before_dagster_has_made_its_tables_there_are_no_runs(database: Settings) -> None:
    set_up(database)
    with held(database):
        assert under_way(database, "acme") == []
        with connect(database) as connection:
            check_no_run(connection, ["acme"])


def test_a_run_that_has_not_ended_is_named_whether_it_has_a_process_or_not(
    database: Settings, postgres_instance: dg.DagsterInstance
) -> None:
    runs = {
        status: create_run_for_test(
            postgres_instance,
            job_name="train",
            status=status,
            tags={"dagster/partition": f"org-{status.value}"},
            remote_job_origin=ORIGIN.get_job_origin("train"),
        ).run_id
        for status in Status
    }
    with connect(database) as connection:
        assert {status.value for status in Status if not is_free(connection, status)} == set(NOT_ENDED)
        with pytest.raises(AlreadyTraining, match="a training or another run of this org is queued or") as caught:
            check_no_run(connection, ["other", "org-SUCCESS", "org-QUEUED"])
        assert caught.value.run_id == runs[Status.QUEUED]


def is_free(connection: Connection, status: Status) -> bool:
    try:
        check_no_run(connection, [f"org-{status.value}"])
    except AlreadyTraining:
        return False
    return True
