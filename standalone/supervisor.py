"""One run of the whole system: sets everything up, starts the parts in order, watches them, and stops them."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from types import FrameType
from typing import Any

from rich.console import Console

from leadscore.errors import CannotRun, ControlPlaneHeld, LeadscoreError
from leadscore.records import window_from
from leadscore.registry.store import Registry
from leadscore.settings import PROJECT_ROOT, Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.commands.upgrade_dagster import has_dagster_tables
from leadscore_assets.due_orgs import training_needs
from leadscore_assets.source.control_plane import Lease, held
from leadscore_assets.source.database import connect
from leadscore_assets.source.extraction import check_sql
from serving.dependencies.dagster_client import DagsterClient
from serving.server.startup import check_tokens
from standalone.api import Api, Outcome, token_of_a_start, train_orgs
from standalone.crm_source import create_source_table, fill_crm, given_crm
from standalone.first_scoring import orgs_to_score, refresh_health, score_orgs
from standalone.first_trainings import in_one_line, pooled_first, split_by_need
from standalone.log_files import LogLimits
from standalone.postgres import HOST, EmbeddedPostgres
from standalone.processes import Child, stop_all, wait_until
from standalone.restarts import Restarted
from standalone.screen import Mark, Progress, Screen
from standalone.showcase import first_call_list, print_call_list
from standalone.state_dir import (
    accepts_connections,
    check_ports,
    child_environment,
    end_orphans,
    has_own_database,
    kept_password,
    locked,
    with_embedded_database,
    with_own_folders,
)

START_SECONDS = 180.0
WATCH_SECONDS = 0.5
RECOUNT_SECONDS = 5.0
CODE_SERVER = (
    *("dagster", "api", "grpc", "-m", "leadscore_assets.definitions", "-d", str(PROJECT_ROOT)),
    "--use-python-environment-entry-point",
)
# Runs are processes of the code server: this ends those that an earlier one left behind, and may then become another.
RUN_ENDER = "leadscore_assets.commands.end_interrupted_runs"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Stop(BaseException):
    """Ctrl-C or another signal to stop."""


class Run:
    """The steps of a run, in order. Each step reports on the console, and registers its clean-up."""

    def __init__(self, settings: Settings, environment: Mapping[str, str], console: Console) -> None:
        self.settings = with_own_folders(settings, environment)
        self.environment = environment
        self.screen = Screen(console)
        self.api = Api(settings.local_address)
        self.dagster = DagsterClient(self.settings.dagster_url)
        self._log_limits = LogLimits(settings.log_file_bytes, settings.log_files)
        self.server: Child | None = None
        self.lease: Lease | None = None
        self.restarted: list[Restarted] = []

    def stay(self) -> None:
        """Start everything, and watch it until an error or a signal.

        Raises LeadscoreError, after printing it, when a part cannot start, or when the HTTP server dies, because leads
        are not scored without it. Every other part that dies later is started again, and Dagster is stopped when
        another control plane takes the database.
        """
        with ExitStack() as stack:
            try:
                self._bring_up(stack)
                while True:
                    self._watch()
                    time.sleep(WATCH_SECONDS)
            except LeadscoreError as error:
                self._fail(error)
                raise
            finally:
                _set_signals(signal.SIG_IGN)  # a second Ctrl-C shall not leave anything behind
                if self.server:
                    self.screen.say("Stopping ...")

    def _bring_up(self, stack: ExitStack) -> None:
        check_tokens(self.settings)  # before anything is started for a server that refuses to
        stack.enter_context(locked(self.settings.state_dir))
        orphans = end_orphans(self.settings.state_dir)
        if orphans:
            self.screen.done("Clean-up", f"ended {orphans} processes of a run that was killed")
        self._start_database(stack)
        with self.screen.step("CRM") as note:
            note(self._prepare_crm(stack))
        self._start_servers(stack)
        with token_of_a_start(self.settings) as token:
            self.api = Api(self.settings.local_address, token)
            self._train()
            self._score()
            refresh_health(self.settings)
            self._show()

    def _start_database(self, stack: ExitStack) -> None:
        settings = self.settings
        ports = {
            "PORT": (settings.host, settings.port),
            "DAGSTER_PORT": (HOST, settings.dagster_port),
            "CODE_SERVER_PORT": (HOST, settings.code_server_port),
        }
        if not has_own_database(self.environment):
            check_ports(ports)
            where = f"{settings.db_host}:{settings.db_port}"
            self.screen.done("PostgreSQL", f"uses the server at {where}, which DB_HOST names")
            return
        with self.screen.step("PostgreSQL") as note:
            password = kept_password(settings.state_dir)
            folder, limits = settings.state_dir / "postgres", self._log_limits
            database = EmbeddedPostgres(folder, settings.embedded_db_port, password, log_limits=limits)
            database.stop_orphan()
            check_ports({**ports, "EMBEDDED_DB_PORT": (HOST, settings.embedded_db_port)})
            stack.enter_context(database)
            self.restarted.append(Restarted(database, database.launch, database.is_ready, self.screen.say))
            database.create_database(settings.db_name)
            self.settings = with_embedded_database(settings, password)
            note(f"at {HOST}:{settings.embedded_db_port}, in {database.data_dir}")

    def _prepare_crm(self, stack: ExitStack) -> str:
        check_sql(self.settings)
        is_own = has_own_database(self.environment)
        # a wrong database, or another run's, is refused before anything of ours is made in it
        given = None if is_own else given_crm(self.settings)
        self.lease = stack.enter_context(held(self.settings, is_sole=is_own))
        if upgraded := set_up(self.settings):
            self.screen.say(upgraded)
        if given:
            return given
        with connect(self.settings) as connection:
            create_source_table(connection)
            return fill_crm(connection, self.settings)

    def _start_servers(self, stack: ExitStack) -> None:
        settings, environment = self.settings, child_environment(self.settings, self.environment)
        self.dagster = DagsterClient(environment["DAGSTER_URL"], environment["DAGSTER_TOKEN"])
        workspace = ["-w", str(PROJECT_ROOT / "workspace.yaml")]

        def start(name: str, *command: str, port: int | None = None, again_by: Sequence[str] = ()) -> None:
            arguments = [*command, *(["-h", HOST, "-p", str(port)] if port else [])]
            answers = partial(accepts_connections, HOST, port) if port else None
            again = partial(self._child, name, environment, *again_by, *arguments)
            child = self._child(name, environment, *arguments)
            self.restarted.append(Restarted(child, again, answers, self.screen.say))
            if answers:
                self._wait_until(answers, name)

        stack.callback(self._stop_servers)
        self.server = self._child("HTTP server", environment, "serving")  # it needs nothing else to start
        with self.screen.step("Dagster") as note:
            with self._interrupted_runs_ended(environment):
                start("code server", *CODE_SERVER, port=settings.code_server_port, again_by=(RUN_ENDER, "-m"))
            start("Dagster daemon", "dagster._daemon", "run", *workspace)
            start("Dagster webserver", "leadscore_assets.webserver", *workspace, port=settings.dagster_port)
            note(environment["DAGSTER_URL"])
        with self.screen.step("HTTP server") as note:
            self._wait_until(self.api.is_ready, "HTTP server")
            note(self.api.address)

    def _stop_servers(self) -> None:
        """Stop the servers, and the training runs with them; the database goes on until they have ended."""
        parts = (self.server, *(part.process for part in self.restarted))
        stop_all([part for part in parts if isinstance(part, Child)], self.screen.say)

    @contextmanager
    def _interrupted_runs_ended(self, environment: Mapping[str, str]) -> Iterator[None]:
        """End the runs that an earlier code server left behind, while the block starts a new code server.

        Whichever process of Dagster comes first makes its tables, and two that do so at once may fail. On a new
        database the clean-up is therefore done before the block.
        """
        with connect(self.settings, read_only=True) as connection, connection.transaction():
            is_new = not has_dagster_tables(connection)
        ending = self._child("clean-up of interrupted runs", environment, RUN_ENDER)
        try:
            if is_new:
                ending.wait_for_success(START_SECONDS)
            yield
            ending.wait_for_success(START_SECONDS)
        finally:
            ending.stop()

    def _child(self, name: str, environment: Mapping[str, str], *arguments: str) -> Child:
        log_path = self.settings.state_dir / "logs" / f"{name.replace(' ', '-')}.log"
        return Child(name, [sys.executable, "-m", *arguments], environment, log_path, self._log_limits)

    def _train(self) -> None:
        registry = Registry(self.settings.model_path)
        due, others = split_by_need(registry, training_needs(self.settings, registry, window_from(self.settings)))
        self.screen.list(_by_line(others), "not trained", "orgs")
        progress = Progress(len(due), "orgs")

        def ended(org_id: str, outcome: Outcome) -> None:
            progress.count()
            self.screen.tell(outcome.mark, f"Org {org_id}: {outcome.words}")

        def watch() -> None:
            self._watch()
            refresh()

        with self.screen.progress("Training", progress) as refresh:
            for together in pooled_first(due):
                train_orgs(self.api, together, ended, watch)

    def _score(self) -> None:
        """Score the open leads of the orgs whose model is new."""
        org_ids = orgs_to_score(self.settings)
        if not org_ids:
            return
        started = told = time.monotonic()
        progress = Progress(len(org_ids), "orgs")

        def watch() -> None:
            nonlocal told
            self._watch()
            if time.monotonic() - told > RECOUNT_SECONDS:
                progress.reach(len(org_ids) - len(orgs_to_score(self.settings)))
                told = time.monotonic()
            refresh()

        with self.screen.progress("Scoring the open leads", progress) as refresh:
            problem = score_orgs(self.dagster, org_ids, watch)
        if problem:
            self.screen.tell(Mark.FAILED, f"Open leads: not scored: {problem}")
        else:
            self.screen.done("Open leads", f"scored in {len(org_ids)} orgs ({time.monotonic() - started:.1f} s)")

    def _show(self) -> None:
        shown, reasons = first_call_list(self.api, self.settings)
        self.screen.list(_by_line(reasons), "no call list", "orgs")
        if shown:
            print_call_list(self.screen.console, self.api, shown)
        else:
            self.screen.say("There is no call list to show, because no org has open leads that a model scored.")
        self.screen.say(f"\nHTTP server  {self.api.address}/docs")
        self.screen.say(f"Dagster      http://{HOST}:{self.settings.dagster_port}")
        self.screen.say(f"Logs         {self.settings.state_dir / 'logs'}\nCtrl-C stops everything.")

    def _watch(self) -> None:
        """Look at every part once; one that died is started again. Raises CannotRun when the HTTP server died."""
        if self.lease and self.lease.is_lost:
            self._step_down(self.lease)
        if self.server:
            self.server.raise_if_ended()
        for part in self.restarted:
            part.watch()

    def _step_down(self, lease: Lease) -> None:
        """Stop Dagster, because another control plane has its database now. Leads are scored as before."""
        self.lease = None
        children = [part.process for part in self.restarted if isinstance(part.process, Child)]
        self.restarted = [part for part in self.restarted if not isinstance(part.process, Child)]
        stop_all(children, self.screen.say)
        try:
            lease.raise_if_lost()
        except ControlPlaneHeld as loss:
            self.screen.say(f"Dagster was stopped here; leads are scored as before. {loss.message}")

    def _wait_until(self, is_done: Callable[[], bool], what: str) -> None:
        """Return once `is_done`. Raises CannotRun when a part ends before that."""
        servers = [self.server] if self.server else []
        wait_until(is_done, [*servers, *(part.process for part in self.restarted)], what, START_SECONDS)

    def _fail(self, error: LeadscoreError) -> None:
        """Print why the run ends; when the HTTP server died, that is the reason."""
        try:
            if self.server:
                self.server.raise_if_ended()
        except CannotRun as death:
            error = death
        self.screen.tell(Mark.FAILED, error.message)


def _by_line(reasons: Mapping[str, str]) -> dict[str, str]:
    """Return the reasons by the orgs as they are named in a line."""
    return {f"Org {in_one_line(org_id)}": reason for org_id, reason in reasons.items()}


def run(settings: Settings, environment: Mapping[str, str]) -> int:
    """Run the whole system until Ctrl-C or SIGTERM; return the exit code, 1 when a part could not start or died."""
    console = Console()
    with _signals_kept():
        _set_signals(_raise_stop)
        try:
            Run(settings, environment, console).stay()
        except _Stop:
            console.print("Stopped.")
            return 0
        except LeadscoreError:
            return 1  # the run has printed why
        raise AssertionError("a run ends by a signal or an error only")


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Restore the handlers of the stop signals: a process started while they are ignored ignores them, too."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise_stop(_number: int, _frame: FrameType | None) -> None:
    raise _Stop


def _set_signals(handler: Callable[[int, FrameType | None], Any] | signal.Handlers) -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, handler)
