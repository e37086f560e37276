-- The records of one org: every lead created in the training window whose outcome is known, as it looked at each
-- landmark (an age at which it was open). A lead that is no record gives one row that says why.
--
-- Returns `lead_id` and `excluded_because` (text); `created_on`, the lead's day of creation (date); `landmark_days` and
-- `converted` (integer); then the features of the contract (double precision), all null when the lead is excluded.
--
-- The rule above all others: nothing that happened after `as_of` counts, and nothing after a landmark counts in its row.
-- Moments are UTC; `leadscore.crm_moment` turns what the CRM wrote into one, or into null when it cannot be a time.
-- Every table is filtered by org, because ids alone do not tell whose a row is.
-- Two facts have no history in the CRM and are taken as they stand today: a listing's price and photos, and the score
-- of a lead's source.

WITH

-- When each lead was open, and what became of it: `leadscore.lead_outcomes` is the rule.
outcomes AS (
    SELECT
        dossier.id,
        dossier.annonce_id,
        outcome.created_at,
        outcome.is_converted,
        outcome.excluded_because,
        outcome.open_landmark_days,
        ARRAY(SELECT days * interval '1 day' FROM unnest(outcome.open_landmark_days) AS days) AS landmark_ages
    FROM leadscore.lead_outcomes(
        %(as_of)s,
        %(training_window_days)s,
        %(conversion_window_days)s,
        %(conversion_statuses)s,
        %(lost_statuses)s,
        %(conversion_is_final)s,
        %(landmark_days)s,
        %(crm_time_zone)s
    ) AS outcome
    JOIN dossier ON dossier.org_id = %(org_id)s AND dossier.id::text = outcome.lead_id
    WHERE outcome.org_id = %(org_id)s
),

-- One line per record and landmark at which it was open: the leads that could have been scored at that age. An excluded
-- lead keeps one line without a landmark.
landmarks AS (
    SELECT
        outcomes.id,
        outcomes.created_at,
        outcomes.annonce_id,
        outcomes.is_converted,
        outcomes.excluded_because,
        ages.nth,
        ages.landmark_days,
        outcomes.created_at + ages.landmark_days * interval '1 day' AS landmark_at
    FROM outcomes
    LEFT JOIN LATERAL unnest(outcomes.open_landmark_days) WITH ORDINALITY AS ages (landmark_days, nth)
        ON outcomes.excluded_because IS NULL
),

-- What happened around each lead, one line per event. A cancelled appointment is booked when it was made and unbooked
-- when it was last changed. What has no time cannot be placed before any landmark, so it is never known.
events AS (
    SELECT
        outcomes.id,
        outcomes.created_at,
        outcomes.landmark_ages,
        leadscore.crm_moment(message."timestamp", %(crm_time_zone)s) AS happened_at,
        (message.direction::text = 'INBOUND')::int AS inbound,
        (message.direction::text = 'OUTBOUND')::int AS outbound,
        0 AS appointments
    FROM outcomes
    JOIN message ON message.org_id = %(org_id)s AND message.dossier_id = outcomes.id
    WHERE outcomes.excluded_because IS NULL
    UNION ALL
    SELECT
        outcomes.id,
        outcomes.created_at,
        outcomes.landmark_ages,
        leadscore.crm_moment(appointment.created_at, %(crm_time_zone)s),
        0,
        0,
        1
    FROM outcomes
    JOIN appointment ON appointment.org_id = %(org_id)s AND appointment.dossier_id = outcomes.id
    WHERE outcomes.excluded_because IS NULL
    UNION ALL
    SELECT
        outcomes.id,
        outcomes.created_at,
        outcomes.landmark_ages,
        leadscore.crm_moment(appointment.updated_at, %(crm_time_zone)s),
        0,
        0,
        -1
    FROM outcomes
    JOIN appointment ON appointment.org_id = %(org_id)s AND appointment.dossier_id = outcomes.id
    WHERE outcomes.excluded_because IS NULL
        AND appointment.status::text = 'CANCELLED'
        AND leadscore.crm_moment(appointment.updated_at, %(crm_time_zone)s)
            >= leadscore.crm_moment(appointment.created_at, %(crm_time_zone)s)
),

