"""How long after their creation an org's leads were first answered, counted in steps of 15 minutes, before it too."""

from __future__ import annotations

from leadscore.records import Window, outcome_parameters
from leadscore_assets.source.database import Connection, explaining

STEP_MINUTES = 15
# as far as any zone of the world is from UTC, and an hour more
MOST_HOURS = 15
REMEDY = "Look at the columns of the CRM's tables dossier and message."

LAGS_QUERY = f"""
SELECT floor(extract(epoch FROM lag) / {60 * STEP_MINUTES})::integer, count(*)
FROM (
    SELECT min(answered_at) - created_at AS lag
    FROM (
        SELECT id, leadscore.crm_moment(created_at, %(crm_time_zone)s) AS created_at
        FROM dossier
        WHERE org_id = %(org_id)s
    ) AS lead
    JOIN (
        SELECT dossier_id, leadscore.crm_moment("timestamp", %(crm_time_zone)s) AS answered_at
        FROM message
        WHERE org_id = %(org_id)s AND direction::text = 'OUTBOUND'
    ) AS answer
        ON answer.dossier_id = lead.id
        AND answered_at BETWEEN created_at - interval '{MOST_HOURS} hours'
            AND created_at + interval '{MOST_HOURS} hours'
    WHERE created_at > %(as_of)s - %(training_window_days)s * interval '1 day' AND created_at <= %(as_of)s
    GROUP BY id, created_at
) AS lags
GROUP BY 1
"""  # noqa: S608 (constants)


def answer_lags(connection: Connection, org_id: str, window: Window) -> dict[int, int]:
    """Return how many of the window's leads were first answered in each step of STEP_MINUTES after their creation.

    Step 0 begins at the creation; steps before it are negative. Leads without an answer within MOST_HOURS of it are
    left out. Raises SourceMismatch, DatabaseUnavailable.
    """
    parameters = outcome_parameters(window) | {"org_id": org_id}
    with explaining("comparing the times of the answers", REMEDY), connection.transaction():
        return {int(str(step)): int(str(leads)) for step, leads in connection.execute(LAGS_QUERY, parameters)}
