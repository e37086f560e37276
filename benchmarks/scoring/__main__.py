"""What the daily work for all orgs costs: `python -m benchmarks.scoring [--orgs 1000] [--leads 1000]`.

On a server that flushes its writes, with as many closed leads and 8 messages a lead. Each line is a scoring of all
orgs by Dagster's runs, one process for each shard, with their start, contributions and trends: the first one; a repeat
at the same time; an ordinary day later; and a full scoring of that day, which writes nothing when the one before was
right. The last line compares scores with outcomes. CPU is that of the runs, DB CPU that of PostgreSQL, WAL what it
wrote to its log, memory the largest process, connections the most that were open at once, and `Dagster kB` by how much
Dagster's tables grew for each org.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.database_cpu import database_cpu_seconds
from benchmarks.scoring.harness.large_crm import fill, let_a_day_pass
from benchmarks.serving.harness.registries import trained, with_many_orgs
from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.lanes.proof import proof_config
from leadscore_assets.lanes.scoring import shard_config
from leadscore_assets.source.database import Connection, connect
from standalone.crm import create_tables
from standalone.postgres import EmbeddedPostgres
from standalone.state_dir import child_environment
from standalone.throwaway import free_port, new_database

RECORDS = 1_500
HEADINGS = (
    *("what", "seconds", "CPU s", "DB CPU s", "leads/s", "rows written", "WAL MB", "memory MB", "connections"),
    "Dagster kB",
)
DAY = timedelta(days=1)
WRITTEN = """
SELECT sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint FROM pg_stat_user_tables
WHERE schemaname = 'leadscore' AND relname NOT LIKE 'lead_score_history'
"""
CONNECTIONS = """
SELECT count(*) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND datname = current_database() AND pid <> pg_backend_pid()
"""
BYTES = """
SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
WHERE relkind = 'r' AND relnamespace = %s::regnamespace
"""
SAMPLE_SECONDS = 0.1


class Job(NamedTuple):
    """A job of Dagster's, and what makes the configuration of one of its shards."""

    name: str
    config_of: Callable[..., dict[str, Any]]


SCORING, COMPARISON = Job("score_open_leads", shard_config), Job("judge_scores", proof_config)


def main() -> None:
    """Print a line for each scoring, and one for the comparison."""
    options = _options()
    with _server(options.orgs) as settings, connect(settings) as connection:
        now = datetime.now(UTC).replace(microsecond=0) - 2 * DAY
        started = time.perf_counter()
        fill(connection, options.orgs, options.leads, now)
        print(f"{options.orgs:,} orgs with {options.leads:,} open leads each, made in {_since(started):.0f} s")
        print("".join(f"{name:>14}" for name in HEADINGS))
        _measure(connection, settings, options, "first", now)
        _measure(connection, settings, options, "repeat", now)
        let_a_day_pass(connection, now + DAY)
        _measure(connection, settings, options, "next day", now + DAY)
        _measure(connection, settings, options, "full", now + DAY, is_full=True)
        _measure(connection, settings, options, "compared", now + DAY, job=COMPARISON)
        ours = _value(connection, BYTES, "leadscore") / (options.orgs * options.leads)
        print(f"Leadscore's own tables have {ours:,.0f} bytes for each open lead.")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scoring", description=__doc__)
    parser.add_argument("--orgs", type=int, default=1_000)
    parser.add_argument("--leads", type=int, default=1_000, help="open leads of each org")
    parser.add_argument("--shards", type=int, default=2)
    return parser.parse_args()


@contextmanager
def _server(orgs: int) -> Iterator[Settings]:
    """Yield settings for an empty CRM on a server of its own, and a registry with a model for each org."""
    with tempfile.TemporaryDirectory(prefix="leadscore-") as name:
        folder = Path(name)
        like = trained(folder / "one", RECORDS)
        with_many_orgs(folder / "models", like, orgs)
        with EmbeddedPostgres(folder / "cluster", free_port(), secrets.token_hex(8)) as server:
            settings = replace(new_database(server, "crm"), model_path=folder / "models", state_dir=folder / "state")
            settings.state_dir.mkdir()
            set_up(settings)
            with connect(settings) as connection:
                create_tables(connection)
            yield settings


def _measure(
    connection: Connection,
    settings: Settings,
    options: argparse.Namespace,
    what: str,
    as_of: datetime,
    *,
    job: Job = SCORING,
    **config: Any,
) -> None:
    position, written = _value(connection, "SELECT pg_current_wal_lsn()"), _rows_written(connection)
    dagster, cpu = _value(connection, BYTES, "dagster"), _cpu_seconds()
    database_cpu = database_cpu_seconds(connection)
    started = time.perf_counter()
    with _most_connections(settings) as most:
        _run(job, settings, options.shards, as_of, **config)
    seconds = _since(started)
    wal = _value(connection, "SELECT pg_current_wal_lsn() - %s::pg_lsn", position)
    leads = _value(connection, "SELECT sum(scored) FROM leadscore.last_scoring")
    figures = (
        f"{seconds:.0f}",
        f"{_cpu_seconds() - cpu:.0f}",
        f"{database_cpu_seconds(connection) - database_cpu:.0f}",
        f"{leads / seconds:,.0f}",
        f"{_rows_written(connection) - written:,}",
        f"{wal / 1_000_000:,.0f}",
        f"{resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024:,}",
        f"{max(most)}",
        f"{(_value(connection, BYTES, 'dagster') - dagster) / 1_000 / options.orgs:.1f}",
    )
    print("".join(f"{cell:>14}" for cell in (what, *figures)), flush=True)


@contextmanager
def _most_connections(settings: Settings) -> Iterator[list[int]]:
    """Yield a list that grows by how many connections the runs have open, while the block runs."""
    found, ended = [0], threading.Event()

    def sample() -> None:
        with connect(settings) as connection:
            while not ended.wait(SAMPLE_SECONDS):
                found.append(_value(connection, CONNECTIONS) - 1)  # the benchmark's own

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield found
    finally:
        ended.set()
        sampler.join()


def _cpu_seconds() -> float:
    """Return the CPU time of the runs that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _rows_written(connection: Connection) -> int:
    """Return how many rows of our tables were ever inserted, updated or deleted; the processes that wrote are gone."""
    connection.execute("SELECT pg_stat_force_next_flush(), pg_stat_clear_snapshot()")
    return int(_value(connection, WRITTEN))


def _run(job: Job, settings: Settings, shards: int, as_of: datetime, **config: Any) -> None:
    """Run every shard in a process of its own, as Dagster's launcher does, and wait for all."""
    environment = child_environment(settings, os.environ)
    processes = []
    for shard in range(shards):
        run_config = job.config_of(shard=shard, shards=shards, as_of=as_of.isoformat(), **config)
        command = [sys.executable, "-m", "dagster", "job", "execute", "-m", "leadscore_assets.definitions"]
        config_file = settings.state_dir / f"shard-{shard}.json"
        config_file.write_text(json.dumps(run_config))
        command += ["-j", job.name, "-c", str(config_file)]
        log = (settings.state_dir / f"shard-{shard}.log").open("w")
        processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT))
    for shard, process in enumerate(processes):
        if process.wait():
            sys.exit((settings.state_dir / f"shard-{shard}.log").read_text()[-3_000:])


def _value(connection: Connection, query: str, *parameters: Any) -> Any:
    (value,) = connection.execute(query.encode(), parameters).fetchone() or (None,)
    return value


def _since(started: float) -> float:
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
