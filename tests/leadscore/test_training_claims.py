"""The statements by which the pipeline and the server claim an org agree with each other."""

from __future__ import annotations

from typing import Any

from leadscore.settings import Settings
from leadscore.training_claims import HAND_OVER, HOLDERS, RELEASE, TAKE
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.source.database import Connection, connect


def ask(connection: Connection, statement: str, **arguments: Any) -> list[Any]:
    cursor = connection.execute(statement.encode(), arguments)
    return cursor.fetchall() if cursor.description else []


def test_a_request_hands_its_claim_over_to_the_run_that_it_launched(database: Settings) -> None:
    set_up(database)
    with connect(database) as connection:
        [(fence,)] = ask(connection, TAKE, org_id="acme", holder="request")
        assert ask(connection, TAKE, org_id="acme", holder="run-2") == []
        ask(connection, HAND_OVER, org_id="acme", holder="request", run_id="run-1")
        assert ask(connection, HOLDERS, org_ids=["acme"]) == [("run-1",)]
        assert ask(connection, TAKE, org_id="acme", holder="run-1") == [(fence,)]
        ask(connection, RELEASE, org_id="acme", holder="request")
        assert ask(connection, HOLDERS, org_ids=["acme"]) == [("run-1",)]
        ask(connection, RELEASE, org_id="acme", holder="run-1")
        assert ask(connection, HOLDERS, org_ids=["acme"]) == []
        [(next_fence,)] = ask(connection, TAKE, org_id="acme", holder="run-1")
        assert next_fence > fence