-- Each event is counted once, at the lead's first landmark that may know of it; sums over the landmarks so far then give
-- every count, so the cost grows with the number of events alone. `width_bucket` counts the landmarks at or before an
-- age; the microsecond makes it those strictly before, so that an event at the very landmark is known by it.
news AS (
    SELECT
        id,
        1 + width_bucket(happened_at - created_at - interval '1 microsecond', landmark_ages) AS nth,
        sum(inbound) AS inbound,
        sum(outbound) AS outbound,
        sum(appointments) AS appointments,
        min(happened_at) FILTER (WHERE outbound = 1 AND happened_at >= created_at) AS answered_at
    FROM events
    GROUP BY 1, 2
),
activity AS (
    SELECT
        landmarks.*,
        coalesce(sum(news.inbound) OVER so_far, 0)::double precision AS inbound,
        coalesce(sum(news.outbound) OVER so_far, 0)::double precision AS outbound,
        coalesce(sum(news.appointments) OVER so_far, 0)::double precision AS appointments,
        min(news.answered_at) OVER so_far AS answered_at
    FROM landmarks
    LEFT JOIN news ON news.id = landmarks.id AND news.nth = landmarks.nth
    WINDOW so_far AS (PARTITION BY landmarks.id ORDER BY landmarks.nth)
),

listings AS (
    SELECT
        id,
        leadscore.crm_moment(created_at, %(crm_time_zone)s) AS created_at,
        price,
        -- read as text, as a non-empty array, so that no listing's odd value (or column type) can fail the org
        coalesce(photos_json::text ~ '^\s*\[\s*[^][:space:]]', false)::int AS has_photos
    FROM annonce
    WHERE org_id = %(org_id)s
),

-- The org's new leads per day. Days without any are in it too, wherever a landmark can fall.
days AS (
    SELECT day, sum(new_leads) AS new_leads, bool_or(begins_history) AS begins_history
    FROM (
        SELECT day, new_leads, begins_history
        FROM leadscore.creation_days(%(as_of)s, %(crm_time_zone)s)
        WHERE org_id = %(org_id)s
        UNION ALL
        SELECT %(as_of)s::date - age, 0, false FROM generate_series(0, %(training_window_days)s) AS age
    ) AS every_day
    GROUP BY day
),
-- Whole days only, and only those before, so that a day's own leads never count for their neighbours. A day may begin
-- the history only because of a lead that came later than the day of scoring. Such a day is less than 30 days back, so
-- the score is 50 anyway.
market AS (
    SELECT
        day,
        day - min(day) FILTER (WHERE begins_history) OVER (
            ORDER BY day RANGE BETWEEN '395 days' PRECEDING AND '1 day' PRECEDING
        ) AS past_days,
        sum(new_leads) OVER (ORDER BY day RANGE BETWEEN '365 days' PRECEDING AND '1 day' PRECEDING) AS past_leads,
        sum(new_leads) OVER (ORDER BY day RANGE BETWEEN '30 days' PRECEDING AND '1 day' PRECEDING) AS recent_leads
    FROM days
)

SELECT
    activity.id::text AS lead_id,
    activity.excluded_because,
    activity.created_at::date AS created_on,
    activity.landmark_days::int AS landmark_days,
    CASE WHEN activity.excluded_because IS NULL THEN activity.is_converted::int END AS converted,
    features.*
FROM activity
LEFT JOIN lead_score ON lead_score.org_id = %(org_id)s AND lead_score.dossier_id = activity.id
LEFT JOIN listings
    ON listings.id = activity.annonce_id
    -- a listing that is not known to be younger was always there
    AND (listings.created_at > activity.landmark_at) IS NOT TRUE
LEFT JOIN market ON market.day = activity.landmark_at::date
LEFT JOIN LATERAL (
    SELECT
        coalesce(lead_score.source_score, 10)::double precision AS lead_source_score,
        (extract(epoch FROM activity.answered_at - activity.created_at) / 60)::double precision AS response_time_minutes,
        activity.inbound AS inbound_messages_count,
        activity.outbound AS outbound_messages_count,
        activity.appointments AS appointments_count,
        (listings.id IS NOT NULL)::int::double precision AS has_property,
        coalesce(listings.price, 0)::double precision AS property_price,
        coalesce(listings.has_photos, 0)::double precision AS property_has_photos,
        coalesce(activity.inbound / nullif(activity.outbound, 0), 0) AS engagement_rate,
        activity.landmark_days::double precision AS days_since_creation,
        CASE
            WHEN market.past_days >= 30 AND market.past_leads > 0
                THEN least(
                    100,
                    50 * (coalesce(market.recent_leads, 0) / 30.0) / (market.past_leads / least(365, market.past_days))
                )
            ELSE 50
        END::double precision AS market_activity_score
) AS features ON activity.excluded_because IS NULL
ORDER BY activity.created_at, activity.id, activity.landmark_days
