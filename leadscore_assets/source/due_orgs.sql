-- Per org: how many records a training as of `as_of` would find, and how many of their outcomes became known since the
-- org's last training. Orgs without a record are not returned.
--
-- What a record is, is decided in conversion_records.sql; the same rules stand here, for all orgs in one pass.

WITH

leads AS (
    SELECT
        dossier.org_id,
        dossier.created_at,
        dossier.status,
        min(closing.transitioned_at) FILTER (WHERE closing.transitioned_at <= %(as_of)s) AS closed_at,
        count(closing.transitioned_at) > 0 AS has_closing_history
    FROM dossier
    LEFT JOIN dossier_status_history AS closing
        ON closing.org_id = dossier.org_id
        AND closing.dossier_id = dossier.id
        AND closing.to_status = ANY (%(conversion_statuses)s || ARRAY['WON', 'LOST'])
    WHERE dossier.created_at > %(as_of)s - %(training_window_days)s * interval '1 day'
        AND dossier.created_at <= %(as_of)s
    GROUP BY dossier.id, dossier.org_id, dossier.created_at, dossier.status
),

outcomes AS (
    SELECT
        org_id,
        least(closed_at, created_at + %(conversion_window_days)s * interval '1 day') AS known_at
    FROM leads
    WHERE (has_closing_history OR status <> ALL (%(conversion_statuses)s || ARRAY['WON', 'LOST']))
        AND (closed_at > created_at + (%(landmark_days)s)[1] * interval '1 day') IS NOT FALSE
)

SELECT
    outcomes.org_id,
    count(*) AS records,
    count(*) FILTER (WHERE trained.as_of IS NULL OR outcomes.known_at > trained.as_of) AS new_outcomes
FROM outcomes
LEFT JOIN unnest(%(trained_orgs)s::text[], %(trained_as_of)s::timestamp[]) AS trained (org_id, as_of)
    ON trained.org_id = outcomes.org_id
WHERE outcomes.known_at <= %(as_of)s
GROUP BY outcomes.org_id
