-- Our functions over the CRM's leads: when each was open, what became of it, and how many outcomes an org has.
--
-- The server, the schedule and the training call them by name. So a release that changes a function's columns or
-- meaning gives it another name or other parameters: the release before can then go on with its own.
--
-- Inside, every time is UTC without a zone. They read columns of any type that PostgreSQL can cast: uuid, enum, citext.

-- Converts a time that the CRM wrote to UTC. Only these functions know the CRM's time zone, and which times are possible.
-- A time before 1990, or more than a day ahead of the present, becomes null: it is infinity, year 1, the zero of an
-- epoch such as 1970-01-01, or a typing error. There is one function per type of column, because `AT TIME ZONE` does
-- opposite things to the two kinds of timestamp.
CREATE OR REPLACE FUNCTION leadscore.crm_moment(written timestamp, time_zone text)
RETURNS timestamp
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
SELECT CASE
    WHEN written < timestamp '1990-01-01' OR written > (now() AT TIME ZONE 'UTC') + interval '1 day' THEN NULL
    WHEN time_zone = 'UTC' THEN written
    ELSE written AT TIME ZONE time_zone AT TIME ZONE 'UTC'
END
$$;

CREATE OR REPLACE FUNCTION leadscore.crm_moment(written timestamptz, time_zone text)
RETURNS timestamp
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
SELECT CASE
    WHEN written < timestamptz '1990-01-01 00:00+00' OR written > now() + interval '1 day' THEN NULL
    ELSE written AT TIME ZONE 'UTC'
END
$$;

CREATE OR REPLACE FUNCTION leadscore.crm_moment(written date, time_zone text)
RETURNS timestamp
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
SELECT leadscore.crm_moment(CASE WHEN isfinite(written) THEN written::timestamp END, time_zone)
$$;

-- One line per org and day (UTC) on which leads were created by `as_of`. `begins_history` marks the days with which an
-- org's history can begin: those with several leads, or with a next lead less than 30 days later. Therefore a single much
-- earlier lead, such as a test, does not set the length of the history. The callers also ignore days more than 395 days
-- back.
CREATE OR REPLACE FUNCTION leadscore.creation_days(as_of timestamp, crm_time_zone text)
RETURNS TABLE (
    org_id text,
    day date,
    new_leads bigint,
    begins_history boolean
)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
WITH

lead AS (
    SELECT dossier.org_id, leadscore.crm_moment(dossier.created_at, creation_days.crm_time_zone) AS created_at
    FROM dossier
),

org_day AS (
    SELECT
        org_id,
        created_at::date AS day,
        count(*) AS new_leads,
        lead(created_at::date) OVER (PARTITION BY org_id ORDER BY created_at::date) AS next_day
    FROM lead
    WHERE created_at <= creation_days.as_of
    GROUP BY org_id, created_at::date
)

SELECT org_id::text, day, new_leads, new_leads > 1 OR coalesce(next_day - day < 30, false)
FROM org_day
$$;

-- One line per lead of the training window that ends at `as_of`: the one statement of what a record is.
--
-- A lead is open from its creation on, but not from a move to a conversion status or a lost one until its next move.
-- Its outcome is what holds when the conversion window ends, or at `as_of` while that is still to come.
--   open_during        the intervals in which the lead is open
--   open_landmark_days the ages at which it was open, and so could be scored: a row each
--   known_at           when the outcome came about; for a lead without one yet, when it is known at the latest
--   excluded_because   why the lead is no record; null when it is one
-- A lead without a possible creation time is in every window, so that it is counted.
--
-- The present status says nothing about the lead at an earlier time. It only detects a closing that the CRM never
-- recorded, or recorded at an impossible time: the status is closed, but no usable move closes the lead.
--
-- It is one query without options, so that PostgreSQL plans it as a part of whatever query calls it: a condition on
-- org_id uses the index, where that column is a text, and a column that nobody asks for is never computed.
CREATE OR REPLACE FUNCTION leadscore.lead_outcomes(
    as_of timestamp,
    training_window_days integer,
    conversion_window_days integer,
    conversion_statuses text[],
    lost_statuses text[],
    conversion_is_final boolean,
    landmark_days integer[],
    crm_time_zone text
)
RETURNS TABLE (
    org_id text,
    lead_id text,
    created_at timestamp,
    open_during tsmultirange,
    open_landmark_days integer[],
    is_converted boolean,
    known_at timestamp,
    excluded_because text,
    is_held_out boolean
)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
WITH

lead AS (
    SELECT
        dossier.org_id,
        dossier.id,
        CASE
            WHEN dossier.status::text = ANY (lead_outcomes.conversion_statuses) THEN true
            WHEN dossier.status::text = ANY (lead_outcomes.lost_statuses) THEN false
        END AS present_outcome,
        leadscore.crm_moment(dossier.created_at, lead_outcomes.crm_time_zone) AS created_at
    FROM dossier
),

