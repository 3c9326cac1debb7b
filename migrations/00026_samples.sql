-- What history, long percentiles and real-time figures are read from: sums of the
-- tallies by minute, hour and day, and the state of each queue every ten seconds.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
ALTER TABLE penstock.settings
    ADD COLUMN minutes_kept interval NOT NULL DEFAULT '8 days' CHECK (minutes_kept BETWEEN '1 day' AND '366 days'),
    ADD COLUMN hours_kept   interval NOT NULL DEFAULT '90 days' CHECK (hours_kept BETWEEN '2 days' AND '3660 days'),
    ADD COLUMN days_kept    interval NOT NULL DEFAULT '730 days' CHECK (days_kept BETWEEN '7 days' AND '36600 days');
COMMENT ON COLUMN penstock.settings.minutes_kept IS 'How long samples by the minute are kept; then their hours tell, and then their days.';

-- How many handlers the live workers of each queue have.
ALTER TABLE penstock.workers ADD COLUMN slots integer[];
COMMENT ON COLUMN penstock.workers.slots IS 'Of concurrency, how much each of queues has; null: it did not say, and each has an equal part.';
CREATE VIEW penstock.queue_slots AS
SELECT q.queue, sum(coalesce(q.slots, w.concurrency / cardinality(w.queues)))::integer AS slots, count(*)::integer AS workers
FROM penstock.workers w CROSS JOIN LATERAL unnest(w.queues, w.slots) q(queue, slots) GROUP BY q.queue;

