-- The CRM's own tables, as far as a lead's history goes: what the real CRM has, with its constraints. Nothing of ours.
-- Every timestamp is UTC without a zone, as the CRM writes it.

CREATE TABLE IF NOT EXISTS annonce (
    id          bigserial PRIMARY KEY,
    org_id      varchar(255) NOT NULL,
    title       varchar(500) NOT NULL,
    type        varchar(100) CHECK (type IN ('SALE', 'RENT', 'RENTAL', 'LEASE', 'EXCHANGE')),
    city        varchar(255),
    surface     double precision,
    price       numeric(15, 2),
    currency    varchar(3),
    status      varchar(50) NOT NULL CHECK (status IN ('DRAFT', 'PUBLISHED', 'ARCHIVED', 'ACTIVE', 'PAUSED')),
    photos_json jsonb,
    created_at  timestamp,
    updated_at  timestamp
);

CREATE TABLE IF NOT EXISTS dossier (
    id          bigserial PRIMARY KEY,
    org_id      varchar(255) NOT NULL,
    annonce_id  bigint REFERENCES annonce (id) ON DELETE SET NULL,
    lead_name   varchar(255),
    lead_email  varchar(255),
    lead_phone  varchar(50),
    lead_source varchar(100),
    status      varchar(50) NOT NULL
        CHECK (status IN ('NEW', 'QUALIFYING', 'QUALIFIED', 'APPOINTMENT', 'WON', 'LOST')),
    score       integer,
    notes       text,
    created_at  timestamp NOT NULL,
    updated_at  timestamp NOT NULL
);
CREATE INDEX IF NOT EXISTS dossier_by_org ON dossier (org_id, created_at);

CREATE TABLE IF NOT EXISTS dossier_status_history (
    id              bigserial PRIMARY KEY,
    org_id          varchar(255) NOT NULL,
    dossier_id      bigint NOT NULL,
    from_status     varchar(50)
        CHECK (from_status IN ('DRAFT', 'NEW', 'QUALIFYING', 'QUALIFIED', 'APPOINTMENT', 'WON', 'LOST')),
    to_status       varchar(50) NOT NULL
        CHECK (to_status IN ('NEW', 'QUALIFYING', 'QUALIFIED', 'APPOINTMENT', 'WON', 'LOST')),
    user_id         varchar(255),
    reason          text,
    transitioned_at timestamp NOT NULL
);
CREATE INDEX IF NOT EXISTS dossier_status_history_by_lead ON dossier_status_history (org_id, dossier_id);

CREATE TABLE IF NOT EXISTS message (
    id         bigserial PRIMARY KEY,
    org_id     varchar(255) NOT NULL,
    dossier_id bigint NOT NULL REFERENCES dossier (id) ON DELETE CASCADE,
    direction  varchar(50) NOT NULL DEFAULT 'INBOUND' CHECK (direction IN ('INBOUND', 'OUTBOUND')),
    channel    varchar(50) NOT NULL DEFAULT 'EMAIL'
        CHECK (channel IN ('EMAIL', 'SMS', 'WHATSAPP', 'PHONE', 'CHAT', 'IN_APP')),
    content    text,
    timestamp  timestamp NOT NULL
);
CREATE INDEX IF NOT EXISTS message_by_lead ON message (org_id, dossier_id);

CREATE TABLE IF NOT EXISTS appointment (
    id         bigserial PRIMARY KEY,
    org_id     varchar(255) NOT NULL,
    dossier_id bigint NOT NULL REFERENCES dossier (id) ON DELETE CASCADE,
    start_time timestamp NOT NULL,
    end_time   timestamp NOT NULL,
    location   varchar(500),
    status     varchar(20) NOT NULL DEFAULT 'SCHEDULED' CHECK (status IN ('SCHEDULED', 'COMPLETED', 'CANCELLED')),
    created_at timestamp,
    updated_at timestamp
);
CREATE INDEX IF NOT EXISTS appointment_by_lead ON appointment (org_id, dossier_id);

CREATE TABLE IF NOT EXISTS lead_score (
    id                   bigserial PRIMARY KEY,
    org_id               varchar(255) NOT NULL,
    dossier_id           bigint NOT NULL UNIQUE,
    total_score          integer NOT NULL DEFAULT 0,
    source_score         integer DEFAULT 0,
    response_time_score  integer DEFAULT 0,
    engagement_score     integer DEFAULT 0,
    property_match_score integer DEFAULT 0,
    created_at           timestamp NOT NULL DEFAULT now(),
    updated_at           timestamp NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS lead_score_by_org ON lead_score (org_id);
