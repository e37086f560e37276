-- The records of one org: every lead created in the training window whose outcome is known, as it looked at each
-- landmark (an age at which it was still open). A lead that is no record gives one row that says why.
--
-- Returns `lead_id` and `excluded_because` (text); `created_on`, the lead's day of creation (date); `landmark_days` and
-- `converted` (integer); then the features of the contract (double precision), all null when the lead is excluded.
--
-- The rule above all others: nothing that happened after `as_of` counts, and nothing after a landmark counts in its row.
-- Moments are UTC. Every table is filtered by org, because ids alone do not tell whose a row is.
-- Two facts have no history in the CRM and are taken as they stand today: a listing's price and photos, and the score
-- of a lead's source.

WITH

-- A lead's outcome is the first time that it reached a closing status. Its present status is not proof of anything as
-- of an earlier time, so it serves only to notice leads whose history was never written.
leads AS (
    SELECT
        dossier.id,
        dossier.created_at,
        dossier.annonce_id,
        dossier.status,
        min(closing.transitioned_at) FILTER (WHERE closing.transitioned_at <= %(as_of)s) AS closed_at,
        min(closing.transitioned_at) FILTER (
            WHERE closing.transitioned_at <= %(as_of)s AND closing.to_status = ANY (%(conversion_statuses)s)
        ) AS converted_at,
        count(closing.transitioned_at) > 0 AS has_closing_history
    FROM dossier
    LEFT JOIN dossier_status_history AS closing
        ON closing.org_id = dossier.org_id
        AND closing.dossier_id = dossier.id
        AND closing.to_status = ANY (%(conversion_statuses)s || ARRAY['WON', 'LOST'])
    WHERE dossier.org_id = %(org_id)s
        AND dossier.created_at > %(as_of)s - %(training_window_days)s * interval '1 day'
        AND dossier.created_at <= %(as_of)s
    GROUP BY dossier.id, dossier.created_at, dossier.annonce_id, dossier.status
),

-- An outcome is known once the lead has closed or the conversion window is over, whichever comes first.
outcomes AS (
    SELECT
        id,
        created_at,
        annonce_id,
        closed_at,
        coalesce(converted_at <= created_at + %(conversion_window_days)s * interval '1 day', false) AS is_converted,
        CASE
            WHEN NOT has_closing_history AND status = ANY (%(conversion_statuses)s || ARRAY['WON', 'LOST'])
                THEN 'outcome_time_unknown'
            WHEN closed_at <= created_at
                THEN 'closed_at_creation'
            WHEN closed_at <= created_at + (%(landmark_days)s)[1] * interval '1 day'
                THEN 'closed_before_first_landmark'
            WHEN least(closed_at, created_at + %(conversion_window_days)s * interval '1 day') > %(as_of)s
                THEN 'still_open'
        END AS excluded_because
    FROM leads
),

-- One line per record and landmark at which it was still open: the leads that could have been scored at that age. An
-- excluded lead keeps one line without a landmark.
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
    LEFT JOIN unnest(%(landmark_days)s) WITH ORDINALITY AS ages (landmark_days, nth)
        ON outcomes.excluded_because IS NULL
        AND outcomes.created_at + ages.landmark_days * interval '1 day' <= %(as_of)s
        AND (
            outcomes.closed_at IS NULL
            OR outcomes.created_at + ages.landmark_days * interval '1 day' < outcomes.closed_at
        )
),

-- What happened around each lead, one line per event. A cancelled appointment is booked when it was made and unbooked
-- when it was last changed. What has no time cannot be placed before any landmark, so it is never known.
events AS (
    SELECT
        outcomes.id,
        outcomes.created_at,
        message."timestamp" AS happened_at,
        (message.direction = 'INBOUND')::int AS inbound,
        (message.direction = 'OUTBOUND')::int AS outbound,
        0 AS appointments
    FROM outcomes
    JOIN message ON message.org_id = %(org_id)s AND message.dossier_id = outcomes.id
    UNION ALL
    SELECT outcomes.id, outcomes.created_at, appointment.created_at, 0, 0, 1
    FROM outcomes
    JOIN appointment ON appointment.org_id = %(org_id)s AND appointment.dossier_id = outcomes.id
    UNION ALL
    SELECT outcomes.id, outcomes.created_at, appointment.updated_at, 0, 0, -1
    FROM outcomes
    JOIN appointment ON appointment.org_id = %(org_id)s AND appointment.dossier_id = outcomes.id
    WHERE appointment.status = 'CANCELLED' AND appointment.updated_at >= appointment.created_at
),

-- Each event is counted once, at the first landmark that may know of it; sums over the landmarks so far then give every
-- count, so the cost grows with the number of events alone. `width_bucket` counts the landmarks at or before an age;
-- the microsecond makes it those strictly before, so that an event at the very landmark is known by it.
news AS (
    SELECT
        id,
        1 + width_bucket(
            happened_at - created_at - interval '1 microsecond',
            ARRAY(SELECT days * interval '1 day' FROM unnest(%(landmark_days)s) AS days)
        ) AS nth,
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

-- The org's new leads per day. Days without any are in it too, wherever a landmark can fall.
days AS (
    SELECT day, sum(new_leads) AS new_leads
    FROM (
        SELECT created_at::date AS day, 1 AS new_leads
        FROM dossier
        WHERE org_id = %(org_id)s AND created_at <= %(as_of)s
        UNION ALL
        SELECT %(as_of)s::date - age, 0
        FROM generate_series(0, %(training_window_days)s) AS age
    ) AS every_day
    GROUP BY day
),
-- Whole days only, and only those before, so that a day's own leads never count for their neighbours.
market AS (
    SELECT
        day,
        least(365, day - min(day) FILTER (WHERE new_leads > 0) OVER ()) AS past_days,
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
LEFT JOIN annonce
    ON annonce.org_id = %(org_id)s
    AND annonce.id = activity.annonce_id
    AND (annonce.created_at IS NULL OR annonce.created_at <= activity.landmark_at)
LEFT JOIN market ON market.day = activity.landmark_at::date
LEFT JOIN LATERAL (
    SELECT
        coalesce(lead_score.source_score, 10)::double precision AS lead_source_score,
        (extract(epoch FROM activity.answered_at - activity.created_at) / 60)::double precision AS response_time_minutes,
        activity.inbound AS inbound_messages_count,
        activity.outbound AS outbound_messages_count,
        activity.appointments AS appointments_count,
        (annonce.id IS NOT NULL)::int::double precision AS has_property,
        coalesce(annonce.price, 0)::double precision AS property_price,
        -- Read as text, as a non-empty array, so that no listing's odd value (or column type) can fail the org.
        coalesce(annonce.photos_json::text ~ '^\s*\[\s*[^][:space:]]', false)::int::double precision AS property_has_photos,
        coalesce(activity.inbound / nullif(activity.outbound, 0), 0) AS engagement_rate,
        activity.landmark_days::double precision AS days_since_creation,
        CASE
            WHEN market.past_days >= 30 AND market.past_leads > 0
                THEN least(100, 50 * (coalesce(market.recent_leads, 0) / 30.0) / (market.past_leads / market.past_days))
            ELSE 50
        END::double precision AS market_activity_score
) AS features ON activity.excluded_because IS NULL
ORDER BY activity.created_at, activity.id, activity.landmark_days