-- Each move with the time of the next. Its outcome is true (converted), false (lost) or null (open). What happened
-- before a lead's creation, such as to a duplicate that was merged into it, does not close it.
move AS (
    SELECT
        lead.org_id,
        lead.id,
        lead.created_at,
        lead.present_outcome,
        lead.created_at + lead_outcomes.conversion_window_days * interval '1 day' AS window_end,
        move.moved_at,
        move.outcome,
        CASE
            WHEN move.outcome AND lead_outcomes.conversion_is_final THEN NULL
            ELSE lead(move.moved_at) OVER life
        END AS next_moved_at,
        move.outcome IS DISTINCT FROM lag(move.outcome) OVER life AS is_change,
        lead_outcomes.conversion_is_final AND bool_or(move.outcome) OVER (
            life ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS is_after_conversion
    FROM lead
    LEFT JOIN (
        SELECT
            org_id,
            dossier_id,
            id,
            leadscore.crm_moment(transitioned_at, lead_outcomes.crm_time_zone) AS moved_at,
            CASE
                WHEN to_status::text = ANY (lead_outcomes.conversion_statuses) THEN true
                WHEN to_status::text = ANY (lead_outcomes.lost_statuses) THEN false
            END AS outcome
        FROM dossier_status_history
    ) AS move ON move.org_id = lead.org_id AND move.dossier_id = lead.id AND move.moved_at >= lead.created_at
    WHERE lead.created_at IS NULL
        OR (
            lead.created_at > lead_outcomes.as_of - lead_outcomes.training_window_days * interval '1 day'
            AND lead.created_at <= lead_outcomes.as_of
        )
    -- the id first, because numbers are compared sooner than texts
    WINDOW life AS (PARTITION BY lead.id, lead.org_id ORDER BY move.moved_at, move.id)
),

life AS (
    SELECT
        org_id,
        id,
        created_at,
        present_outcome,
        window_end,
        tsmultirange(tsrange(created_at, NULL)) - coalesce(
            range_agg(tsrange(moved_at, next_moved_at)) FILTER (WHERE outcome IS NOT NULL), '{}'
        ) AS open_during,
        bool_or(outcome) FILTER (
            WHERE moved_at <= least(window_end, lead_outcomes.as_of)
                AND (next_moved_at > least(window_end, lead_outcomes.as_of)) IS NOT FALSE
        ) AS outcome,
        max(moved_at) FILTER (WHERE is_change AND moved_at <= least(window_end, lead_outcomes.as_of)) AS changed_at,
        bool_or(outcome) FILTER (WHERE next_moved_at IS NULL) AS last_outcome
    FROM move
    WHERE is_after_conversion IS NOT TRUE
    GROUP BY id, org_id, created_at, present_outcome, window_end
),

record AS (
    SELECT life.*, landmark.open_landmark_days
    FROM life
    CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(days), '{}') AS open_landmark_days
        FROM unnest(lead_outcomes.landmark_days) AS days
        WHERE life.created_at + days * interval '1 day' <= lead_outcomes.as_of
            AND life.open_during @> life.created_at + days * interval '1 day'
    ) AS landmark
)

SELECT
    org_id::text,
    id::text,
    created_at,
    open_during,
    open_landmark_days,
    coalesce(outcome, false),
    CASE WHEN outcome IS NULL THEN window_end ELSE changed_at END,
    CASE
        WHEN created_at IS NULL
            THEN 'creation_time_unknown'
        WHEN present_outcome IS NOT NULL
            AND last_outcome IS DISTINCT FROM present_outcome
            AND NOT (lead_outcomes.conversion_is_final AND last_outcome IS TRUE)
            THEN 'outcome_time_unknown'
        WHEN NOT open_during && tsrange(created_at, lead_outcomes.as_of, '[]')
            THEN 'closed_at_creation'
        WHEN outcome IS NULL AND window_end > lead_outcomes.as_of
            THEN 'still_open'
        WHEN open_landmark_days = '{}'
            THEN 'open_at_no_landmark'
    END,
    -- a fifth of all ids by their hash, as the training splits them: 2^64 / 5 as bytes
    sha256(convert_to(id::text, 'UTF8')) < '\x3333333333333400'::bytea
