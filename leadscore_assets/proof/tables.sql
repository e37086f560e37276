-- What was said of leads, and what came true: our tables of live proof.

-- Scores that were answered over HTTP for a lead that the request named: the first by each version in each span of ages
-- from one landmark to the next, so that a lead that is asked for all day adds no more. The server writes them, and drops
-- some rather than let a request wait. Beside them, leadscore.lead_score_history has what the daily scoring said.
CREATE TABLE IF NOT EXISTS leadscore.answered_score (
    org_id        text NOT NULL,
    lead_id       text NOT NULL,
    landmark_days integer NOT NULL,
    answered_at   timestamptz NOT NULL,
    age_days      double precision NOT NULL,
    probability   double precision NOT NULL,
    model_version text NOT NULL,
    model_scope   text NOT NULL,
    feature_names text[],
    features      double precision[],
    PRIMARY KEY (org_id, lead_id, model_version, landmark_days),
    CHECK ((feature_names IS NULL) = (features IS NULL))
);
CREATE INDEX IF NOT EXISTS answered_score_of_time ON leadscore.answered_score USING brin (answered_at);
COMMENT ON TABLE leadscore.answered_score IS 'The first score that each version answered for a named lead in each span of ages, over HTTP.';
COMMENT ON COLUMN leadscore.answered_score.landmark_days IS 'The last landmark age that the lead had reached, in days.';
COMMENT ON COLUMN leadscore.answered_score.age_days IS 'The age of the lead that the request gave, in days.';
COMMENT ON COLUMN leadscore.answered_score.feature_names IS 'For a sample of the requests that brought features: their names.';
COMMENT ON COLUMN leadscore.answered_score.features IS 'The features that the request brought, null where unknown.';

-- The features that requests bring otherwise than the CRM's data give, each with an example.
CREATE TABLE IF NOT EXISTS leadscore.feature_skew (
    org_id      text NOT NULL,
    feature     text NOT NULL,
    as_of       timestamptz NOT NULL,
    compared    integer NOT NULL,
    differing   integer NOT NULL,
    sent        double precision,
    computed    double precision,
    lead_id     text NOT NULL,
    cause       text NOT NULL,
    is_of_today boolean NOT NULL,
    is_named    boolean NOT NULL,
    PRIMARY KEY (org_id, feature)
);
COMMENT ON TABLE leadscore.feature_skew IS 'Features that sampled requests of the last 7 days brought otherwise than the CRM''s data give.';
COMMENT ON COLUMN leadscore.feature_skew.compared IS 'Requests that were compared.';
COMMENT ON COLUMN leadscore.feature_skew.differing IS 'Requests in which the feature differs.';
COMMENT ON COLUMN leadscore.feature_skew.sent IS 'The value that differs most, as the request brought it; null when unknown.';
COMMENT ON COLUMN leadscore.feature_skew.computed IS 'The value of the same lead by the CRM''s data at the time of the request.';
COMMENT ON COLUMN leadscore.feature_skew.lead_id IS 'The lead of these two values.';
COMMENT ON COLUMN leadscore.feature_skew.cause IS 'What explains nearly all differences; empty when nothing known does.';
COMMENT ON COLUMN leadscore.feature_skew.is_of_today IS 'Whether the CRM has no history of the feature, so that today''s value is compared.';
COMMENT ON COLUMN leadscore.feature_skew.is_named IS 'Whether it differs too often to have happened by itself.';

-- Each score that is judged, with what the lead became: the first that was said of a lead in each span of ages from one
-- landmark to the next, once the lead is mature.
CREATE TABLE IF NOT EXISTS leadscore.judged_score (
    org_id               text NOT NULL,
    lead_id              text NOT NULL,
    landmark_days        integer NOT NULL,
    created_at           timestamp NOT NULL,
    said_at              timestamptz NOT NULL,
    said_by              text NOT NULL,
    probability          double precision NOT NULL,
    grade                text,
    model_version        text NOT NULL,
    model_scope          text NOT NULL,
    held_version         text,
    held_probability     double precision,
    previous_version     text,
    previous_probability double precision,
    is_converted         boolean NOT NULL,
    PRIMARY KEY (org_id, lead_id, landmark_days)
);
CREATE INDEX IF NOT EXISTS judged_score_of_org ON leadscore.judged_score (org_id, created_at);
COMMENT ON TABLE leadscore.judged_score IS 'What was said of each mature lead at each landmark age, and whether it converted.';
COMMENT ON COLUMN leadscore.judged_score.landmark_days IS 'The last landmark age that the lead had reached, in days.';
COMMENT ON COLUMN leadscore.judged_score.created_at IS 'When the lead was created (UTC).';
COMMENT ON COLUMN leadscore.judged_score.said_by IS 'lead_scores or predict: the daily scoring, or an answer over HTTP.';
COMMENT ON COLUMN leadscore.judged_score.grade IS 'The grade that was said; null for an answer over HTTP.';
COMMENT ON COLUMN leadscore.judged_score.held_version IS 'The org''s newest held version, whose probability nobody saw.';
COMMENT ON COLUMN leadscore.judged_score.previous_version IS 'The version that was active before, whose probability nobody saw.';
COMMENT ON COLUMN leadscore.judged_score.is_converted IS 'Whether the lead was converted when its conversion window ended.';

