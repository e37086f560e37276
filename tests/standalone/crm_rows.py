"""Counting in a CRM."""

from __future__ import annotations

from typing import LiteralString

import psycopg


def count(connection: psycopg.Connection, query: LiteralString) -> int:
    """Return the one number that the query gives."""
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])
