"""Old history goes from Dagster's tables, and what its pages show of assets, partitions and checks stays as it is."""

import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from leadscore.settings import Settings
from leadscore_assets.partitions import orgs
from leadscore_assets.retention import dagster_history
from leadscore_assets.retention.dagster_history import Before
from leadscore_assets.source.database import Connection, connect

DAY = timedelta(days=1)
ORGS = ["acme", "zeta", "broken"]
USED = {
    "event_logs": {"id", "run_id", "dagster_event_type", "timestamp", "asset_key", "partition"},
    "asset_event_tags": {"event_id"},
    "asset_check_executions": {
        *("id", "asset_key", "check_name", "partition", "run_id", "evaluation_event_timestamp", "create_timestamp"),
    },
    "runs": {"id", "run_id", "status", "update_timestamp"},
}


with warnings.catch_warnings():
    warnings.simplefilter("ignore", dg.PreviewWarning)
    SOUND = dg.AssetCheckSpec("sound", asset="monthly", partitions_def=orgs)


@dg.asset(partitions_def=orgs, check_specs=[SOUND])
def monthly(context: dg.AssetExecutionContext) -> Iterator[Any]:
    context.log.info("a message of %s", context.partition_key)
    if context.partition_key == "broken" and context.run.tags.get("fails"):
        raise dg.Failure("it is broken")
    yield dg.MaterializeResult(
        metadata={"figure": 1},
        data_version=dg.DataVersion(context.run.run_id),
        check_results=[dg.AssetCheckResult(check_name="sound", passed=context.partition_key != "zeta")],
    )


@dg.asset(partitions_def=orgs)
def daily() -> None: ...


@pytest.fixture
def instance(postgres_instance: dg.DagsterInstance) -> dg.DagsterInstance:
    """Give an instance on PostgreSQL that knows three orgs."""
    postgres_instance.add_dynamic_partitions("orgs", ORGS)
    return postgres_instance


@pytest.fixture
def connection(instance: dg.DagsterInstance, database: Settings) -> Iterator[Connection]:
    """Give a connection to the database that has the instance's tables."""
    with connect(database) as connection:
        yield connection


def run(instance: dg.DagsterInstance, asset: Any, org_id: str, **tags: str) -> None:
    dg.materialize([asset], instance=instance, partition_key=org_id, raise_on_error=False, tags=tags)


def let_pass(connection: Connection, days: float) -> None:
    """Let all that Dagster has stored be older by some days."""
    with connection.transaction():
        for table, columns in (
            ("event_logs", ("timestamp",)),
            ("asset_check_executions", ("create_timestamp", "evaluation_event_timestamp")),
            ("runs", ("create_timestamp", "update_timestamp")),
        ):
            changes = ", ".join(f'"{column}" = "{column}" - make_interval(days => {days})' for column in columns)
            connection.execute(f"UPDATE dagster.{table} SET {changes}".encode())


def before(logs: float = 30, daily_events: float = 30, events: float = 700) -> Before:
    now = datetime.now(UTC)
    return Before(now - logs * DAY, now - daily_events * DAY, now - events * DAY, ["daily"])


def remove(connection: Connection, **days: float) -> dict[str, int]:
    kinds = [
        *dagster_history.remove_old_events(connection, before(**days)),
        dagster_history.remove_old_checks(connection, before(**days)),
        dagster_history.remove_old_runs(connection, before(**days)),
    ]
    return {kind.what: kind.items for kind in kinds}


def count(connection: Connection, table: str, where: str = "true") -> int:
    with connection.transaction():
        return connection.execute(f"SELECT count(*) FROM dagster.{table} WHERE {where}".encode()).fetchone()[0]


def shown(instance: dg.DagsterInstance) -> dict[str, Any]:
    """Return what Dagster's pages show of the latest: per asset and partition, computed from the events anew."""
    instance.event_log_storage.wipe_asset_cached_status(monthly.key)
    status = get_and_update_asset_status_cache_value(instance, monthly.key, orgs, dynamic_partitions_loader=instance)
    found: dict[str, Any] = {"status": status._replace(latest_storage_id=0)}
    for asset in (monthly, daily):
        for org_id in ORGS:
            records = instance.fetch_materializations(
                dg.AssetRecordsFilter(asset.key, asset_partitions=[org_id]), limit=1
            ).records
            found[f"{asset.key}/{org_id}"] = [(record.storage_id, record.run_id) for record in records]
    checks = instance.event_log_storage
    key = dg.AssetCheckKey(monthly.key, "sound")
    found["checks"] = {
        record.partition: (record.status, record.run_id)
        for record in reversed(checks.get_asset_check_execution_history(key, limit=1_000))
    }
    return found


