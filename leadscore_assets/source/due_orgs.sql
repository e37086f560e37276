-- Per org: how many records a training as of `as_of` would find, of either outcome and on either side of the split, and
-- how many of their outcomes became known since the org's last training. Orgs without a record are not returned.

SELECT
    outcome.org_id,
    count(*) AS records,
    count(*) FILTER (WHERE outcome.is_converted) AS converted_records,
    count(*) FILTER (WHERE outcome.is_held_out) AS holdout_records,
    count(*) FILTER (WHERE outcome.is_held_out AND outcome.is_converted) AS holdout_converted_records,
    count(*) FILTER (WHERE trained.as_of IS NULL OR outcome.known_at > trained.as_of) AS new_outcomes
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
LEFT JOIN unnest(%(trained_orgs)s::text[], %(trained_as_of)s::timestamp[]) AS trained (org_id, as_of)
    ON trained.org_id = outcome.org_id
WHERE outcome.excluded_because IS NULL
GROUP BY outcome.org_id
