-- Counting long queues without counting them: what the last look counted is carried
-- forward by what has come and gone since, which the tallies know.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
ALTER TABLE penstock.tallies ADD COLUMN later integer;
COMMENT ON COLUMN penstock.tallies.later IS 'How many of the jobs enqueued were due later only.';
ALTER TABLE penstock.queue_states ADD COLUMN came bigint NOT NULL DEFAULT 0, ADD COLUMN came_later bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN penstock.queue_states.came IS
    'Jobs that have come since, less those that are gone, by the tallies folded since; less what was counted then and folded later.';

-- +goose StatementBegin
-- How many jobs a tally adds to those that wait or run.
CREATE FUNCTION penstock.jobs_come(t penstock.tallies) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN t.outcome = 'enqueued' THEN t.jobs
        WHEN t.dead OR t.outcome IN ('completed', 'cancelled', 'expired') THEN -t.jobs ELSE 0 END
$$;
-- +goose StatementEnd

CREATE VIEW penstock.unfolded AS
SELECT t.queue, sum(penstock.jobs_come(t)) AS came, coalesce(sum(t.later), 0) AS later FROM penstock.tallies t GROUP BY t.queue;

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION penstock.enqueue_many(queue text, names text[], data jsonb[], options jsonb[] DEFAULT NULL,
    notify boolean DEFAULT true) RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    jobs_asked CONSTANT integer := coalesce(cardinality(names), 0);
    first_id   CONSTANT bigint := job_day() * 100000000000;
    moment     CONSTANT timestamptz := clock_timestamp();
    usual      smallint;
    ids        bigint[];
    keys       text[];
    holders    bigint[];
    asked      job_options[];
    decide     boolean := false;
    tagged     jsonb[];
    weights    smallint[];
    soonest    timestamptz := moment;
    bad        record;
    jobs_new   integer := jobs_asked;
    jobs_later integer;
