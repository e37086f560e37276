"""One control plane per database: a lease binds a daemon, Dagster's storage and a registry together.

The lease is a row of `leadscore.control_plane`. Its holder renews the heartbeat, by the database's clock. A lease whose
heartbeat is older than LEASE_SECONDS has expired, and the next start takes it. A row and short transactions also work
behind a connection pooler, where an advisory lock would belong to a session that other clients use.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from leadscore.control_plane import LEASE_SECONDS
from leadscore.errors import ControlPlaneHeld, LeadscoreError
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.source.database import TABLES_LOCK, Connection, connect, create_schema, explaining
from leadscore_assets.source.preconditions import check_database

RENEWAL_SECONDS = 5.0
RELEASE_SECONDS = 2.0
REMEDY = "Make DB_USER's role the owner of the schema leadscore and of everything in it."

TABLE = """
CREATE TABLE IF NOT EXISTS leadscore.control_plane (
    is_only       boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    holder        text NOT NULL,
    host          text NOT NULL,
    process_id    integer NOT NULL,
    registry_id   text NOT NULL,
    registry_path text NOT NULL,
    started_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    heartbeat_at  timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""
TAKE = """
INSERT INTO leadscore.control_plane AS present (holder, host, process_id, registry_id, registry_path)
VALUES (%(holder)s, %(host)s, %(process_id)s, %(registry_id)s, %(registry_path)s)
ON CONFLICT (is_only) DO UPDATE
SET holder = excluded.holder, host = excluded.host, process_id = excluded.process_id,
    registry_id = excluded.registry_id, registry_path = excluded.registry_path,
    started_at = excluded.started_at, heartbeat_at = excluded.heartbeat_at
WHERE %(is_sole)s OR present.heartbeat_at < clock_timestamp() - %(lease_seconds)s * interval '1 second'
RETURNING holder
"""
RENEW = "UPDATE leadscore.control_plane SET heartbeat_at = clock_timestamp() WHERE holder = %s RETURNING holder"
RELEASE = "DELETE FROM leadscore.control_plane WHERE holder = %s"
PRESENT = """
SELECT host, process_id, registry_id, registry_path, started_at,
    extract(epoch FROM clock_timestamp() - heartbeat_at)::float8
FROM leadscore.control_plane
"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holder:
    """The holder of a database's lease, and the time since its last heartbeat."""

    host: str
    process_id: int
    registry_id: str
    registry_path: str
    started_at: datetime
    silent_seconds: float

    @property
    def left_seconds(self) -> int:
        """The whole seconds until its lease expires, 0 once it has."""
        return max(0, round(LEASE_SECONDS - self.silent_seconds))

    @property
    def is_this_process(self) -> bool:
        """Whether this very process holds it."""
        return (self.host, self.process_id) == (socket.gethostname(), os.getpid())

    def __str__(self) -> str:
        since = f"{self.started_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        return f"process {self.process_id} on {self.host}, since {since}, with the registry {self.registry_path}"


class Claim(ABC):
    """The claim of one process to work for the control plane; `keep` renews it and notes when it is lost."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._loss: ControlPlaneHeld | None = None
        self._is_away = False

    @property
    def is_lost(self) -> bool:
        """Whether another control plane was seen to have taken over."""
        return self._loss is not None

    @abstractmethod
    def renew(self) -> None:
        """Look whether the claim still holds. Raises ControlPlaneHeld when it is lost, DatabaseUnavailable."""

    def raise_if_lost(self) -> None:
        """Raise ControlPlaneHeld when a renewal found that another control plane has taken over."""
        if self._loss:
            raise self._loss

    def keep(self, ended: threading.Event) -> None:
        """Renew the lease until `ended` is set, or the lease is lost. Keep trying while the database is unavailable."""
        while not ended.wait(RENEWAL_SECONDS):
            try:
                self.renew()
                self._is_away = False
            except ControlPlaneHeld as loss:
                self._loss = loss
                return
            except LeadscoreError as error:
                if not self._is_away:
                    _log.warning("the control plane's lease could not be renewed: %s", error.message)
                self._is_away = True


class Lease(Claim):
    """The claim of one process to be the control plane of the database."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._id = secrets.token_hex(16)

    def take(self, *, is_sole: bool = False) -> None:
        """Take the lease when it is free or has expired. Raises ControlPlaneHeld, DatabaseUnavailable.

        `is_sole` states that no other holder can be alive, because the database server is this run's own.
        """
        registry = Registry(self.settings.model_path)
        parameters = {
            "holder": self._id,
            "host": socket.gethostname(),
            "process_id": os.getpid(),
            "registry_id": registry.registry_id(),
            "registry_path": registry.place,
            "is_sole": is_sole,
            "lease_seconds": LEASE_SECONDS,
        }
        with self._transaction("taking the control plane") as connection:
            _create_table(connection)
            if connection.execute(TAKE, parameters).fetchone() is None:
                raise _refusal(self.settings, _present(connection))

    def renew(self) -> None:
        """Renew the heartbeat. Raises ControlPlaneHeld when another holder has taken over, DatabaseUnavailable."""
        with self._transaction("renewing the control plane's lease") as connection:
            if connection.execute(RENEW, [self._id]).fetchone() is None:
                raise _refusal(self.settings, _present(connection))

    def release(self) -> None:
        """Free the lease at once; do nothing when another holder has it. Raises DatabaseUnavailable.

        If the last renewal failed, the lease is left to expire, so that a stop does not wait for the database.
        """
        if self._is_away:
            return
        with self._transaction("freeing the control plane") as connection:
            connection.execute(RELEASE, [self._id])

    @contextmanager
    def _transaction(self, what: str) -> Iterator[Connection]:
        with connect(self.settings) as connection, explaining(what, REMEDY), connection.transaction():
            yield connection


class Membership(Claim):
    """The claim of a process that works for the control plane with its registry, and does not hold the lease."""

    def renew(self) -> None:
        """Look whether the claim still holds. Raises ControlPlaneHeld when it is lost, DatabaseUnavailable."""
        check_same_registry(self.settings, Registry(self.settings.model_path))


@contextmanager
def held(settings: Settings, *, is_sole: bool = False, wait_seconds: float = 0) -> Iterator[Lease]:
    """Hold the lease of the database while the block runs; the caller checks for its loss (`raise_if_lost`).

    `is_sole` is that of `Lease.take`; `wait_seconds` is how long to wait for another holder's lease. Raises
    ControlPlaneHeld when that holder stays, CannotRun when the database fails our checks, DatabaseUnavailable.
    """
    check_database(settings)
    lease = Lease(settings)
    _take(lease, is_sole=is_sole, wait_seconds=wait_seconds)
    try:
        with _kept(lease):
            yield lease
    finally:
        _release(lease)


@contextmanager
def joined(settings: Settings) -> Iterator[Membership]:
    """Work for the control plane while the block runs; the caller looks for a loss (`raise_if_lost`).

    Raises ControlPlaneHeld when the control plane has another registry, DatabaseUnavailable.
    """
    membership = Membership(settings)
    membership.renew()
    with _kept(membership):
        yield membership


@contextmanager
def _kept(claim: Claim) -> Iterator[None]:
    ended = threading.Event()
    keeper = threading.Thread(target=claim.keep, args=(ended,), name="control-plane", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        ended.set()
        keeper.join(RELEASE_SECONDS)


def check_same_registry(settings: Settings, registry: Registry) -> None:
    """Raise ControlPlaneHeld when the database's control plane is alive and has another registry than this one.

    Without a control plane any registry is accepted. Also raises DatabaseUnavailable.
    """
    with (
        connect(settings, read_only=True) as connection,
        explaining("looking for the control plane", REMEDY),
        connection.transaction(),
    ):
        holder = living_holder(connection)
    if holder and holder.registry_id != registry.registry_id():
        raise ControlPlaneHeld(
            f"The database {settings.db_name} has a control plane with another registry than"
            f" {registry.place}: {holder}. Set MODEL_PATH to that registry, or stop that control plane."
        )


def living_holder(connection: Connection) -> Holder | None:
    """Return the holder of the database's lease; None when there is none, or when its lease has expired."""
    is_made = connection.execute("SELECT to_regclass('leadscore.control_plane')").fetchone() != (None,)
    holder = _present(connection) if is_made else None
    return holder if holder and holder.left_seconds else None


def _create_table(connection: Connection) -> None:
    connection.execute("SELECT pg_advisory_xact_lock(%s)", [TABLES_LOCK])
    create_schema(connection, "leadscore")
    connection.execute(TABLE)


def _present(connection: Connection) -> Holder | None:
    row: Any = connection.execute(PRESENT).fetchone()
    return Holder(*row) if row else None


def _refusal(settings: Settings, holder: Holder | None) -> ControlPlaneHeld:
    where = f"The database {settings.db_name} at {settings.db_host}:{settings.db_port}"
    if holder is None:
        return ControlPlaneHeld(f"{where} no longer has the lease of this control plane. Start again.")
    return ControlPlaneHeld(
        f"{where} already has a control plane: {holder}. Stop it; if it was killed, wait {holder.left_seconds} s until"
        " its lease expires."
    )


def _take(lease: Lease, *, is_sole: bool, wait_seconds: float) -> None:
    deadline, is_waiting = time.monotonic() + wait_seconds, False
    while True:
        try:
            return lease.take(is_sole=is_sole)
        except ControlPlaneHeld as refusal:
            if time.monotonic() >= deadline:
                raise
            if not is_waiting:
                _log.warning("%s This start waits up to %d s for it.", refusal.message, wait_seconds)
            is_waiting = True
            time.sleep(min(RENEWAL_SECONDS / 2, max(0, deadline - time.monotonic())))


def _release(lease: Lease) -> None:
    try:
        lease.release()
    except LeadscoreError as error:
        _log.warning("the control plane's lease was not freed, and expires in %d s: %s", LEASE_SECONDS, error.message)
