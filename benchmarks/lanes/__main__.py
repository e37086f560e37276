"""What a training costs in each lane: `python -m benchmarks.lanes [--orgs 50] [--single 4] [--shards 2]`.

Simulated orgs on a server that flushes its writes, and as many processes side by side in each lane. `bare loop` calls
the functions of the assets in processes without Dagster; half of its orgs come before the other lanes and half after,
so that what else the machine does disturbs all alike. `train_orgs` is the batched lane, a run for each shard, with
Dagster's tables in PostgreSQL. `again` trains the same orgs a second time, with champions to beat. `train` is a run for
each of a few orgs, which have champions.

CPU is that of the processes; that of the batched lane is without the start of its runs (imports, Dagster), which is
shown beside it: it is what runs of many orgs take beyond runs of an org each. `/ bare` is the ratio with the bare loop
of the same run. DB CPU is PostgreSQL's, memory the largest process, and `Dagster kB` by how much Dagster's tables grew
for an org. Above DISTINCT orgs, the others are copies under other ids.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.database_cpu import database_cpu_seconds
from benchmarks.throwaway_crm import SIMULATED_AT
from leadscore.settings import PROJECT_ROOT, Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.lanes.training import training_config
from leadscore_assets.source.database import Connection, connect
from leadscore_assets.trainings.work_list import Batch, add_batch
from standalone.crm import create_tables
from standalone.orgs import equal_orgs
from standalone.postgres import EmbeddedPostgres
from standalone.simulator import into_database, simulate
from standalone.state_dir import child_environment
from standalone.throwaway import free_port, new_database

BARE_LOOP = PROJECT_ROOT / "benchmarks" / "models" / "harness" / "bare_loop.py"
DISTINCT = 50
SEED = 3
# an id of a copy is that of the original plus a multiple of this
IDS_APART = 10_000_000
COPIES = (
    """
    INSERT INTO annonce (id, org_id, title, status, price, photos_json, created_at)
    SELECT id + %(by)s, %(prefix)s || org_id, title, status, price, photos_json, created_at
    FROM annonce WHERE id < %(apart)s
    """,
    """
    INSERT INTO dossier (id, org_id, annonce_id, status, created_at, updated_at)
    SELECT id + %(by)s, %(prefix)s || org_id, annonce_id + %(by)s, status, created_at, updated_at
    FROM dossier WHERE id < %(apart)s
    """,
    """
    INSERT INTO dossier_status_history (id, org_id, dossier_id, from_status, to_status, transitioned_at)
    SELECT id + %(by)s, %(prefix)s || org_id, dossier_id + %(by)s, from_status, to_status, transitioned_at
    FROM dossier_status_history WHERE id < %(apart)s
    """,
    """
    INSERT INTO message (id, org_id, dossier_id, direction, timestamp)
    SELECT id + %(by)s, %(prefix)s || org_id, dossier_id + %(by)s, direction, timestamp
    FROM message WHERE id < %(apart)s
    """,
    """
    INSERT INTO appointment (id, org_id, dossier_id, start_time, end_time, status, created_at, updated_at)
    SELECT id + %(by)s, %(prefix)s || org_id, dossier_id + %(by)s, start_time, end_time, status, created_at, updated_at
    FROM appointment WHERE id < %(apart)s
    """,
    """
    INSERT INTO lead_score (id, org_id, dossier_id, source_score)
    SELECT id + %(by)s, %(prefix)s || org_id, dossier_id + %(by)s, source_score FROM lead_score WHERE id < %(apart)s
    """,
)
HEADINGS = (
    *("lane", "orgs", "seconds", "CPU s an org", "/ bare", "start CPU s", "DB CPU s an org", "memory MB"),
    "Dagster kB an org",
)
FAILED = "SELECT org_id, reasons FROM leadscore.ended_training WHERE status = 'failed'"
ADD_PARTITION = "INSERT INTO dagster.dynamic_partitions (partitions_def_name, partition) VALUES ('orgs', %s)"
DAGSTERS_BYTES = """
SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'dagster'::regnamespace
"""


@dataclass(frozen=True)
class Used:
    """What some processes took together, and the memory of the largest in bytes; seconds are those of the clock."""

    orgs: int
    seconds: float
    cpu_seconds: float
    database_cpu_seconds: float
    memory: int
    dagster_bytes: int = 0
    start_cpu_seconds: float = 0.0

    def __add__(self, other: Used) -> Used:
        return Used(
            self.orgs + other.orgs,
            self.seconds + other.seconds,
            self.cpu_seconds + other.cpu_seconds,
            self.database_cpu_seconds + other.database_cpu_seconds,
            max(self.memory, other.memory),
            self.dagster_bytes + other.dagster_bytes,
        )


def main() -> None:
    """Print a line for each lane."""
    options = _options()
    with _crm(options.orgs, options.leads) as (settings, org_ids), connect(settings) as connection:
        lanes = _Lanes(settings, connection, options.shards)
        half = options.bare // 2
        bare, bare_again = lanes.bare(org_ids[:half])
        batched = lanes.batched(org_ids)
        batched_again = lanes.batched(org_ids) if options.twice else None
        single = lanes.single(org_ids[: options.single]) if options.single else None
        more, more_again = lanes.bare(org_ids[half : options.bare])
        bare, bare_again = bare + more, bare_again + more_again
        rows = [
            ("bare loop", bare, bare),
            ("bare loop again", bare_again, bare_again),
            ("train_orgs", batched, bare),
            ("train_orgs again", batched_again, bare_again),
            ("train", single, bare_again),
        ]
        Console(width=130).print(_table(rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.lanes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--orgs", type=int, default=50)
    parser.add_argument("--leads", type=int, default=1_500, help="leads of each org")
    parser.add_argument("--bare", type=int, default=16, help="orgs of the bare loop")
    parser.add_argument("--single", type=int, default=4, help="orgs that are trained in runs of their own")
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--once", dest="twice", action="store_false", help="do not train the orgs of the batch again")
    return parser.parse_args()


@contextmanager
def _crm(orgs: int, leads: int) -> Iterator[tuple[Settings, list[str]]]:
    with tempfile.TemporaryDirectory(prefix="leadscore-") as name:
        folder = Path(name)
        with EmbeddedPostgres(folder / "cluster", free_port(), secrets.token_hex(8)) as server:
            settings = replace(new_database(server, "crm"), model_path=folder / "models", state_dir=folder / "state")
            settings.state_dir.mkdir()
            set_up(settings)
            with connect(settings) as connection:
                create_tables(connection)
                yield settings, _fill(connection, orgs, leads)


def _fill(connection: Connection, orgs: int, leads: int) -> list[str]:
    """Simulate the orgs, or some of them and make copies of these; return their ids."""
    originals = equal_orgs(min(orgs, DISTINCT), leads, 8.0)
    into_database(connection, simulate(originals, seed=SEED, now=SIMULATED_AT))
    org_ids = [org.org_id for org in originals]
    for copy in range(1, -(-orgs // DISTINCT)):
        prefix = f"copy-{copy:03d}-"
        for statement in COPIES:
            connection.execute(statement.encode(), {"by": copy * IDS_APART, "prefix": prefix, "apart": IDS_APART})
        org_ids += [f"{prefix}{org.org_id}" for org in originals]
    connection.execute("ANALYZE")
    return org_ids[:orgs]


class _Lanes:
    """Runs the lanes on one CRM."""

    def __init__(self, settings: Settings, connection: Connection, shards: int) -> None:
        self._settings, self._connection, self._shards = settings, connection, shards

    def bare(self, org_ids: Sequence[str]) -> tuple[Used, Used]:
        """Train the orgs in loops without Dagster, side by side, then all of them again; their seconds are of both.

        Each loop trains its first org before, too, to warm up.
        """
        settings = replace(self._settings, model_path=self._settings.state_dir / "bare")
        command = [sys.executable, str(BARE_LOOP), SIMULATED_AT.isoformat()]
        shares = [org_ids[shard :: self._shards] for shard in range(self._shards)]
        logs = [self._log() for _ in shares]

        def start() -> list[subprocess.Popen[str]]:
            texts = [[share[-1], *share, *share] for share in shares]
            return [self._process(settings, command, log, text) for text, log in zip(texts, logs, strict=True)]

        used = self._measured(len(org_ids), start)
        first, again = 0.0, 0.0
        for log, share in zip(logs, shares, strict=True):
            cpu = [sum(json.loads(line).values()) for line in log.read_text().splitlines()[1:]]
            first, again = first + sum(cpu[: len(share)]), again + sum(cpu[len(share) :])
        return replace(used, cpu_seconds=first), replace(used, cpu_seconds=again)

    def batched(self, org_ids: Sequence[str]) -> Used:
        """Train the orgs in runs that take them from the work list, after runs of an org each, which show the start."""
        self._measured(0, lambda: self._processes([self._shard_command()]))  # Dagster makes its tables
        first = self._batch(org_ids[: self._shards])
        used = self._batch(org_ids)
        if found := self._connection.execute(FAILED).fetchall():
            sys.exit(f"{len(found)} trainings failed: {found[0]}")
        per_org = (used.cpu_seconds - first.cpu_seconds) / (used.orgs - first.orgs)
        start = used.cpu_seconds - per_org * used.orgs
        return replace(used, cpu_seconds=per_org * used.orgs, start_cpu_seconds=start / self._shards)

    def _batch(self, org_ids: Sequence[str]) -> Used:
        add_batch(self._connection, Batch("benchmark", SIMULATED_AT), org_ids)
        return self._measured(len(org_ids), self._shard_processes)

    def single(self, org_ids: Sequence[str]) -> Used:
        """Train each org in a run of its own, as many side by side as there are shards."""
        for org_id in org_ids:
            self._connection.execute(ADD_PARTITION, [org_id])
        config = self._config({"ops": {"conversion_records": {"config": {"as_of": SIMULATED_AT.isoformat()}}}})
        used = Used(0, 0.0, 0.0, 0.0, 0)
        for first in range(0, len(org_ids), self._shards):
            together = org_ids[first : first + self._shards]
            commands = [
                [*_dagster("train"), "--tags", json.dumps({"dagster/partition": org_id}), "-c", config]
                for org_id in together
            ]
            used += self._measured(len(together), partial(self._processes, commands))
        return used

    def _shard_processes(self) -> list[subprocess.Popen[str]]:
        return self._processes([self._shard_command()] * self._shards)

    def _shard_command(self) -> list[str]:
        return [*_dagster("train_orgs"), "-c", self._config(training_config(adds_orgs=False))]

    def _config(self, config: object) -> str:
        path = self._settings.state_dir / f"{secrets.token_hex(4)}.json"
        path.write_text(json.dumps(config))
        return str(path)

    def _log(self) -> Path:
        return self._settings.state_dir / f"{secrets.token_hex(4)}.log"

    def _processes(self, commands: Sequence[list[str]]) -> list[subprocess.Popen[str]]:
        return [self._process(self._settings, command, self._log()) for command in commands]

    def _process(
        self, settings: Settings, command: list[str], log: Path, lines: Sequence[str] = ()
    ) -> subprocess.Popen[str]:
        given = log.with_suffix(".in")
        given.write_text("".join(f"{line}\n" for line in lines))
        environment = {**child_environment(settings, os.environ), "PYTHONPATH": str(PROJECT_ROOT)}
        with given.open() as read, log.open("w") as written:
            return subprocess.Popen(
                command, env=environment, stdin=read, stdout=written, stderr=subprocess.STDOUT, text=True
            )

    def _measured(self, orgs: int, start: Callable[[], list[subprocess.Popen[str]]]) -> Used:
        """Start the processes, wait for all, and return what they took."""
        database_cpu, dagster = database_cpu_seconds(self._connection), self._dagster_bytes()
        started = time.perf_counter()
        cpu, memory = 0.0, 0
        for process in start():
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                logs = "\n".join(log.read_text()[-2_000:] for log in self._settings.state_dir.glob("*.log"))
                sys.exit(f"a process ended with {process.returncode}:\n{logs}")
            cpu += usage.ru_utime + usage.ru_stime
            memory = max(memory, usage.ru_maxrss * 1024)
        return Used(
            orgs,
            time.perf_counter() - started,
            cpu,
            database_cpu_seconds(self._connection) - database_cpu,
            memory,
            self._dagster_bytes() - dagster,
        )

    def _dagster_bytes(self) -> int:
        [(size,)] = self._connection.execute(DAGSTERS_BYTES).fetchall()
        return int(str(size))


def _dagster(job: str) -> list[str]:
    return [sys.executable, "-m", "dagster", "job", "execute", "-m", "leadscore_assets.definitions", "-j", job]


def _table(rows: Sequence[tuple[str, Used | None, Used]]) -> Table:
    """Return a row for each lane that ran, compared with the bare loop beside it."""
    table = Table(title=f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} processors")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "lane" else "right")
    for name, used, bare in rows:
        if used is None:
            continue
        cpu = used.cpu_seconds / used.orgs
        table.add_row(
            name,
            f"{used.orgs:,}",
            f"{used.seconds:,.0f}",
            f"{cpu:.2f}",
            f"{cpu / (bare.cpu_seconds / bare.orgs):.2f}",
            f"{used.start_cpu_seconds:.1f}",
            f"{used.database_cpu_seconds / used.orgs:.2f}",
            f"{used.memory / 1_000_000:,.0f}",
            f"{used.dagster_bytes / 1_000 / used.orgs:.1f}",
        )
    return table


if __name__ == "__main__":
    main()