-- +goose StatementBegin
DROP FUNCTION penstock.register_worker(text[], text, integer, text, integer, text[]);
-- +goose StatementEnd
-- +goose StatementBegin
-- Registers one incarnation of a worker and returns its id. concurrency is what it
-- runs at once over all its queues; slots, where given, says it for each of them.
CREATE FUNCTION penstock.register_worker(queues text[], host text DEFAULT '', pid integer DEFAULT 0,
    version text DEFAULT '', concurrency integer DEFAULT 1, handlers text[] DEFAULT NULL, slots integer[] DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
DECLARE
    new_id bigint;
BEGIN
    IF coalesce(cardinality(register_worker.queues), 0) NOT BETWEEN 1 AND 1000 THEN
        PERFORM refuse('queues', '1 to 1000 queue names', cardinality(register_worker.queues)::text);
    END IF;
    PERFORM check_name('queues', q) FROM unnest(register_worker.queues) q;
    IF register_worker.concurrency < 1 THEN
        PERFORM refuse('concurrency', '1 or more', register_worker.concurrency::text);
    END IF;
    IF cardinality(register_worker.handlers) > 10000 THEN
        PERFORM refuse('handlers', 'at most 10000', cardinality(register_worker.handlers)::text);
    END IF;
    IF cardinality(register_worker.slots) <> cardinality(register_worker.queues)
        OR EXISTS (SELECT FROM unnest(register_worker.slots) s WHERE s IS NULL OR s NOT BETWEEN 0 AND 1000000) THEN
        PERFORM refuse('slots', 'a number from 0 to 1000000 for each queue', left(register_worker.slots::text, 80));
    END IF;
    INSERT INTO workers (queues, host, pid, version, concurrency, handlers, slots)
    VALUES (register_worker.queues, left(coalesce(register_worker.host, ''), 255), coalesce(register_worker.pid, 0),
        left(coalesce(register_worker.version, ''), 255), coalesce(register_worker.concurrency, 1),
        register_worker.handlers, register_worker.slots)
    RETURNING id INTO new_id;
    RETURN new_id;
END $$;
-- +goose StatementEnd

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
COMMENT ON COLUMN penstock.metric_samples.failed IS 'Attempts; died: the jobs that one of these, or a lost one, laid in the dead letter queue.';
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

-- The state of each queue as sample_metrics saw it last.
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
    oldest_due timestamptz
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
COMMENT ON COLUMN penstock.queue_states.due IS 'The jobs that a claim could take: waiting, and retries whose time has come.';

-- Where the work on samples stands.
CREATE TABLE penstock.sampling (
    only_row     boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    rolled_to    timestamptz NOT NULL,
    next_look_at timestamptz NOT NULL
);
COMMENT ON COLUMN penstock.sampling.rolled_to IS 'Hours and days hold all that ended before this, and nothing since.';
INSERT INTO penstock.sampling VALUES (true, date_trunc('hour', now(), 'UTC'), '-infinity');

-- +goose StatementBegin
-- The bucket of a duration in microseconds: bucket b holds what is above g^(b-1) and
-- up to g^b, with g = 1.01 / 0.99, so that its value (bucket_ms) is within 1% of
-- everything in it (DDSketch: Masson, Rim and Lee, PVLDB 12(12), 2019). A duration
-- of up to a microsecond, or below nothing since a clock was set back, is in bucket 0.
CREATE FUNCTION penstock.duration_bucket(microseconds float8) RETURNS smallint
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN microseconds <= 1 THEN 0 ELSE ceil(ln(microseconds) / ln(1.01::float8 / 0.99::float8)) END::smallint
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION penstock.bucket_ms(bucket integer) RETURNS float8
LANGUAGE sql IMMUTABLE AS $$
    SELECT 2 * power(1.01::float8 / 0.99::float8, bucket) / (1.01::float8 / 0.99::float8 + 1) / 1000
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The mean of two means, each of so many; one of none is null.
CREATE FUNCTION penstock.mean_of(one float8, ones integer, other float8, others integer) RETURNS float8
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN others = 0 THEN one WHEN ones = 0 THEN other
        ELSE (one * ones + other * others) / (ones + others) END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Adds rows to the samples, one for each key at most.
CREATE FUNCTION penstock.add_metric_samples(fresh penstock.metric_samples[]) RETURNS void
LANGUAGE sql SET search_path = penstock, pg_temp AS $$
    INSERT INTO metric_samples AS m SELECT f.* FROM unnest(fresh) f ORDER BY f.queue, f.step, f.at
    ON CONFLICT (queue, step, at) DO UPDATE SET
        enqueued = m.enqueued + excluded.enqueued, completed = m.completed + excluded.completed,
        failed = m.failed + excluded.failed, lost = m.lost + excluded.lost, snoozed = m.snoozed + excluded.snoozed,
        released = m.released + excluded.released, cancelled = m.cancelled + excluded.cancelled,
        expired = m.expired + excluded.expired, died = m.died + excluded.died, claimed = m.claimed + excluded.claimed,
        processing_ms = m.processing_ms + excluded.processing_ms, wait_ms = m.wait_ms + excluded.wait_ms,
        samples = m.samples + excluded.samples,
        waiting = mean_of(m.waiting, m.samples, excluded.waiting, excluded.samples),
        scheduled = mean_of(m.scheduled, m.samples, excluded.scheduled, excluded.samples),
        retrying = mean_of(m.retrying, m.samples, excluded.retrying, excluded.samples),
        running = mean_of(m.running, m.samples, excluded.running, excluded.samples),
        dead = mean_of(m.dead, m.samples, excluded.dead, excluded.samples),
        slots = mean_of(m.slots, m.samples, excluded.slots, excluded.samples),
        most_waiting = greatest(m.most_waiting, excluded.most_waiting),
        oldest_waiting_ms = greatest(m.oldest_waiting_ms, excluded.oldest_waiting_ms)
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION penstock.add_latency_samples(fresh penstock.latency_samples[]) RETURNS void
LANGUAGE sql SET search_path = penstock, pg_temp AS $$
    INSERT INTO latency_samples AS l SELECT f.* FROM unnest(fresh) f ORDER BY f.queue, f.step, f.at, f.name, f.metric
    ON CONFLICT (queue, step, at, name, metric) DO UPDATE SET
        jobs = l.jobs + excluded.jobs, total_ms = l.total_ms + excluded.total_ms, squares = l.squares + excluded.squares,
        least_ms = least(l.least_ms, excluded.least_ms), most_ms = greatest(l.most_ms, excluded.most_ms),
        (buckets, counts) = (
            SELECT array_agg(b.bucket ORDER BY b.bucket), array_agg(b.jobs ORDER BY b.bucket)
            FROM (SELECT u.bucket, sum(u.jobs)::bigint AS jobs
                  FROM (SELECT * FROM unnest(l.buckets, l.counts) UNION ALL SELECT * FROM unnest(excluded.buckets, excluded.counts))
                      u(bucket, jobs) GROUP BY u.bucket) b)
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Microseconds of a span of time; none is negative, since a clock may be set back.
CREATE FUNCTION penstock.epoch_us(span interval) RETURNS float8
LANGUAGE sql IMMUTABLE AS $$ SELECT greatest(date_part('epoch', span) * 1000000, 0) $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- What tallies add up to in each minute, hour or day (step) and queue, and how long
-- their attempts took (latencies_of).
CREATE FUNCTION penstock.metrics_of(given penstock.tallies[], step text) RETURNS SETOF penstock.metric_samples
LANGUAGE sql STABLE SET search_path = penstock, pg_temp AS $$
    SELECT date_trunc(step, t.at, 'UTC') AS at, coalesce(sum(t.jobs) FILTER (WHERE t.outcome = 'enqueued'), 0),
        coalesce(sum(t.jobs) FILTER (WHERE t.outcome = 'completed'), 0), coalesce(sum(t.jobs) FILTER (WHERE t.outcome = 'failed'), 0),
        coalesce(sum(t.jobs) FILTER (WHERE t.outcome = 'lost'), 0), coalesce(sum(t.jobs) FILTER (WHERE t.outcome = 'snoozed'), 0),
        coalesce(sum(t.jobs) FILTER (WHERE t.outcome = 'released'), 0), coalesce(sum(t.jobs) FILTER (WHERE t.outcome = 'cancelled'), 0),
        coalesce(sum(t.jobs) FILTER (WHERE t.outcome = 'expired'), 0), coalesce(sum(t.jobs) FILTER (WHERE t.dead), 0),
        coalesce(sum(t.jobs) FILTER (WHERE t.claimed_at IS NOT NULL), 0),
        coalesce(sum(epoch_us(t.at - t.claimed_at) / 1000 * t.jobs) FILTER (WHERE t.outcome = 'completed'), 0),
        coalesce(sum(w.ms), 0), 0, NULL::float8, NULL::float8, NULL::float8, NULL::float8, NULL::float8, NULL::float8, NULL::bigint,
        NULL::float8, t.queue, step
    FROM unnest(given) t CROSS JOIN LATERAL (
        SELECT sum(epoch_us(t.claimed_at - d.run_at) / 1000 * d.jobs) AS ms FROM unnest(t.run_ats, t.jobs_each) d(run_at, jobs)) w
    GROUP BY 1, t.queue
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION penstock.latencies_of(given penstock.tallies[], step text) RETURNS SETOF penstock.latency_samples
LANGUAGE sql STABLE SET search_path = penstock, pg_temp AS $$
    SELECT b.at, sum(b.jobs)::bigint, sum(b.total_ms), sum(b.squares), min(b.least_ms), max(b.most_ms), b.queue, step, b.name, b.metric,
        array_agg(b.bucket ORDER BY b.bucket), array_agg(b.jobs ORDER BY b.bucket)
    FROM (
        SELECT date_trunc(step, t.at, 'UTC') AS at, t.queue, t.name, m.metric, duration_bucket(m.ms * 1000) AS bucket,
            sum(d.jobs)::bigint AS jobs, sum(m.ms * d.jobs) AS total_ms, sum(m.ms * m.ms * d.jobs) AS squares,
            min(m.ms) AS least_ms, max(m.ms) AS most_ms
        FROM unnest(given) t CROSS JOIN LATERAL unnest(t.run_ats, t.jobs_each) d(run_at, jobs)
        CROSS JOIN LATERAL (VALUES ('wait', epoch_us(t.claimed_at - d.run_at) / 1000),
            ('processing', epoch_us(t.at - t.claimed_at) / 1000), ('total', epoch_us(t.at - d.run_at) / 1000)) m(metric, ms)
        WHERE t.outcome = 'completed' OR m.metric = 'wait'
        GROUP BY 1, t.queue, t.name, m.metric, 5) b
    GROUP BY b.at, b.queue, b.name, b.metric
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Adds up to max_tallies tallies to the samples of their minutes and deletes them,
-- in one transaction; returns how many it took. What is late enough to belong to an
-- hour that is rolled up already is added there too.
-- REQUIRES: the lock of sample_metrics.
CREATE FUNCTION penstock.fold_tallies(max_tallies integer) RETURNS integer
LANGUAGE plpgsql SET search_path = penstock, pg_temp SET jit = off AS $$
DECLARE
    taken tallies[];
    late  tallies[];
BEGIN
    WITH gone AS (
        DELETE FROM tallies t WHERE t.ctid = ANY (ARRAY(SELECT o.ctid FROM tallies o LIMIT max_tallies)) RETURNING t AS one)
    SELECT coalesce(array_agg(g.one), '{}') INTO taken FROM gone g;
    PERFORM add_metric_samples(ARRAY(SELECT m FROM metrics_of(taken, 'minute') m)),
        add_latency_samples(ARRAY(SELECT l FROM latencies_of(taken, 'minute') l));
    late := ARRAY(SELECT t FROM unnest(taken) t WHERE t.at < (SELECT s.rolled_to FROM sampling s));
    IF late <> '{}' THEN
        PERFORM add_metric_samples(ARRAY(SELECT m FROM metrics_of(late, s.step) m)),
            add_latency_samples(ARRAY(SELECT l FROM latencies_of(late, s.step) l))
        FROM (VALUES ('hour'), ('day')) s(step);
    END IF;
    RETURN cardinality(taken);
END $$;
-- +goose StatementEnd

-- The state of each queue that has anything: a job, a worker, settings. Reads all that
-- waits, runs or is dead, from the indexes where vacuum has been, and nothing that
-- has finished: about a second for five million.
CREATE VIEW penstock.live_states AS
SELECT c.queue, clock_timestamp() AS at, sum(c.waiting)::bigint AS waiting, sum(c.scheduled)::bigint AS scheduled,
    sum(c.retrying)::bigint AS retrying, sum(c.due)::bigint AS due, sum(c.running)::bigint AS running,
    sum(c.dead)::bigint AS dead, sum(c.slots)::integer AS slots, min(c.oldest_due) AS oldest_due
FROM (
    SELECT p.queue, count(*) FILTER (WHERE p.failures + p.crashes = 0 AND p.run_at <= now()) AS waiting,
        count(*) FILTER (WHERE p.failures + p.crashes = 0 AND p.run_at > now()) AS scheduled,
        count(*) FILTER (WHERE p.failures + p.crashes > 0) AS retrying,
        count(*) FILTER (WHERE p.run_at <= now()) AS due, 0 AS running, 0 AS dead, 0 AS slots,
        min(p.run_at) FILTER (WHERE p.run_at <= now()) AS oldest_due
    FROM penstock.pending p GROUP BY p.queue
    UNION ALL SELECT r.queue, 0, 0, 0, 0, count(*), 0, 0, NULL FROM penstock.running r GROUP BY r.queue
    UNION ALL SELECT d.queue, 0, 0, 0, 0, 0, count(*), 0, NULL FROM penstock.dead_jobs d GROUP BY d.queue
    UNION ALL SELECT s.queue, 0, 0, 0, 0, 0, 0, s.slots, NULL FROM penstock.queue_slots s
    UNION ALL SELECT q.queue, 0, 0, 0, 0, 0, 0, 0, NULL FROM penstock.queues q
) c
GROUP BY c.queue;

-- +goose StatementBegin
-- Looks at the state of every queue and adds it to the samples of this minute.
-- REQUIRES: the lock of sample_metrics.
CREATE FUNCTION penstock.sample_states() RETURNS void
LANGUAGE plpgsql SET search_path = penstock, pg_temp SET jit = off AS $$
DECLARE
    states live_states[] := ARRAY(SELECT s FROM live_states s);
BEGIN
    DELETE FROM queue_states q WHERE NOT EXISTS (SELECT FROM unnest(states) s WHERE s.queue = q.queue);
    INSERT INTO queue_states AS q (queue, at, waiting, scheduled, retrying, due, running, dead, slots, oldest_due)
    SELECT s.* FROM unnest(states) s
    ON CONFLICT (queue) DO UPDATE SET at = excluded.at, waiting = excluded.waiting, scheduled = excluded.scheduled,
        retrying = excluded.retrying, due = excluded.due, running = excluded.running, dead = excluded.dead,
        slots = excluded.slots, oldest_due = excluded.oldest_due;
    PERFORM add_metric_samples(ARRAY(SELECT ROW(date_trunc('minute', s.at, 'UTC'), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            1, s.waiting, s.scheduled, s.retrying, s.running, s.dead, s.slots, s.waiting,
            coalesce(epoch_us(s.at - s.oldest_due) / 1000, 0), s.queue, 'minute')::metric_samples
        FROM unnest(states) s));
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Adds what was tallied to the samples, and looks at the state of the queues when
-- ten seconds have passed since the last look, or twenty times what that took. Call
-- it every ten seconds from as many processes as there are: one of them does it, and
-- gets the number of tallies added (call again when it is max_tallies); the others
-- get null. Killed at any point, it has done nothing.
CREATE FUNCTION penstock.sample_metrics(max_tallies integer DEFAULT 5000) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
DECLARE
    started CONSTANT timestamptz := clock_timestamp();
    folded  integer;
BEGIN
    IF max_tallies IS NULL OR max_tallies NOT BETWEEN 1 AND 1000000 THEN
        PERFORM refuse('max_tallies', '1 to 1000000', max_tallies::text);
    ELSIF NOT pg_try_advisory_xact_lock(hashtext('penstock'), hashtext('metrics')) THEN
        RETURN NULL;
    END IF;
    folded := fold_tallies(max_tallies);
    IF EXISTS (SELECT FROM sampling s WHERE s.next_look_at <= started OR s.next_look_at > started + interval '1 hour') THEN
        PERFORM sample_states();
        -- A little early, since its caller's ten seconds are no exact ones.
        UPDATE sampling SET next_look_at = started + greatest(interval '9.5 seconds', least(20 * (clock_timestamp() - started), interval '10 minutes'));
    END IF;
    RETURN folded;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Sums the minutes of every hour that is over up to the hour and into its day, and
-- returns how many hours that were; null while somebody else is at the samples.
CREATE FUNCTION penstock.roll_up_metrics() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
DECLARE
    until  CONSTANT timestamptz := date_trunc('hour', clock_timestamp(), 'UTC');
    hour   timestamptz;
    rolled integer := 0;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('penstock'), hashtext('metrics')) THEN
        RETURN NULL;
    END IF;
    FOR hour IN
        SELECT DISTINCT date_trunc('hour', m.at, 'UTC') FROM metric_samples m
        WHERE m.step = 'minute' AND m.at >= (SELECT s.rolled_to FROM sampling s) AND m.at < until ORDER BY 1
    LOOP
        PERFORM add_metric_samples(ARRAY(
            SELECT ROW(date_trunc(s.step, hour, 'UTC'), sum(m.enqueued), sum(m.completed), sum(m.failed), sum(m.lost), sum(m.snoozed),
                sum(m.released), sum(m.cancelled), sum(m.expired), sum(m.died), sum(m.claimed), sum(m.processing_ms),
                sum(m.wait_ms), sum(m.samples), sum(m.waiting * m.samples) / nullif(sum(m.samples), 0),
                sum(m.scheduled * m.samples) / nullif(sum(m.samples), 0), sum(m.retrying * m.samples) / nullif(sum(m.samples), 0),
                sum(m.running * m.samples) / nullif(sum(m.samples), 0), sum(m.dead * m.samples) / nullif(sum(m.samples), 0),
                sum(m.slots * m.samples) / nullif(sum(m.samples), 0), max(m.most_waiting), max(m.oldest_waiting_ms),
                m.queue, s.step)::metric_samples
            FROM metric_samples m CROSS JOIN (VALUES ('hour'), ('day')) s(step)
            WHERE m.step = 'minute' AND m.at >= hour AND m.at < hour + interval '1 hour' GROUP BY m.queue, s.step));
        PERFORM add_latency_samples(ARRAY(
            SELECT ROW(date_trunc(s.step, hour, 'UTC'), l.jobs, l.total_ms, l.squares, l.least_ms, l.most_ms, l.queue, s.step,
                l.name, l.metric, l.buckets, l.counts)::latency_samples
            FROM merged_latencies(hour, hour + interval '1 hour') l CROSS JOIN (VALUES ('hour'), ('day')) s(step)));
        rolled := rolled + 1;
    END LOOP;
    UPDATE sampling SET rolled_to = until WHERE rolled_to < until;
    RETURN rolled;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The minutes of a span of time, merged into one row for each queue, name and metric.
