-- The state: tables, indexes, sequences, and the rows a new database begins with.
-- A job's state is the table its row is in. Facts (jobs, attempts) are append-only
-- and partitioned by the day in the id; only pending and running churn. No function
-- is made or called here: functions are in functions/, and the next stamp brings
-- them, their triggers and the first partitions. A new schema: no risk on a live table.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
REVOKE ALL ON SCHEMA penstock FROM PUBLIC;

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
COMMENT ON TABLE penstock.jobs IS 'The jobs as they were enqueued. Immutable; dropped with their partition.';
COMMENT ON COLUMN penstock.jobs.asked_priority IS 'The explicit weight; null when rules and tags decided.';
COMMENT ON COLUMN penstock.jobs.retry IS 'The retry overrides that this job brought. Other fields come from the policy when it fails.';

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

-- Finds attempts that ended recently: rows are appended as they end, so some pages of a
-- BRIN index cover many of them, and an insert costs almost nothing more.
CREATE INDEX attempts_lately ON penstock.attempts USING brin (finished_at) WITH (pages_per_range = 32, autosummarize = on);

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
COMMENT ON COLUMN penstock.dead_jobs.retry_strategy IS 'The policy that retried it when it died: its own overrides, completed from retry_policies.';
COMMENT ON COLUMN penstock.dead_jobs.first_error IS 'Class and message of the first attempt that failed or was lost.';
CREATE INDEX dead_jobs_newest ON penstock.dead_jobs (queue, failed_at DESC, job_id DESC);
CREATE INDEX dead_jobs_newest_of_all ON penstock.dead_jobs (failed_at DESC, job_id DESC);
CREATE INDEX dead_jobs_due ON penstock.dead_jobs (next_retry_at) WHERE next_retry_at IS NOT NULL;

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

-- One row per running process. beat is a counter, so that no clock decides who is alive.
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
    handlers    text[],
    owner       text,
    slots       integer[],
    draining_at timestamptz,
    suspect_job bigint,
    stuck       integer     NOT NULL DEFAULT 0
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
COMMENT ON COLUMN penstock.workers.handlers IS 'Each "queue name" it can handle, * for any name; null: it did not say.';
COMMENT ON COLUMN penstock.workers.owner IS
    'On whose behalf a remote worker may be spoken for; null for a worker with a connection of its own.';
COMMENT ON COLUMN penstock.workers.draining_at IS 'When it began to shut down; null while it claims.';
COMMENT ON COLUMN penstock.workers.suspect_job IS 'The job it runs with which two workers have died; null: none.';
COMMENT ON COLUMN penstock.workers.stuck IS 'How many of its handlers did not return after their context ended.';
COMMENT ON COLUMN penstock.workers.slots IS 'Of concurrency, how much each of queues has; null: it did not say, and each has an equal part.';

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
    partition_days smallint NOT NULL DEFAULT 1 CHECK (partition_days BETWEEN 1 AND 31),
    minutes_kept   interval NOT NULL DEFAULT '8 days' CHECK (minutes_kept BETWEEN '1 day' AND '366 days'),
    hours_kept     interval NOT NULL DEFAULT '90 days' CHECK (hours_kept BETWEEN '2 days' AND '3660 days'),
    days_kept      interval NOT NULL DEFAULT '730 days' CHECK (days_kept BETWEEN '7 days' AND '36600 days')
);
COMMENT ON TABLE penstock.settings IS 'One row: how long finished jobs are kept, and the days a new partition spans.';
COMMENT ON COLUMN penstock.settings.minutes_kept IS 'How long samples by the minute are kept. Older times have samples by the hour, and then by the day.';

INSERT INTO penstock.settings DEFAULT VALUES;

CREATE TABLE penstock.priority_levels (
    level  text     PRIMARY KEY,
    weight smallint NOT NULL UNIQUE CHECK (weight BETWEEN 1 AND 100)
);

INSERT INTO penstock.priority_levels VALUES ('low', 1), ('normal', 5), ('high', 10), ('critical', 20);

-- The partitions that exist. It is read on every enqueue, so it is tiny; it is
-- written in the transaction that attaches or drops the tables.
CREATE TABLE penstock.partitions (
    first_day integer PRIMARY KEY,
    last_day  integer NOT NULL CHECK (last_day >= first_day)
);

