-- The records of one org: every lead created in the training window whose outcome is known, as it looked at each
-- landmark (an age at which it was open). A lead that is no record gives one row that says why.
--
-- Returns `lead_id` and `excluded_because` (text); `created_on`, the lead's day of creation (date); `landmark_days` and
-- `converted` (integer); then the features of the contract (double precision), all null when the lead is excluded.
--
-- `leadscore.lead_outcomes` is the rule of what a record is, and `leadscore.features_at` of what each feature is. The
-- rule above all others: nothing that happened after `as_of` counts, and nothing after a landmark counts in its row.

WITH

-- When each lead was open, and what became of it.
outcomes AS (
    SELECT dossier.id, outcome.*
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
        outcomes.lead_id,
        outcomes.created_at,
        outcomes.is_converted,
        outcomes.excluded_because,
        ages.landmark_days,
        outcomes.created_at + ages.landmark_days * interval '1 day' AS landmark_at
    FROM outcomes
    LEFT JOIN LATERAL unnest(outcomes.open_landmark_days) AS ages (landmark_days)
        ON outcomes.excluded_because IS NULL
),

features AS (
    SELECT *
    FROM leadscore.features_at(
        %(org_id)s,
        (SELECT array_agg(lead_id) FROM landmarks WHERE landmark_at IS NOT NULL),
        (SELECT array_agg(landmark_at) FROM landmarks WHERE landmark_at IS NOT NULL),
        %(crm_time_zone)s
    ) AS feature (feature_lead_id, feature_at)
)

SELECT
    landmarks.lead_id,
    landmarks.excluded_because,
    landmarks.created_at::date AS created_on,
    landmarks.landmark_days::int AS landmark_days,
    CASE WHEN landmarks.excluded_because IS NULL THEN landmarks.is_converted::int END AS converted,
    features.*
FROM landmarks
LEFT JOIN features ON features.feature_lead_id = landmarks.lead_id AND features.feature_at = landmarks.landmark_at
ORDER BY landmarks.created_at, landmarks.id, landmarks.landmark_days
