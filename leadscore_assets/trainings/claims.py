"""The claims that a run has on the orgs that it trains: taken, renewed while it works, and freed.

A worker that could not renew a claim for LEASE_SECONDS has lost it, and another may train the org. Before it publishes
or activates anything, a worker asks whether its claim still holds, under the org's lock in the registry.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from leadscore.control_plane import LEASE_SECONDS
from leadscore.errors import AlreadyTraining, ClaimLost, LeadscoreError
from leadscore.settings import Settings
from leadscore.training_claims import HOLDERS, RELEASE, TAKE
from leadscore_assets.source.database import Connection, connect, explaining
from leadscore_assets.source.tables import REMEDY

RENEWAL_SECONDS = 5.0
# a training in a batch takes seconds, and a claim that a killed run left behind expires
WAIT_SECONDS = LEASE_SECONDS + 30.0
RETRY_SECONDS = 1.0
RENEW = f"""
UPDATE leadscore.training_claim SET expires_at = clock_timestamp() + {LEASE_SECONDS} * interval '1 second'
WHERE org_id = %(org_id)s AND holder = %(holder)s AND fence = %(fence)s AND expires_at > clock_timestamp()
RETURNING fence
"""  # noqa: S608 (with a number of ours)
# nobody renews between the steps of a run, and a step's many rows may take long to store and to load; a claim that
# nobody took meanwhile is still its own
RESUME = f"""
UPDATE leadscore.training_claim SET expires_at = clock_timestamp() + {LEASE_SECONDS} * interval '1 second'
WHERE org_id = %(org_id)s AND holder = %(holder)s
RETURNING fence
"""  # noqa: S608 (with a number of ours)

_log = logging.getLogger(__name__)


class TrainingClaims:
    """The claims of one holder, such as a run, by org; a thread of `kept_claims` renews them."""

    def __init__(self, settings: Settings, holder: str) -> None:
        self._settings, self._holder = settings, holder
        self._fences: dict[str, int] = {}
        self._guard = threading.Lock()
        self._connection: Connection | None = None

    def take(self, org_id: str, wait_seconds: float = WAIT_SECONDS) -> None:
        """Take the claim on the org, and wait for another holder to free it.

        Raises AlreadyTraining when that one still has it after `wait_seconds`, DatabaseUnavailable.
        """
        deadline = time.monotonic() + wait_seconds
        while (fence := self._fence(TAKE, org_id)) is None:
            if time.monotonic() > deadline:
                raise AlreadyTraining(self._present_holder(org_id), is_followable=False)
            time.sleep(RETRY_SECONDS)
        self._fences[org_id] = fence

    def resume(self, org_id: str) -> None:
        """Go on with the claim that an earlier step of this holder took.

        Raises ClaimLost when another has taken it meanwhile, DatabaseUnavailable.
        """
        fence = self._fence(RESUME, org_id)
        if fence is None:
            raise ClaimLost(org_id, self._present_holder(org_id))
        self._fences[org_id] = fence

    def adopt(self, org_id: str, fence: int) -> None:
        """Keep the claim that was taken for this holder elsewhere."""
        self._fences[org_id] = fence

    def check(self, org_id: str) -> None:
        """Renew the claim on the org. Raises ClaimLost when it has expired or another holds it, DatabaseUnavailable."""
        if org_id not in self._fences or self._fence(RENEW, org_id, self._fences[org_id]) is None:
            raise ClaimLost(org_id, self._present_holder(org_id))

    def drop(self, org_id: str) -> None:
        """Stop renewing the claim on the org, which was freed elsewhere, or stays until it expires."""
        self._fences.pop(org_id, None)

    def release(self, org_id: str) -> None:
        """Free the claim on the org; it expires by itself where the database is away."""
        self.drop(org_id)
        try:
            with self._transaction("freeing the claim on an org") as connection:
                connection.execute(RELEASE, {"org_id": org_id, "holder": self._holder})
        except LeadscoreError as error:
            _log.warning("the claim on org %s expires in %d s: %s", org_id, LEASE_SECONDS, error.message)

    def keep(self, ended: threading.Event) -> None:
        """Renew all claims until `ended` is set; one that is lost shows when it is checked."""
        while not ended.wait(RENEWAL_SECONDS):
            for org_id, fence in list(self._fences.items()):
                try:
                    self._fence(RENEW, org_id, fence)
                except LeadscoreError as error:
                    _log.warning("the claim on org %s could not be renewed: %s", org_id, error.message)

    def close(self) -> None:
        """Close the connection. The claims that are still held expire."""
        with self._guard:
            if self._connection is not None:
                self._connection.close()

    def _fence(self, statement: str, org_id: str, fence: int | None = None) -> int | None:
        arguments = {"org_id": org_id, "holder": self._holder, "fence": fence}
        with self._transaction("claiming an org") as connection:
            row: Any = connection.execute(statement.encode(), arguments).fetchone()
        return row[0] if row else None

    def _present_holder(self, org_id: str) -> str | None:
        with self._transaction("looking for who trains the org") as connection:
            return next(iter(holders(connection, [org_id])), None)

    @contextmanager
    def _transaction(self, what: str) -> Iterator[Connection]:
        with self._guard:
            if self._connection is None or self._connection.closed:
                self._connection = connect(self._settings)
            with explaining(what, REMEDY), self._connection.transaction():
                yield self._connection


@contextmanager
def kept_claims(settings: Settings, holder: str) -> Iterator[TrainingClaims]:
    """Give the claims of `holder`, which are renewed while the block runs. The block frees what it took."""
    claims, ended = TrainingClaims(settings, holder), threading.Event()
    keeper = threading.Thread(target=claims.keep, args=(ended,), name="training-claims", daemon=True)
    keeper.start()
    try:
        yield claims
    finally:
        ended.set()
        keeper.join()
        claims.close()


def holders(connection: Connection, org_ids: Collection[str]) -> list[str]:
    """Return who holds claims on these orgs now."""
    return [str(holder) for (holder,) in connection.execute(HOLDERS.encode(), {"org_ids": list(org_ids)})]