-- The row for (queue, name), else (queue, *), else (*, *); a null column is
-- looked up in the next broader row, and (*, *) has no nulls.
CREATE TABLE penstock.retry_policies (
    queue         text     NOT NULL,
    name          text     NOT NULL DEFAULT '*',
    strategy      text     CHECK (strategy IN ('exponential', 'linear', 'fixed', 'custom')),
    delay         interval CHECK (delay BETWEEN '0' AND '366 days'),
    multiplier    float8   CHECK (multiplier BETWEEN 1 AND 1000),
    max_delay     interval CHECK (max_delay BETWEEN '0' AND '366 days'),
    max_attempts  smallint CHECK (max_attempts BETWEEN 1 AND 100),
    jitter        float8   CHECK (jitter BETWEEN 0 AND 1),
    non_retryable text[],
    retryable     text[],
    PRIMARY KEY (queue, name),
    CHECK (queue <> '*' OR name = '*'),
    CHECK (queue <> '*' OR num_nulls(strategy, delay, multiplier, max_delay, max_attempts, jitter,
        non_retryable, retryable) = 0)
);
COMMENT ON COLUMN penstock.retry_policies.max_attempts IS 'Runs, the first one included.';
COMMENT ON COLUMN penstock.retry_policies.non_retryable IS 'Error classes that go to the DLQ at once; * matches any text.';
COMMENT ON COLUMN penstock.retry_policies.retryable IS 'Error classes that are retried even if non_retryable matches.';

INSERT INTO penstock.retry_policies VALUES
    ('*', '*', 'exponential', '1 second', 2, '1 hour', 5, 0.1,
     '{ValidationError,AuthenticationError,AuthorizationError,NotFoundError,InvalidArgumentError}', '{}'),
    ('deploy-contract', '*', 'exponential', '5 seconds', 2, '5 minutes', 5, NULL, NULL, NULL),
    ('process-tts', '*', 'exponential', '2 seconds', 2, '1 minute', 3, NULL, NULL, NULL),
    ('index-market-news', '*', 'linear', '10 seconds', NULL, '2 minutes', 7, NULL, NULL, NULL);

-- The first rule of a queue whose condition holds gives the weight. A condition
-- is a jsonpath over the data: a predicate that must be true, or a path that must
-- find something. It may use $tags (those of the call and of data.metadata.tags),
-- $now, $ago_1m, $ago_5m, $ago_1h and $ago_1d (epoch milliseconds).
CREATE TABLE penstock.priority_rules (
    queue     text     NOT NULL,
    position  smallint NOT NULL CHECK (position BETWEEN 1 AND 1000),
    condition jsonpath NOT NULL,
    priority  text     NOT NULL,
    PRIMARY KEY (queue, position)
);
COMMENT ON COLUMN penstock.priority_rules.priority IS 'A level or a weight 1-100.';

-- Rules that raised an error when they were last evaluated; such a rule is skipped. No
-- foreign key: an enqueue that records an error must not wait for a session that changes
-- the rule, nor fail because the rule is gone.
CREATE TABLE penstock.priority_rule_errors (
    queue     text        NOT NULL,
    position  smallint    NOT NULL,
    message   text        NOT NULL,
    last_seen timestamptz NOT NULL,
    PRIMARY KEY (queue, position)
);

-- Each tag a job carries shifts the weight that a rule or the queue's default gave.
CREATE TABLE penstock.priority_tags (
    tag   text     PRIMARY KEY,
    shift smallint NOT NULL CHECK (shift BETWEEN -99 AND 99)
);

INSERT INTO penstock.priority_rules VALUES
    ('deploy-contract', 10, '$.environment == "production"', 'critical'),
    ('deploy-contract', 20, '$.urgent == true || $tags[*] == "urgent"', 'high'),
    ('deploy-contract', 30, '$.environment == "staging"', 'normal'),
    ('deploy-contract', 40, '$.environment == "dev" || $.environment == "development"', 'low'),
    ('process-tts', 10, '$.realTime == true', 'high'),
    ('process-tts', 20, '$.batch == true', 'low'),
    ('process-tts', 30, '$.text like_regex "^.{0,255}.{0,25}$" flag "s"', 'normal'),
    -- A longer text that is neither: between low and normal, so that it does not
    -- hold up short ones and is not held up by batches.
    ('process-tts', 40, '$.text.type() == "string"', '3'),
    ('index-market-news', 10, '$.breaking == true', 'critical'),
    ('index-market-news', 20, '$.publishedAt >= $ago_5m', 'high');

INSERT INTO penstock.priority_tags VALUES
    ('urgent', 5), ('critical', 10), ('production', 2), ('low-priority', -3), ('batch', -4);

