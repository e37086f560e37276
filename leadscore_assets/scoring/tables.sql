-- The scores of the open leads: our tables, and the views and functions with which others read them.
--
-- `leadscore.call_list` is for the CRM's backend and for BI tools; the tables behind it may change with a release.

-- How the values of each feature are said: from the feature contract, written anew at each set-up.
CREATE TABLE IF NOT EXISTS leadscore.feature_words (
    feature text PRIMARY KEY,
    unit    text NOT NULL,
    label   text NOT NULL,
    known   text NOT NULL,
    zero    text NOT NULL,
    unknown text NOT NULL
);
COMMENT ON TABLE leadscore.feature_words IS 'How the value of each feature is said; {} stands for the value.';

CREATE TABLE IF NOT EXISTS leadscore.lead_score (
    org_id                 text NOT NULL,
    lead_id                text NOT NULL,
    created_at             timestamp NOT NULL,
    probability            double precision NOT NULL,
    confidence             double precision NOT NULL,
    grade                  text NOT NULL,
    action                 text NOT NULL,
    trend                  text NOT NULL,
    probability_before     double precision,
    features               double precision[] NOT NULL,
    contributions          double precision[] NOT NULL,
    contributions_before   double precision[],
    is_beyond_landmarks    boolean NOT NULL,
    model_version          text NOT NULL,
    model_scope            text NOT NULL,
    scored_since           timestamptz NOT NULL,
    fingerprint            bytea NOT NULL,
    PRIMARY KEY (org_id, lead_id)
);
COMMENT ON TABLE leadscore.lead_score IS 'One row per open lead: its present score.';
COMMENT ON COLUMN leadscore.lead_score.created_at IS 'When the lead was created (UTC).';
COMMENT ON COLUMN leadscore.lead_score.probability IS 'Probability, from 0 to 1, that the lead converts within the conversion window.';
COMMENT ON COLUMN leadscore.lead_score.confidence IS 'Share of the trees, from 0 to 1, that agree with the prediction.';
COMMENT ON COLUMN leadscore.lead_score.grade IS 'A to D, by the cut points in org_setting.';
COMMENT ON COLUMN leadscore.lead_score.action IS 'Recommended action, as the HTTP API gives it.';
COMMENT ON COLUMN leadscore.lead_score.trend IS 'improving, steady, declining or not_enough_history: against 7 days ago, by the same model version.';
COMMENT ON COLUMN leadscore.lead_score.probability_before IS 'What the same model version says of the lead as it was 7 days ago; null for younger leads.';
COMMENT ON COLUMN leadscore.lead_score.features IS 'The values of scoring_run.feature_names, null where unknown, as of scored_since.';
COMMENT ON COLUMN leadscore.lead_score.contributions IS 'What each feature adds to the probability; with scoring_run.base_value they sum to it.';
COMMENT ON COLUMN leadscore.lead_score.contributions_before IS 'The same as of 7 days ago; the difference sums to the move of the probability.';
COMMENT ON COLUMN leadscore.lead_score.is_beyond_landmarks IS 'Whether the lead is older than every age that the model was trained at.';
COMMENT ON COLUMN leadscore.lead_score.model_version IS 'Version of the model that scored the lead.';
COMMENT ON COLUMN leadscore.lead_score.model_scope IS 'own, taught (the org''s version of the pooled model) or pooled: what model it is.';
COMMENT ON COLUMN leadscore.lead_score.scored_since IS 'The as_of of the scoring since which this row is unchanged.';
COMMENT ON COLUMN leadscore.lead_score.fingerprint IS 'Hash of everything that the score depends on; equal hashes mean equal scores.';

CREATE TABLE IF NOT EXISTS leadscore.lead_score_history (
    org_id               text NOT NULL,
    lead_id              text NOT NULL,
    said_at              timestamptz NOT NULL,
    because              text NOT NULL,
    landmark_days        integer,
    age_days             double precision NOT NULL,
    probability          double precision NOT NULL,
    grade                text NOT NULL,
    trend                text NOT NULL,
    model_version        text NOT NULL,
    model_scope          text NOT NULL,
    held_version         text,
    held_probability     double precision,
    previous_version     text,
    previous_probability double precision,
    PRIMARY KEY (org_id, lead_id, said_at)
) PARTITION BY RANGE (said_at);
COMMENT ON TABLE leadscore.lead_score_history IS 'What was said of each lead: a row when its grade, trend or scope changed, and one at each landmark age.';
COMMENT ON COLUMN leadscore.lead_score_history.said_at IS 'The as_of of the scoring.';
COMMENT ON COLUMN leadscore.lead_score_history.because IS 'landmark when the lead had reached a landmark age; otherwise change, because its grade, trend or scope had changed or it had no score before.';
COMMENT ON COLUMN leadscore.lead_score_history.landmark_days IS 'The landmark age that the lead had reached, for a row of a landmark.';
COMMENT ON COLUMN leadscore.lead_score_history.age_days IS 'The age of the lead at said_at, in days.';
COMMENT ON COLUMN leadscore.lead_score_history.held_version IS 'The org''s newest held version, whose probability nobody saw.';
COMMENT ON COLUMN leadscore.lead_score_history.previous_version IS 'The version that was active before, whose probability nobody saw.';

