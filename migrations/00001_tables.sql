-- The tables of design section 2: a job's state is the table its row is in.
-- Facts (jobs, attempts) are append-only and partitioned by the day in the id;
-- only pending and running churn. A new schema: no risk on a live table.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
-- A job's id is its UTC day since 1970 x 10^11 plus this, so an id leads to one
-- partition and stays below 2^53. The cache trades gaps for fewer WAL records.
CREATE SEQUENCE penstock.job_sequence MAXVALUE 99999999999 CYCLE CACHE 100;

CREATE TABLE penstock.jobs (
    id              bigint      NOT NULL,
    enqueued_at     timestamptz NOT NULL,
    expires_at      timestamptz,
    timeout         interval,
    origin_id       bigint,
    generation      smallint    NOT NULL DEFAULT 0,
    asked_priority  smallint,
    max_attempts    smallint,
    queue           text        NOT NULL,
    name            text        NOT NULL,
    data            jsonb       NOT NULL,
    tags            text[],
    retry           jsonb,
    trace_context   text,
    PRIMARY KEY (id, queue)
) PARTITION BY RANGE (id);
COMMENT ON TABLE penstock.jobs IS 'What was asked. Immutable; dropped with its partition.';
COMMENT ON COLUMN penstock.jobs.asked_priority IS 'The explicit weight; null when rules and tags decided.';
COMMENT ON COLUMN penstock.jobs.retry IS 'The retry overrides this job brought; what it lacks comes from the policy when it fails.';

-- One row per waiting job. Its primary key is the claim index. The nullable
-- columns cost nothing while null; name lets a claim pass over a name.
CREATE TABLE penstock.pending (
    job_id      bigint      NOT NULL,
    run_at      timestamptz NOT NULL,
    attempt     integer     NOT NULL,
    failures    integer     NOT NULL,
    crashes     smallint    NOT NULL,
    priority    smallint    NOT NULL,
    queue       text        NOT NULL,
    name        text        NOT NULL,
    expires_at  timestamptz,
    timeout     interval,
    PRIMARY KEY (queue, priority, run_at, job_id),
    UNIQUE (job_id, queue)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_insert_threshold = -1, autovacuum_vacuum_cost_delay = 0,
        autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000,
        vacuum_truncate = off);
CREATE INDEX pending_expiry ON penstock.pending (expires_at) WHERE expires_at IS NOT NULL;

-- One row per claimed job; (job_id, attempt) is the lease that finish must match.
CREATE TABLE penstock.running (
    job_id           bigint      NOT NULL,
    run_at           timestamptz NOT NULL,
    claimed_at       timestamptz NOT NULL,
    deadline         timestamptz NOT NULL,
    worker_id        bigint      NOT NULL,
    attempt          integer     NOT NULL,
    failures         integer     NOT NULL,
    crashes          smallint    NOT NULL,
    priority         smallint    NOT NULL,
    progress         smallint,
    cancel_requested boolean     NOT NULL DEFAULT false,
    queue            text        NOT NULL,
    name             text        NOT NULL,
    progress_note    text,
    PRIMARY KEY (job_id, queue)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_insert_threshold = -1, autovacuum_vacuum_cost_delay = 0,
        autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000,
        vacuum_truncate = off);
CREATE INDEX running_cancel ON penstock.running (worker_id) WHERE cancel_requested;

-- One row per ended attempt. The key makes an attempt end once.
CREATE TABLE penstock.attempts (
    job_id      bigint      NOT NULL,
    run_at      timestamptz NOT NULL,
    claimed_at  timestamptz,
    finished_at timestamptz NOT NULL,
    worker_id   bigint,
    attempt     integer     NOT NULL,
    priority    smallint    NOT NULL,
    queue       text        NOT NULL,
    name        text        NOT NULL,
    outcome     text        NOT NULL CHECK (outcome IN ('completed', 'failed', 'snoozed',
                    'released', 'cancelled', 'expired', 'lost')),
    error_class text,
    message     text,
    detail      text,
    fingerprint text,
    result      jsonb,
    progress    smallint,
    progress_note text,
    PRIMARY KEY (job_id, attempt, queue)
) PARTITION BY RANGE (job_id);
COMMENT ON COLUMN penstock.attempts.claimed_at IS 'Null for an end without a claim: a waiting job was cancelled or expired.';

