-- `leadscore.features_at`: the features of leads at moments, the one statement of what each feature is. The training
-- asks for a record's landmarks, the scoring for now and for 7 days ago, and the server for now.
--
-- It returns one line per pair of lead and moment, once for each pair, however often it is asked for. A lead that is not
-- in the org has none, nor has a lead at a moment before its creation. The features of the contract follow, null where
-- they are unknown; what the contract does not name is not returned. The contract fills in the columns and the
-- names.
--
-- The rule above all others: nothing that happened after a moment counts in its line. Moments are UTC;
-- `leadscore.crm_moment` turns what the CRM wrote into one, or into null when it cannot be a time. Every table is filtered
-- by org, because ids alone do not tell whose a row is. Two facts have no history in the CRM and are taken as they stand
-- today: a listing's price and photos, and the score of a lead's source.
--
-- It joins by hashing and in memory, because a database that was loaded a moment ago has no statistics yet: planned as
-- if it were tiny, the joins would compare every row with every other.
CREATE OR REPLACE FUNCTION leadscore.features_at(
    org_id text,
    lead_ids text[],
    moments timestamp[],
    crm_time_zone text
)
RETURNS TABLE (lead_id text, moment timestamp, {columns})
LANGUAGE sql STABLE
SET enable_nestloop = off
SET jit = off
SET work_mem = '64MB'
AS $$
WITH

lead AS (
    SELECT
        dossier.id,
        dossier.org_id,
        dossier.annonce_id,
        asked.lead_id,
        asked.moments,
        leadscore.crm_moment(dossier.created_at, features_at.crm_time_zone) AS created_at
    FROM (
        SELECT pair.lead_id, array_agg(DISTINCT pair.moment ORDER BY pair.moment) AS moments
        FROM unnest(features_at.lead_ids, features_at.moments) AS pair (lead_id, moment)
        GROUP BY pair.lead_id
    ) AS asked
    JOIN dossier ON dossier.org_id::text = features_at.org_id AND dossier.id::text = asked.lead_id
),

-- The org's id as the CRM types it, so that the other tables are read by their indexes on org_id.
org AS (
    SELECT org_id AS id FROM lead LIMIT 1
),

-- The messages of all leads of the org, or of the one lead that is asked about: of the two conditions on the number of
-- leads one is false, and its half is not read.
message_of_lead AS (
    SELECT message.dossier_id, message.direction, message."timestamp"
    FROM message
    WHERE message.org_id = (SELECT id FROM org) AND cardinality(features_at.lead_ids) <> 1
    UNION ALL
    SELECT message.dossier_id, message.direction, message."timestamp"
    FROM message
    WHERE message.org_id = (SELECT id FROM org)
        AND message.dossier_id = (SELECT id FROM lead LIMIT 1)
        AND cardinality(features_at.lead_ids) = 1
),

-- What happened around each lead, one line per event. A cancelled appointment is booked when it was made and unbooked
-- when it was last changed. What has no time cannot be placed before any moment, so it is never known.
event AS (
    SELECT
        lead.id,
        lead.created_at,
        lead.moments,
        leadscore.crm_moment(message."timestamp", features_at.crm_time_zone) AS happened_at,
        (message.direction::text = 'INBOUND')::int AS inbound,
        (message.direction::text = 'OUTBOUND')::int AS outbound,
        0 AS appointments
    FROM lead
    JOIN message_of_lead AS message ON message.dossier_id = lead.id
    UNION ALL
    SELECT
        lead.id,
        lead.created_at,
        lead.moments,
        leadscore.crm_moment(appointment.created_at, features_at.crm_time_zone),
        0,
        0,
        1
    FROM lead
    JOIN appointment ON appointment.org_id = (SELECT id FROM org) AND appointment.dossier_id = lead.id
    UNION ALL
    SELECT
        lead.id,
        lead.created_at,
        lead.moments,
        leadscore.crm_moment(appointment.updated_at, features_at.crm_time_zone),
        0,
        0,
        -1
    FROM lead
    JOIN appointment ON appointment.org_id = (SELECT id FROM org) AND appointment.dossier_id = lead.id
    WHERE appointment.status::text = 'CANCELLED'
        AND leadscore.crm_moment(appointment.updated_at, features_at.crm_time_zone)
            >= leadscore.crm_moment(appointment.created_at, features_at.crm_time_zone)
),

