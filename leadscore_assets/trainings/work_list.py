"""The work list of the batched trainings: which orgs wait for one, and who takes the next.

Whoever asks for trainings adds orgs to the list as a batch. Every run of `train_orgs` takes one org after the other, of
whichever batch, until the list is empty. An org stays on the list until its training has ended, so that another run
takes it when the one that took it is gone. One that outlives MOST_ATTEMPTS runs is given up, since it may be what ends
them.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import datetime
from typing import Any

import msgspec

from leadscore.control_plane import LEASE_SECONDS
from leadscore.errors import ClaimLost
from leadscore.pooling import POOLED
from leadscore_assets.source.database import Connection, explaining
from leadscore_assets.source.tables import REMEDY
from leadscore_assets.trainings.claims import holders
from leadscore_assets.trainings.ended_trainings import EndedTraining, record_ended

MOST_ATTEMPTS = 3

ADD_BATCH = """
INSERT INTO leadscore.training_batch (batch_id, asked_by, orgs, as_of, training_window_days, activate)
VALUES (%(batch_id)s, %(asked_by)s, 0, %(as_of)s, %(training_window_days)s, %(activate)s)
ON CONFLICT DO NOTHING
RETURNING batch_id
"""
# an org that waits already is trained once
ADD_ORGS = """
INSERT INTO leadscore.due_training (org_id, batch_id)
SELECT org_id, %(batch_id)s FROM unnest(%(org_ids)s::text[]) AS org_id
ON CONFLICT DO NOTHING
"""
WAITING_OTHERWISE = """
SELECT due.org_id FROM leadscore.due_training AS due JOIN leadscore.training_batch AS batch USING (batch_id)
WHERE due.org_id = ANY (%(org_ids)s) AND (batch.as_of, batch.training_window_days, batch.activate)
    IS DISTINCT FROM (%(as_of)s::timestamptz, %(training_window_days)s::integer, %(activate)s::boolean)
ORDER BY due.org_id
"""
COUNT_ORGS = "UPDATE leadscore.training_batch SET orgs = %(orgs)s WHERE batch_id = %(batch_id)s"
# two runs that reach for one org do not wait for each other: the later one gets another org, or none at this moment
TAKE_NEXT = f"""
WITH next AS (
    SELECT due.org_id, due.batch_id FROM leadscore.due_training AS due
    WHERE NOT EXISTS (
        SELECT FROM leadscore.training_claim AS claim
        WHERE claim.org_id = due.org_id AND claim.expires_at > clock_timestamp()
    )
    -- orgs begin with the pooled model, so none is trained while it is on the list
    AND (
        due.org_id = %(pooled)s
        OR NOT EXISTS (SELECT FROM leadscore.due_training AS pool WHERE pool.org_id = %(pooled)s)
    )
    ORDER BY due.attempts, due.asked_at, due.org_id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
),
claimed AS (
    INSERT INTO leadscore.training_claim AS present (org_id, holder, expires_at)
    SELECT org_id, %(run_id)s, clock_timestamp() + {LEASE_SECONDS} * interval '1 second' FROM next
    ON CONFLICT (org_id) DO UPDATE
    SET holder = excluded.holder, fence = excluded.fence, claimed_at = excluded.claimed_at,
        expires_at = excluded.expires_at
    WHERE present.expires_at <= clock_timestamp()
    RETURNING org_id, fence, claimed_at
),
taken AS (
    UPDATE leadscore.due_training AS due SET attempts = attempts + 1 FROM claimed WHERE due.org_id = claimed.org_id
    RETURNING due.org_id, due.batch_id, due.attempts, claimed.fence, claimed.claimed_at
)
SELECT org_id, batch_id, attempts, fence, claimed_at, asked_by, as_of, training_window_days, activate
FROM taken JOIN leadscore.training_batch USING (batch_id)
"""  # noqa: S608 (with a number of ours)
REMOVE = "DELETE FROM leadscore.due_training WHERE org_id = %(org_id)s AND batch_id = %(batch_id)s"
FREE = "DELETE FROM leadscore.training_claim WHERE org_id = %(org_id)s AND fence = %(fence)s RETURNING org_id"
WAITING = "SELECT count(*) FROM leadscore.due_training"
PROGRESS = """
SELECT
    batch.orgs,
    (SELECT count(*) FROM leadscore.due_training WHERE due_training.batch_id = batch.batch_id),
    count(*) FILTER (WHERE status = 'activated'),
    count(*) FILTER (WHERE status = 'held'),
    count(*) FILTER (WHERE status = 'insufficient_data'),
    count(*) FILTER (WHERE status = 'failed')
