"""Work in another thread that is to wait for a lock of ours."""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import Any

from leadscore_assets.source.database import Connection

WAITING = """
SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
WHERE datname = current_database() AND locktype = %s AND NOT granted
"""


def comes_to_wait(connection: Connection, work: Future[Any], kind: str = "advisory") -> bool:
    """Return True as soon as someone waits for such a lock in the connection's database, False if `work` ends."""
    while not work.done():
        if connection.execute(WAITING, [kind]).fetchone() is not None:
            return True
        time.sleep(0.02)
    return False
