-- Does it all add up? P1 and what else must hold between the tables, checked over
-- the whole database in one snapshot while workers run.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
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
    ('running_without_job', 'A running row whose job is not in jobs: nobody knows what it runs.',
     'Delete the row as the schema''s owner; if the job mattered, its data must come from a backup.'),
    ('dead_without_job', 'A dead job whose partition is kept is not in jobs.',
     'The entry holds all that the job was: redrive it, which enqueues it anew.'),
    ('departure_without_job', 'A record of how a dead job left, whose partition is kept, without the job.',
     'Harmless by itself, but somebody deleted from jobs: find out who.'),
    ('attempt_without_job', 'An attempt of a job that is not in jobs.',
     'Harmless by itself, but somebody deleted from jobs: find out who.'),
    ('attempt_missing', 'The attempts of a job have a gap in their numbers: an attempt left no record.',
     'Somebody deleted from attempts. Nothing is mended by itself; the job goes on.'),
    ('running_already_ended', 'A job runs under an attempt number that has ended: its end cannot be recorded.',
     'Set the attempt of its row in running to one more than its last attempt, as the schema''s owner; its worker then loses the lease and the job runs again.'),
    ('attempt_number_wrong', 'The attempt number of a waiting or running job does not follow its last attempt.',
     'Set it to its last attempt''s number (pending), or one more (running), as the schema''s owner: a number used twice is a fence that does not hold.'),
    ('failures_wrong', 'The failures or crashes counted for a waiting or running job are not those of its attempts.',
     'It is retried too often or too seldom, and nothing else. Correct the row as the schema''s owner if that matters.'),
    ('dead_without_attempt', 'A dead job, or one that left, whose last attempt is not on record as failed or lost.',
     'Rows were written past the functions. The entry itself tells how it died.'),
    ('redrive_without_departure', 'A job says that it is the redrive of another, which has no record of leaving as this one, or another generation.',
     'The chain of redrives cannot be followed from here. Jobs run regardless.'),
    ('redriven_job_missing', 'A dead job left by redrive, but the new job is not kept or does not name it as its origin.',
     'Its redrive may be lost: enqueue it again from what is in jobs.'),
    ('redrive_miscounted', 'A redrive operation counts other jobs than those recorded as gone by it.',
     'Compare redrives.redriven with departures.redrive_id; the departures are right.'),
    ('running_without_worker', 'A job runs for a worker that has no row. For some seconds after a worker died that is usual.',
     'If it is still there after 20 s, nobody maintains the database: start penstock serve or a Go worker.'),
    ('key_without_job', 'An idempotency key points to a job that is not kept, though its partition is: an enqueue with the key is taken for a repeat.',
     'Delete the key from idempotency_keys as the schema''s owner, and enqueue the job again.'),
    ('partition_wrong', 'partitions and the tables attached to jobs and attempts disagree on what there is or on its bounds.',
     'Finish by hand what was begun: attach the table that is missing with the bounds listed, or list what is attached.'),
    ('partition_overlap', 'Two rows of partitions claim the same day.',
     'Correct partitions by the bounds of the attached tables (\d+ penstock.jobs).'),
    ('index_invalid', 'An index that Postgres does not use: its CREATE INDEX CONCURRENTLY is under way or failed.',
     'If none is under way: REINDEX INDEX CONCURRENTLY, or drop it and create it again.'),
    ('setting_missing', 'A row that the functions fall back on is gone from settings, retry_policies (*, *) or dead_policies (*).',
     'Insert it again; penstock policy get and the migrations tell the usual values.'),
    ('sequence_behind', 'job_sequence is behind the ids in use, as after a restore without sequences: an enqueue will fail or give an id again.',
     'SELECT setval(''penstock.job_sequence'', …) past the newest id''s last eleven digits, as the schema''s owner.');

-- One check done: how many rows it looked at, how many do not add up, and up to five of them.
CREATE VIEW penstock.verifications AS
SELECT c.code, 0::bigint AS checked, 0::bigint AS found, '{}'::text[] AS examples FROM penstock.verify_checks c WHERE false;

