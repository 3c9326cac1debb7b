-- Enqueues 1 to 10,000 jobs of one queue, all or none, and returns their ids in order.
-- names and data have one length; options, if given, holds null or an object as
-- read_options describes for each job. A job whose idempotency key is taken is not enqueued:
-- the id is that of the job that holds the key. notify => false sends no NOTIFY, for callers
-- that PREPARE TRANSACTION.
-- Indexes and locks: those of enqueue_one and enqueue_batch.
CREATE OR REPLACE FUNCTION penstock.enqueue_many(queue text, names text[], data jsonb[], options jsonb[] DEFAULT NULL,
    notify boolean DEFAULT true) RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off AS $$
DECLARE
    id bigint;
BEGIN
    -- An array with other bounds or dimensions has nothing at 1 either; enqueue_batch reads it.
    IF cardinality(names) = 1 AND cardinality(data) = 1
        AND (options IS NULL OR cardinality(options) = 1 AND options[1] IS NOT NULL) THEN
        id := enqueue_one(queue, names[1], data[1], options[1], notify);
        IF id IS NOT NULL THEN
            RETURN ARRAY[id];
        END IF;
    END IF;
    RETURN enqueue_batch(queue, names, data, options, notify);
END $$;

-- Enqueues jobs from a JSON array, which any driver can send. Each element is an object with
-- name, data and the options of read_options.
CREATE OR REPLACE FUNCTION penstock.enqueue_many(queue text, jobs jsonb, notify boolean DEFAULT true) RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
DECLARE
    names   text[];
    data    jsonb[];
    options jsonb[];
BEGIN
    IF jobs IS NULL OR jsonb_typeof(jobs) <> 'array' THEN
        PERFORM refuse('jobs', 'an array of objects with name and data', jsonb_typeof(jobs));
    END IF;
    PERFORM refuse('jobs', 'an array of objects with name and data', jsonb_typeof(e.job), e.nth)
    FROM jsonb_array_elements(jobs) WITH ORDINALITY e(job, nth) WHERE jsonb_typeof(e.job) <> 'object';
    SELECT array_agg(e.job ->> 'name' ORDER BY e.nth), array_agg(e.job -> 'data' ORDER BY e.nth),
           array_agg(e.job - 'name' - 'data' ORDER BY e.nth)
    INTO names, data, options FROM jsonb_array_elements(jobs) WITH ORDINALITY e(job, nth);
    RETURN enqueue_many(enqueue_many.queue, names, data, options, enqueue_many.notify);
END $$;