BEGIN
    PERFORM check_name('queue', enqueue_many.queue);
    IF jobs_asked > 10000 THEN
        PERFORM refuse('names', 'at most 10000 jobs in a call', jobs_asked::text);
    ELSIF coalesce(cardinality(enqueue_many.data), 0) <> jobs_asked THEN
        PERFORM refuse('data', 'as many as names', cardinality(enqueue_many.data)::text);
    ELSIF cardinality(options) <> jobs_asked THEN
        PERFORM refuse('options', 'as many as names', cardinality(options)::text);
    ELSIF jobs_asked = 0 THEN
        RETURN '{}';
    END IF;
    FOR bad IN
        SELECT u.name, u.nth, u.data IS NULL AS empty, json_bytes(u.data) AS size
        FROM unnest(names, enqueue_many.data) WITH ORDINALITY u(name, data, nth)
        WHERE u.name IS NULL OR u.name ~ '[^A-Za-z0-9._:/-]' OR length(u.name) NOT BETWEEN 1 AND 128
           OR coalesce(json_bytes(u.data), 1048577) > 1048576
        ORDER BY u.nth LIMIT 1
    LOOP
        PERFORM check_name('name', bad.name, bad.nth);
        PERFORM refuse('data', 'JSON of at most 1048576 bytes',
            CASE WHEN bad.empty THEN 'null' ELSE coalesce(bad.size || ' bytes', 'numbers of over 400 digits') END, bad.nth);
    END LOOP;
    SELECT coalesce((SELECT q.default_priority FROM queues q WHERE q.queue = enqueue_many.queue), 5) INTO usual;
    IF options IS NOT NULL THEN
        tagged := ARRAY(SELECT nullif(nullif(o -> 'tags', '[]'), 'null') FROM unnest(options) o);
    END IF;
    IF EXISTS (SELECT FROM priority_rules r WHERE r.queue = enqueue_many.queue)
        OR EXISTS (SELECT FROM unnest(tagged) t WHERE t IS NOT NULL)
        OR EXISTS (SELECT FROM unnest(enqueue_many.data) d WHERE d #> '{metadata,tags}' IS NOT NULL) THEN
        decide := true;
    END IF;

    IF options IS NULL THEN
        IF decide THEN
            weights := decide_priorities(enqueue_many.queue, enqueue_many.data);
        END IF;
        WITH asked AS MATERIALIZED (
            SELECT first_id + nextval('job_sequence') AS id, u.name, u.data, u.nth
            FROM unnest(names, enqueue_many.data) WITH ORDINALITY u(name, data, nth)
        ), kept AS (
            INSERT INTO jobs (id, queue, name, data, enqueued_at)
            SELECT a.id, enqueue_many.queue, a.name, a.data, moment FROM asked a
        ), waiting AS (
            INSERT INTO pending (queue, priority, run_at, job_id, name, attempt, failures, crashes)
            SELECT enqueue_many.queue, CASE WHEN decide THEN weights[a.nth] ELSE usual END, moment, a.id, a.name, 0, 0, 0
            FROM asked a
        )
        SELECT array_agg(a.id ORDER BY a.nth) INTO ids FROM asked a;
    ELSE
        SELECT array_agg(read_options(coalesce(u.o, '{}'), moment, u.nth) ORDER BY u.nth),
               array_agg(first_id + nextval('job_sequence') ORDER BY u.nth)
        INTO asked, ids FROM unnest(options) WITH ORDINALITY u(o, nth);
        SELECT array_agg(a.idempotency_key ORDER BY a.nth), min(a.run_at), nullif(count(*) FILTER (WHERE a.run_at > moment), 0)
        INTO keys, soonest, jobs_later
        FROM unnest(asked) WITH ORDINALITY a(priority, run_at, retry, max_attempts, timeout, expires_at, tags,
            idempotency_key, trace_context, nth);
        holders := ids;
        IF array_remove(keys, NULL) <> '{}' THEN
            holders := hold_keys(enqueue_many.queue, keys, ids);
        END IF;
        IF decide THEN
            weights := decide_priorities(enqueue_many.queue, enqueue_many.data, tagged);
        END IF;
        WITH fresh AS MATERIALIZED (
            SELECT u.* FROM unnest(names, enqueue_many.data, ids, holders, asked) WITH ORDINALITY AS u(name, data, id,
                holder, priority, run_at, retry, max_attempts, timeout, expires_at, tags, idempotency_key, trace_context, nth)
            WHERE u.id = u.holder
        ), kept AS (
            INSERT INTO jobs (id, queue, name, data, enqueued_at, expires_at, timeout, asked_priority, max_attempts,
                tags, retry, trace_context)
            SELECT f.id, enqueue_many.queue, f.name, f.data, moment, f.expires_at, f.timeout, f.priority,
                f.max_attempts, f.tags, f.retry, f.trace_context FROM fresh f
        )
        INSERT INTO pending (queue, priority, run_at, job_id, name, attempt, failures, crashes, expires_at, timeout)
        SELECT enqueue_many.queue, coalesce(f.priority, weights[f.nth], usual), f.run_at, f.id, f.name, 0, 0, 0, f.expires_at,
            f.timeout FROM fresh f;
        GET DIAGNOSTICS jobs_new = ROW_COUNT; -- without those whose key was held
        ids := holders;
    END IF;

    IF jobs_new > 0 THEN
        INSERT INTO tallies (at, queue, outcome, jobs, later)
        VALUES (moment, enqueue_many.queue, 'enqueued', jobs_new, jobs_later);
    END IF;

    -- A fetcher looks at least once a second at when its next job falls due.
    IF notify AND soonest < moment + interval '1.5 seconds' THEN
        PERFORM wake(enqueue_many.queue);
    END IF;
    RETURN ids;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION penstock.metrics_of(given penstock.tallies[], step text) RETURNS SETOF penstock.metric_samples
LANGUAGE plpgsql STABLE SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET jit = off AS $$
#variable_conflict use_column
BEGIN -- not SQL, whose plan would be made at every call
    RETURN QUERY
    SELECT date_trunc(metrics_of.step, t.at, 'UTC') AS at, coalesce(sum(t.jobs) FILTER (WHERE t.outcome = 'enqueued'), 0),
        coalesce(sum(t.jobs) FILTER (WHERE t.outcome = 'completed'), 0), coalesce(sum(t.jobs) FILTER (WHERE t.outcome = 'failed'), 0),
        coalesce(sum(t.jobs) FILTER (WHERE t.outcome = 'lost'), 0), coalesce(sum(t.jobs) FILTER (WHERE t.outcome = 'snoozed'), 0),
        coalesce(sum(t.jobs) FILTER (WHERE t.outcome = 'released'), 0), coalesce(sum(t.jobs) FILTER (WHERE t.outcome = 'cancelled'), 0),
        coalesce(sum(t.jobs) FILTER (WHERE t.outcome = 'expired'), 0), coalesce(sum(t.jobs) FILTER (WHERE t.dead), 0),
        coalesce(sum(t.jobs) FILTER (WHERE t.claimed_at IS NOT NULL), 0),
        coalesce(sum(epoch_us(t.at - t.claimed_at) / 1000 * t.jobs) FILTER (WHERE t.outcome = 'completed'), 0),
        -- Not unnested where there is nothing to: most tallies are of what was enqueued.
        coalesce(sum(CASE WHEN t.claimed_at IS NOT NULL THEN (SELECT sum(epoch_us(t.claimed_at - d.run_at) / 1000 * d.jobs)
            FROM unnest(t.run_ats, t.jobs_each) d(run_at, jobs)) END), 0), 0, NULL::float8, NULL::float8, NULL::float8, NULL::float8, NULL::float8, NULL::float8, NULL::bigint,
        NULL::float8, t.queue, metrics_of.step
    FROM unnest(given) t
    GROUP BY 1, t.queue;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION penstock.fold_tallies(max_tallies integer) RETURNS integer
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
    INSERT INTO queue_states AS q (queue, at, waiting, scheduled, retrying, due, running, dead, slots, came, came_later)
    SELECT t.queue, clock_timestamp(), 0, 0, 0, 0, 0, 0, 0, sum(jobs_come(t)), coalesce(sum(t.later), 0)
    FROM unnest(taken) t GROUP BY t.queue
    ON CONFLICT (queue) DO UPDATE SET came = q.came + excluded.came, came_later = q.came_later + excluded.came_later;
    late := ARRAY(SELECT t FROM unnest(taken) t WHERE t.at < (SELECT s.rolled_to FROM sampling s));
    IF late <> '{}' THEN
        PERFORM add_metric_samples(ARRAY(SELECT m FROM metrics_of(late, s.step) m)),
            add_latency_samples(ARRAY(SELECT l FROM latencies_of(late, s.step) l))
        FROM (VALUES ('hour'), ('day')) s(step);
    END IF;
    RETURN cardinality(taken);
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION penstock.sample_states() RETURNS void
LANGUAGE plpgsql SET search_path = penstock, pg_temp SET jit = off AS $$
DECLARE
    -- One statement, so that what is counted and what is not folded yet are of one moment.
    states queue_states[] := ARRAY(
        SELECT ROW(coalesce(s.queue, u.queue), coalesce(s.at, clock_timestamp()), coalesce(s.waiting, 0), coalesce(s.scheduled, 0),
            coalesce(s.retrying, 0), coalesce(s.due, 0), coalesce(s.running, 0), coalesce(s.dead, 0), coalesce(s.slots, 0),
            s.oldest_due, s.mean_due, coalesce(-u.came, 0), coalesce(-u.later, 0))::queue_states
        FROM live_states s FULL JOIN unfolded u ON u.queue = s.queue);
BEGIN
    DELETE FROM queue_states q WHERE NOT EXISTS (SELECT FROM unnest(states) s WHERE s.queue = q.queue);
    INSERT INTO queue_states AS q (queue, at, waiting, scheduled, retrying, due, running, dead, slots, oldest_due, mean_due, came, came_later)
    SELECT s.* FROM unnest(states) s
    ON CONFLICT (queue) DO UPDATE SET at = excluded.at, waiting = excluded.waiting, scheduled = excluded.scheduled,
        retrying = excluded.retrying, due = excluded.due, running = excluded.running, dead = excluded.dead,
        slots = excluded.slots, oldest_due = excluded.oldest_due, mean_due = excluded.mean_due,
        came = excluded.came, came_later = excluded.came_later;
    PERFORM add_metric_samples(ARRAY(SELECT ROW(date_trunc('minute', s.at, 'UTC'), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            1, s.waiting, s.scheduled, s.retrying, s.running, s.dead, s.slots, s.waiting,
            coalesce(epoch_us(s.at - s.oldest_due) / 1000, 0), s.queue, 'minute')::metric_samples
        FROM unnest(states) s));
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- What each queue holds: as the last look counted it, carried forward. How many jobs
-- wait or run is exact; how many of those that wait retry, and what has fallen due
-- since, is as of the look, at.
CREATE FUNCTION penstock.carried_states(queue text) RETURNS SETOF penstock.live_states
LANGUAGE plpgsql STABLE SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET jit = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH last AS (
        SELECT coalesce(q.queue, u.queue) AS queue, coalesce(q.at, clock_timestamp()) AS at, coalesce(q.dead, 0) AS dead,
            coalesce(q.waiting + q.scheduled + q.retrying + q.running + q.came, 0) + coalesce(u.came, 0) AS jobs,
            coalesce(q.scheduled + q.came_later, 0) + coalesce(u.later, 0) AS scheduled, coalesce(q.retrying, 0) AS retrying,
            coalesce(q.waiting + q.scheduled + q.retrying - q.due + q.came_later, 0) + coalesce(u.later, 0) AS undue,
            q.oldest_due, q.mean_due
        FROM (SELECT * FROM queue_states q WHERE carried_states.queue IS NULL OR q.queue = carried_states.queue) q
        FULL JOIN (SELECT * FROM unfolded u WHERE carried_states.queue IS NULL OR u.queue = carried_states.queue) u ON u.queue = q.queue
    ), now AS (
        SELECT l.*, coalesce(r.running, 0) AS running, greatest(l.jobs - coalesce(r.running, 0), 0) AS pending, coalesce(s.slots, 0) AS slots
        FROM last l LEFT JOIN queue_slots s ON s.queue = l.queue
        LEFT JOIN (SELECT r.queue, count(*) AS running FROM running r
            WHERE carried_states.queue IS NULL OR r.queue = carried_states.queue GROUP BY r.queue) r ON r.queue = l.queue
    )
    SELECT n.queue, n.at, n.pending - p.scheduled - p.retrying, p.scheduled, p.retrying, p.due, n.running, n.dead, n.slots::integer,
        CASE WHEN p.due > 0 THEN coalesce(n.oldest_due, n.at) END, CASE WHEN p.due > 0 THEN coalesce(n.mean_due, n.at) END
    FROM now n CROSS JOIN LATERAL (SELECT least(greatest(n.scheduled, 0), n.pending) AS scheduled,
        least(n.retrying, greatest(n.pending - greatest(n.scheduled, 0), 0)) AS retrying,
        least(greatest(n.pending - n.undue, 0), n.pending) AS due) p;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The state of one queue, or of all (null): counted now, but carried forward where
-- more than 10,000 jobs wait or are dead and somebody looks every ten seconds.
CREATE OR REPLACE FUNCTION penstock.states_of(queue text) RETURNS SETOF penstock.live_states
LANGUAGE plpgsql STABLE SET search_path = penstock, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off
SET jit = off AS $$
#variable_conflict use_column
DECLARE
    long live_states[] := ARRAY(SELECT c FROM carried_states(states_of.queue) c
        WHERE (c.waiting + c.scheduled + c.retrying > 10000 OR c.dead > 10000)
          AND (SELECT s.next_look_at FROM sampling s) > clock_timestamp() - interval '1 minute');
BEGIN
    RETURN QUERY SELECT l.* FROM unnest(long) l;
    IF states_of.queue IS NULL AND long = '{}' THEN
        RETURN QUERY SELECT s.* FROM live_states s;
    ELSIF states_of.queue IS NULL THEN
        RETURN QUERY SELECT s.* FROM live_states s WHERE s.queue = ANY (ARRAY(
            SELECT q.queue FROM queue_states q UNION SELECT u.queue FROM unfolded u UNION SELECT q.queue FROM queues q
            UNION SELECT q.queue FROM queue_slots q EXCEPT SELECT l.queue FROM unnest(long) l));
    ELSIF long = '{}' THEN
        RETURN QUERY SELECT s.* FROM live_states s WHERE s.queue = states_of.queue;
    END IF;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The samples of one queue, or of all (null). Two statements, so that each has one plan
-- that serves every call: to plan took longer than to read.
CREATE FUNCTION penstock.samples_between(queue text, step text, low timestamptz, high timestamptz) RETURNS SETOF penstock.metric_samples
LANGUAGE plpgsql STABLE SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET jit = off AS $$
#variable_conflict use_column
BEGIN
    IF samples_between.queue IS NULL THEN
        RETURN QUERY SELECT * FROM metric_samples m
            WHERE m.step = samples_between.step AND m.at >= low AND m.at < high;
    ELSE
        RETURN QUERY SELECT * FROM metric_samples m
            WHERE m.queue = samples_between.queue AND m.step = samples_between.step AND m.at >= low AND m.at < high;
    END IF;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION penstock.queue_metrics(queue text DEFAULT NULL, span interval DEFAULT '1 hour') RETURNS SETOF penstock.queue_figures
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    since_ timestamptz;
BEGIN
    IF span IS NULL OR span NOT BETWEEN '1 minute' AND '731 days' THEN
        PERFORM refuse('span', '1 minute to 731 days', span::text);
    END IF;
    since_ := sampled_since(moment - span, span);
    RETURN QUERY
    WITH happened AS (
        SELECT m.* FROM cover(since_, moment + interval '1 minute') c
        CROSS JOIN LATERAL samples_between(queue_metrics.queue, c.step, c.low, c.high) m
        UNION ALL
        -- Those without a claim, one for each call that enqueued, are added up before.
        SELECT m.* FROM metrics_of(ARRAY(
            SELECT t FROM tallies t
            WHERE t.claimed_at IS NOT NULL AND t.at >= since_ AND (queue_metrics.queue IS NULL OR t.queue = queue_metrics.queue)
            UNION ALL
            SELECT ROW(max(t.at), NULL, sum(t.jobs), t.dead, t.queue, NULL, t.outcome, NULL, NULL, NULL)::tallies FROM tallies t
            WHERE t.claimed_at IS NULL AND t.at >= since_ AND (queue_metrics.queue IS NULL OR t.queue = queue_metrics.queue)
            GROUP BY t.queue, t.outcome, t.dead), 'minute') m
    ), each AS (
        SELECT s.queue, s.at, s.waiting, s.scheduled, s.retrying, s.due, s.running, s.dead, s.slots, s.oldest_due,
            s.due * (epoch_us(moment - s.mean_due) / 1000) AS due_ms, 0::bigint AS enqueued, 0::bigint AS completed,
            0::bigint AS failed, 0::bigint AS lost, 0::bigint AS snoozed, 0::bigint AS released, 0::bigint AS cancelled,
            0::bigint AS expired, 0::bigint AS died, 0::bigint AS claimed, 0::float8 AS processing_ms, 0::float8 AS wait_ms
        FROM states_of(queue_metrics.queue) s
        UNION ALL
        SELECT h.queue, NULL, 0, 0, 0, 0, 0, 0, 0, NULL, 0, h.enqueued, h.completed, h.failed, h.lost, h.snoozed, h.released,
            h.cancelled, h.expired, h.died, h.claimed, h.processing_ms, h.wait_ms FROM happened h
        UNION ALL
        SELECT queue_metrics.queue, NULL, 0, 0, 0, 0, 0, 0, 0, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
        WHERE queue_metrics.queue IS NOT NULL
    ), summed AS (
        SELECT e.queue, min(e.at) AS at, sum(e.waiting)::bigint AS waiting, sum(e.scheduled)::bigint AS scheduled,
            sum(e.retrying)::bigint AS retrying, sum(e.due)::bigint AS due, sum(e.running)::bigint AS running,
            sum(e.dead)::bigint AS dead, sum(e.slots)::integer AS slots, min(e.oldest_due) AS oldest_due, sum(e.due_ms) AS due_ms,
            sum(e.enqueued)::bigint AS enqueued, sum(e.completed)::bigint AS completed, sum(e.failed)::bigint AS failed,
            sum(e.lost)::bigint AS lost, sum(e.snoozed)::bigint AS snoozed, sum(e.released)::bigint AS released,
            sum(e.cancelled)::bigint AS cancelled, sum(e.expired)::bigint AS expired, sum(e.died)::bigint AS died,
            sum(e.claimed)::bigint AS claimed, sum(e.processing_ms) AS processing_ms, sum(e.wait_ms) AS wait_ms,
            sum(e.completed) / extract(epoch FROM moment - since_)::float8 AS throughput,
            sum(e.enqueued) / extract(epoch FROM moment - since_)::float8 AS arrivals,
            sum(e.completed + e.cancelled + e.expired + e.died) / extract(epoch FROM moment - since_)::float8 AS drain,
            sum(e.processing_ms) / nullif(sum(e.completed), 0)::float8 AS mean_ms
        FROM each e GROUP BY GROUPING SETS ((e.queue), ())
        HAVING grouping(e.queue) = CASE WHEN queue_metrics.queue IS NULL THEN grouping(e.queue) ELSE 0 END
    )
    SELECT s.queue, moment, since_, coalesce(s.at, moment), coalesce(s.waiting, 0), coalesce(s.scheduled, 0), coalesce(s.retrying, 0),
        coalesce(s.due, 0), coalesce(s.running, 0), coalesce(s.dead, 0), coalesce(s.slots, 0), coalesce(s.enqueued, 0),
        coalesce(s.completed, 0), coalesce(s.failed, 0), coalesce(s.lost, 0), coalesce(s.snoozed, 0), coalesce(s.released, 0),
        coalesce(s.cancelled, 0), coalesce(s.expired, 0), coalesce(s.died, 0),
        s.completed / nullif(s.completed + s.failed, 0)::float8, s.failed / nullif(s.completed + s.failed, 0)::float8, s.mean_ms,
        (s.wait_ms + coalesce(s.due_ms, 0)) / nullif(s.claimed + s.due, 0), epoch_us(moment - s.oldest_due) / 1000,
        coalesce(s.throughput, 0), coalesce(s.throughput * 3600, 0), coalesce(s.arrivals, 0), coalesce(s.drain, 0),
        CASE WHEN coalesce(s.due, 0) = 0 THEN 0 WHEN s.drain > s.arrivals THEN s.due / (s.drain - s.arrivals) END,
        s.slots * 1000 / nullif(s.mean_ms, 0), least(s.running, s.slots) / nullif(s.slots, 0)::float8
    FROM summed s ORDER BY s.queue NULLS FIRST;
END $$;
-- +goose StatementEnd

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA penstock FROM PUBLIC;

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION penstock.queue_metrics(queue text DEFAULT NULL, span interval DEFAULT '1 hour') RETURNS SETOF penstock.queue_figures
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off
SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    since_ timestamptz;
BEGIN
    IF span IS NULL OR span NOT BETWEEN '1 minute' AND '731 days' THEN
        PERFORM refuse('span', '1 minute to 731 days', span::text);
    END IF;
    since_ := sampled_since(moment - span, span);
    RETURN QUERY
    WITH happened AS (
        SELECT m.* FROM cover(since_, moment + interval '1 minute') c
        CROSS JOIN LATERAL ( -- OFFSET 0: as in performance
            SELECT * FROM metric_samples m WHERE m.step = c.step AND m.at >= c.low AND m.at < c.high
              AND (queue_metrics.queue IS NULL OR m.queue = queue_metrics.queue) OFFSET 0) m
        UNION ALL
        SELECT m.* FROM metrics_of(ARRAY(SELECT t FROM tallies t
            WHERE t.at >= since_ AND (queue_metrics.queue IS NULL OR t.queue = queue_metrics.queue)), 'minute') m
    ), each AS (
        SELECT s.queue, s.at, s.waiting, s.scheduled, s.retrying, s.due, s.running, s.dead, s.slots, s.oldest_due,
            s.due * (epoch_us(moment - s.mean_due) / 1000) AS due_ms, 0::bigint AS enqueued, 0::bigint AS completed,
            0::bigint AS failed, 0::bigint AS lost, 0::bigint AS snoozed, 0::bigint AS released, 0::bigint AS cancelled,
            0::bigint AS expired, 0::bigint AS died, 0::bigint AS claimed, 0::float8 AS processing_ms, 0::float8 AS wait_ms
        FROM states_of(queue_metrics.queue) s
        UNION ALL
        SELECT h.queue, NULL, 0, 0, 0, 0, 0, 0, 0, NULL, 0, h.enqueued, h.completed, h.failed, h.lost, h.snoozed, h.released,
            h.cancelled, h.expired, h.died, h.claimed, h.processing_ms, h.wait_ms FROM happened h
        UNION ALL
        SELECT queue_metrics.queue, NULL, 0, 0, 0, 0, 0, 0, 0, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
        WHERE queue_metrics.queue IS NOT NULL
    ), summed AS (
        SELECT e.queue, min(e.at) AS at, sum(e.waiting)::bigint AS waiting, sum(e.scheduled)::bigint AS scheduled,
            sum(e.retrying)::bigint AS retrying, sum(e.due)::bigint AS due, sum(e.running)::bigint AS running,
            sum(e.dead)::bigint AS dead, sum(e.slots)::integer AS slots, min(e.oldest_due) AS oldest_due, sum(e.due_ms) AS due_ms,
            sum(e.enqueued)::bigint AS enqueued, sum(e.completed)::bigint AS completed, sum(e.failed)::bigint AS failed,
            sum(e.lost)::bigint AS lost, sum(e.snoozed)::bigint AS snoozed, sum(e.released)::bigint AS released,
            sum(e.cancelled)::bigint AS cancelled, sum(e.expired)::bigint AS expired, sum(e.died)::bigint AS died,
            sum(e.claimed)::bigint AS claimed, sum(e.processing_ms) AS processing_ms, sum(e.wait_ms) AS wait_ms,
            sum(e.completed) / extract(epoch FROM moment - since_)::float8 AS throughput,
            sum(e.enqueued) / extract(epoch FROM moment - since_)::float8 AS arrivals,
            sum(e.completed + e.cancelled + e.expired + e.died) / extract(epoch FROM moment - since_)::float8 AS drain,
            sum(e.processing_ms) / nullif(sum(e.completed), 0)::float8 AS mean_ms
        FROM each e GROUP BY GROUPING SETS ((e.queue), ())
        HAVING grouping(e.queue) = CASE WHEN queue_metrics.queue IS NULL THEN grouping(e.queue) ELSE 0 END
    )
    SELECT s.queue, moment, since_, coalesce(s.at, moment), coalesce(s.waiting, 0), coalesce(s.scheduled, 0), coalesce(s.retrying, 0),
        coalesce(s.due, 0), coalesce(s.running, 0), coalesce(s.dead, 0), coalesce(s.slots, 0), coalesce(s.enqueued, 0),
        coalesce(s.completed, 0), coalesce(s.failed, 0), coalesce(s.lost, 0), coalesce(s.snoozed, 0), coalesce(s.released, 0),
        coalesce(s.cancelled, 0), coalesce(s.expired, 0), coalesce(s.died, 0),
        s.completed / nullif(s.completed + s.failed, 0)::float8, s.failed / nullif(s.completed + s.failed, 0)::float8, s.mean_ms,
        (s.wait_ms + coalesce(s.due_ms, 0)) / nullif(s.claimed + s.due, 0), epoch_us(moment - s.oldest_due) / 1000,
        coalesce(s.throughput, 0), coalesce(s.throughput * 3600, 0), coalesce(s.arrivals, 0), coalesce(s.drain, 0),
        CASE WHEN coalesce(s.due, 0) = 0 THEN 0 WHEN s.drain > s.arrivals THEN s.due / (s.drain - s.arrivals) END,
        s.slots * 1000 / nullif(s.mean_ms, 0), least(s.running, s.slots) / nullif(s.slots, 0)::float8
    FROM summed s ORDER BY s.queue NULLS FIRST;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION penstock.states_of(queue text) RETURNS SETOF penstock.live_states
LANGUAGE plpgsql STABLE SET search_path = penstock, pg_temp SET enable_seqscan = off SET jit = off AS $$
#variable_conflict use_column
BEGIN
    IF (SELECT sum(q.waiting + q.scheduled + q.retrying + q.dead) FROM queue_states q
        WHERE (states_of.queue IS NULL OR q.queue = states_of.queue) AND q.at > clock_timestamp() - interval '11 minutes') > 100000 THEN
        RETURN QUERY SELECT q.queue, q.at, q.waiting, q.scheduled, q.retrying, q.due, q.running, q.dead, q.slots, q.oldest_due, q.mean_due
            FROM queue_states q WHERE states_of.queue IS NULL OR q.queue = states_of.queue;
    ELSIF states_of.queue IS NULL THEN
        RETURN QUERY SELECT s.* FROM live_states s;
    ELSE
        RETURN QUERY SELECT s.* FROM live_states s WHERE s.queue = states_of.queue;
    END IF;
END $$;
-- +goose StatementEnd

DROP FUNCTION penstock.carried_states(text), penstock.samples_between(text, text, timestamptz, timestamptz);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION penstock.sample_states() RETURNS void
LANGUAGE plpgsql SET search_path = penstock, pg_temp SET jit = off AS $$
DECLARE
    states live_states[] := ARRAY(SELECT s FROM live_states s);
BEGIN
    DELETE FROM queue_states q WHERE NOT EXISTS (SELECT FROM unnest(states) s WHERE s.queue = q.queue);
    INSERT INTO queue_states AS q (queue, at, waiting, scheduled, retrying, due, running, dead, slots, oldest_due, mean_due)
    SELECT s.* FROM unnest(states) s
    ON CONFLICT (queue) DO UPDATE SET at = excluded.at, waiting = excluded.waiting, scheduled = excluded.scheduled,
        retrying = excluded.retrying, due = excluded.due, running = excluded.running, dead = excluded.dead,
        slots = excluded.slots, oldest_due = excluded.oldest_due, mean_due = excluded.mean_due;
    PERFORM add_metric_samples(ARRAY(SELECT ROW(date_trunc('minute', s.at, 'UTC'), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            1, s.waiting, s.scheduled, s.retrying, s.running, s.dead, s.slots, s.waiting,
            coalesce(epoch_us(s.at - s.oldest_due) / 1000, 0), s.queue, 'minute')::metric_samples
        FROM unnest(states) s));
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION penstock.fold_tallies(max_tallies integer) RETURNS integer
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
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION penstock.metrics_of(given penstock.tallies[], step text) RETURNS SETOF penstock.metric_samples
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
CREATE OR REPLACE FUNCTION penstock.enqueue_many(queue text, names text[], data jsonb[], options jsonb[] DEFAULT NULL,
    notify boolean DEFAULT true) RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    jobs_asked CONSTANT integer := coalesce(cardinality(names), 0);
    first_id   CONSTANT bigint := job_day() * 100000000000;
    moment     CONSTANT timestamptz := clock_timestamp();
    usual      smallint;
    ids        bigint[];
    keys       text[];
    holders    bigint[];
    asked      job_options[];
    decide     boolean := false;
    tagged     jsonb[];
    weights    smallint[];
    soonest    timestamptz := moment;
    bad        record;
    jobs_new   integer := jobs_asked;
BEGIN
    PERFORM check_name('queue', enqueue_many.queue);
    IF jobs_asked > 10000 THEN
        PERFORM refuse('names', 'at most 10000 jobs in a call', jobs_asked::text);
    ELSIF coalesce(cardinality(enqueue_many.data), 0) <> jobs_asked THEN
        PERFORM refuse('data', 'as many as names', cardinality(enqueue_many.data)::text);
    ELSIF cardinality(options) <> jobs_asked THEN
        PERFORM refuse('options', 'as many as names', cardinality(options)::text);
    ELSIF jobs_asked = 0 THEN
        RETURN '{}';
    END IF;
    FOR bad IN
        SELECT u.name, u.nth, u.data IS NULL AS empty, json_bytes(u.data) AS size
        FROM unnest(names, enqueue_many.data) WITH ORDINALITY u(name, data, nth)
        WHERE u.name IS NULL OR u.name ~ '[^A-Za-z0-9._:/-]' OR length(u.name) NOT BETWEEN 1 AND 128
           OR coalesce(json_bytes(u.data), 1048577) > 1048576
        ORDER BY u.nth LIMIT 1
    LOOP
        PERFORM check_name('name', bad.name, bad.nth);
        PERFORM refuse('data', 'JSON of at most 1048576 bytes',
            CASE WHEN bad.empty THEN 'null' ELSE coalesce(bad.size || ' bytes', 'numbers of over 400 digits') END, bad.nth);
    END LOOP;
    SELECT coalesce((SELECT q.default_priority FROM queues q WHERE q.queue = enqueue_many.queue), 5) INTO usual;
    IF options IS NOT NULL THEN
        tagged := ARRAY(SELECT nullif(nullif(o -> 'tags', '[]'), 'null') FROM unnest(options) o);
    END IF;
    IF EXISTS (SELECT FROM priority_rules r WHERE r.queue = enqueue_many.queue)
        OR EXISTS (SELECT FROM unnest(tagged) t WHERE t IS NOT NULL)
        OR EXISTS (SELECT FROM unnest(enqueue_many.data) d WHERE d #> '{metadata,tags}' IS NOT NULL) THEN
        decide := true;
    END IF;

    IF options IS NULL THEN
        IF decide THEN
            weights := decide_priorities(enqueue_many.queue, enqueue_many.data);
        END IF;
        WITH asked AS MATERIALIZED (
            SELECT first_id + nextval('job_sequence') AS id, u.name, u.data, u.nth
            FROM unnest(names, enqueue_many.data) WITH ORDINALITY u(name, data, nth)
        ), kept AS (
            INSERT INTO jobs (id, queue, name, data, enqueued_at)
            SELECT a.id, enqueue_many.queue, a.name, a.data, moment FROM asked a
        ), waiting AS (
            INSERT INTO pending (queue, priority, run_at, job_id, name, attempt, failures, crashes)
            SELECT enqueue_many.queue, CASE WHEN decide THEN weights[a.nth] ELSE usual END, moment, a.id, a.name, 0, 0, 0
            FROM asked a
        )
        SELECT array_agg(a.id ORDER BY a.nth) INTO ids FROM asked a;
    ELSE
        SELECT array_agg(read_options(coalesce(u.o, '{}'), moment, u.nth) ORDER BY u.nth),
               array_agg(first_id + nextval('job_sequence') ORDER BY u.nth)
        INTO asked, ids FROM unnest(options) WITH ORDINALITY u(o, nth);
        SELECT array_agg(a.idempotency_key ORDER BY a.nth), min(a.run_at) INTO keys, soonest
        FROM unnest(asked) WITH ORDINALITY a(priority, run_at, retry, max_attempts, timeout, expires_at, tags,
            idempotency_key, trace_context, nth);
        holders := ids;
        IF array_remove(keys, NULL) <> '{}' THEN
            holders := hold_keys(enqueue_many.queue, keys, ids);
        END IF;
        IF decide THEN
            weights := decide_priorities(enqueue_many.queue, enqueue_many.data, tagged);
        END IF;
        WITH fresh AS MATERIALIZED (
            SELECT u.* FROM unnest(names, enqueue_many.data, ids, holders, asked) WITH ORDINALITY AS u(name, data, id,
                holder, priority, run_at, retry, max_attempts, timeout, expires_at, tags, idempotency_key, trace_context, nth)
            WHERE u.id = u.holder
        ), kept AS (
            INSERT INTO jobs (id, queue, name, data, enqueued_at, expires_at, timeout, asked_priority, max_attempts,
                tags, retry, trace_context)
            SELECT f.id, enqueue_many.queue, f.name, f.data, moment, f.expires_at, f.timeout, f.priority,
                f.max_attempts, f.tags, f.retry, f.trace_context FROM fresh f
        )
        INSERT INTO pending (queue, priority, run_at, job_id, name, attempt, failures, crashes, expires_at, timeout)
        SELECT enqueue_many.queue, coalesce(f.priority, weights[f.nth], usual), f.run_at, f.id, f.name, 0, 0, 0, f.expires_at,
            f.timeout FROM fresh f;
        GET DIAGNOSTICS jobs_new = ROW_COUNT; -- without those whose key was held
        ids := holders;
    END IF;

    IF jobs_new > 0 THEN
        INSERT INTO tallies (at, queue, outcome, jobs) VALUES (moment, enqueue_many.queue, 'enqueued', jobs_new);
    END IF;

    -- A fetcher looks at least once a second at when its next job falls due.
    IF notify AND soonest < moment + interval '1.5 seconds' THEN
        PERFORM wake(enqueue_many.queue);
    END IF;
    RETURN ids;
END $$;
-- +goose StatementEnd
DROP VIEW penstock.unfolded;
DROP FUNCTION penstock.jobs_come(penstock.tallies);
ALTER TABLE penstock.queue_states DROP COLUMN came, DROP COLUMN came_later;
ALTER TABLE penstock.tallies DROP COLUMN later;