def test_the_tables_are_as_the_statements_expect(connection: Connection) -> None:
    with connection.transaction():
        rows = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'dagster'"
        ).fetchall()
        cascades = connection.execute(
            "SELECT confdeltype::text FROM pg_constraint"
            " WHERE conrelid = 'dagster.run_tags'::regclass AND contype = 'f'"
        ).fetchall()
    for table, columns in USED.items():
        assert columns <= {column for name, column in rows if name == table}
    assert cascades == [("c",)]
    assert dagster_history.has_dagster_tables(connection)
    assert set(dagster_history.ENDED) == {
        status.value
        for status in dg.DagsterRunStatus
        if status in (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
    }


def test_a_database_without_dagsters_tables_has_none(database: Settings) -> None:
    with connect(database) as connection:
        assert not dagster_history.has_dagster_tables(connection)


def test_what_the_pages_show_is_the_same_after_a_removal(instance: dg.DagsterInstance, connection: Connection) -> None:
    for _ in range(3):
        for org_id in ORGS:
            run(instance, monthly, org_id)
            run(instance, daily, org_id)
        let_pass(connection, 400)
    run(instance, monthly, "broken", fails="yes")
    let_pass(connection, 800)
    known = shown(instance)
    assert known["status"].deserialize_failed_partition_subsets(orgs).get_partition_keys() == {"broken"}
    assert {name: status for name, (status, _) in known["checks"].items()} != {}
    removed = remove(connection)
    assert shown(instance) == known
    assert removed["steps and messages of runs"] > 9 * 10
    assert removed["events of assets"] == 2 * 2 * (3 + 3) + 1
    assert removed["results of checks"] > 0
    assert count(connection, "event_logs", "asset_key IS NULL") == 0
    assert count(connection, "event_logs", "dagster_event_type = 'ASSET_MATERIALIZATION'") == 6
    orphans = "event_id NOT IN (SELECT id FROM dagster.event_logs)"
    assert (count(connection, "asset_event_tags", orphans), count(connection, "asset_event_tags") > 0) == (0, True)
    assert set(remove(connection).values()) == {0}


def test_steps_go_before_the_events_of_assets_and_daily_ones_before_the_others(
    instance: dg.DagsterInstance, connection: Connection
) -> None:
    for _ in range(2):
        run(instance, monthly, "acme")
        run(instance, daily, "acme")
    let_pass(connection, 31)
    of_assets = count(connection, "event_logs", "asset_key = '[\"monthly\"]'")
    remove(connection)
    assert count(connection, "event_logs", "asset_key = '[\"monthly\"]'") == of_assets
    assert count(connection, "event_logs", "asset_key = '[\"daily\"]'") == 2
    assert count(connection, "event_logs", "asset_key IS NULL") == 0
    assert count(connection, "asset_check_executions") == 2
    assert len(instance.get_runs()) == 4


def test_what_is_young_stays(instance: dg.DagsterInstance, connection: Connection) -> None:
    for _ in range(2):
        run(instance, monthly, "acme")
        run(instance, daily, "acme")
    let_pass(connection, 29)
    assert set(remove(connection).values()) == {0}


def test_a_run_goes_with_its_last_event(instance: dg.DagsterInstance, connection: Connection) -> None:
    for _ in range(2):
        run(instance, monthly, "acme", asked_by="a test")
    let_pass(connection, 800)
    newest = instance.get_runs()[0].run_id
    assert remove(connection)["runs"] == 1
    assert [kept.run_id for kept in instance.get_runs()] == [newest]
    assert instance.get_run_tags(["asked_by"]) == [("asked_by", {"a test"})]


def test_nothing_of_a_run_that_goes_on_is_touched(instance: dg.DagsterInstance, connection: Connection) -> None:
    for _ in range(2):
        run(instance, monthly, "acme")
    with connection.transaction():
        connection.execute("UPDATE dagster.runs SET status = 'STARTED'")
    let_pass(connection, 800)
    assert set(remove(connection).values()) == {0}


def test_events_without_a_run_or_a_partition_keep_the_newest(
    instance: dg.DagsterInstance, connection: Connection
) -> None:
    for partition in ("acme", None, "acme", None):
        instance.report_runless_asset_event(dg.AssetMaterialization("daily", partition=partition))
    let_pass(connection, 31)
    assert remove(connection)["events of assets"] == 2
    records = instance.fetch_materializations(daily.key, limit=10).records
    assert [record.asset_materialization.partition for record in records] == [None, "acme"]


def test_a_large_history_goes_in_chunks(
    instance: dg.DagsterInstance, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        run(instance, monthly, "acme")
    let_pass(connection, 800)
    run(instance, monthly, "zeta")
    monkeypatch.setattr(dagster_history, "ROWS_PER_CHUNK", 1)
    removed = remove(connection)
    assert (removed["events of assets"], removed["runs"]) == (4, 2)
    assert count(connection, "event_logs", "asset_key IS NULL") > 10  # of the run that is young