FROM leadscore.training_batch AS batch LEFT JOIN leadscore.ended_training AS ended USING (batch_id)
WHERE batch.batch_id = %(batch_id)s
GROUP BY batch.batch_id
"""


class Batch(msgspec.Struct, frozen=True):
    """Trainings that are asked for together: by whom, on which data, and whether only to judge the versions.

    `as_of` is None for the time at which each org is taken, `training_window_days` for the setting. The same
    `batch_id` is added once, however often it is asked for.
    """

    asked_by: str
    as_of: datetime | None = None
    training_window_days: int | None = None
    activate: bool = True
    batch_id: str = msgspec.field(default_factory=lambda: secrets.token_hex(8))


class DueOrg(msgspec.Struct, frozen=True):
    """An org that a run has taken from the list, with the claim on it and what its batch asks for."""

    org_id: str
    batch_id: str
    attempts: int
    fence: int
    claimed_at: datetime
    asked_by: str
    as_of: datetime | None
    training_window_days: int | None
    activate: bool

    @property
    def is_given_up(self) -> bool:
        """Whether so many runs took the org and ended without a word that it is not tried again."""
        return self.attempts > MOST_ATTEMPTS


class Progress(msgspec.Struct, frozen=True):
    """How far a batch is: of how many orgs, how many wait or are at work, and how the others ended."""

    orgs: int
    left: int
    activated: int
    held: int
    insufficient_data: int
    failed: int


def add_batch(connection: Connection, batch: Batch, org_ids: Collection[str]) -> int:
    """Add the orgs to the work list as a batch, and return how many did not wait already.

    Raises SourceMismatch before the set-up, DatabaseUnavailable.
    """
    arguments = msgspec.structs.asdict(batch) | {"org_ids": list(org_ids)}
    with explaining("adding orgs to the work list of trainings", REMEDY), connection.transaction():
        if connection.execute(ADD_BATCH, arguments).fetchone() is None:
            return 0
        added = connection.execute(ADD_ORGS, arguments).rowcount
        connection.execute(COUNT_ORGS, {"batch_id": batch.batch_id, "orgs": added})
    return added


def waiting_otherwise(connection: Connection, batch: Batch, org_ids: Collection[str]) -> list[str]:
    """Return those of the orgs that wait already, but on other data or not to be activated alike.

    Raises SourceMismatch before the set-up, DatabaseUnavailable.
    """
    arguments = msgspec.structs.asdict(batch) | {"org_ids": list(org_ids)}
    with explaining("looking for orgs that wait for other trainings", REMEDY), connection.transaction():
        return [str(org_id) for (org_id,) in connection.execute(WAITING_OTHERWISE, arguments)]


def take_next(connection: Connection, run_id: str) -> DueOrg | None:
    """Take the next org that nobody is at work on, and claim it for the run; None when there is none.

    The pooled model comes first, and the others wait for it.

    Raises SourceMismatch before the set-up, DatabaseUnavailable.
    """
    with explaining("taking the next org from the work list", REMEDY), connection.transaction():
        row: Any = connection.execute(TAKE_NEXT.encode(), {"run_id": run_id, "pooled": POOLED}).fetchone()
    return DueOrg(*row) if row else None


def end(connection: Connection, due: DueOrg, ended: EndedTraining) -> None:
    """Take the org off the list, free the claim, and record how the training ended, all or nothing.

    Raises ClaimLost when the claim was lost meanwhile, so that another may train the org; DatabaseUnavailable.
    """
    arguments = {"org_id": due.org_id, "batch_id": due.batch_id, "fence": due.fence}
    with explaining("recording how a training ended", REMEDY), connection.transaction():
        # in the order in which an erasure locks the tables, so that neither waits for the other forever
        connection.execute(REMOVE, arguments)
        if connection.execute(FREE, arguments).fetchone() is None:
            raise ClaimLost(due.org_id, next(iter(holders(connection, [due.org_id])), None))
        record_ended(connection, ended)


def waiting(connection: Connection) -> int:
    """Return how many orgs are on the list: those that wait, and those that somebody is at work on."""
    with explaining("counting the orgs that wait for a training", REMEDY), connection.transaction():
        [(count,)] = connection.execute(WAITING).fetchall()
    return int(str(count))


def progress(connection: Connection, batch_id: str) -> Progress:
    """Return how far the batch is. Raises DatabaseUnavailable."""
    with explaining("counting the trainings of a batch", REMEDY), connection.transaction():
        [row] = connection.execute(PROGRESS, {"batch_id": batch_id}).fetchall()
    return Progress(*row)  # type: ignore[arg-type]  # the columns' types