-- The dead letter queue, self-contained: it outlives the partitions of jobs.
CREATE TABLE penstock.dead_jobs (
    job_id         bigint      NOT NULL,
    enqueued_at    timestamptz NOT NULL,
    failed_at      timestamptz NOT NULL,
    next_retry_at  timestamptz,
    timeout        interval,
    origin_id      bigint,
    attempt        integer     NOT NULL,
    failures       integer     NOT NULL,
    generation     smallint    NOT NULL,
    crashes        smallint    NOT NULL,
    priority       smallint    NOT NULL,
    asked_priority smallint,
    max_attempts   smallint    NOT NULL,
    asked_max_attempts smallint,
    can_retry      boolean     NOT NULL,
    queue          text        NOT NULL,
    name           text        NOT NULL,
    reason         text        NOT NULL CHECK (reason IN ('exhausted', 'non_retryable', 'crash_loop', 'timeout', 'manual')),
    error_class    text        NOT NULL,
    message        text        NOT NULL,
    detail         text,
    fingerprint    text        NOT NULL,
    first_error    text,
    handler_version text,
    tags           text[],
    retry          jsonb,
    retry_strategy jsonb       NOT NULL,
    trace_context  text,
    data           jsonb       NOT NULL,
    PRIMARY KEY (job_id, queue)
);
COMMENT ON COLUMN penstock.dead_jobs.retry_strategy IS 'What it was retried by when it died: its own overrides filled up from the policy.';
COMMENT ON COLUMN penstock.dead_jobs.first_error IS 'Class and message of the first attempt that failed or was lost.';
CREATE INDEX dead_jobs_newest ON penstock.dead_jobs (queue, failed_at DESC, job_id DESC);

-- How each dead job left: one slim row, kept as long as its job can be asked about.
CREATE TABLE penstock.departures (
    job_id      bigint      NOT NULL,
    departed_at timestamptz NOT NULL,
    new_job_id  bigint,
    redrive_id  bigint,
    attempt     integer     NOT NULL,
    queue       text        NOT NULL,
    how         text        NOT NULL CHECK (how IN ('redriven', 'purged')),
    actor       text        NOT NULL,
    PRIMARY KEY (job_id, queue)
);
CREATE INDEX departures_time ON penstock.departures (departed_at);
CREATE INDEX departures_redrive ON penstock.departures (redrive_id) WHERE redrive_id IS NOT NULL;

CREATE TABLE penstock.idempotency_keys (
    queue   text        NOT NULL,
    key     text        NOT NULL,
    job_id  bigint      NOT NULL,
    until   timestamptz NOT NULL,
    PRIMARY KEY (queue, key)
);
CREATE INDEX idempotency_keys_until ON penstock.idempotency_keys (until);

-- One row per running process. beat is a counter, so no clock tells who lives.
CREATE TABLE penstock.workers (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    beat        bigint      NOT NULL DEFAULT 0,
    started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    beat_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    pid         integer     NOT NULL,
    concurrency integer     NOT NULL,
    host        text        NOT NULL,
    version     text        NOT NULL,
    queues      text[]      NOT NULL,
    handlers    text[]
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

COMMENT ON COLUMN penstock.workers.handlers IS 'Each "queue name" it can handle, * for any name; null: it did not say.';

-- Settings of a queue that has any; a queue needs no row to be used.
CREATE TABLE penstock.queues (
    queue            text PRIMARY KEY,
    paused           boolean  NOT NULL DEFAULT false,
    default_priority smallint NOT NULL DEFAULT 5 CHECK (default_priority BETWEEN 1 AND 100),
    aging            float8   NOT NULL DEFAULT 0 CHECK (aging = 0 OR aging BETWEEN 0.00001 AND 1000)
);
COMMENT ON COLUMN penstock.queues.aging IS
    'Weight a waiting job gains per second in a claim''s eyes; 0: none. A job is overtaken only by those enqueued less than (difference in weight / aging) seconds after it.';

CREATE TABLE penstock.settings (
    only_row       boolean  PRIMARY KEY DEFAULT true CHECK (only_row),
    retention      interval NOT NULL DEFAULT '7 days' CHECK (retention > '0'),
    partition_days smallint NOT NULL DEFAULT 1 CHECK (partition_days BETWEEN 1 AND 31)
);
COMMENT ON TABLE penstock.settings IS 'One row: how long finished jobs are kept, and the days a new partition spans.';
INSERT INTO penstock.settings DEFAULT VALUES;

CREATE TABLE penstock.priority_levels (
    level  text     PRIMARY KEY,
    weight smallint NOT NULL UNIQUE CHECK (weight BETWEEN 1 AND 100)
);
INSERT INTO penstock.priority_levels VALUES ('low', 1), ('normal', 5), ('high', 10), ('critical', 20);

-- +goose Down
DROP TABLE penstock.priority_levels, penstock.settings, penstock.queues, penstock.workers,
    penstock.idempotency_keys, penstock.departures, penstock.dead_jobs, penstock.attempts, penstock.running,
    penstock.pending, penstock.jobs;
DROP SEQUENCE penstock.job_sequence;