-- +goose StatementBegin
-- Where a range of ids is to be cut so that it holds at most so many jobs.
CREATE FUNCTION penstock.verify_cut(low bigint, high bigint, jobs integer DEFAULT 100000) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = penstock, pg_temp SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    RETURN coalesce((SELECT j.id FROM jobs j WHERE j.id >= low AND j.id < high ORDER BY j.id OFFSET verify_cut.jobs LIMIT 1), high);
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The checks of all that is known of the jobs with ids from low to below high. One
-- pass over each table by its key and one aggregate by job: some 2 s per million jobs.
CREATE FUNCTION penstock.verify_jobs(low bigint, high bigint) RETURNS SETOF penstock.verifications
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_custom_plan SET work_mem = '64MB' SET jit = off
SET max_parallel_workers_per_gather = 0 AS $$
BEGIN
    RETURN QUERY
    -- places: 1 jobs, 2 pending, 4 running, 8 dead_jobs, 16 departures, each at most once by its key.
    WITH facts(id, queue, place, nth, nth_end, nth_bad, at_nth, failures, crashes) AS (
        SELECT j.id, j.queue, 1, NULL::integer, NULL::integer, NULL::integer, NULL::integer, 0, 0
        FROM jobs j WHERE j.id >= low AND j.id < high
        UNION ALL
        SELECT a.job_id, a.queue, 0, a.attempt,
            CASE WHEN a.outcome IN ('completed', 'cancelled', 'expired') THEN a.attempt END,
            CASE WHEN a.outcome IN ('failed', 'lost') THEN a.attempt END,
            NULL, -(a.outcome = 'failed')::integer, -(a.outcome = 'lost')::integer
        FROM attempts a WHERE a.job_id >= low AND a.job_id < high
        UNION ALL
        SELECT p.job_id, p.queue, 2, NULL, NULL, NULL, p.attempt, p.failures, p.crashes
        FROM pending p WHERE p.job_id >= low AND p.job_id < high
        UNION ALL
        SELECT r.job_id, r.queue, 4, NULL, NULL, NULL, r.attempt - 1, r.failures, r.crashes
        FROM running r WHERE r.job_id >= low AND r.job_id < high
        UNION ALL
        SELECT d.job_id, d.queue, 8, NULL, NULL, NULL, d.attempt, 0, 0
        FROM dead_jobs d WHERE d.job_id >= low AND d.job_id < high
        UNION ALL
        SELECT l.job_id, l.queue, 16, NULL, NULL, NULL, l.attempt, 0, 0
        FROM departures l WHERE l.job_id >= low AND l.job_id < high
    ), told AS (
        SELECT f.id, bit_or(f.place) AS places, count(f.nth) AS attempts, coalesce(max(f.nth), 0) AS last, min(f.nth_end) AS ended,
            max(f.nth_bad) AS last_bad, max(f.at_nth) AS at_nth, sum(f.failures) AS failures, sum(f.crashes) AS crashes
        FROM facts f GROUP BY f.id, f.queue
    ), summed AS (
        SELECT count(*) FILTER (WHERE t.places & 1 > 0) AS jobs, count(*) FILTER (WHERE t.places & 2 > 0) AS waits,
            count(*) FILTER (WHERE t.places & 4 > 0) AS runs, count(*) FILTER (WHERE t.places & 8 > 0) AS dead,
            count(*) FILTER (WHERE t.places & 16 > 0) AS gone, count(*) FILTER (WHERE t.attempts > 0) AS tried
        FROM told t
    ), broken(code, ids) AS (
        SELECT b.code, array_agg(t.id ORDER BY t.id) FROM told t CROSS JOIN LATERAL (VALUES
            ('job_nowhere', t.places = 1 AND t.ended IS NULL),
            ('job_in_two_places', t.places NOT IN (0, 1, 2, 3, 4, 5, 8, 9, 16, 17) OR (t.places > 1 AND t.ended IS NOT NULL)),
            ('job_ended_twice', t.ended < t.last),
            ('pending_without_job', t.places & 3 = 2),
            ('running_without_job', t.places & 5 = 4),
            ('dead_without_job', t.places & 9 = 8),
            ('departure_without_job', t.places & 17 = 16),
            ('attempt_without_job', t.places & 1 = 0 AND t.attempts > 0),
            ('attempt_missing', t.attempts <> t.last),
            ('running_already_ended', t.places & 4 > 0 AND t.at_nth < t.last),
            ('attempt_number_wrong', (t.places & 2 > 0 AND t.at_nth <> t.last) OR (t.places & 4 > 0 AND t.at_nth > t.last)),
            ('failures_wrong', t.places & 6 > 0 AND (t.failures <> 0 OR t.crashes <> 0)),
            ('dead_without_attempt', t.places & 24 > 0 AND t.last_bad IS DISTINCT FROM t.at_nth)
            ) b(code, is_so)
        -- What nearly every job is: finished by its last attempt, waiting or running for the first time.
        WHERE (t.attempts = t.last AND ((t.places = 1 AND t.ended = t.last)
                OR (t.places IN (3, 5) AND t.last = 0 AND t.at_nth = 0 AND t.failures = 0 AND t.crashes = 0))) IS NOT TRUE
          AND b.is_so
        GROUP BY b.code
    )
    SELECT c.code, c.checked, coalesce(cardinality(b.ids), 0)::bigint, coalesce(b.ids[1:5]::text[], '{}')
    FROM summed s CROSS JOIN LATERAL (VALUES
        ('job_nowhere', s.jobs), ('job_in_two_places', s.jobs), ('job_ended_twice', s.tried), ('pending_without_job', s.waits),
        ('running_without_job', s.runs), ('dead_without_job', s.dead), ('departure_without_job', s.gone),
        ('attempt_without_job', s.tried), ('attempt_missing', s.tried), ('running_already_ended', s.runs),
        ('attempt_number_wrong', s.waits + s.runs), ('failures_wrong', s.waits + s.runs), ('dead_without_attempt', s.dead + s.gone)
        ) c(code, checked)
    LEFT JOIN broken b ON b.code = c.code;

    -- An origin whose partition is gone may have been forgotten (prune_departures).
    RETURN QUERY
    WITH redriven AS (
        SELECT j.id, l.new_job_id IS DISTINCT FROM j.id OR o.generation + 1 <> j.generation AS broken
        FROM jobs j
        LEFT JOIN departures l ON l.job_id = j.origin_id AND l.queue = j.queue
        LEFT JOIN jobs o ON o.id = j.origin_id AND o.queue = j.queue
        WHERE j.id >= low AND j.id < high AND j.origin_id IS NOT NULL
          AND EXISTS (SELECT FROM partitions p WHERE j.origin_id >= p.first_day * 100000000000 AND j.origin_id < (p.last_day + 1) * 100000000000)
    )
    SELECT 'redrive_without_departure', count(*), count(*) FILTER (WHERE r.broken),
        coalesce((array_agg(r.id) FILTER (WHERE r.broken))[1:5]::text[], '{}') FROM redriven r;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The checks of what is not found by a job's id.
