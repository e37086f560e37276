"""One holder at a time trains an org: who waits gets it when it is free, and who lost it is told before it writes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from leadscore.control_plane import LEASE_SECONDS
from leadscore.errors import AlreadyTraining, ClaimLost
from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.source.database import Connection, connect
from leadscore_assets.trainings import claims as module
from leadscore_assets.trainings.claims import TrainingClaims, holders, kept_claims

ORG = "acme"


@pytest.fixture
def connection(database: Settings) -> Iterator[Connection]:
    set_up(database)
    with connect(database) as connection:
        yield connection


@pytest.fixture
def two(database: Settings, connection: Connection) -> Iterator[tuple[TrainingClaims, TrainingClaims]]:
    """Give the claims of two runs, which nobody renews."""
    first, second = TrainingClaims(database, "run-1"), TrainingClaims(database, "run-2")
    with ExitStack() as closed:
        closed.callback(first.close)
        closed.callback(second.close)
        yield first, second


def expire(connection: Connection) -> None:
    connection.execute("UPDATE leadscore.training_claim SET expires_at = clock_timestamp() - interval '1 second'")


def test_an_org_has_one_holder(two: tuple[TrainingClaims, TrainingClaims], connection: Connection) -> None:
    first, second = two
    first.take(ORG)
    with pytest.raises(AlreadyTraining) as caught:
        second.take(ORG, wait_seconds=0)
    assert caught.value.run_id == "run-1"
    second.take("other", wait_seconds=0)
    assert holders(connection, [ORG, "other", "third"]) == ["run-1", "run-2"]


def test_who_waits_gets_the_claim_when_it_is_freed(
    two: tuple[TrainingClaims, TrainingClaims], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.02)
    first.take(ORG)
    waiting = threading.Thread(target=second.take, args=(ORG,))
    waiting.start()
    time.sleep(0.1)
    first.release(ORG)
    waiting.join(10)
    second.check(ORG)


def test_a_later_step_of_the_same_run_goes_on_with_its_claim(
    two: tuple[TrainingClaims, TrainingClaims], database: Settings, connection: Connection
) -> None:
    first, second = two
    first.take(ORG)
    later_step = TrainingClaims(database, "run-1")
    later_step.resume(ORG)
    later_step.check(ORG)
    later_step.close()
    with pytest.raises(ClaimLost):
        second.resume(ORG)


def test_an_expired_claim_is_lost_even_when_nobody_took_it(
    two: tuple[TrainingClaims, TrainingClaims], connection: Connection
) -> None:
    first, _ = two
    first.take(ORG)
    expire(connection)
    with pytest.raises(ClaimLost, match="publishes and activates nothing; train the org again"):
        first.check(ORG)


def test_a_later_step_goes_on_with_a_claim_that_expired_between_the_steps_unless_another_took_it(
    two: tuple[TrainingClaims, TrainingClaims], connection: Connection
) -> None:
    first, second = two
    first.take(ORG)
    expire(connection)
    first.resume(ORG)
    first.check(ORG)
    expire(connection)
    second.take(ORG)
    with pytest.raises(ClaimLost, match="run-2 trains it by now"):
        first.resume(ORG)
    second.release(ORG)
    with pytest.raises(ClaimLost):
        first.resume(ORG)


def test_a_claim_that_another_took_is_lost_also_after_it_was_freed(
    two: tuple[TrainingClaims, TrainingClaims], connection: Connection
) -> None:
    first, second = two
    first.take(ORG)
    expire(connection)
    second.take(ORG)
    with pytest.raises(ClaimLost, match="run-2 trains it by now"):
        first.check(ORG)
    first.release(ORG)
    second.check(ORG)
    second.release(ORG)
    with pytest.raises(ClaimLost):
        first.check(ORG)


def test_a_holder_that_lost_its_claim_and_took_it_again_has_a_higher_fence(
    two: tuple[TrainingClaims, TrainingClaims], database: Settings, connection: Connection
) -> None:
    first, second = two
    first.take(ORG)
    expire(connection)
    second.take(ORG)
    second.release(ORG)
    again = TrainingClaims(database, "run-1")
    again.take(ORG)
    with pytest.raises(ClaimLost):
        first.check(ORG)
    again.check(ORG)
    again.close()


def test_claims_are_renewed_while_the_block_runs(
    database: Settings, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RENEWAL_SECONDS", 0.05)
    with kept_claims(database, "run-1") as claims:
        claims.take(ORG)
        connection.execute("UPDATE leadscore.training_claim SET expires_at = clock_timestamp() + interval '2 seconds'")
        deadline = time.monotonic() + 10
        while left_seconds(connection) < LEASE_SECONDS - 5:
            assert time.monotonic() < deadline, "the claim was not renewed"
            time.sleep(0.05)


def left_seconds(connection: Connection) -> float:
    [(seconds,)] = connection.execute(
        "SELECT extract(epoch FROM expires_at - clock_timestamp())::float8 FROM leadscore.training_claim"
    ).fetchall()
    assert isinstance(seconds, float)
    return seconds


def test_a_claim_that_was_never_taken_does_not_hold(two: tuple[TrainingClaims, TrainingClaims]) -> None:
    with pytest.raises(ClaimLost):
        two[0].check(ORG)


def test_a_connection_that_broke_is_made_again(
    two: tuple[TrainingClaims, TrainingClaims], connection: Connection
) -> None:
    first, _ = two
    first.take(ORG)
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        " AND datname = current_database() AND application_name = 'leadscore'"
    )
    with pytest.raises(Exception, match="Try again"):
        first.check(ORG)
    first.check(ORG)
