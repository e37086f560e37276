-- How each org stands: one row per org that has a partition, for pages, the API, metrics and BI tools.

CREATE TABLE IF NOT EXISTS leadscore.org_health (
    org_id            text PRIMARY KEY,
    state             text NOT NULL,
    state_since       timestamptz NOT NULL,
    problem           text NOT NULL,
    model_version     text,
    model_scope       text,
    activated_at      timestamptz,
    trained_at        timestamptz,
    judged_version    text,
    verdict           text,
    verdict_reasons   text[] NOT NULL,
    judged_at         timestamptz,
    held_since        timestamptz,
    last_run_at       timestamptz,
    last_run_id       text,
    last_training     text,
    last_training_at  timestamptz,
    is_ready          boolean,
    records           integer,
    records_needed    integer,
    ready_on          date,
    readiness         text NOT NULL,
    readiness_as_of   timestamptz,
    scored_as_of      timestamptz,
    scored_at         timestamptz,
    open_leads        integer,
    scored_leads      integer,
    leads_a           integer NOT NULL,
    leads_b           integer NOT NULL,
    leads_c           integer NOT NULL,
    leads_d           integer NOT NULL,
    improving_leads   integer NOT NULL,
    declining_leads   integer NOT NULL,
    live_state        text,
    live_leads        integer NOT NULL,
    live_promised     double precision,
    live_converted    double precision,
    live_alarmed_on   date,
    live_judgeable_on date,
    live_is_listed    boolean NOT NULL,
    ready_since       timestamptz,
    warnings          text[] NOT NULL DEFAULT '{}',
    changed_at        timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE leadscore.org_health IS 'How each org stands; the sensor refresh_org_health writes what changed.';
COMMENT ON COLUMN leadscore.org_health.state IS 'active, pooled, no_model, withdrawn or damaged: whose model scores the org''s leads.';
COMMENT ON COLUMN leadscore.org_health.state_since IS 'Since when the state holds or, where that is not recorded, was first seen.';
COMMENT ON COLUMN leadscore.org_health.problem IS 'Why the org is withdrawn, or what is damaged; else empty.';
COMMENT ON COLUMN leadscore.org_health.model_version IS 'Version that scores the org''s leads.';
COMMENT ON COLUMN leadscore.org_health.model_scope IS 'own, taught (the org''s version of the pooled model) or pooled: what version it is.';
COMMENT ON COLUMN leadscore.org_health.activated_at IS 'When that version became active.';
COMMENT ON COLUMN leadscore.org_health.trained_at IS 'When that version was trained.';
COMMENT ON COLUMN leadscore.org_health.judged_version IS 'The org''s newest version that was judged; null when the last training ended without one.';
COMMENT ON COLUMN leadscore.org_health.verdict IS 'activate, hold or refuse: the verdict on the last training.';
COMMENT ON COLUMN leadscore.org_health.verdict_reasons IS 'The reasons of the verdict, a sentence each.';
COMMENT ON COLUMN leadscore.org_health.held_since IS 'Since when every judged version was held; null unless the last one was.';
COMMENT ON COLUMN leadscore.org_health.last_run_at IS 'When a run last read the org''s records.';
COMMENT ON COLUMN leadscore.org_health.last_training IS 'activated, held, insufficient_data or failed: how the org''s last training ended, in whichever run.';
COMMENT ON COLUMN leadscore.org_health.last_training_at IS 'When it ended.';
COMMENT ON COLUMN leadscore.org_health.is_ready IS 'Whether the org has enough data for a training.';
COMMENT ON COLUMN leadscore.org_health.records IS 'Leads with a known outcome in the training window.';
COMMENT ON COLUMN leadscore.org_health.ready_on IS 'Day (UTC) on which the org is expected to have enough data; null when no day can be given.';
COMMENT ON COLUMN leadscore.org_health.readiness IS 'The same in words.';
COMMENT ON COLUMN leadscore.org_health.readiness_as_of IS 'When the records were counted, at most a day ago.';
COMMENT ON COLUMN leadscore.org_health.scored_as_of IS 'The as_of of the last scoring of the open leads.';
COMMENT ON COLUMN leadscore.org_health.leads_a IS 'Open leads of grade A.';
COMMENT ON COLUMN leadscore.org_health.improving_leads IS 'Open leads whose trend is improving.';
COMMENT ON COLUMN leadscore.org_health.live_state IS 'fine, alarm, too_young or no_scores: whether what was promised came true; null before the first proof.';
COMMENT ON COLUMN leadscore.org_health.live_leads IS 'Mature leads that had a score.';
COMMENT ON COLUMN leadscore.org_health.live_promised IS 'The mean of the first probability that was said of each of them.';
COMMENT ON COLUMN leadscore.org_health.live_converted IS 'The share of them that converted.';
COMMENT ON COLUMN leadscore.org_health.live_alarmed_on IS 'When it was first seen that promises do not come true; null unless the state is alarm.';
COMMENT ON COLUMN leadscore.org_health.live_judgeable_on IS 'Day on which there will be enough mature leads; null when no day can be told.';
COMMENT ON COLUMN leadscore.org_health.live_is_listed IS 'Whether the org is on the fleet''s list of those to look at.';
COMMENT ON COLUMN leadscore.org_health.ready_since IS 'Since when the org has had enough data for a training or, where that is not recorded, was first seen to; null unless it has.';
COMMENT ON COLUMN leadscore.org_health.warnings IS 'What may need attention: not_ready, training_overdue, training_failed, refused, held, scores_overdue.';
COMMENT ON COLUMN leadscore.org_health.changed_at IS 'When this row last changed.';

-- One row: when the table above was last compared with the registry and the database, whether or not a row changed.
CREATE TABLE IF NOT EXISTS leadscore.org_health_refresh (
    is_only_row  boolean PRIMARY KEY DEFAULT true CHECK (is_only_row),
    refreshed_at timestamptz NOT NULL
);
COMMENT ON TABLE leadscore.org_health_refresh IS 'When org_health was last refreshed.';

CREATE TABLE IF NOT EXISTS leadscore.schedule_health (
    schedule     text PRIMARY KEY,
    cron         text NOT NULL,
    is_on        boolean NOT NULL,
    seen_at      timestamptz NOT NULL,
    next_run_at  timestamptz NOT NULL,
    last_run_at  timestamptz,
    last_tick_at timestamptz,
    last_status  text,
    error        text NOT NULL
);
COMMENT ON TABLE leadscore.schedule_health IS 'How each of Dagster''s schedules stands; the sensor watch_schedules writes what changed.';
COMMENT ON COLUMN leadscore.schedule_health.seen_at IS 'Since when the schedule is known with these times.';
COMMENT ON COLUMN leadscore.schedule_health.next_run_at IS 'The schedule''s first time after its last run; a run is missing once it is over.';
COMMENT ON COLUMN leadscore.schedule_health.last_run_at IS 'The last time for which the schedule was evaluated without an error.';
COMMENT ON COLUMN leadscore.schedule_health.last_tick_at IS 'The last time for which it was evaluated.';
COMMENT ON COLUMN leadscore.schedule_health.last_status IS 'success, skipped or failure: how that ended. Skipped: it had nothing to start.';

CREATE TABLE IF NOT EXISTS leadscore.failed_run_total (
    job            text PRIMARY KEY,
    runs           bigint NOT NULL,
    last_run_id    text NOT NULL,
    last_failed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE leadscore.failed_run_total IS 'How many runs of each of Dagster''s jobs ever failed; the sensor log_failed_runs counts them.';