-- The e-process of each org ('' in model_version) and of each version that was said to it.
CREATE TABLE IF NOT EXISTS leadscore.live_evidence (
    org_id         text NOT NULL,
    model_version  text NOT NULL,
    process        jsonb NOT NULL,
    PRIMARY KEY (org_id, model_version)
);
COMMENT ON TABLE leadscore.live_evidence IS 'How strongly outcomes speak against what was said; Leadscore reads it alone.';

CREATE TABLE IF NOT EXISTS leadscore.live_performance (
    org_id         text PRIMARY KEY,
    as_of          timestamptz NOT NULL,
    proved_at      timestamptz NOT NULL DEFAULT now(),
    state          text NOT NULL,
    in_words       text NOT NULL,
    leads          integer NOT NULL,
    promised       double precision,
    converted      double precision,
    log_e          double precision NOT NULL,
    is_listed      boolean NOT NULL DEFAULT false,
    judged_through date,
    judgeable_on   date,
    alarmed_on     date,
    figures        jsonb NOT NULL
);
COMMENT ON TABLE leadscore.live_performance IS 'What came true of each org''s scores, as of the last proof.';
COMMENT ON COLUMN leadscore.live_performance.state IS 'fine, alarm, too_young or no_scores.';
COMMENT ON COLUMN leadscore.live_performance.leads IS 'Mature leads that had a score.';
COMMENT ON COLUMN leadscore.live_performance.promised IS 'The mean of the first probability that was said of each of them.';
COMMENT ON COLUMN leadscore.live_performance.converted IS 'The share of them that converted.';
COMMENT ON COLUMN leadscore.live_performance.log_e IS 'Logarithm of the e-value against what was said.';
COMMENT ON COLUMN leadscore.live_performance.is_listed IS 'Whether the org is on the fleet''s list of those to look at (e-BH).';
COMMENT ON COLUMN leadscore.live_performance.judged_through IS 'Last creation day (UTC) whose leads are mature.';
COMMENT ON COLUMN leadscore.live_performance.judgeable_on IS 'Day on which there will be enough mature leads; null when no day can be told.';
COMMENT ON COLUMN leadscore.live_performance.figures IS 'All figures, as the API answers them.';

-- The bets on what arrives against what the version that scores the org learned from.
CREATE TABLE IF NOT EXISTS leadscore.input_evidence (
    org_id        text PRIMARY KEY,
    model_version text NOT NULL,
    evidence      jsonb NOT NULL
);
COMMENT ON TABLE leadscore.input_evidence IS 'How strongly what arrives speaks against what was learned; Leadscore reads it alone.';

CREATE TABLE IF NOT EXISTS leadscore.live_inputs (
    org_id         text PRIMARY KEY,
    as_of          timestamptz NOT NULL,
    state          text NOT NULL,
    in_words       text NOT NULL,
    model_version  text,
    judged_through date,
    alarms         integer NOT NULL,
    figures        jsonb NOT NULL
);
COMMENT ON TABLE leadscore.live_inputs IS 'What arrives otherwise than it was learned, per org, as of the last proof.';
COMMENT ON COLUMN leadscore.live_inputs.state IS 'as_learned, noted, shifted or not_judged.';
COMMENT ON COLUMN leadscore.live_inputs.judged_through IS 'Last day (UTC) of scorings that was judged.';
COMMENT ON COLUMN leadscore.live_inputs.alarms IS 'Findings to act on; the others move no score.';
COMMENT ON COLUMN leadscore.live_inputs.figures IS 'All findings.';