CREATE FUNCTION penstock.merged_latencies(since timestamptz, until timestamptz) RETURNS SETOF penstock.latency_samples
LANGUAGE sql STABLE SET search_path = penstock, pg_temp AS $$
    WITH minutes AS (
        SELECT * FROM latency_samples l WHERE l.step = 'minute' AND l.at >= since AND l.at < until
    ), sums AS (
        SELECT m.queue, m.name, m.metric, sum(m.jobs)::bigint AS jobs, sum(m.total_ms) AS total_ms, sum(m.squares) AS squares,
            min(m.least_ms) AS least_ms, max(m.most_ms) AS most_ms
        FROM minutes m GROUP BY m.queue, m.name, m.metric
    ), counts AS (
        SELECT m.queue, m.name, m.metric, b.bucket, sum(b.jobs)::bigint AS jobs
        FROM minutes m CROSS JOIN LATERAL unnest(m.buckets, m.counts) b(bucket, jobs) GROUP BY m.queue, m.name, m.metric, b.bucket
    )
    SELECT since, s.jobs, s.total_ms, s.squares, s.least_ms, s.most_ms, s.queue, 'minute', s.name, s.metric,
        (SELECT array_agg(c.bucket ORDER BY c.bucket) FROM counts c WHERE (c.queue, c.name, c.metric) = (s.queue, s.name, s.metric)),
        (SELECT array_agg(c.jobs ORDER BY c.bucket) FROM counts c WHERE (c.queue, c.name, c.metric) = (s.queue, s.name, s.metric))
    FROM sums s
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Deletes samples that are past what settings keep of their step, up to max_rows of
-- each kind, and returns how many; call it until it returns 0. A minute stays until
-- its hour is rolled up.
CREATE FUNCTION penstock.prune_metrics(max_rows integer DEFAULT 10000) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
DECLARE
    kept    record;
    deleted integer;
    gone    integer := 0;
