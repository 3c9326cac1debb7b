-- Enqueues one job in the caller's transaction and returns its id. priority is a weight
-- from 1 to 100 or the name of a level. run_at and delay exclude each other. retry is an
-- object as check_retry describes. expires_in limits how long the job waits for its start.
-- notify => false sends no NOTIFY, for callers that PREPARE TRANSACTION.
-- Indexes and locks: those of enqueue_one and enqueue_batch.
CREATE OR REPLACE FUNCTION penstock.enqueue(queue text, name text, data jsonb DEFAULT '{}', priority text DEFAULT NULL,
    delay interval DEFAULT NULL, run_at timestamptz DEFAULT NULL, retry jsonb DEFAULT NULL, max_attempts integer DEFAULT NULL,
    timeout interval DEFAULT NULL, expires_in interval DEFAULT NULL, tags text[] DEFAULT NULL, idempotency_key text DEFAULT NULL,
    trace_context text DEFAULT NULL, notify boolean DEFAULT true) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off AS $$
DECLARE
    options jsonb;
BEGIN
    IF num_nonnulls(priority, delay, run_at, retry, max_attempts, timeout, expires_in, tags, idempotency_key, trace_context) > 0 THEN
        options := jsonb_strip_nulls(jsonb_build_object('priority', priority, 'delay', extract(epoch FROM delay) * 1000,
            'runAt', run_at, 'retryStrategy', retry, 'maxAttempts', max_attempts, 'timeout', extract(epoch FROM timeout) * 1000,
            'expiresIn', extract(epoch FROM expires_in) * 1000, 'tags', tags, 'idempotencyKey', idempotency_key,
            'traceContext', trace_context));
    END IF;
    RETURN coalesce(enqueue_one(queue, name, data, options, notify),
        (enqueue_batch(queue, ARRAY[name], ARRAY[data], CASE WHEN options IS NOT NULL THEN ARRAY[options] END, notify))[1]);
END $$;

-- Enqueues one job with the priority as a number, so that priority => 10 works. The other
-- arguments are those of the form with a text priority.
CREATE OR REPLACE FUNCTION penstock.enqueue(queue text, name text, data jsonb, priority integer,
    delay interval DEFAULT NULL, run_at timestamptz DEFAULT NULL, retry jsonb DEFAULT NULL,
    max_attempts integer DEFAULT NULL, timeout interval DEFAULT NULL, expires_in interval DEFAULT NULL,
    tags text[] DEFAULT NULL, idempotency_key text DEFAULT NULL, trace_context text DEFAULT NULL,
    notify boolean DEFAULT true) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
    SELECT penstock.enqueue(queue, name, data, priority::text, delay, run_at, retry, max_attempts, timeout,
        expires_in, tags, idempotency_key, trace_context, notify)
$$;
