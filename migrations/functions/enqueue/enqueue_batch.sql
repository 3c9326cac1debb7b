-- Enqueues jobs of one queue, all or none, and returns their ids in order. enqueue_many
-- calls it for all that enqueue_one does not take.
-- Indexes: the primary keys of queues, priority_rules and idempotency_keys; priority_tags
-- is small and read whole. Locks: the rows of the idempotency keys (take_idempotency_keys),
-- and what decide_priorities takes.
CREATE OR REPLACE FUNCTION penstock.enqueue_batch(queue text, names text[], data jsonb[], options jsonb[],
    notify boolean) RETURNS bigint[]
LANGUAGE plpgsql
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    jobs_asked       CONSTANT integer := coalesce(cardinality(names), 0);
    moment           CONSTANT timestamptz := clock_timestamp();
    first_id         CONSTANT bigint := day_at(moment) * 100000000000;
    default_priority smallint;
    ids              bigint[];
    keys             text[];
    holders          bigint[];
    asked            job_options[];
    weights          smallint[];
    soonest          timestamptz := moment;
    first_bad        bigint;
    bad              record;
    tagged           boolean; -- some by their data or options
    moved            boolean; -- some by a rule or a tag
    jobs_new         integer := jobs_asked;
    jobs_later       integer;
BEGIN
    IF (enqueue_batch.queue !~ '[^A-Za-z0-9._:/-]' AND length(enqueue_batch.queue) BETWEEN 1 AND 128) IS NOT TRUE THEN
        PERFORM check_name('queue', enqueue_batch.queue);
    END IF;
    IF jobs_asked > 10000 THEN
        PERFORM refuse('names', 'at most 10000 jobs in a call', jobs_asked::text);
    ELSIF coalesce(cardinality(enqueue_batch.data), 0) <> jobs_asked THEN
        PERFORM refuse('data', 'as many as names', cardinality(enqueue_batch.data)::text);
    ELSIF cardinality(options) <> jobs_asked THEN
        PERFORM refuse('options', 'as many as names', cardinality(options)::text);
    ELSIF jobs_asked = 0 THEN
        RETURN '{}';
    END IF;
    SELECT bool_or(u.data #> '{metadata,tags}' IS NOT NULL), min(u.nth) FILTER (WHERE u.name IS NULL
            OR u.name ~ '[^A-Za-z0-9._:/-]' OR length(u.name) NOT BETWEEN 1 AND 128 OR coalesce(json_bytes(u.data), 1048577) > 1048576)
    INTO tagged, first_bad FROM unnest(names, enqueue_batch.data) WITH ORDINALITY u(name, data, nth);
    IF first_bad IS NOT NULL THEN
        SELECT u.name, u.data IS NULL AS empty, json_bytes(u.data) AS size INTO bad
        FROM unnest(names, enqueue_batch.data) WITH ORDINALITY u(name, data, nth) WHERE u.nth = first_bad;
        PERFORM check_name('name', bad.name, first_bad);
        PERFORM refuse('data', 'JSON of at most 1048576 bytes',
            CASE WHEN bad.empty THEN 'null' ELSE coalesce(bad.size || ' bytes', 'numbers of over 400 digits') END, first_bad);
    END IF;
    IF options IS NOT NULL THEN
        asked := ARRAY(SELECT read_options(coalesce(u.o, '{}'), moment, u.nth) FROM unnest(options) WITH ORDINALITY u(o, nth)
            ORDER BY u.nth);
        ids := ARRAY(SELECT first_id + nextval('job_sequence') FROM generate_series(1, jobs_asked));
        SELECT array_agg(a.idempotency_key ORDER BY a.nth), min(a.run_at), nullif(count(*) FILTER (WHERE a.run_at > moment), 0),
            bool_or(a.tags IS NOT NULL) OR tagged
        INTO keys, soonest, jobs_later, tagged
        FROM unnest(asked) WITH ORDINALITY a(priority, run_at, retry, max_attempts, timeout, expires_at, tags,
            idempotency_key, trace_context, nth);
        holders := ids;
        IF array_remove(keys, NULL) <> '{}' THEN
            holders := take_idempotency_keys(enqueue_batch.queue, keys, ids);
        END IF;
    END IF;
    SELECT coalesce((SELECT q.default_priority FROM queues q WHERE q.queue = enqueue_batch.queue), 5),
        EXISTS (SELECT FROM priority_rules r WHERE r.queue = enqueue_batch.queue)
    INTO default_priority, moved;
    -- Most tags shift nothing, and checking that job by job is expensive.
    IF tagged AND NOT moved THEN
        moved := EXISTS (SELECT FROM unnest(asked) a WHERE a.tags && ARRAY(SELECT t.tag FROM priority_tags t))
            OR EXISTS (SELECT FROM unnest(enqueue_batch.data) d
                       WHERE d #> '{metadata,tags}' ?| ARRAY(SELECT t.tag FROM priority_tags t));
    END IF;
    IF moved THEN
        PERFORM pg_current_xact_id(); -- before waiting for a session that changes the rules, as in take_idempotency_keys
        weights := decide_priorities(enqueue_batch.queue, enqueue_batch.data,
            ARRAY(SELECT nullif(nullif(o -> 'tags', '[]'), 'null') FROM unnest(options) o));
    END IF;

    IF options IS NULL THEN
        WITH asked AS MATERIALIZED (
            SELECT first_id + nextval('job_sequence') AS id, u.name, u.data, u.nth
            FROM unnest(names, enqueue_batch.data) WITH ORDINALITY u(name, data, nth)
        ), kept AS (
            INSERT INTO jobs (id, queue, name, data, enqueued_at)
            SELECT a.id, enqueue_batch.queue, a.name, a.data, moment FROM asked a
        ), waiting AS (
            INSERT INTO pending (queue, priority, run_at, job_id, name, attempt, failures, crashes)
            SELECT enqueue_batch.queue, coalesce(weights[a.nth], default_priority), moment, a.id, a.name, 0, 0, 0
            FROM asked a
        )
        SELECT array_agg(a.id ORDER BY a.nth) INTO ids FROM asked a;
    ELSE
        WITH fresh AS MATERIALIZED (
            SELECT u.* FROM unnest(names, enqueue_batch.data, ids, holders, asked) WITH ORDINALITY AS u(name, data, id,
                holder, priority, run_at, retry, max_attempts, timeout, expires_at, tags, idempotency_key, trace_context, nth)
            WHERE u.id = u.holder
        ), kept AS (
            INSERT INTO jobs (id, queue, name, data, enqueued_at, expires_at, timeout, asked_priority, max_attempts,
                tags, retry, trace_context)
            SELECT f.id, enqueue_batch.queue, f.name, f.data, moment, f.expires_at, f.timeout, f.priority,
                f.max_attempts, f.tags, f.retry, f.trace_context FROM fresh f
        )
        INSERT INTO pending (queue, priority, run_at, job_id, name, attempt, failures, crashes, expires_at, timeout)
        SELECT enqueue_batch.queue, coalesce(f.priority, weights[f.nth], default_priority), f.run_at, f.id, f.name, 0, 0, 0, f.expires_at,
            f.timeout FROM fresh f;
        GET DIAGNOSTICS jobs_new = ROW_COUNT; -- without those whose key was taken
        ids := holders;
    END IF;

    IF jobs_new > 0 THEN
        INSERT INTO tallies (at, queue, outcome, jobs, later)
        VALUES (moment, enqueue_batch.queue, 'enqueued', jobs_new, jobs_later);
    END IF;

    -- A fetcher asks at least once a second when its next job falls due.
    IF notify AND soonest < moment + interval '1.5 seconds' AND has_listener(enqueue_batch.queue) THEN
        PERFORM notify_queue(enqueue_batch.queue);
    END IF;
    RETURN ids;
END $$;