CREATE FUNCTION penstock.verify_rest() RETURNS SETOF penstock.verifications
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_custom_plan SET work_mem = '64MB' SET jit = off
SET max_parallel_workers_per_gather = 0 AS $$
BEGIN
    RETURN QUERY
    WITH kept AS MATERIALIZED (
        SELECT p.first_day * 100000000000 AS low, (p.last_day + 1) * 100000000000 AS high FROM partitions p
    ), bounds AS (
        SELECT range_agg(int8range(k.low, k.high)) AS ids FROM kept k
    ), seen(code, subject, broken) AS (
        -- Those within partitions were met by their ids.
        SELECT 'pending_without_job', p.job_id::text, true FROM pending p, bounds b WHERE NOT b.ids @> p.job_id
        UNION ALL
        SELECT 'running_without_job', r.job_id::text, true FROM running r, bounds b WHERE NOT b.ids @> r.job_id
        UNION ALL
        SELECT 'running_without_worker', r.job_id::text, NOT EXISTS (SELECT FROM workers w WHERE w.id = r.worker_id) FROM running r
        UNION ALL
        SELECT 'key_without_job', k.job_id::text, j.id IS NULL
        FROM bounds b, idempotency_keys k LEFT JOIN jobs j ON j.id = k.job_id AND j.queue = k.queue WHERE b.ids @> k.job_id
        UNION ALL
        SELECT 'redriven_job_missing', l.job_id::text, l.new_job_id IS NULL OR j.origin_id IS DISTINCT FROM l.job_id
        FROM bounds b, departures l LEFT JOIN jobs j ON j.id = l.new_job_id AND j.queue = l.queue
        WHERE l.how = 'redriven' AND coalesce(b.ids @> l.new_job_id, true)
        UNION ALL
        -- Departures are forgotten after 90 days.
        SELECT 'redrive_miscounted', r.id::text,
            r.redriven <> (SELECT count(*) FROM departures l WHERE l.redrive_id = r.id)
        FROM redrives r WHERE r.created_at > clock_timestamp() - interval '60 days'
        UNION ALL
        SELECT 'partition_wrong', coalesce(there.relname, partition_name(want.kind, want.first_day)), there.oid IS NULL OR want.kind IS NULL
        FROM (SELECT k.kind, p.first_day, format('FOR VALUES FROM (''%s'') TO (''%s'')', p.first_day * 100000000000, (p.last_day + 1) * 100000000000) AS bound
              FROM partitions p CROSS JOIN (VALUES ('jobs'), ('attempts')) k(kind)) want
        FULL JOIN (SELECT c.oid, c.relname, parent.relname AS kind, pg_get_expr(c.relpartbound, c.oid) AS bound
              FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class parent ON parent.oid = i.inhparent
              WHERE i.inhparent IN ('jobs'::regclass, 'attempts'::regclass)) there
            ON there.kind = want.kind AND there.bound = want.bound
        UNION ALL
        SELECT 'partition_overlap', partition_name('jobs', p.first_day),
            p.first_day <= lag(p.last_day, 1, p.first_day - 1) OVER (ORDER BY p.first_day) FROM partitions p
        UNION ALL
        SELECT 'index_invalid', i.indexrelid::regclass::text, NOT (i.indisvalid AND i.indisready AND i.indislive)
        FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = 'penstock'::regnamespace
        UNION ALL
        SELECT 'setting_missing', 'settings', NOT EXISTS (SELECT FROM settings)
        UNION ALL
        SELECT 'setting_missing', 'retry_policies', NOT EXISTS (SELECT FROM retry_policies r WHERE r.queue = '*' AND r.name = '*')
        UNION ALL
        SELECT 'setting_missing', 'dead_policies', NOT EXISTS (SELECT FROM dead_policies d WHERE d.queue = '*')
        UNION ALL
        -- It cycles: what is more than half a round ahead is behind.
        SELECT 'sequence_behind', newest.id::text, newest.id % 100000000000 - s.last_value BETWEEN 1 AND 50000000000
        FROM (SELECT max(j.id) AS id FROM jobs j) newest, job_sequence s WHERE newest.id IS NOT NULL
    ), counted AS (
        SELECT s.code, count(*) AS checked, count(*) FILTER (WHERE s.broken) AS found,
            (array_agg(s.subject ORDER BY s.subject) FILTER (WHERE s.broken))[1:5] AS examples
        FROM seen s GROUP BY s.code
    )
    SELECT d.code, coalesce(c.checked, 0), coalesce(c.found, 0), coalesce(c.examples, '{}')
    FROM unnest(ARRAY['pending_without_job', 'running_without_job', 'running_without_worker', 'key_without_job', 'redriven_job_missing',
        'redrive_miscounted', 'partition_wrong', 'partition_overlap', 'index_invalid', 'setting_missing', 'sequence_behind']) d(code)
    LEFT JOIN counted c ON c.code = d.code;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Every check, those that found something first. One call is one snapshot: it holds
