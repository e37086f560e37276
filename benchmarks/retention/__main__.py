"""Dagster's database and pages after years of many orgs: `python -m benchmarks.retention [--orgs 1000] [--months 24]`.

One org is trained, scored and judged by real runs. What they store is repeated for each org and each day, trainings on
the first of a month, as the lanes record them, and the retention removes what is old in between. Then it prints what
Dagster's tables take, and how long a real webserver takes to answer the queries of its pages.

"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg
import urllib3

from benchmarks.retention.harness.page_queries import time_pages
from benchmarks.retention.harness.recorded_runs import record_runs
from benchmarks.retention.harness.simulated_years import let_days_pass, prepare, sizes
from leadscore.settings import PROJECT_ROOT, Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.source.database import connect
from standalone.postgres import HOST
from standalone.processes import Child, stop_all
from standalone.state_dir import child_environment, dagster_home
from standalone.throwaway import free_port, new_database, throwaway_server

DAYS_PER_MONTH = 365.25 / 12
LONGEST_STATEMENT_SECONDS = 3_600
START_SECONDS = 180
GOAL_BYTES, GOAL_SECONDS = 2e9, 1.0


def main() -> None:
    """Print the sizes and the times."""
    options = _options()
    with _system() as (settings, environment, instance):
        record_runs(settings, instance)
        _make(settings, instance, options)
        with _webserver(settings, environment) as token:
            print(f"\n{'page':28}{'asset':20}{'first':>9}{'again':>9}  seconds; the goal is {GOAL_SECONDS:g}")
            for taken in time_pages(environment["DAGSTER_URL"], token, "org-00007"):
                seconds = f"{taken.first_seconds:9.2f}{taken.again_seconds:9.2f}"
                print(f"{taken.page:28}{taken.asset:20}{seconds}", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retention", description=__doc__)
    parser.add_argument("--orgs", type=int, default=1_000)
    parser.add_argument("--months", type=float, default=24)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--every", type=int, default=7, help="days between two retentions")
    parser.add_argument("--daily-days", type=int, help="make the daily runs of the last so many days alone")
    return parser.parse_args()


@contextmanager
def _system() -> Iterator[tuple[Settings, dict[str, str], dg.DagsterInstance]]:
    with throwaway_server() as server, TemporaryDirectory(prefix="leadscore-") as folder:
        settings = replace(
            new_database(server, "years"),
            model_path=Path(folder) / "models",
            state_dir=Path(folder) / "state",
            dagster_port=free_port(),
            code_server_port=free_port(),
        )
        settings.state_dir.mkdir()
        set_up(settings)
        environment = child_environment(settings, os.environ)
        os.environ.update({name: environment[name] for name in environment if name.startswith("DB_")})
        with dg.DagsterInstance.from_config(str(dagster_home(settings))) as instance:
            yield settings, environment, instance


def _make(settings: Settings, instance: dg.DagsterInstance, options: argparse.Namespace) -> None:
    days, started = round(options.months * DAYS_PER_MONTH), time.perf_counter()
    first = datetime.now(UTC) - timedelta(days=days)
    rhythm = {"every": options.every, "daily_days": options.daily_days or days}
    with connect(settings) as connection:
        connection.transaction_settings = settings.transaction_settings(
            timeout_seconds=LONGEST_STATEMENT_SECONDS, read_only=False
        )
        instance.add_dynamic_partitions("orgs", prepare(connection, options.orgs, options.shards))
        for number, removed in let_days_pass(connection, settings, first, days, **rhythm):
            total = sum(size.on_disk_bytes for size in sizes(connection))
            seconds = time.perf_counter() - started
            print(f"day {number:4}: {total / 1e6:8,.0f} MB, {removed:9,} rows removed, {seconds:6.0f} s", flush=True)
        print(f"\n{'table':28}{'rows':>12}{'MB':>9}")
        for table, on_disk_bytes, rows in sizes(connection)[:6]:
            print(f"{table:28}{rows:12,}{on_disk_bytes / 1e6:9,.0f}")
        print(f"{'all tables':40}{total / 1e6:9,.0f}; the goal is {GOAL_BYTES / 1e6:,.0f}")


@contextmanager
def _webserver(settings: Settings, environment: dict[str, str]) -> Iterator[str]:
    """Run the code server and the webserver; yield the webserver's token once both answer."""
    code = ["dagster", "api", "grpc", "-m", "leadscore_assets.definitions", "-h", HOST]
    pages = ["leadscore_assets.webserver", "-w", str(PROJECT_ROOT / "workspace.yaml"), "-h", HOST]
    servers = [
        Child(name, [sys.executable, "-m", *command, "-p", str(port)], environment, settings.state_dir / f"{name}.log")
        for name, command, port in (("code", code, settings.code_server_port), ("pages", pages, settings.dagster_port))
    ]
    try:
        _wait(environment, servers)
        yield environment["DAGSTER_TOKEN"]
    finally:
        stop_all(servers)


def _wait(environment: dict[str, str], servers: list[Child]) -> None:
    query = {"query": "{ workspaceOrError { ... on Workspace { locationEntries { loadStatus } } } }"}
    headers = {"Authorization": f"Bearer {environment['DAGSTER_TOKEN']}"}
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        for server in servers:
            server.raise_if_ended()
        with suppress(urllib3.exceptions.HTTPError):
            answer = urllib3.request("POST", f"{environment['DAGSTER_URL']}/graphql", json=query, headers=headers)
            if b'"LOADED"' in answer.data:
                return
        time.sleep(0.5)
    raise RuntimeError("Dagster's servers did not start")


if __name__ == "__main__":
    main()
