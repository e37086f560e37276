"""The command line: `python -m standalone run`, `simulate`, `rebuild`, `erase`, `backup`, `accept-org` and the like."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from leadscore import VERSION
from leadscore.errors import CannotRun, LeadscoreError
from leadscore.settings import Settings, parse_time, read_settings
from leadscore.tokens import EVERY_ORG
from standalone.crm_source import simulate_into
from standalone.orgs import DEMO_ORGS, Org, equal_orgs
from standalone.simulator import into_folder, simulate

TRAIN_NEXT = (
    "start Leadscore on this database, if it does not run yet: `make run` with the same DB_* settings, which trains the"
    " orgs, or `docker compose up --detach`. Then train an org at any time by POST /api/v1/model/train, or in Dagster."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` (the process's own unless given) name; return the exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        return int(chosen.command(chosen))
    except LeadscoreError as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m standalone", description="The whole system on one machine.")
    parser.add_argument("--version", action="version", version=f"leadscore {VERSION}")
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run", help="set everything up, start it, and run until Ctrl-C")
    run.set_defaults(command=_run)
    made = commands.add_parser("simulate", help="simulate a CRM of any size", description=_simulate.__doc__)
    made.set_defaults(command=_simulate)
    made.add_argument("--orgs", type=_count, metavar="N", help="make N orgs of equal size instead of the demo's six")
    made.add_argument("--leads", type=_count, metavar="N", help="leads per org (with --orgs; default 1000)")
    made.add_argument(
        "--messages-per-lead", type=float, metavar="X", help="average messages per lead (with --orgs; default 8)"
    )
    made.add_argument("--history-days", type=_count, metavar="D", help="days of history (with --orgs; default 365)")
    made.add_argument("--seed", type=int, default=1, help="seed; each seed gives another CRM (default %(default)s)")
    made.add_argument("--now", type=_moment, metavar="TIME", help="end of the history, ISO 8601, UTC (default: now)")
    target = made.add_mutually_exclusive_group(required=True)
    target.add_argument(
        "--into-database", action="store_true", help="load it into the database that DB_* name; it must not hold a CRM"
    )
    target.add_argument("--into-folder", type=Path, metavar="DIR", help="write the files that CRM_DATA can name")
    again = commands.add_parser("rebuild", help="train a version again and compare its files, byte for byte")
    again.set_defaults(command=_rebuild)
    again.add_argument("org", help="the org's id")
    again.add_argument("version", help="the version's id, 14 digits")
    stands = commands.add_parser("status", help="show how the system stands, while `run` goes on, and what to do")
    stands.set_defaults(command=_status)
    gone = commands.add_parser("erase", help="erase an org, or some of its leads, at once, while `run` goes on")
    gone.set_defaults(command=_erase)
    gone.add_argument("--org", required=True, metavar="ORG", help="the org's id")
    gone.add_argument("--lead", nargs="+", action="extend", default=[], metavar="LEAD", help="ids of its leads alone")
    gone.add_argument("--models", action="store_true", help="also the org's versions, reports, pointer and history")
    gone.add_argument("--yes", action="store_true", help="do not ask before --models removes anything")
    _add_org_commands(commands)
    for name, does in (
        ("backup", "save the registry, the tokens and the database into FILE, also while `run` goes on"),
        ("restore", "restore FILE into a STATE_DIR without data, while `run` does not go on"),
    ):
        command = commands.add_parser(name, help=does, description=does)
        command.set_defaults(command=_backup, name=name)
        command.add_argument("file", metavar="FILE", help="the backup's file; - for standard output or input")
        command.add_argument("--without-database", action="store_true", help="the registry and the tokens alone")
    return parser


def _add_org_commands(commands: Any) -> None:
    accepted = commands.add_parser(
        "accept-org", help="say whose an org's id is, once the leads by which it was known are gone"
    )
    accepted.set_defaults(command=_accept_org)
    accepted.add_argument("org", help=f"the org's id; {EVERY_ORG} for every org that has changed, with `same`")
    accepted.add_argument("whose", choices=("same", "new"), help="whether it is the same customer's or another one's")
    accepted.add_argument("--yes", action="store_true", help="with `new`, also when the org has not changed")
    graded = commands.add_parser("set-grades", help="set how an org's leads are graded")
    graded.set_defaults(command=_set_grades)
    graded.add_argument("org", help="the org's id")
    graded.add_argument("--capacity", metavar="LEADS", help="new leads that the org can call in a week")
    renamed = commands.add_parser("rename-org", help="move everything of an org to the id that it has now")
    renamed.set_defaults(command=_rename_org)
    renamed.add_argument("org", help="the id that the org had")
    renamed.add_argument("new", help="the id that the org has now")


def _run(_: argparse.Namespace) -> int:
    # Imported here: the simulator's users need not wait for the training's libraries.
    from standalone.supervisor import run  # noqa: PLC0415  # the line above

    return run(read_settings(), os.environ)


def _simulate(chosen: argparse.Namespace) -> int:
    """Simulate a realistic CRM of any size; by default, the demo's six orgs."""
    tables = simulate(_orgs(chosen), seed=chosen.seed, now=chosen.now or datetime.now(UTC))
    if chosen.into_folder:
        rows = into_folder(chosen.into_folder, tables)
    else:
        with _connect(read_settings()) as connection:
            rows = simulate_into(connection, tables)
    for table, count in rows.items():
        print(f"{table:<24}{count:>12,}")
    print(f"\nNext: {f'make run CRM_DATA={chosen.into_folder}' if chosen.into_folder else TRAIN_NEXT}")
    return 0


