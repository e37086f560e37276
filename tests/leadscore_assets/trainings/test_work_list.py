"""The work list hands each org to one run at a time, and loses none."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from leadscore.errors import ClaimLost
from leadscore.pooling import POOLED
from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.retention.erasure import LOCK_TABLES
from leadscore_assets.source.database import Connection, connect
from leadscore_assets.trainings.claims import TrainingClaims
from leadscore_assets.trainings.ended_trainings import EndedTraining
from leadscore_assets.trainings.work_list import (
    MOST_ATTEMPTS,
    Batch,
    DueOrg,
    Progress,
    add_batch,
    end,
    progress,
    take_next,
    waiting,
    waiting_otherwise,
)

BATCH = Batch("schedule", batch_id="batch-1")


@pytest.fixture
def connection(database: Settings) -> Iterator[Connection]:
    set_up(database)
    with connect(database) as connection:
        yield connection


def ended(due: DueOrg, run_id: str = "run-1") -> EndedTraining:
    return EndedTraining(
        run_id=run_id, org_id=due.org_id, batch_id=due.batch_id, asked_by=due.asked_by, status="held", reasons=""
    )


def taken(connection: Connection, run_id: str = "run-1") -> DueOrg:
    due = take_next(connection, run_id)
    assert due is not None
    return due


def expire(connection: Connection) -> None:
    connection.execute("UPDATE leadscore.training_claim SET expires_at = clock_timestamp() - interval '1 second'")


def test_an_org_leaves_the_list_when_its_training_has_ended(connection: Connection) -> None:
    as_of = datetime(2026, 6, 1, tzinfo=UTC)
    assert add_batch(connection, Batch("test", as_of, 90, activate=False), ["acme"]) == 1
    due = taken(connection)
    assert (due.org_id, due.asked_by, due.attempts) == ("acme", "test", 1)
    assert (due.as_of, due.training_window_days, due.activate) == (as_of, 90, False)
    assert waiting(connection) == 1
    assert take_next(connection, "run-2") is None
    end(connection, due, ended(due))
    assert waiting(connection) == 0
    assert connection.execute("SELECT count(*) FROM leadscore.training_claim").fetchall() == [(0,)]


def test_an_org_that_waits_already_is_not_added_again_and_neither_is_a_batch(connection: Connection) -> None:
    assert add_batch(connection, BATCH, ["acme", "other"]) == 2
    assert add_batch(connection, BATCH, ["third"]) == 0
    assert add_batch(connection, Batch("test"), ["acme", "third"]) == 1
    assert waiting(connection) == 3


def test_orgs_that_wait_for_another_kind_of_training_are_found(connection: Connection) -> None:
    as_of = datetime(2026, 6, 1, tzinfo=UTC)
    add_batch(connection, Batch("test", as_of, 90, activate=False), ["trial", "other"])
    add_batch(connection, BATCH, ["usual"])
    asked = ["usual", "trial", "new"]
    assert waiting_otherwise(connection, Batch("someone"), asked) == ["trial"]
    assert waiting_otherwise(connection, Batch("someone", as_of, 90, activate=False), asked) == ["usual"]
    assert waiting_otherwise(connection, Batch("someone", activate=False), asked) == ["trial", "usual"]


def test_an_org_whose_run_is_gone_is_taken_by_another(connection: Connection) -> None:
    add_batch(connection, BATCH, ["acme"])
    first = taken(connection)
    expire(connection)
    second = taken(connection, "run-2")
    assert (second.org_id, second.attempts) == ("acme", 2)
    assert second.fence > first.fence
    end(connection, second, ended(second, "run-2"))
    assert waiting(connection) == 0


def test_an_org_that_ends_every_run_is_given_up_at_last(connection: Connection) -> None:
    add_batch(connection, BATCH, ["acme"])
    given_up = []
    for _ in range(MOST_ATTEMPTS + 1):
        given_up.append(taken(connection).is_given_up)
        expire(connection)
    assert given_up == [False] * MOST_ATTEMPTS + [True]


def test_an_org_that_a_run_of_its_own_trains_is_left_until_then(connection: Connection, database: Settings) -> None:
    add_batch(connection, BATCH, ["acme", "other"])
    claims = TrainingClaims(database, "run-of-acme")
    claims.take("acme")
    assert taken(connection).org_id == "other"
    assert take_next(connection, "run-1") is None
    claims.release("acme")
    assert taken(connection).org_id == "acme"
    claims.close()


def test_the_orgs_that_failed_runs_come_last(connection: Connection) -> None:
    add_batch(connection, BATCH, ["a", "b"])
    assert taken(connection).org_id == "a"
    expire(connection)
    assert [taken(connection).org_id for _ in range(2)] == ["b", "a"]


def test_many_runs_at_once_take_every_org_once(connection: Connection, database: Settings) -> None:
    org_ids = [f"org-{number}" for number in range(60)]
    add_batch(connection, BATCH, org_ids)
    took: list[str] = []

    def work(run_id: str) -> None:
        with connect(database) as mine:
            while waiting(mine):
                if due := take_next(mine, run_id):
                    took.append(due.org_id)
                    end(mine, due, ended(due, run_id))

    runs = [threading.Thread(target=work, args=(f"run-{number}",)) for number in range(4)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(60)
    assert Counter(took) == Counter(org_ids)
    assert progress(connection, BATCH.batch_id) == Progress(60, 0, 0, 60, 0, 0)


def test_a_batch_knows_how_far_it_is(connection: Connection) -> None:
    add_batch(connection, BATCH, ["a", "b", "c"])
    due = taken(connection)
    end(connection, due, ended(due))
    assert progress(connection, BATCH.batch_id) == Progress(
        orgs=3, left=2, activated=0, held=1, insufficient_data=0, failed=0
    )


def test_an_org_that_is_asked_for_again_is_counted_again_also_in_the_same_run(connection: Connection) -> None:
    """As when an operator mends what made an org fail, and asks for it while the run is at work on others."""
    for batch_id in ("batch-1", "batch-2"):
        add_batch(connection, Batch("test", batch_id=batch_id), ["acme"])
        due = taken(connection)
        end(connection, due, ended(due))
        assert progress(connection, batch_id) == Progress(1, 0, 0, 1, 0, 0)
    total = connection.execute("SELECT trainings FROM leadscore.training_total WHERE status = 'held'").fetchall()
    assert total == [(2,)]


def test_a_training_whose_claim_was_lost_meanwhile_is_not_recorded_and_the_org_stays_on_the_list(
    connection: Connection,
) -> None:
    add_batch(connection, BATCH, ["acme"])
    first = taken(connection)
    expire(connection)
    second = taken(connection, "run-2")
    with pytest.raises(ClaimLost, match="run-2 trains it by now"):
        end(connection, first, ended(first))
    assert progress(connection, BATCH.batch_id) == Progress(1, 1, 0, 0, 0, 0)
    end(connection, second, ended(second, "run-2"))
    assert progress(connection, BATCH.batch_id) == Progress(1, 0, 0, 1, 0, 0)


def test_a_training_that_ends_and_an_erasure_do_not_wait_for_each_other_forever(
    connection: Connection, database: Settings
) -> None:
    add_batch(connection, BATCH, ["acme"])
    due, failures = taken(connection), list[Exception]()

    def end_it() -> None:
        with connect(database) as mine:
            try:
                end(mine, due, ended(due))
            except Exception as error:
                failures.append(error)

    ending = threading.Thread(target=end_it)
    with connection.transaction():
        # what an erasure has locked when the training ends
        connection.execute("LOCK TABLE leadscore.due_training IN SHARE ROW EXCLUSIVE MODE")
        ending.start()
        until_somebody_waits(connection)
        connection.execute(LOCK_TABLES)
    ending.join(30)
    assert failures == []
    assert waiting(connection) == 0


def until_somebody_waits(connection: Connection) -> None:
    deadline = time.monotonic() + 30
    while connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchall() == [(0,)]:
        assert time.monotonic() < deadline, "nobody waits for a lock"
        time.sleep(0.02)


def test_the_pooled_model_comes_first_and_the_others_wait_for_it(connection: Connection) -> None:
    add_batch(connection, BATCH, ["acme", "globex", POOLED])
    pool = taken(connection)
    assert pool.org_id == POOLED
    assert take_next(connection, "run-2") is None
    expire(connection)  # the run that trained it was killed
    again = taken(connection, "run-2")
    assert again.org_id == POOLED
    end(connection, again, ended(again, "run-2"))
    assert {taken(connection, "run-2").org_id, taken(connection, "run-1").org_id} == {"acme", "globex"}
