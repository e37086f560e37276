"""A CRM of many equal orgs, made by PostgreSQL itself: a million leads in minutes, and a day that passes.

Every lead has 8 messages, two in five an appointment. Half of an org's leads are open, and were created in the last 90
days; the other half are closed.
"""

from __future__ import annotations

from datetime import datetime

from leadscore.records import crm_time
from leadscore_assets.source.database import Connection

MESSAGES_PER_LEAD = 8
OPEN_DAYS, HISTORY_DAYS = 90, 360
# on a day, one open lead in 33 gets a message, one in 100 is closed, and as many are new
NEWS_EVERY, CLOSED_EVERY = 33, 100

LEADS = """
INSERT INTO dossier (id, org_id, annonce_id, status, created_at, updated_at)
SELECT
    org * %(leads)s + n,
    format('org-%%s', lpad(org::text, 5, '0')),
    CASE WHEN n %% 3 > 0 THEN org * 20 + n %% 20 END,
    CASE WHEN n <= %(open)s THEN 'NEW' WHEN n %% 4 = 0 THEN 'WON' ELSE 'LOST' END,
    %(now)s - CASE
        WHEN n <= %(open)s THEN random() * %(open_days)s
        ELSE random() * %(history_days)s
    END * interval '1 day',
    %(now)s
FROM generate_series(0, %(orgs)s - 1) AS org, generate_series(1, %(leads)s) AS n
"""
LISTINGS = """
INSERT INTO annonce (id, org_id, title, status, price, photos_json, created_at)
SELECT
    org * 20 + n, format('org-%%s', lpad(org::text, 5, '0')), 'listing', 'ACTIVE', 50000 + random() * 900000,
    CASE WHEN n %% 4 > 0 THEN '["photo"]'::jsonb END, %(now)s - interval '400 days'
FROM generate_series(0, %(orgs)s - 1) AS org, generate_series(0, 19) AS n
"""
CLOSINGS = """
INSERT INTO dossier_status_history (org_id, dossier_id, from_status, to_status, transitioned_at)
SELECT org_id, id, 'NEW', status, created_at + (%(now)s - created_at) * random()
FROM dossier WHERE status IN ('WON', 'LOST')
"""
MESSAGES = """
INSERT INTO message (org_id, dossier_id, direction, "timestamp")
SELECT
    org_id, id, CASE WHEN n %% 2 = 1 THEN 'INBOUND' ELSE 'OUTBOUND' END,
    created_at + (%(now)s - created_at) * power(random(), 3)
FROM dossier, generate_series(1, %(messages)s) AS n
"""
APPOINTMENTS = """
INSERT INTO appointment (org_id, dossier_id, start_time, end_time, status, created_at, updated_at)
SELECT org_id, id, %(now)s, %(now)s, 'SCHEDULED', created_at + (%(now)s - created_at) * random(), %(now)s
FROM dossier WHERE id %% 5 < 2
"""
SOURCES = """
INSERT INTO lead_score (org_id, dossier_id, source_score)
SELECT org_id, id, (random() * 60)::int FROM dossier
"""
NEXT_DAY = (
    """
    INSERT INTO message (org_id, dossier_id, direction, "timestamp")
    SELECT org_id, id, 'INBOUND', %(now)s - random() * interval '1 day'
    FROM dossier WHERE status = 'NEW' AND id %% %(news_every)s = 0
    """,
    """
    WITH closed AS (
        UPDATE dossier SET status = 'LOST' WHERE status = 'NEW' AND id %% %(closed_every)s = 1 RETURNING org_id, id
    )
    INSERT INTO dossier_status_history (org_id, dossier_id, from_status, to_status, transitioned_at)
    SELECT org_id, id, 'NEW', 'LOST', %(now)s - random() * interval '1 day' FROM closed
    """,
    """
    INSERT INTO dossier (id, org_id, status, created_at, updated_at)
    SELECT
        (SELECT max(id) FROM dossier) + row_number() OVER (), org_id, 'NEW',
        %(now)s - random() * interval '1 day', %(now)s
    FROM dossier WHERE status = 'LOST' AND id %% %(closed_every)s = 1
    """,
)


def fill(connection: Connection, orgs: int, open_leads: int, now: datetime) -> None:
    """Fill the CRM's empty tables with so many orgs, each with so many open leads and as many closed ones."""
    parameters = {
        "orgs": orgs,
        "leads": 2 * open_leads,
        "open": open_leads,
        "now": crm_time(now),
        "open_days": OPEN_DAYS,
        "history_days": HISTORY_DAYS,
        "messages": MESSAGES_PER_LEAD,
    }
    with connection.transaction():
        connection.execute("SELECT setseed(0.5)")
        for statement in (LISTINGS, LEADS, CLOSINGS, MESSAGES, APPOINTMENTS, SOURCES):
            connection.execute(statement.encode(), parameters)
    connection.execute("ANALYZE")


def let_a_day_pass(connection: Connection, now: datetime) -> None:
    """Add what an ordinary day brings, up to `now`: messages, closings and new leads."""
    parameters = {"now": crm_time(now), "news_every": NEWS_EVERY, "closed_every": CLOSED_EVERY}
    with connection.transaction():
        for statement in NEXT_DAY:
            connection.execute(statement.encode(), parameters)
