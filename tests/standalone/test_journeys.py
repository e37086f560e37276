"""A simulated lead's life: possible moves alone, and an outcome that follows from what happens early."""

from __future__ import annotations

import psycopg
import pytest

from tests.standalone.crm_rows import count

ALLOWED_MOVES = {
    ("DRAFT", "NEW"),
    *(("NEW", status) for status in ("QUALIFYING", "QUALIFIED", "APPOINTMENT", "LOST")),
    *(("QUALIFYING", status) for status in ("QUALIFIED", "LOST")),
    *(("QUALIFIED", status) for status in ("APPOINTMENT", "LOST")),
    *(("APPOINTMENT", status) for status in ("WON", "LOST")),
}


def test_every_history_starts_new_and_makes_only_allowed_moves(demo: psycopg.Connection) -> None:
    moves = demo.execute("SELECT DISTINCT from_status, to_status FROM dossier_status_history").fetchall()
    assert set(moves) == ALLOWED_MOVES
    assert count(demo, "SELECT count(*) FROM dossier_status_history WHERE from_status = 'DRAFT'") == count(
        demo, "SELECT count(*) FROM dossier"
    )
    broken = """
        SELECT count(*) FROM (
            SELECT from_status, transitioned_at,
                   lag(to_status) OVER life AS left_in, lag(transitioned_at) OVER life AS left_at
            FROM dossier_status_history WINDOW life AS (PARTITION BY dossier_id ORDER BY id)
        ) AS moves WHERE coalesce(left_in, 'DRAFT') <> from_status OR left_at > transitioned_at"""
    assert count(demo, broken) == 0


def test_a_leads_status_is_where_its_history_ends(demo: psycopg.Connection) -> None:
    differing = """
        SELECT count(*) FROM dossier d WHERE status IS DISTINCT FROM (
            SELECT to_status FROM dossier_status_history h WHERE h.dossier_id = d.id ORDER BY id DESC LIMIT 1)"""
    assert count(demo, differing) == 0


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("lead_source = 'referral'", "lead_source = 'social_media'"),
        ("answered_minutes <= 60", "answered_minutes > 480 OR answered_minutes IS NULL"),
        ("early_inbound >= 3", "early_inbound <= 1"),
        ("early_appointments > 0", "early_appointments = 0"),
        ("price < 230000", "price > 500000"),
    ],
)
def test_what_leads_do_in_their_first_week_tells_who_converts(
    demo: psycopg.Connection, better: str, worse: str
) -> None:
    leads = """
        SELECT d.lead_source, d.status, a.price,
               (SELECT extract(epoch FROM min(m.timestamp) - d.created_at) / 60 FROM message m
                WHERE m.dossier_id = d.id AND m.direction = 'OUTBOUND') AS answered_minutes,
               (SELECT count(*) FROM message m WHERE m.dossier_id = d.id AND m.direction = 'INBOUND'
                AND m.timestamp <= d.created_at + interval '7 days') AS early_inbound,
               (SELECT count(*) FROM appointment p WHERE p.dossier_id = d.id
                AND p.created_at <= d.created_at + interval '7 days') AS early_appointments
        FROM dossier d LEFT JOIN annonce a ON a.id = d.annonce_id
        WHERE d.org_id = 'default' AND (d.updated_at > d.created_at + interval '7 days')
          AND d.created_at < '2025-12-01'"""
    rate = "avg((status = 'WON')::int::float) FILTER (WHERE {})"
    row = demo.execute(f"SELECT {rate.format(better)}, {rate.format(worse)} FROM ({leads}) AS leads").fetchone()
    assert row is not None
    assert row[0] > row[1] * 1.25, row