BEGIN
    IF max_rows IS NULL OR max_rows NOT BETWEEN 1 AND 1000000 THEN
        PERFORM refuse('max_rows', '1 to 1000000', max_rows::text);
    END IF;
    FOR kept IN
        SELECT k.step, least(clock_timestamp() - k.span, s.rolled_to) AS since
        FROM settings t CROSS JOIN sampling s
        CROSS JOIN LATERAL (VALUES ('minute', t.minutes_kept), ('hour', t.hours_kept), ('day', t.days_kept)) k(step, span)
    LOOP
        DELETE FROM metric_samples m WHERE m.ctid = ANY (ARRAY(SELECT o.ctid FROM metric_samples o
            WHERE o.step = kept.step AND o.at < kept.since ORDER BY o.at LIMIT max_rows FOR UPDATE SKIP LOCKED));
        GET DIAGNOSTICS deleted = ROW_COUNT;
        gone := gone + deleted;
        DELETE FROM latency_samples l WHERE l.ctid = ANY (ARRAY(SELECT o.ctid FROM latency_samples o
            WHERE o.step = kept.step AND o.at < kept.since ORDER BY o.at LIMIT max_rows FOR UPDATE SKIP LOCKED));
        GET DIAGNOSTICS deleted = ROW_COUNT;
        gone := gone + deleted;
    END LOOP;
    RETURN gone;
