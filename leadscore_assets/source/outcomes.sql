-- Our functions over the CRM's leads: which of them are records, and how many of an org's are there or on their way.
--
-- What a record is, is decided in conversion_records.sql; the same rules stand here, without the features. Other
-- processes call these functions by name. So a release that changes a function's columns or meaning gives it another
-- name: the release before can then go on with its own.

-- One line per lead, created in the window that ends at `as_of`, that is or will be a record. `known_at` is when its
-- outcome became known; that of an open lead is known at the latest then, and lies after `as_of`.
--
-- It is one query without options, so that PostgreSQL plans it as a part of whatever query calls it: a condition on
-- org_id uses the index, and a column that nobody asks for is never computed.
CREATE OR REPLACE FUNCTION leadscore.known_outcomes(
    as_of timestamp,
    training_window_days integer,
    conversion_window_days integer,
    conversion_statuses text[],
    first_landmark_days integer
)
RETURNS TABLE (
    org_id text,
    lead_id text,
    created_at timestamp,
    known_at timestamp,
    is_converted boolean,
    is_held_out boolean
)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
SELECT
    lead.org_id::text,
    lead.id::text,
    lead.created_at::timestamp,
    least(lead.closed_at, lead.created_at + known_outcomes.conversion_window_days * interval '1 day')::timestamp,
    coalesce(
        lead.converted_at <= lead.created_at + known_outcomes.conversion_window_days * interval '1 day', false
    ),
    -- a fifth of all ids by their hash, as the training splits them: 2^64 / 5 as bytes
    sha256(convert_to(lead.id::text, 'UTF8')) < '\x3333333333333400'::bytea
FROM (
    SELECT
        dossier.id,
        dossier.org_id,
        dossier.created_at,
        dossier.status,
        min(closing.transitioned_at) FILTER (WHERE closing.transitioned_at <= known_outcomes.as_of) AS closed_at,
        min(closing.transitioned_at) FILTER (
            WHERE closing.transitioned_at <= known_outcomes.as_of
                AND closing.to_status = ANY (known_outcomes.conversion_statuses)
        ) AS converted_at,
        count(closing.transitioned_at) > 0 AS has_closing_history
    FROM dossier
    LEFT JOIN dossier_status_history AS closing
        ON closing.org_id = dossier.org_id
        AND closing.dossier_id = dossier.id
        AND closing.to_status = ANY (known_outcomes.conversion_statuses || ARRAY['WON', 'LOST'])
    WHERE dossier.created_at > known_outcomes.as_of - known_outcomes.training_window_days * interval '1 day'
        AND dossier.created_at <= known_outcomes.as_of
    GROUP BY dossier.id, dossier.org_id, dossier.created_at, dossier.status
) AS lead
WHERE (lead.has_closing_history OR lead.status <> ALL (known_outcomes.conversion_statuses || ARRAY['WON', 'LOST']))
    AND (lead.closed_at > lead.created_at + known_outcomes.first_landmark_days * interval '1 day') IS NOT FALSE
$$;

-- One org's leads in numbers, as the JSON document that `OutcomeCounts` in leadscore/outcome_forecast.py describes: its
-- records by the days until they leave the training window, the outcomes that became known in the last `pace_days` by
-- the days that they took, and the open leads by the days until their outcome is known at the latest. Days are from
-- date to date.
--
-- Joins by hashing and in memory, because a database that was loaded a moment ago has no statistics yet.
CREATE OR REPLACE FUNCTION leadscore.outcome_counts(
    org_id text,
    as_of timestamp,
    training_window_days integer,
    conversion_window_days integer,
    conversion_statuses text[],
    first_landmark_days integer,
    pace_days integer
)
RETURNS text
LANGUAGE sql STABLE
SET enable_nestloop = off
SET jit = off
SET work_mem = '64MB'
AS $$
WITH

lead AS (
    SELECT
        outcome.created_at,
        outcome.known_at,
        outcome.created_at + outcome_counts.training_window_days * interval '1 day' AS leaves_at,
        outcome.is_converted,
        outcome.is_held_out
    FROM leadscore.known_outcomes(
        outcome_counts.as_of,
        -- far enough back for every outcome of the last weeks, those of leads that are out of the window too
        greatest(outcome_counts.training_window_days, outcome_counts.conversion_window_days) + outcome_counts.pace_days,
        outcome_counts.conversion_window_days,
        outcome_counts.conversion_statuses,
        outcome_counts.first_landmark_days
    ) AS outcome
    WHERE outcome.org_id = outcome_counts.org_id
),

fact AS (
    SELECT
        'record' AS kind,
        greatest(1, leaves_at::date - outcome_counts.as_of::date) AS days,
        is_converted,
        is_held_out
    FROM lead
    WHERE known_at <= outcome_counts.as_of AND leaves_at > outcome_counts.as_of
    UNION ALL
    SELECT 'arrival', known_at::date - created_at::date, is_converted, is_held_out
    FROM lead
    WHERE known_at <= outcome_counts.as_of
        AND known_at > outcome_counts.as_of - outcome_counts.pace_days * interval '1 day'
    UNION ALL
    SELECT 'open', greatest(1, known_at::date - outcome_counts.as_of::date), is_converted, is_held_out
    FROM lead
    WHERE known_at > outcome_counts.as_of
),

counted AS (
    SELECT kind, days, is_converted, is_held_out, count(*) AS leads
    FROM fact
    GROUP BY kind, days, is_converted, is_held_out
)

SELECT json_build_object(
    'age_days', (
        SELECT outcome_counts.as_of::date - min(dossier.created_at)::date
        FROM dossier
        WHERE dossier.org_id = outcome_counts.org_id AND dossier.created_at <= outcome_counts.as_of
    ),
    'records', coalesce(json_agg(counted) FILTER (WHERE counted.kind = 'record'), '[]'),
    'arrivals', coalesce(json_agg(counted) FILTER (WHERE counted.kind = 'arrival'), '[]'),
    'open_leads', coalesce(json_agg(counted) FILTER (WHERE counted.kind = 'open'), '[]')
)::text
FROM counted
$$;
