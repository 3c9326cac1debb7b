-- Purges dead jobs of a queue (* is every queue) that satisfy a filter and died longer ago than
-- older_than. It purges one batch of up to max_jobs and returns how many; call it until it
-- returns 0.
CREATE OR REPLACE FUNCTION penstock.purge_dead(queue text, older_than interval DEFAULT '30 days', filter jsonb DEFAULT '{}',
    max_jobs integer DEFAULT 1000) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    who    CONSTANT text := actor();
    f      CONSTANT jsonb := check_filter(filter, '{reason,class,fingerprint,name,tag}', '{failedFrom,failedTo}', '{canRetry}');
    found_ record;
    till   timestamptz;
    before_at timestamptz;
    before_id bigint;
    gone   integer;
BEGIN
    IF purge_dead.queue IS DISTINCT FROM '*' THEN -- null is a missing queue, not every queue
        PERFORM check_name('queue', purge_dead.queue);
    END IF;
    IF older_than IS NULL OR older_than NOT BETWEEN '0' AND '36600 days' THEN
        PERFORM refuse('older_than', '0 to 36600 days', older_than::text);
    ELSIF max_jobs IS NULL OR max_jobs NOT BETWEEN 1 AND 10000 THEN
        PERFORM refuse('max_jobs', '1 to 10000', max_jobs::text);
    END IF;
    till := least(moment - make_interval(secs => extract(epoch FROM older_than)::float8), (f ->> 'failedTo')::timestamptz);
    LOOP
        SELECT * INTO found_ FROM find_dead(nullif(purge_dead.queue, '*'),
            f || jsonb_build_object('failedTo', till), before_at, before_id, max_jobs, 10000);
        WITH wanted AS MATERIALIZED (
            SELECT d.job_id, d.queue FROM dead_jobs d
            JOIN unnest(found_.ids, found_.attempts) u(job_id, attempt) ON d.job_id = u.job_id AND d.attempt = u.attempt
            ORDER BY d.job_id FOR UPDATE OF d SKIP LOCKED
        ), purged AS (
            DELETE FROM dead_jobs d USING wanted w WHERE d.job_id = w.job_id AND d.queue = w.queue
            RETURNING d.job_id, d.queue, d.attempt
        ), noted AS (
            INSERT INTO departures (job_id, departed_at, attempt, queue, how, actor)
            SELECT p.job_id, moment, p.attempt, p.queue, 'purged', who FROM purged p RETURNING 1
        )
        SELECT count(*) INTO gone FROM noted;
        -- A batch that others have locked is skipped: 0 means that none is left.
        EXIT WHEN gone > 0 OR NOT found_.more;
        before_at := found_.last_at;
        before_id := found_.last_id;
    END LOOP;
    IF gone > 0 THEN
        PERFORM audit('dead_jobs.purge', purge_dead.queue, NULL, jsonb_build_object('olderThan', older_than::text,
            'filter', f, 'jobs', gone));
    END IF;
    RETURN gone;
END $$;