def _rebuild(chosen: argparse.Namespace) -> int:
    """Rebuild a version of the system in STATE_DIR. The database need not run, because the version keeps its rows."""
    from leadscore_assets.commands import rebuild  # noqa: PLC0415  # the simulator's users need not wait for it

    return rebuild.main([chosen.org, chosen.version], _settings_of_the_run())


def _status(_: argparse.Namespace) -> int:
    """Show how the system in STATE_DIR stands; its database must run."""
    from leadscore_assets.commands import status  # noqa: PLC0415  # the simulator's users need not wait for it

    return status.main(_settings_of_the_run())


def _erase(chosen: argparse.Namespace) -> int:
    """Erase from the system in STATE_DIR, whose database must run."""
    from leadscore_assets.commands import erase  # noqa: PLC0415  # the simulator's users need not wait for it

    erase.erase(_settings_of_the_run(), chosen)
    return 0


def _accept_org(chosen: argparse.Namespace) -> int:
    """Say whose an org's id is in the system in STATE_DIR, whose database must run."""
    from leadscore_assets.commands import accept_org  # noqa: PLC0415  # the simulator's users need not wait for it

    which = ["--all"] if chosen.org == EVERY_ORG else ["--org", chosen.org]
    confirmed = ["--yes"] if chosen.yes else []
    return accept_org.main([*which, f"--{chosen.whose}", *confirmed], _settings_of_the_run())


def _rename_org(chosen: argparse.Namespace) -> int:
    """Rename an org in the system in STATE_DIR, whose database must run."""
    from leadscore_assets.commands import rename_org  # noqa: PLC0415  # the simulator's users need not wait for it

    return rename_org.main(["--from", chosen.org, "--to", chosen.new], _settings_of_the_run())


def _set_grades(chosen: argparse.Namespace) -> int:
    """Set how an org's leads are graded in the system in STATE_DIR, whose database must run."""
    from leadscore_assets.commands import set_grades  # noqa: PLC0415  # the simulator's users need not wait for it

    capacity = ["--capacity", chosen.capacity] if chosen.capacity else []
    return set_grades.main([chosen.org, *capacity], _settings_of_the_run())


def _settings_of_the_run() -> Settings:
    """Return the settings with which a command reaches the database and the models of `run`."""
    from standalone.state_dir import reached_from_outside  # noqa: PLC0415  # the simulator's users need not wait for it

    return reached_from_outside(read_settings(), os.environ)


def _backup(chosen: argparse.Namespace) -> int:
    """Save the system in STATE_DIR, or restore it."""
    from standalone import backup  # noqa: PLC0415  # the simulator's users need not wait for it

    does = {"backup": backup.save, "restore": backup.restore}[chosen.name]
    does(read_settings(), os.environ, chosen.file, without_database=chosen.without_database)
    return 0


def _connect(settings: Settings) -> psycopg.Connection:
    try:
        return psycopg.connect(**settings.database_arguments(), connect_timeout=5)
    except psycopg.OperationalError as error:
        raise CannotRun(
            f"PostgreSQL at {settings.db_host}:{settings.db_port} cannot be used: {error} Start it, or correct DB_HOST,"
            " DB_PORT, DB_NAME, DB_USER and DB_PASSWORD."
        ) from None


def _orgs(chosen: argparse.Namespace) -> Sequence[Org]:
    sizes = (chosen.leads, chosen.messages_per_lead, chosen.history_days)
    if chosen.orgs is None:
        if any(size is not None for size in sizes):
            raise SystemExit(
                "--leads, --messages-per-lead and --history-days need --orgs, because the demo's orgs have fixed sizes"
            )
        return DEMO_ORGS
    return equal_orgs(chosen.orgs, chosen.leads or 1_000, chosen.messages_per_lead or 8.0, chosen.history_days or 365)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 1")
    return number


def _moment(text: str) -> datetime:
    try:
        return parse_time(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an ISO 8601 date or time such as 2026-03-15") from None


if __name__ == "__main__":
    sys.exit(main())