END $$;
-- +goose StatementEnd

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA penstock FROM PUBLIC;

-- +goose Down
DROP FUNCTION penstock.prune_metrics(integer), penstock.merged_latencies(timestamptz, timestamptz), penstock.roll_up_metrics(),
    penstock.sample_metrics(integer), penstock.sample_states(), penstock.fold_tallies(integer),
    penstock.metrics_of(penstock.tallies[], text), penstock.latencies_of(penstock.tallies[], text), penstock.epoch_us(interval),
    penstock.add_latency_samples(penstock.latency_samples[]), penstock.mean_of(float8, integer, float8, integer),
    penstock.add_metric_samples(penstock.metric_samples[]), penstock.bucket_ms(integer), penstock.duration_bucket(float8);
DROP VIEW penstock.live_states, penstock.queue_slots;
DROP TABLE penstock.sampling, penstock.queue_states, penstock.latency_samples, penstock.metric_samples;
DROP FUNCTION penstock.register_worker(text[], text, integer, text, integer, text[], integer[]);
-- +goose StatementBegin
CREATE FUNCTION penstock.register_worker(queues text[], host text DEFAULT '', pid integer DEFAULT 0,
    version text DEFAULT '', concurrency integer DEFAULT 1, handlers text[] DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
DECLARE
    new_id bigint;
BEGIN
    IF coalesce(cardinality(register_worker.queues), 0) NOT BETWEEN 1 AND 1000 THEN
        PERFORM refuse('queues', '1 to 1000 queue names', cardinality(register_worker.queues)::text);
    END IF;
    PERFORM check_name('queues', q) FROM unnest(register_worker.queues) q;
    IF register_worker.concurrency < 1 THEN
        PERFORM refuse('concurrency', '1 or more', register_worker.concurrency::text);
    END IF;
    IF cardinality(register_worker.handlers) > 10000 THEN
        PERFORM refuse('handlers', 'at most 10000', cardinality(register_worker.handlers)::text);
    END IF;
    INSERT INTO workers (queues, host, pid, version, concurrency, handlers)
    VALUES (register_worker.queues, left(coalesce(register_worker.host, ''), 255), coalesce(register_worker.pid, 0),
        left(coalesce(register_worker.version, ''), 255), coalesce(register_worker.concurrency, 1),
        register_worker.handlers)
    RETURNING id INTO new_id;
    RETURN new_id;
END $$;
-- +goose StatementEnd
ALTER TABLE penstock.workers DROP COLUMN slots;
ALTER TABLE penstock.settings DROP COLUMN minutes_kept, DROP COLUMN hours_kept, DROP COLUMN days_kept;