CREATE TABLE penstock.breakers (
    queue          text     NOT NULL,
    name           text     NOT NULL DEFAULT '*',
    failure_share  float8   NOT NULL DEFAULT 0.5 CHECK (failure_share > 0 AND failure_share <= 1),
    least_attempts integer  NOT NULL DEFAULT 20 CHECK (least_attempts BETWEEN 1 AND 100000),
    span           interval NOT NULL DEFAULT '30 seconds' CHECK (span BETWEEN '1 second' AND '1 hour'),
    cool_down      interval NOT NULL DEFAULT '30 seconds' CHECK (cool_down BETWEEN '1 second' AND '1 day'),
    PRIMARY KEY (queue, name)
);
COMMENT ON TABLE penstock.breakers IS
    'A breaker opens when failure_share of at least least_attempts attempts within span failed; name * is each name by itself.';

CREATE TABLE penstock.breaker_states (
    queue         text        NOT NULL,
    name          text        NOT NULL,
    is_open       boolean     NOT NULL,
    changed_at    timestamptz NOT NULL,
    next_probe_at timestamptz,
    probe_job_id  bigint,
    probe_attempt integer,
    held_from     timestamptz,
    held_till     timestamptz,
    attempts      bigint      NOT NULL,
    failures      bigint      NOT NULL,
    PRIMARY KEY (queue, name)
);
COMMENT ON TABLE penstock.breaker_states IS 'attempts and failures are those that opened it. A name without a row is closed.';
COMMENT ON COLUMN penstock.breaker_states.held_from IS
    'The jobs put off last have their run_at behind this and up to held_till, in their order.';

-- The sums of each batch of ended attempts. Rows are appended and never updated, so that
-- sessions which end attempts do not wait for each other. Maintenance deletes old rows.
CREATE TABLE penstock.breaker_tallies (
    queue    text        NOT NULL,
    name     text        NOT NULL,
    at       timestamptz NOT NULL,
    attempts integer     NOT NULL,
    failures integer     NOT NULL
);
CREATE INDEX breaker_tallies_newest ON penstock.breaker_tallies (queue, name, at);

CREATE TABLE penstock.audit_log (
    id      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor   text        NOT NULL,
    db_user text        NOT NULL DEFAULT session_user,
    action  text        NOT NULL,
    queue   text,
    before  jsonb,
    after   jsonb
);
CREATE INDEX audit_log_queue ON penstock.audit_log (queue, id DESC);
COMMENT ON COLUMN penstock.audit_log.actor IS 'penstock.actor of the session (set_config) when set, else the database user.';
COMMENT ON COLUMN penstock.audit_log.action IS 'A table and what happened to its row (queues.update), or a verb (dead_jobs.purge).';

-- How dead jobs of a queue are redriven and purged automatically. A null is looked up in
-- the row for every queue (*), which has no nulls.
CREATE TABLE penstock.dead_policies (
    queue           text PRIMARY KEY,
    delay           interval CHECK (delay BETWEEN '1 second' AND '366 days'),
    multiplier      float8   CHECK (multiplier BETWEEN 1 AND 1000),
    max_generations smallint CHECK (max_generations BETWEEN 0 AND 100),
    retention       interval CHECK (retention BETWEEN '1 hour' AND '36600 days'),
    CHECK (queue <> '*' OR num_nulls(delay, multiplier, max_generations, retention) = 0)
);
COMMENT ON TABLE penstock.dead_policies IS
    'A retryable entry of generation g is redriven by itself after delay x multiplier^g while g < max_generations (0: never); entries older than retention are purged by the next run of the task dlq-purge.';

INSERT INTO penstock.dead_policies VALUES ('*', '1 hour', 2, 3, '30 days');

-- Error groups that were marked as resolved. A group with a later death is open again.
CREATE TABLE penstock.resolved_errors (
    queue       text        NOT NULL,
    fingerprint text        NOT NULL,
    resolved_at timestamptz NOT NULL,
    actor       text        NOT NULL,
    PRIMARY KEY (queue, fingerprint)
);

CREATE TABLE penstock.redrives (
    id             bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue          text        NOT NULL,
    filter         jsonb       NOT NULL,
    state          text        NOT NULL CHECK (state IN ('running', 'paused', 'done', 'cancelled', 'stopped')),
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_by     text        NOT NULL,
    died_before    timestamptz NOT NULL DEFAULT clock_timestamp(),
    rate           integer     NOT NULL CHECK (rate BETWEEN 1 AND 100000),
    max_generation smallint    NOT NULL CHECK (max_generation BETWEEN 1 AND 100),
    canary         integer     NOT NULL CHECK (canary BETWEEN 0 AND 1000),
    canary_share   float8      NOT NULL CHECK (canary_share > 0 AND canary_share <= 1),
    canary_ids     bigint[]    NOT NULL DEFAULT '{}',
    total          bigint      NOT NULL,
    redriven       bigint      NOT NULL DEFAULT 0,
    passed_over    bigint      NOT NULL DEFAULT 0,
    cursor_at      timestamptz,
    cursor_id      bigint,
    moved_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at    timestamptz,
    note           text
);
CREATE INDEX redrives_under_way ON penstock.redrives (id) WHERE state = 'running';
CREATE UNIQUE INDEX redrives_one_a_queue ON penstock.redrives (queue) WHERE state IN ('running', 'paused');
COMMENT ON COLUMN penstock.redrives.died_before IS 'Only jobs that were dead when it began: those that die again during it stay.';
COMMENT ON COLUMN penstock.redrives.rate IS 'Jobs per second at most.';
COMMENT ON COLUMN penstock.redrives.canary IS 'How many go first. The rest follow when these have ended and fewer than canary_share of them died of one error.';