-- Each event is counted once, at the lead's first moment that may know of it; sums over the moments so far then give
-- every count, so the cost grows with the number of events alone. `width_bucket` counts the moments at or before a time;
-- the microsecond makes it those strictly before, so that an event at the very moment is known by it.
news AS (
    SELECT
        id,
        1 + width_bucket(happened_at - interval '1 microsecond', moments) AS nth,
        sum(inbound) AS inbound,
        sum(outbound) AS outbound,
        sum(appointments) AS appointments,
        min(happened_at) FILTER (WHERE outbound = 1 AND happened_at >= created_at) AS answered_at
    FROM event
    GROUP BY 1, 2
),
activity AS (
    SELECT
        lead.*,
        pair.moment,
        coalesce(sum(news.inbound) OVER so_far, 0)::double precision AS inbound,
        coalesce(sum(news.outbound) OVER so_far, 0)::double precision AS outbound,
        coalesce(sum(news.appointments) OVER so_far, 0)::double precision AS appointments,
        min(news.answered_at) OVER so_far AS answered_at
    FROM lead
    CROSS JOIN LATERAL unnest(lead.moments) WITH ORDINALITY AS pair (moment, nth)
    LEFT JOIN news ON news.id = lead.id AND news.nth = pair.nth
    WINDOW so_far AS (PARTITION BY lead.id ORDER BY pair.nth)
),

listing AS (
    SELECT
        id,
        leadscore.crm_moment(created_at, features_at.crm_time_zone) AS created_at,
        price,
        -- read as text, as a non-empty array, so that no listing's odd value (or column type) can fail the org
        coalesce(photos_json::text ~ '^\s*\[\s*[^][:space:]]', false)::int AS has_photos
    FROM annonce
    WHERE org_id = (SELECT id FROM org) AND id = ANY (ARRAY(SELECT annonce_id FROM lead))
),

-- The org's new leads per day. Days without any are in it too, wherever a moment falls. Leads that came after a moment
-- do not change its score: the days before it hold none of them, and a day that begins the history only because of them
-- is less than 30 days back, so the score is 50 anyway.
day AS (
    SELECT day, sum(new_leads) AS new_leads, bool_or(begins_history) AS begins_history
    FROM (
        SELECT creation.day, creation.new_leads, creation.begins_history
        FROM leadscore.creation_days('infinity', features_at.crm_time_zone) AS creation
        WHERE creation.org_id = features_at.org_id
        UNION ALL
        SELECT DISTINCT asked.moment::date, 0, false FROM unnest(features_at.moments) AS asked (moment)
    ) AS every_day
    GROUP BY day
),
-- Whole days only, and only those before, so that a day's own leads never count for their neighbours.
market AS (
    SELECT
        day,
        day - min(day) FILTER (WHERE begins_history) OVER (
            ORDER BY day RANGE BETWEEN '395 days' PRECEDING AND '1 day' PRECEDING
        ) AS past_days,
        sum(new_leads) OVER (ORDER BY day RANGE BETWEEN '365 days' PRECEDING AND '1 day' PRECEDING) AS past_leads,
        sum(new_leads) OVER (ORDER BY day RANGE BETWEEN '30 days' PRECEDING AND '1 day' PRECEDING) AS recent_leads
    FROM day
),

feature AS (
    SELECT
        activity.lead_id,
        activity.moment,
        coalesce(lead_score.source_score, 10)::double precision AS lead_source_score,
        (extract(epoch FROM activity.answered_at - activity.created_at) / 60)::double precision AS response_time_minutes,
        activity.inbound AS inbound_messages_count,
        activity.outbound AS outbound_messages_count,
        activity.appointments AS appointments_count,
        (listing.id IS NOT NULL)::int::double precision AS has_property,
        coalesce(listing.price, 0)::double precision AS property_price,
        coalesce(listing.has_photos, 0)::double precision AS property_has_photos,
        coalesce(activity.inbound / nullif(activity.outbound, 0), 0) AS engagement_rate,
        (extract(epoch FROM activity.moment - activity.created_at) / 86400)::double precision AS days_since_creation,
        CASE
            WHEN market.past_days >= 30 AND market.past_leads > 0
                THEN least(
                    100,
                    50 * (coalesce(market.recent_leads, 0) / 30.0) / (market.past_leads / least(365, market.past_days))
                )
            ELSE 50
        END::double precision AS market_activity_score
    FROM activity
    LEFT JOIN lead_score ON lead_score.org_id = (SELECT id FROM org) AND lead_score.dossier_id = activity.id
    LEFT JOIN listing
        ON listing.id = activity.annonce_id
        -- a listing that is not known to be younger was always there
        AND (listing.created_at > activity.moment) IS NOT TRUE
    LEFT JOIN market ON market.day = activity.moment::date
    WHERE (activity.moment < activity.created_at) IS NOT TRUE
)

SELECT lead_id, moment, {names} FROM feature
$$
