-- Trainings: which are due, who is at work on which org, and how each one ended.

CREATE SEQUENCE IF NOT EXISTS leadscore.training_fence;

CREATE TABLE IF NOT EXISTS leadscore.training_claim (
    org_id     text PRIMARY KEY,
    holder     text NOT NULL,
    fence      bigint NOT NULL DEFAULT nextval('leadscore.training_fence'),
    claimed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE leadscore.training_claim IS 'Who trains which org: one holder for each org, who renews the claim until it expires.';
COMMENT ON COLUMN leadscore.training_claim.holder IS 'Id of a run in Dagster, or of a request that is about to launch one.';
COMMENT ON COLUMN leadscore.training_claim.fence IS 'Higher with each new holder.';

CREATE TABLE IF NOT EXISTS leadscore.training_batch (
    batch_id             text PRIMARY KEY,
    asked_by             text NOT NULL,
    asked_at             timestamptz NOT NULL DEFAULT now(),
    orgs                 integer NOT NULL,
    as_of                timestamptz,
    training_window_days integer,
    activate             boolean NOT NULL DEFAULT true
);
COMMENT ON TABLE leadscore.training_batch IS 'Trainings of many orgs that were asked for together, and on which data.';
COMMENT ON COLUMN leadscore.training_batch.as_of IS 'Time as of which to train; null for the time at which each org is taken.';

CREATE TABLE IF NOT EXISTS leadscore.due_training (
    org_id   text PRIMARY KEY,
    batch_id text NOT NULL REFERENCES leadscore.training_batch,
    asked_at timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0
);
COMMENT ON TABLE leadscore.due_training IS 'The work list of train_orgs: an org leaves it when its training has ended.';
COMMENT ON COLUMN leadscore.due_training.attempts IS 'How often a run has taken the org; a run that is killed leaves it to another.';

CREATE TABLE IF NOT EXISTS leadscore.ended_training (
    run_id     text NOT NULL,
    org_id     text NOT NULL,
    batch_id   text,
    asked_by   text NOT NULL,
    started_at timestamptz,
    ended_at   timestamptz NOT NULL DEFAULT now(),
    status     text NOT NULL CHECK (status IN ('activated', 'held', 'insufficient_data', 'failed')),
    version    text,
    reasons    text NOT NULL
);
-- one run trains an org again when another batch asks for it
CREATE UNIQUE INDEX IF NOT EXISTS ended_training_once
    ON leadscore.ended_training (run_id, org_id, coalesce(batch_id, ''));
-- of a database that was set up before
ALTER TABLE leadscore.ended_training DROP CONSTRAINT IF EXISTS ended_training_pkey;
CREATE INDEX IF NOT EXISTS ended_training_org ON leadscore.ended_training (org_id, ended_at DESC);
CREATE INDEX IF NOT EXISTS ended_training_batch ON leadscore.ended_training (batch_id);
COMMENT ON TABLE leadscore.ended_training IS 'How each training of an org ended, whichever way it began.';
COMMENT ON COLUMN leadscore.ended_training.started_at IS 'When its run began with the org; null where that is not known.';
COMMENT ON COLUMN leadscore.ended_training.version IS 'The version that was trained; null when the training ended without one.';
COMMENT ON COLUMN leadscore.ended_training.reasons IS 'Why it ended so, in words.';

CREATE TABLE IF NOT EXISTS leadscore.training_total (
    status    text PRIMARY KEY,
    trainings bigint NOT NULL
);
COMMENT ON TABLE leadscore.training_total IS 'How many trainings ever ended so. It never shrinks, whatever becomes of the rows of ended_training.';
INSERT INTO leadscore.training_total (status, trainings)
VALUES ('activated', 0), ('held', 0), ('insufficient_data', 0), ('failed', 0)
ON CONFLICT DO NOTHING;