FROM record
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
    lost_statuses text[],
    conversion_is_final boolean,
    landmark_days integer[],
    crm_time_zone text,
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
        outcome.is_held_out,
        outcome.excluded_because IS NULL AS is_record
    FROM leadscore.lead_outcomes(
        outcome_counts.as_of,
        -- far enough back for every outcome of the last weeks, those of leads that are out of the window too
        greatest(outcome_counts.training_window_days, outcome_counts.conversion_window_days) + outcome_counts.pace_days,
        outcome_counts.conversion_window_days,
        outcome_counts.conversion_statuses,
        outcome_counts.lost_statuses,
        outcome_counts.conversion_is_final,
        outcome_counts.landmark_days,
        outcome_counts.crm_time_zone
    ) AS outcome
    WHERE outcome.org_id = outcome_counts.org_id
        AND (outcome.excluded_because IS NULL OR outcome.excluded_because = 'still_open')
),

fact AS (
    SELECT
        'record' AS kind,
        greatest(1, leaves_at::date - outcome_counts.as_of::date) AS days,
        is_converted,
        is_held_out
    FROM lead
    WHERE is_record AND leaves_at > outcome_counts.as_of
    UNION ALL
    SELECT 'arrival', known_at::date - created_at::date, is_converted, is_held_out
    FROM lead
    WHERE is_record AND known_at > outcome_counts.as_of - outcome_counts.pace_days * interval '1 day'
    UNION ALL
    SELECT 'open', greatest(1, known_at::date - outcome_counts.as_of::date), is_converted, is_held_out
    FROM lead
    WHERE NOT is_record
),

counted AS (
    SELECT kind, days, is_converted, is_held_out, count(*) AS leads
    FROM fact
    GROUP BY kind, days, is_converted, is_held_out
)

SELECT json_build_object(
    'age_days', (
        SELECT outcome_counts.as_of::date - coalesce(
            min(day) FILTER (WHERE begins_history AND day >= outcome_counts.as_of::date - 395),
            min(day) FILTER (WHERE day >= outcome_counts.as_of::date - 395),
            max(day)
        )
        FROM leadscore.creation_days(outcome_counts.as_of, outcome_counts.crm_time_zone) AS creation
        WHERE creation.org_id = outcome_counts.org_id
    ),
    'records', coalesce(json_agg(counted) FILTER (WHERE counted.kind = 'record'), '[]'),
    'arrivals', coalesce(json_agg(counted) FILTER (WHERE counted.kind = 'arrival'), '[]'),
    'open_leads', coalesce(json_agg(counted) FILTER (WHERE counted.kind = 'open'), '[]'),
    'last_run', (
        SELECT json_build_object('stored_at', materializations.stored_at, 'counts', materializations.info -> 'counts')
        FROM leadscore.materializations
        WHERE materializations.asset = 'lead_features' AND materializations.org_id = outcome_counts.org_id
    )
)::text
FROM counted
$$;

-- The leads of one org that were open at `as_of`, however old. `left_out_because` says why a lead cannot be scored, and is
-- null for those that are:
--   creation_time_unknown  the lead's age cannot be told; by its present status it is open
--   outcome_time_unknown   its status says that it is closed, but no usable move closes it
--   window_over            its conversion window is over, so the question that the model answers is, too
--
-- Joins by hashing and in memory, as `outcome_counts` does.
CREATE OR REPLACE FUNCTION leadscore.open_leads(
    org_id text,
    as_of timestamp,
    conversion_window_days integer,
    conversion_statuses text[],
    lost_statuses text[],
    conversion_is_final boolean,
    crm_time_zone text
)
RETURNS TABLE (lead_id text, created_at timestamp, left_out_because text)
LANGUAGE sql STABLE
SET enable_nestloop = off
SET jit = off
SET work_mem = '64MB'
AS $$
SELECT
    outcome.lead_id,
    outcome.created_at,
    CASE
        WHEN outcome.excluded_because = 'outcome_time_unknown'
            THEN outcome.excluded_because
        WHEN outcome.created_at + open_leads.conversion_window_days * interval '1 day' <= open_leads.as_of
            THEN 'window_over'
    END
FROM leadscore.lead_outcomes(
    open_leads.as_of,
    36500,  -- every lead that has a possible creation time
    open_leads.conversion_window_days,
    open_leads.conversion_statuses,
    open_leads.lost_statuses,
    open_leads.conversion_is_final,
    '{}',
    open_leads.crm_time_zone
) AS outcome
WHERE outcome.org_id = open_leads.org_id AND outcome.open_during @> open_leads.as_of AND outcome.created_at IS NOT NULL
UNION ALL
SELECT dossier.id::text, NULL, 'creation_time_unknown'
FROM dossier
WHERE dossier.org_id::text = open_leads.org_id
    AND leadscore.crm_moment(dossier.created_at, open_leads.crm_time_zone) IS NULL
    AND (dossier.status::text = ANY (open_leads.conversion_statuses || open_leads.lost_statuses)) IS NOT TRUE
$$;
