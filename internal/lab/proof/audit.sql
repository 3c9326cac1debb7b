-- The audit of a proof: triggers in the proof's own database record what every
-- committed transaction did to a job, independently of the functions under test. It
-- needs track_commit_timestamp. An aborted transaction leaves no trace. The sequence
-- orders the steps of one job, because row locks serialize them.

CREATE SCHEMA proof;

CREATE TABLE proof.trail (
    seq       bigint      GENERATED ALWAYS AS IDENTITY,
    tx        xid8        NOT NULL DEFAULT pg_current_xact_id(),
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    began     timestamptz NOT NULL DEFAULT now(),
    run_at    timestamptz,
    deadline  timestamptz,
    job_id    bigint      NOT NULL,
    n         bigint,
    origin    bigint,
    worker_id bigint,
    attempt   integer,
    priority  smallint,
    what      text        NOT NULL,
    queue     text        NOT NULL,
    outcome   text,
    overdue   boolean     NOT NULL DEFAULT false
);

CREATE TABLE proof.incarnations (
    worker_id bigint PRIMARY KEY, pid integer NOT NULL, registered timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended timestamptz, buried boolean NOT NULL DEFAULT false, beats bigint NOT NULL DEFAULT 0
);

-- What handlers write in the transaction of their completion. No key: a duplicate must show.
CREATE TABLE proof.effects (job_id bigint NOT NULL, attempt integer NOT NULL);

-- The injected day: added to the day that new ids carry.
CREATE TABLE proof.calendar (days_ahead integer NOT NULL);
INSERT INTO proof.calendar VALUES (0);

CREATE FUNCTION proof.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    CASE TG_TABLE_NAME || ' ' || TG_OP
    WHEN 'jobs INSERT' THEN
        INSERT INTO proof.trail (what, job_id, queue, n, origin)
        SELECT 'enqueued', r.id, r.queue, (r.data ->> 'n')::bigint, r.origin_id FROM changed r;
    WHEN 'pending INSERT' THEN
        INSERT INTO proof.trail (what, job_id, queue, attempt, priority, run_at)
        SELECT 'waits', r.job_id, r.queue, r.attempt, r.priority, r.run_at FROM changed r;
    WHEN 'pending DELETE' THEN
        INSERT INTO proof.trail (what, job_id, queue, attempt, priority, run_at)
        SELECT 'taken', r.job_id, r.queue, r.attempt, r.priority, r.run_at FROM changed r;
    WHEN 'running INSERT' THEN
        INSERT INTO proof.trail (what, job_id, queue, attempt, worker_id, priority, run_at, deadline)
        SELECT 'leased', r.job_id, r.queue, r.attempt, r.worker_id, r.priority, r.run_at, r.deadline FROM changed r;
    WHEN 'running DELETE' THEN
        INSERT INTO proof.trail (what, job_id, queue, attempt, worker_id)
        SELECT 'unleased', r.job_id, r.queue, r.attempt, r.worker_id FROM changed r;
    WHEN 'attempts INSERT' THEN
        INSERT INTO proof.trail (what, job_id, queue, attempt, worker_id, outcome, overdue)
        SELECT 'noted', r.job_id, r.queue, r.attempt, r.worker_id, r.outcome,
            coalesce(r.error_class = 'Timeout' AND r.message = 'not ended by its deadline', false) FROM changed r;
    WHEN 'dead_jobs INSERT' THEN
        INSERT INTO proof.trail (what, job_id, queue, attempt) SELECT 'died', r.job_id, r.queue, r.attempt FROM changed r;
    WHEN 'dead_jobs DELETE' THEN
        INSERT INTO proof.trail (what, job_id, queue, attempt) SELECT 'left', r.job_id, r.queue, r.attempt FROM changed r;
    WHEN 'departures INSERT' THEN
        INSERT INTO proof.trail (what, job_id, queue, attempt, outcome)
        SELECT 'departed', r.job_id, r.queue, r.attempt, r.how FROM changed r;
    ELSE -- a fact was deleted
        INSERT INTO proof.trail (what, job_id, queue, attempt) SELECT 'forgotten', r.job_id, r.queue, r.attempt FROM changed r;
    END CASE;
    RETURN NULL;
END $$;

DO $$
DECLARE
    watched text[];
BEGIN
    FOREACH watched SLICE 1 IN ARRAY ARRAY[['jobs', 'INSERT'], ['pending', 'INSERT'], ['pending', 'DELETE'],
        ['running', 'INSERT'], ['running', 'DELETE'], ['attempts', 'INSERT'], ['attempts', 'DELETE'],
        ['dead_jobs', 'INSERT'], ['dead_jobs', 'DELETE'], ['departures', 'INSERT'], ['departures', 'DELETE']] LOOP
        EXECUTE format('CREATE TRIGGER proof_%2$s AFTER %2$s ON penstock.%1$I REFERENCING %3$s TABLE AS changed
            FOR EACH STATEMENT EXECUTE FUNCTION proof.note()', watched[1], watched[2],
            CASE watched[2] WHEN 'INSERT' THEN 'NEW' ELSE 'OLD' END);
    END LOOP;
END $$;

CREATE FUNCTION proof.note_worker() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    stack text;
BEGIN
    GET DIAGNOSTICS stack = PG_CONTEXT;
    IF TG_OP = 'INSERT' THEN
        INSERT INTO proof.incarnations (worker_id, pid) VALUES (NEW.id, NEW.pid);
    ELSE
        UPDATE proof.incarnations SET ended = clock_timestamp(), buried = stack LIKE '%bury(bigint,bigint)%', beats = OLD.beat
        WHERE worker_id = OLD.id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER proof_workers AFTER INSERT OR DELETE ON penstock.workers FOR EACH ROW EXECUTE FUNCTION proof.note_worker();

-- As in migrations/, plus the injected day. No session caches it: enqueue_one asks each time.
CREATE OR REPLACE FUNCTION penstock.job_day() RETURNS bigint
LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(
        (SELECT least(today.day, p.last_day) FROM penstock.partitions p WHERE p.first_day <= today.day
         ORDER BY p.first_day DESC LIMIT 1),
        (SELECT min(p.first_day) FROM penstock.partitions p))::bigint
    FROM (SELECT floor(extract(epoch FROM clock_timestamp()) / 86400)::integer + c.days_ahead AS day FROM proof.calendar c) today
$$;