-- back vacuum for as long as it takes, some 2 s per million jobs.
CREATE FUNCTION penstock.verify() RETURNS SETOF penstock.verifications
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
DECLARE
    part  record;
    low   bigint;
    high  bigint;
    done  verifications[] := ARRAY(SELECT r FROM verify_rest() r);
BEGIN
    FOR part IN SELECT p.first_day * 100000000000 AS low, (p.last_day + 1) * 100000000000 AS high FROM partitions p ORDER BY 1 LOOP
        low := part.low;
        WHILE low < part.high LOOP
            high := verify_cut(low, part.high);
            done := done || ARRAY(SELECT v FROM verify_jobs(low, high) v);
            low := high;
        END LOOP;
    END LOOP;
    RETURN QUERY
    SELECT d.code, sum(d.checked)::bigint, sum(d.found)::bigint,
        coalesce((string_to_array(string_agg(array_to_string(d.examples, E'\n'), E'\n') FILTER (WHERE d.examples <> '{}'), E'\n'))[1:5], '{}')
    FROM unnest(done) d GROUP BY d.code ORDER BY 3 DESC, 1;
END $$;
-- +goose StatementEnd

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA penstock FROM PUBLIC;

-- +goose Down
DROP FUNCTION penstock.verify(), penstock.verify_rest(), penstock.verify_jobs(bigint, bigint), penstock.verify_cut(bigint, bigint, integer);
DROP VIEW penstock.verifications;
DROP TABLE penstock.verify_checks;