-- What arrived: how many leads were in each bin of each feature when they reached a landmark age.
CREATE TABLE IF NOT EXISTS leadscore.input_counts (
    org_id        text NOT NULL,
    model_version text NOT NULL,
    said_at       timestamptz NOT NULL,
    landmark_days integer NOT NULL,
    leads         integer NOT NULL,
    counts        integer[] NOT NULL,
    PRIMARY KEY (org_id, model_version, said_at, landmark_days)
);
CREATE INDEX IF NOT EXISTS input_counts_of_time ON leadscore.input_counts USING brin (said_at);
COMMENT ON TABLE leadscore.input_counts IS 'Leads that reached a landmark age, counted in the bins of the version that scored them; each lead once per age.';
COMMENT ON COLUMN leadscore.input_counts.said_at IS 'The as_of of the scoring that counted them: they reached the age since the scoring before.';
COMMENT ON COLUMN leadscore.input_counts.counts IS 'Leads per bin, feature by feature, in the order of the version''s input_bins.json; the last bin of each has the unknown values.';

CREATE TABLE IF NOT EXISTS leadscore.scoring_run (
    org_id        text NOT NULL,
    as_of         timestamptz NOT NULL,
    scored_at     timestamptz NOT NULL DEFAULT now(),
    run_id        text,
    model_version text,
    model_scope   text,
    base_value    double precision,
    feature_names text[] NOT NULL,
    open_leads    integer NOT NULL,
    scored        integer NOT NULL,
    changed       integer NOT NULL,
    removed       integer NOT NULL,
    left_out      jsonb NOT NULL,
    is_full       boolean NOT NULL,
    PRIMARY KEY (org_id, as_of)
);
COMMENT ON TABLE leadscore.scoring_run IS 'One row per org and as_of at which its open leads were scored.';
COMMENT ON COLUMN leadscore.scoring_run.model_version IS 'Version that scored the leads; null when no model scored them.';
COMMENT ON COLUMN leadscore.scoring_run.base_value IS 'The probability with no feature known.';
COMMENT ON COLUMN leadscore.scoring_run.open_leads IS 'Leads that were open at as_of.';
COMMENT ON COLUMN leadscore.scoring_run.scored IS 'Leads that have a score.';
COMMENT ON COLUMN leadscore.scoring_run.changed IS 'Rows of lead_score that were written.';
COMMENT ON COLUMN leadscore.scoring_run.removed IS 'Rows of lead_score that were removed, since the lead closed or is left out.';
COMMENT ON COLUMN leadscore.scoring_run.left_out IS 'Number of open leads without a score, by reason.';
COMMENT ON COLUMN leadscore.scoring_run.is_full IS 'Whether every lead was scored again, whatever its fingerprint.';

CREATE TABLE IF NOT EXISTS leadscore.org_setting (
    org_id          text PRIMARY KEY,
    grade_rule      text NOT NULL CHECK (grade_rule IN ('base_rate', 'capacity')),
    weekly_capacity integer CHECK (weekly_capacity > 0),
    cut_points      double precision[],
    set_at          timestamptz NOT NULL DEFAULT now(),
    set_by          text NOT NULL,
    CHECK ((grade_rule = 'capacity') = (weekly_capacity IS NOT NULL))
);
COMMENT ON TABLE leadscore.org_setting IS 'How the leads of each org are graded.';
COMMENT ON COLUMN leadscore.org_setting.weekly_capacity IS 'For the rule capacity: how many new leads a week get grade A.';
COMMENT ON COLUMN leadscore.org_setting.cut_points IS 'Lowest probabilities of A, B and C; null until the next scoring computes them. They stay when the model changes.';

-- A value in words: `known` with the value in place of {}, or the words for 0 and for an unknown value.
CREATE OR REPLACE FUNCTION leadscore.value_in_words(feature text, value double precision)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
SELECT coalesce(
    (
        SELECT CASE
            WHEN value IS NULL OR value = 'NaN' THEN words.unknown
            WHEN value = 0 AND words.zero <> '' THEN words.zero
            ELSE replace(words.known, '{}', CASE
                WHEN words.unit = 'minutes' AND value < 90 THEN leadscore.counted(value, 'minutes')
                WHEN words.unit = 'minutes' AND value < 2880 THEN leadscore.counted(value / 60, 'hours')
                WHEN words.unit = 'minutes' THEN leadscore.counted(value / 1440, 'days')
                WHEN words.unit IN ('points', 'currency') THEN to_char(round(value::numeric), 'FM999,999,999,999,990')
                WHEN words.unit = 'ratio' THEN to_char(value, 'FM999,990.0')
                ELSE leadscore.counted(value, words.unit)
            END)
        END
        FROM leadscore.feature_words AS words
        WHERE words.feature = value_in_words.feature
    ),
    -- a feature of another release
    value_in_words.feature || ' ' || coalesce(value::text, 'unknown')
)
$$;