-- What each claim of a remote worker leased. A row is kept until all of it has ended, or
-- for a minute after a heartbeat could have named it.
CREATE TABLE penstock.remote_claims (
    worker_id  bigint      NOT NULL,
    claimed_at timestamptz NOT NULL,
    claim_id   text        NOT NULL,
    job_ids    bigint[]    NOT NULL,
    attempts   integer[]   NOT NULL,
    PRIMARY KEY (worker_id, claim_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE penstock.verify_checks (
    code    text PRIMARY KEY,
    meaning text NOT NULL,
    remedy  text NOT NULL
);
COMMENT ON TABLE penstock.verify_checks IS 'The checks that penstock.verify() does: what a finding means and what to do about it.';

INSERT INTO penstock.verify_checks VALUES
    ('job_nowhere', 'A job neither waits, runs, is dead, has left the dead letter queue, nor has an attempt that ended it: it is lost (P1).',
     'Rows were deleted past the functions. What was asked is still in jobs: enqueue it again, and find out who writes to pending, running or attempts.'),
    ('job_in_two_places', 'A job is in more than one of pending, running, dead_jobs, departures and finished: it can run twice at once.',
     'Decide by its attempts which row is true (penstock job get) and delete the others as the schema''s owner.'),
    ('job_ended_twice', 'An attempt completed, cancelled or expired a job that has later attempts, or did so twice.',
     'Rows were written past the functions: find out by whom. The last attempt is what job_states shows.'),
    ('pending_without_job', 'A waiting row whose job is not in jobs: no claim can hand it out.',
     'Delete the row as the schema''s owner; if the job mattered, its data must come from a backup.'),
    ('running_without_job', 'A running row whose job is not in jobs: what it runs is unknown.',
     'Delete the row as the schema''s owner; if the job mattered, its data must come from a backup.'),
    ('dead_without_job', 'A dead job whose partition is kept is not in jobs.',
     'The entry holds all that the job was: redrive it, which enqueues it again.'),
    ('departure_without_job', 'A record of how a dead job left, whose partition is kept, without the job.',
     'Harmless by itself, but rows of jobs were deleted: find out by whom.'),
    ('attempt_without_job', 'An attempt of a job that is not in jobs.',
     'Harmless by itself, but rows of jobs were deleted: find out by whom.'),
    ('attempt_missing', 'The attempts of a job have a gap in their numbers: an attempt left no record.',
     'Rows of attempts were deleted. They cannot be restored; the job continues.'),
    ('running_already_ended', 'A job runs under an attempt number that has ended: its end cannot be recorded.',
     'Set the attempt of its row in running to one more than its last attempt, as the schema''s owner; its worker then loses the lease and the job runs again.'),
    ('attempt_number_wrong', 'The attempt number of a waiting or running job does not follow its last attempt.',
     'Set it to its last attempt''s number (pending), or one more (running), as the schema''s owner: a number used twice is a fence that does not hold.'),
    ('failures_wrong', 'The failures or crashes counted for a waiting or running job are not those of its attempts.',
     'It is retried too often or too seldom, and nothing else. Correct the row as the schema''s owner if that matters.'),
    ('dead_without_attempt', 'A dead job, or one that left, whose last attempt is not on record as failed or lost.',
     'Rows were written past the functions. The entry itself shows how it died.'),
    ('redrive_without_departure', 'A job says that it is the redrive of another, which has no record of leaving as this one, or another generation.',
     'The chain of redrives cannot be followed from here. Jobs run regardless.'),
    ('redriven_job_missing', 'A dead job left by redrive, but the new job is not kept or does not name it as its origin.',
     'Its redrive may be lost: enqueue it again from what is in jobs.'),
    ('redrive_miscounted', 'A redrive operation counts other jobs than those recorded as gone by it.',
     'Compare redrives.redriven with departures.redrive_id; the departures are right.'),
    ('running_without_worker', 'A job runs for a worker that has no row. This is normal for some seconds after a worker died.',
     'If it is still there after 20 s, no process maintains the database: start penstock serve or a Go worker.'),
    ('key_without_job', 'An idempotency key points to a job that is not kept, though its partition is: an enqueue with the key is taken for a repeat.',
     'Delete the key from idempotency_keys as the schema''s owner, and enqueue the job again.'),
    ('partition_wrong', 'partitions and the tables attached to jobs and attempts disagree on what there is or on its bounds.',
     'Finish by hand what was begun: attach the table that is missing with the bounds listed, or list what is attached.'),
    ('partition_overlap', 'Two rows of partitions claim the same day.',
     'Correct partitions by the bounds of the attached tables (\d+ penstock.jobs).'),
    ('index_invalid', 'An index that Postgres does not use: its CREATE INDEX CONCURRENTLY is under way or failed.',
     'If none is under way: REINDEX INDEX CONCURRENTLY, or drop it and create it again.'),
    ('setting_missing', 'A row that the functions fall back on is gone from settings, retry_policies (*, *) or dead_policies (*).',
     'Insert it again; penstock policy get and the migrations show the usual values.'),
    ('sequence_behind', 'job_sequence is behind the ids in use, as after a restore without sequences: an enqueue will fail or give an id again.',
     'SELECT setval(''penstock.job_sequence'', …) past the newest id''s last eleven digits, as the schema''s owner.');

-- Workers that left or were buried. Attempts name their worker by id, and reports ask which
-- version that was.
CREATE TABLE penstock.past_workers (
    id          bigint      PRIMARY KEY,
    started_at  timestamptz NOT NULL,
    ended_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    pid         integer     NOT NULL,
    concurrency integer     NOT NULL,
    host        text        NOT NULL,
    version     text        NOT NULL,
    queues      text[]      NOT NULL
);
CREATE INDEX past_workers_ended ON penstock.past_workers (ended_at);

-- Rows are appended by enqueue and finish, and deleted by sample_metrics, which adds them up.
-- They are never updated, so that sessions which end attempts do not wait for each other.
CREATE TABLE penstock.tallies (
    at         timestamptz NOT NULL,
    claimed_at timestamptz,
    jobs       integer     NOT NULL,
    dead       boolean     NOT NULL DEFAULT false,
    queue      text        NOT NULL,
    name       text,
    outcome    text        NOT NULL,
    run_ats    timestamptz[],
    jobs_each  integer[],
    later      integer
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_insert_threshold = -1, autovacuum_vacuum_cost_delay = 0,
        autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000);

-- Compressing the times of a batch would cost more than it saves: rows live for seconds.
ALTER TABLE penstock.tallies ALTER run_ats SET STORAGE EXTERNAL, ALTER jobs_each SET STORAGE EXTERNAL;
COMMENT ON TABLE penstock.tallies IS
    'What is not in the samples yet: so many jobs of a queue were enqueued (without a name), or attempts of a name, claimed together, ended together with that outcome.';
COMMENT ON COLUMN penstock.tallies.dead IS 'That end moved the job to the dead letter queue.';
COMMENT ON COLUMN penstock.tallies.run_ats IS 'When they had fallen due, each with how many of them (jobs_each). Null for ends without a claim.';
COMMENT ON COLUMN penstock.tallies.later IS 'How many of the jobs enqueued were due later only.';

-- One row per queue and span of time in which anything happened or was seen. The
-- first columns are sums, the others what the samples taken in that time saw.
CREATE TABLE penstock.metric_samples (
    at                timestamptz NOT NULL,
    enqueued          bigint      NOT NULL,
    completed         bigint      NOT NULL,
    failed            bigint      NOT NULL,
    lost              bigint      NOT NULL,
    snoozed           bigint      NOT NULL,
    released          bigint      NOT NULL,
    cancelled         bigint      NOT NULL,
    expired           bigint      NOT NULL,
    died              bigint      NOT NULL,
    claimed           bigint      NOT NULL,
    processing_ms     float8      NOT NULL,
    wait_ms           float8      NOT NULL,
    samples           integer     NOT NULL,
    waiting           float8,
    scheduled         float8,
    retrying          float8,
    running           float8,
    dead              float8,
    slots             float8,
    most_waiting      bigint,
    oldest_waiting_ms float8,
    queue             text        NOT NULL,
    step              text        NOT NULL CHECK (step IN ('minute', 'hour', 'day')),
    PRIMARY KEY (queue, step, at)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX metric_samples_time ON penstock.metric_samples (step, at);
COMMENT ON COLUMN penstock.metric_samples.at IS 'Where the minute, hour or day starts (UTC). A time without a row is one in which nothing was seen, not zero.';
COMMENT ON COLUMN penstock.metric_samples.failed IS 'Attempts; died: the jobs that one of these, or a lost one, moved to the dead letter queue.';
COMMENT ON COLUMN penstock.metric_samples.claimed IS 'Attempts that ended after a claim; wait_ms sums up how long they had been due by then.';
COMMENT ON COLUMN penstock.metric_samples.processing_ms IS 'The time from claim to end of the attempts that completed, summed up.';
COMMENT ON COLUMN penstock.metric_samples.samples IS 'How often the state was looked at; waiting to slots are the means of that, null if never.';

-- How long attempts took, as counts by logarithmic bucket (duration_bucket), which
-- are merged by adding up: arrays, since a week of rows per bucket would be forty
-- times the size.
CREATE TABLE penstock.latency_samples (
    at         timestamptz NOT NULL,
    jobs       bigint      NOT NULL,
    total_ms   float8      NOT NULL,
    squares    float8      NOT NULL,
    least_ms   float8      NOT NULL,
    most_ms    float8      NOT NULL,
    queue      text        NOT NULL,
    step       text        NOT NULL CHECK (step IN ('minute', 'hour', 'day')),
    name       text        NOT NULL,
    metric     text        NOT NULL CHECK (metric IN ('processing', 'wait', 'total')),
    buckets    smallint[]  NOT NULL,
    counts     bigint[]    NOT NULL,
    PRIMARY KEY (queue, step, at, name, metric)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX latency_samples_time ON penstock.latency_samples (step, at);
COMMENT ON COLUMN penstock.latency_samples.metric IS
    'processing: from claim to end of attempts that completed; wait: from due to claim, of all that were claimed; total: from due to end of those that completed.';
COMMENT ON COLUMN penstock.latency_samples.squares IS 'The sum of the squares of milliseconds, for the deviation.';
COMMENT ON COLUMN penstock.latency_samples.name IS 'A name, or * for all names of the queue together.';

-- The state of each queue as sample_metrics counted it last.
CREATE TABLE penstock.queue_states (
    queue      text        PRIMARY KEY,
    at         timestamptz NOT NULL,
    waiting    bigint      NOT NULL,
    scheduled  bigint      NOT NULL,
    retrying   bigint      NOT NULL,
    due        bigint      NOT NULL,
    running    bigint      NOT NULL,
    dead       bigint      NOT NULL,
    slots      integer     NOT NULL,
    oldest_due timestamptz,
    mean_due   timestamptz,
    came       bigint      NOT NULL DEFAULT 0,
    came_later bigint      NOT NULL DEFAULT 0
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
COMMENT ON COLUMN penstock.queue_states.due IS 'The jobs that a claim could take: waiting, and retries whose time has come.';
COMMENT ON COLUMN penstock.queue_states.mean_due IS 'When the jobs that are due fell due, on the average.';
COMMENT ON COLUMN penstock.queue_states.came IS
    'Jobs that have come since, less those that are gone, by the tallies folded since; less what was counted then and folded later.';

-- The progress of the work on samples.
CREATE TABLE penstock.sampling (
    only_row     boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    rolled_to    timestamptz NOT NULL,
    next_look_at timestamptz NOT NULL
);
COMMENT ON COLUMN penstock.sampling.rolled_to IS 'Hours and days hold all that ended before this, and nothing since.';

INSERT INTO penstock.sampling VALUES (true, date_trunc('hour', now(), 'UTC'), '-infinity');

CREATE TABLE penstock.api_tokens (
    id           text        PRIMARY KEY CHECK (id ~ '^[a-z0-9]{8,32}$'),
    name         text        NOT NULL,
    role         text        NOT NULL CHECK (role IN ('reader', 'producer', 'worker', 'operator', 'admin')),
    queues       text[],
    secret       bytea       NOT NULL CHECK (octet_length(secret) = 32),
    old_secret   bytea       CHECK (octet_length(old_secret) = 32),
    old_until    timestamptz,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by   text        NOT NULL,
    expires_at   timestamptz,
    rotated_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz
);
CREATE UNIQUE INDEX api_tokens_name ON penstock.api_tokens (name) WHERE revoked_at IS NULL;
COMMENT ON COLUMN penstock.api_tokens.queues IS 'Names of queues, or beginnings of them and a *; null is every queue.';
COMMENT ON COLUMN penstock.api_tokens.old_secret IS 'The one before the last rotation, good until old_until.';

CREATE TABLE penstock.replies (
    caller  text        NOT NULL,
    key     text        NOT NULL,
    request bytea       NOT NULL,
    status  smallint    NOT NULL,
    headers jsonb       NOT NULL,
    body    bytea       NOT NULL,
    until   timestamptz NOT NULL,
    PRIMARY KEY (caller, key)
);
CREATE INDEX replies_until ON penstock.replies (until);
COMMENT ON COLUMN penstock.replies.request IS 'A digest of what was asked: the same key with another request is refused.';

CREATE TABLE penstock.scheduled_tasks (
    name                 text PRIMARY KEY,
    description          text        NOT NULL,
    schedule             text        NOT NULL CHECK (length(schedule) BETWEEN 1 AND 200),
    time_zone            text        NOT NULL DEFAULT 'UTC' CHECK (length(time_zone) BETWEEN 1 AND 64),
    paused               boolean     NOT NULL DEFAULT false,
    settings             jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object'),
    limits               jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(limits) = 'object'),
    next_run_at          timestamptz,
    asked_at             timestamptz,
    attempt              bigint      NOT NULL DEFAULT 0,
    runner               text,
    started_at           timestamptz,
    lease_until          timestamptz,
    finished_at          timestamptz,
    duration             interval,
    outcome              text CHECK (outcome IN ('completed', 'failed', 'released', 'lost')),
    result               jsonb,
    error                text,
    succeeded_at         timestamptz,
    consecutive_failures integer     NOT NULL DEFAULT 0,
    runs                 bigint      NOT NULL DEFAULT 0,
    failures             bigint      NOT NULL DEFAULT 0
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
COMMENT ON TABLE penstock.scheduled_tasks IS 'schedule is a cron expression (5 fields, or 6 with seconds first) or @every DURATION.';
COMMENT ON COLUMN penstock.scheduled_tasks.limits IS 'Per setting: its least, most and unit.';
COMMENT ON COLUMN penstock.scheduled_tasks.next_run_at IS 'The next tick, or the next try after a failure. Null: the next runner that reads the row computes it.';
COMMENT ON COLUMN penstock.scheduled_tasks.asked_at IS 'A run was asked for by hand and has not been made yet.';
COMMENT ON COLUMN penstock.scheduled_tasks.attempt IS 'Counts claims: the token without which a run is not recorded.';
COMMENT ON COLUMN penstock.scheduled_tasks.lease_until IS 'Set while it runs. A runner that does not extend it is dead, and the run is made again.';

CREATE TABLE penstock.task_runs (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task        text        NOT NULL,
    attempt     bigint      NOT NULL,
    due_at      timestamptz,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz NOT NULL,
    outcome     text        NOT NULL CHECK (outcome IN ('completed', 'failed', 'released', 'lost')),
    runner      text        NOT NULL,
    result      jsonb,
    error       text,
    UNIQUE (task, attempt)
);
COMMENT ON COLUMN penstock.task_runs.due_at IS 'The tick it was made for, or the try after a failure; null when it was asked for by hand.';
CREATE INDEX task_runs_newest ON penstock.task_runs (task, id DESC);
CREATE INDEX task_runs_finished ON penstock.task_runs (finished_at);

INSERT INTO penstock.scheduled_tasks (name, description, schedule, settings, limits) VALUES
    ('dlq-retries', 'Redrives the dead jobs whose time has come.', '* * * * *', '{}', '{}'),
    ('dlq-purge', 'Purges the dead jobs that are past the retention of their queue.', '0 2 * * *', '{}', '{}'),
    ('metrics-sample', 'Adds up what was enqueued and what ended, and counts the state of the queues.', '*/10 * * * * *', '{}', '{}'),
    ('metrics-rollup', 'Sums up the hours and days that are over.', '*/10 * * * *', '{}', '{}'),
    ('metrics-cleanup', 'Deletes the metric samples that are kept no longer.', '5 * * * *', '{}', '{}'),
    ('partitions', 'Makes the partitions of the coming days, and drops those past retention.', '0 * * * *',
     '{"daysAhead": 7}', '{"daysAhead": {"least": 1, "most": 366, "unit": "days"}}'),
    ('prune', 'Forgets expired idempotency keys, old departures and old runs of tasks.', '* * * * *',
     '{"taskRuns": 259200000}', '{"taskRuns": {"least": 3600000, "most": 31622400000, "unit": "ms"}}'),
    ('health-reports', 'Keeps a report of the health of every queue and of the database.', '*/5 * * * *',
     '{"retention": 2592000000}', '{"retention": {"least": 3600000, "most": 316224000000, "unit": "ms"}}');

-- The limits that health compares a queue with. A null is looked up in the row for every
-- queue (*), which has no nulls.
CREATE TABLE penstock.health_thresholds (
    queue                 text PRIMARY KEY,
    span                  interval CHECK (span BETWEEN '1 minute' AND '1 day'),
    least_attempts        integer  CHECK (least_attempts BETWEEN 1 AND 1000000),
    wait_objective        interval CHECK (wait_objective BETWEEN '10 milliseconds' AND '366 days'),
    wait_share            float8   CHECK (wait_share BETWEEN 0 AND 1),
    success_rate_warning  float8   CHECK (success_rate_warning BETWEEN 0 AND 1),
    success_rate_critical float8   CHECK (success_rate_critical BETWEEN 0 AND 1),
    load_warning          float8   CHECK (load_warning BETWEEN 0.01 AND 1000000),
    load_critical         float8   CHECK (load_critical BETWEEN 0.01 AND 1000000),
    dead_warning          integer  CHECK (dead_warning >= 1),
    dead_critical         integer  CHECK (dead_critical >= 1),
    running_warning       interval CHECK (running_warning BETWEEN '1 second' AND '366 days'),
    running_critical      interval CHECK (running_critical BETWEEN '1 second' AND '366 days'),
    crash_warning         float8   CHECK (crash_warning BETWEEN 0 AND 1),
    crash_critical        float8   CHECK (crash_critical BETWEEN 0 AND 1),
    slowdown_warning      float8   CHECK (slowdown_warning BETWEEN 1 AND 1000000),
    slowdown_critical     float8   CHECK (slowdown_critical BETWEEN 1 AND 1000000),
    spike_warning         integer  CHECK (spike_warning >= 1),
    spike_critical        integer  CHECK (spike_critical >= 1),
    CHECK (queue <> '*' OR num_nulls(span, least_attempts, wait_objective, wait_share, success_rate_warning,
        success_rate_critical, load_warning, load_critical, dead_warning, dead_critical, running_warning, running_critical,
        crash_warning, crash_critical, slowdown_warning, slowdown_critical, spike_warning, spike_critical) = 0)
);
COMMENT ON TABLE penstock.health_thresholds IS
    'Rates are those of the attempts within span, if these are least_attempts or more. wait_share of the jobs start within wait_objective. dead: jobs that died within an hour. load: arrivals compared with what the live slots can do. slowdown: the P95 compared with that of the week. spike: jobs dead of one error within span.';

INSERT INTO penstock.health_thresholds VALUES ('*', '15 minutes', 20, '10 seconds', 0.99, 0.95, 0.8, 1, 1.5, 10, 100,
    '30 minutes', '2 hours', 0.01, 0.05, 2, 5, 10, 100);

-- One issue, as the health functions return it.
CREATE TABLE penstock.health_issues (
    queue          text   NOT NULL,
    code           text   NOT NULL,
    severity       text   NOT NULL,
    message        text   NOT NULL,
    figure         float8 NOT NULL,
    threshold      float8 NOT NULL,
    unit           text   NOT NULL,
    recommendation text   NOT NULL,
    detail         text
);
COMMENT ON TABLE penstock.health_issues IS 'Holds no rows: a type. An empty queue is the database. detail may quote a query.';

CREATE TABLE penstock.health_reports (
    id     bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     timestamptz NOT NULL,
    queue  text        NOT NULL,
    status text        NOT NULL CHECK (status IN ('healthy', 'warning', 'critical')),
    issues jsonb       NOT NULL
);
COMMENT ON COLUMN penstock.health_reports.queue IS 'Empty: the database.';
CREATE INDEX health_reports_newest ON penstock.health_reports (queue, id DESC);
CREATE INDEX health_reports_time ON penstock.health_reports (at);

-- +goose Down
DROP TABLE penstock.health_reports, penstock.health_issues, penstock.health_thresholds, penstock.task_runs,
    penstock.scheduled_tasks, penstock.replies, penstock.api_tokens, penstock.sampling, penstock.queue_states,
    penstock.latency_samples, penstock.metric_samples, penstock.tallies, penstock.past_workers,
    penstock.verify_checks, penstock.remote_claims, penstock.redrives, penstock.resolved_errors,
    penstock.dead_policies, penstock.audit_log, penstock.breaker_tallies, penstock.breaker_states,
    penstock.breakers, penstock.priority_tags, penstock.priority_rule_errors, penstock.priority_rules,
    penstock.retry_policies, penstock.partitions, penstock.priority_levels, penstock.settings, penstock.queues,
    penstock.workers, penstock.idempotency_keys, penstock.departures, penstock.dead_jobs, penstock.attempts,
    penstock.running, penstock.pending, penstock.jobs;
DROP SEQUENCE penstock.job_sequence;