-- A whole number of things: "1 message", "4 messages".
CREATE OR REPLACE FUNCTION leadscore.counted(value double precision, things text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
SELECT to_char(round(value::numeric), 'FM999,999,999,990')
    || ' ' || CASE WHEN round(value::numeric) = 1 THEN regexp_replace(things, 's$', '') ELSE things END
$$;

-- The features that move the probability most, in words, such as "answered after 49 minutes: −8 points".
CREATE OR REPLACE FUNCTION leadscore.reasons_in_words(
    names text[], features double precision[], contributions double precision[], age_days double precision, most integer
)
RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
SELECT coalesce(array_agg(
    leadscore.value_in_words(reason.name, reason.value) || ': ' || leadscore.points(reason.contribution)
    ORDER BY abs(reason.contribution) DESC, reason.nth
), '{}')
FROM (
    SELECT
        name,
        CASE WHEN name = 'days_since_creation' THEN floor(age_days) ELSE value END AS value,
        contribution,
        nth
    FROM unnest(names, features, contributions) WITH ORDINALITY AS each (name, value, contribution, nth)
    WHERE abs(contribution) >= 0.005
    ORDER BY abs(contribution) DESC, nth
    LIMIT most
) AS reason
$$;

-- The features whose contribution moved most, such as "Response time: +6 points".
CREATE OR REPLACE FUNCTION leadscore.moves_in_words(
    names text[], contributions double precision[], contributions_before double precision[], most integer
)
RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
SELECT coalesce(array_agg(
    coalesce(words.label, move.name) || ': ' || leadscore.points(move.change)
    ORDER BY abs(move.change) DESC, move.nth
), '{}')
FROM (
    SELECT name, now - before AS change, nth
    FROM unnest(names, contributions, contributions_before) WITH ORDINALITY AS each (name, now, before, nth)
    WHERE abs(now - before) >= 0.005
    ORDER BY abs(now - before) DESC, nth
    LIMIT most
) AS move
LEFT JOIN leadscore.feature_words AS words ON words.feature = move.name
$$;

-- A share of 1 as signed points of 100.
CREATE OR REPLACE FUNCTION leadscore.points(share double precision)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
SELECT CASE WHEN round((share * 100)::numeric) < 0 THEN '−' ELSE '+' END
    || abs(round((share * 100)::numeric))
    || CASE WHEN abs(round((share * 100)::numeric)) = 1 THEN ' point' ELSE ' points' END
$$;

-- The newest scoring of each org.
CREATE OR REPLACE VIEW leadscore.last_scoring AS
SELECT DISTINCT ON (org_id) * FROM leadscore.scoring_run ORDER BY org_id, as_of DESC;

-- Every open lead that has a score, the best of each org first.
CREATE OR REPLACE VIEW leadscore.call_list AS
SELECT
    score.org_id,
    score.lead_id,
    place.rank,
    score.probability,
    score.confidence,
    score.grade,
    score.action,
    score.trend,
    score.probability_before,
    leadscore.reasons_in_words(
        scoring.feature_names,
        score.features,
        score.contributions,
        extract(epoch FROM (scoring.as_of AT TIME ZONE 'UTC') - score.created_at) / 86400,
        3
    ) AS reasons,
    leadscore.moves_in_words(scoring.feature_names, score.contributions, score.contributions_before, 3) AS moves,
    score.created_at,
    score.is_beyond_landmarks,
    score.model_version,
    score.model_scope,
    score.scored_since,
    scoring.as_of AS scored_as_of
FROM (
    -- ranked here, without the words: so these are made of the leads that are asked for alone
    SELECT
        org_id,
        lead_id,
        row_number() OVER (PARTITION BY org_id ORDER BY probability DESC, created_at DESC, lead_id) AS rank
    FROM leadscore.lead_score
) AS place
JOIN leadscore.lead_score AS score ON score.org_id = place.org_id AND score.lead_id = place.lead_id
JOIN leadscore.last_scoring AS scoring ON scoring.org_id = score.org_id;
COMMENT ON VIEW leadscore.call_list IS 'Every open lead that has a score, with its rank in its org and the reasons in words.';
COMMENT ON COLUMN leadscore.call_list.rank IS 'Place of the lead in its org, 1 for the highest probability.';
COMMENT ON COLUMN leadscore.call_list.reasons IS 'Up to three features that move the probability most, with points of 100.';
COMMENT ON COLUMN leadscore.call_list.moves IS 'Up to three features that moved the probability most in the last 7 days.';
COMMENT ON COLUMN leadscore.call_list.scored_as_of IS 'When the org''s leads were last scored.';
