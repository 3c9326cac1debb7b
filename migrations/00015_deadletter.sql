-- The ways out of the dead letter queue: redrive and purge, both recorded (P11),
-- what is to be retried by itself and when, and finding entries by a filter.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
-- What becomes of the dead of a queue by themselves; null is looked up in the row
-- for every queue (*), which has no nulls.
CREATE TABLE penstock.dead_policies (
    queue           text PRIMARY KEY,
    delay           interval CHECK (delay BETWEEN '1 second' AND '366 days'),
    multiplier      float8   CHECK (multiplier BETWEEN 1 AND 1000),
    max_generations smallint CHECK (max_generations BETWEEN 0 AND 100),
    retention       interval CHECK (retention BETWEEN '1 hour' AND '36600 days'),
    CHECK (queue <> '*' OR num_nulls(delay, multiplier, max_generations, retention) = 0)
);
COMMENT ON TABLE penstock.dead_policies IS
    'A retryable entry of generation g is redriven by itself after delay x multiplier^g while g < max_generations (0: never); entries older than retention are purged, within an hour or so.';
INSERT INTO penstock.dead_policies VALUES ('*', '1 hour', 2, 3, '30 days');
CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON penstock.dead_policies
    FOR EACH ROW EXECUTE FUNCTION penstock.audit_setting();

CREATE INDEX dead_jobs_due ON penstock.dead_jobs (next_retry_at) WHERE next_retry_at IS NOT NULL;
CREATE INDEX dead_jobs_newest_of_all ON penstock.dead_jobs (failed_at DESC, job_id DESC);

-- Error groups that somebody marked resolved; one that dies again later is open again.
CREATE TABLE penstock.resolved_errors (
    queue       text        NOT NULL,
    fingerprint text        NOT NULL,
    resolved_at timestamptz NOT NULL,
    actor       text        NOT NULL,
    PRIMARY KEY (queue, fingerprint)
);

-- +goose StatementBegin
-- When a job that died now with this generation is redriven by itself; null: never.
CREATE FUNCTION penstock.dead_retry_at(queue text, generation smallint, moment timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN dead_retry_at.generation < coalesce(q.max_generations, every.max_generations)
        THEN moment + penstock.retry_delay('exponential', coalesce(q.delay, every.delay),
            coalesce(q.multiplier, every.multiplier), '366 days', 0, dead_retry_at.generation + 1, 0.5) END
    FROM penstock.dead_policies every LEFT JOIN penstock.dead_policies q ON q.queue = dead_retry_at.queue
    WHERE every.queue = '*'
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Whether data satisfies a jsonpath: a predicate that is true, or a path that finds
-- something. What raises an error does not; times without a zone are in the
-- session's, since comparing them without _tz is an error that nothing silences.
CREATE FUNCTION penstock.data_holds(data jsonb, path jsonpath) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT coalesce(jsonb_path_query_first_tz(data, path, '{}', true) NOT IN ('false', 'null'), false)
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Checks a filter's keys and values and returns it without nulls. Texts: the keys
-- in words, times those in times, booleans in flags; data is a jsonpath.
CREATE FUNCTION penstock.check_filter(filter jsonb, words text[], times text[], flags text[]) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
DECLARE
    field text;
    value jsonb;
BEGIN
    IF filter IS NULL OR filter = 'null' THEN
        RETURN '{}';
    ELSIF jsonb_typeof(filter) <> 'object' THEN
        PERFORM penstock.refuse('filter', 'a JSON object', jsonb_typeof(filter));
    END IF;
    FOR field, value IN SELECT f.key, f.value FROM jsonb_each(jsonb_strip_nulls(filter)) f LOOP
        IF field = ANY (words) THEN
            IF jsonb_typeof(value) <> 'string' OR length(value #>> '{}') NOT BETWEEN 1 AND 256 THEN
                PERFORM penstock.refuse('filter.' || field, 'a text of 1 to 256 characters', value::text);
            END IF;
        ELSIF field = ANY (times) THEN
            BEGIN
                -- Kept with its zone: whoever carries a filter on may have another one.
                filter := jsonb_set(filter, ARRAY[field], to_jsonb((value #>> '{}')::timestamptz));
            EXCEPTION WHEN data_exception THEN
                PERFORM penstock.refuse('filter.' || field, 'a timestamp such as 2026-01-31T12:00:00Z', value::text);
            END;
        ELSIF field = ANY (flags) THEN
            IF jsonb_typeof(value) <> 'boolean' THEN
                PERFORM penstock.refuse('filter.' || field, 'true or false', value::text);
            END IF;
        ELSIF field = 'data' THEN
            BEGIN
                PERFORM jsonb_path_query_first('{}', (value #>> '{}')::jsonpath, '{}', true);
            EXCEPTION WHEN undefined_object THEN
                PERFORM penstock.refuse('filter.data', 'a jsonpath without variables', value #>> '{}');
            WHEN OTHERS THEN
                PERFORM penstock.refuse('filter.data', 'a jsonpath (' || SQLERRM || ')', value #>> '{}');
            END;
        ELSE
            PERFORM penstock.refuse('filter', 'of ' || array_to_string(words || times || flags || '{data}', ', '), field);
        END IF;
    END LOOP;
    RETURN jsonb_strip_nulls(filter);
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Finds dead jobs that satisfy a filter, the newest first: up to max_rows, having
-- read at most max_scanned from behind the key (before_at, before_id) on, of one
-- queue or of all (null). more says that there may be others behind (last_at,
-- last_id). filter: reason, class, fingerprint, name, tag, failedFrom (at or
-- after), failedTo (before), canRetry, data. Rows come in an index's order, so a
-- page is read no further than it goes.
CREATE FUNCTION penstock.find_dead(queue text, filter jsonb, before_at timestamptz, before_id bigint, max_rows integer,
    max_scanned integer, OUT ids bigint[], OUT attempts integer[], OUT more boolean, OUT last_at timestamptz,
    OUT last_id bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    f    CONSTANT jsonb := check_filter(filter, '{reason,class,fingerprint,name,tag}', '{failedFrom,failedTo}', '{canRetry}');
    path CONSTANT jsonpath := (f ->> 'data')::jsonpath;
    since_ CONSTANT timestamptz := (f ->> 'failedFrom')::timestamptz;
    till CONSTANT timestamptz := (f ->> 'failedTo')::timestamptz;
BEGIN
    -- The last row that may be read; null when the rest is fewer, or the page ends first.
    IF f - '{failedFrom,failedTo}'::text[] <> '{}' THEN
        SELECT d.failed_at, d.job_id INTO last_at, last_id FROM dead_jobs d
        WHERE (find_dead.queue IS NULL OR d.queue = find_dead.queue)
          AND (before_at IS NULL OR (d.failed_at, d.job_id) < (before_at, before_id))
          AND (till IS NULL OR d.failed_at < till) AND (since_ IS NULL OR d.failed_at >= since_)
        ORDER BY d.failed_at DESC, d.job_id DESC OFFSET max_scanned - 1 LIMIT 1;
    END IF;
    more := last_at IS NOT NULL;
    SELECT coalesce(array_agg(m.job_id ORDER BY m.failed_at DESC, m.job_id DESC), '{}'),
        coalesce(array_agg(m.attempt ORDER BY m.failed_at DESC, m.job_id DESC), '{}'),
        CASE WHEN count(*) = max_rows THEN min(m.failed_at) ELSE find_dead.last_at END
    INTO ids, attempts, last_at FROM (
        SELECT d.job_id, d.attempt, d.failed_at FROM dead_jobs d
        WHERE (find_dead.queue IS NULL OR d.queue = find_dead.queue)
          AND (before_at IS NULL OR (d.failed_at, d.job_id) < (before_at, before_id))
          AND (till IS NULL OR d.failed_at < till) AND (since_ IS NULL OR d.failed_at >= since_)
          AND (find_dead.last_at IS NULL OR (d.failed_at, d.job_id) >= (find_dead.last_at, last_id))
          AND (f ->> 'reason' IS NULL OR d.reason = f ->> 'reason')
          AND (f ->> 'class' IS NULL OR d.error_class = f ->> 'class')
          AND (f ->> 'fingerprint' IS NULL OR d.fingerprint = f ->> 'fingerprint')
          AND (f ->> 'name' IS NULL OR d.name = f ->> 'name')
          AND (f ->> 'tag' IS NULL OR d.tags @> ARRAY[f ->> 'tag'])
          AND (f -> 'canRetry' IS NULL OR d.can_retry = (f ->> 'canRetry')::boolean)
          AND (path IS NULL OR data_holds(d.data, path))
        ORDER BY d.failed_at DESC, d.job_id DESC LIMIT max_rows) m;
    -- A full page goes on behind its last entry, a thin one behind the last one read.
    IF cardinality(ids) = max_rows THEN
        more := true;
        last_id := ids[max_rows];
    END IF;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Redrives dead jobs that are still dead by this attempt and whose generation is
-- below the cap: each becomes a new job with origin_id and generation + 1, due
-- now. Returns the new ids; entries somebody else holds are passed over. new_data
-- replaces the data, for a single entry.
CREATE FUNCTION penstock.redrive_entries(ids bigint[], attempts integer[], cap integer DEFAULT 100,
    new_data jsonb DEFAULT NULL, redrive_id bigint DEFAULT NULL) RETURNS bigint[]
LANGUAGE plpgsql
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    first_id CONSTANT bigint := job_day() * 100000000000;
    moment   CONSTANT timestamptz := clock_timestamp();
    who      CONSTANT text := actor();
    fresh    bigint[];
    queues   text[];
BEGIN
    WITH wanted AS MATERIALIZED (
        SELECT d.job_id, d.queue FROM unnest(ids, redrive_entries.attempts) u(job_id, attempt)
        JOIN dead_jobs d ON d.job_id = u.job_id AND d.attempt = u.attempt
        WHERE d.generation < cap
        ORDER BY d.job_id FOR UPDATE OF d SKIP LOCKED
    ), gone AS MATERIALIZED (
        DELETE FROM dead_jobs d USING wanted w WHERE d.job_id = w.job_id AND d.queue = w.queue RETURNING d.*
    ), again AS MATERIALIZED (
        SELECT first_id + nextval('job_sequence') AS id, g.* FROM gone g
    ), kept AS (
        INSERT INTO jobs (id, queue, name, data, enqueued_at, timeout, asked_priority, max_attempts, tags, retry,
            trace_context, origin_id, generation)
        SELECT a.id, a.queue, a.name, coalesce(new_data, a.data), moment, a.timeout, a.asked_priority,
            a.asked_max_attempts, a.tags, a.retry, a.trace_context, a.job_id, a.generation + 1 FROM again a
    ), waiting AS (
        INSERT INTO pending (queue, priority, run_at, job_id, name, attempt, failures, crashes, timeout)
        SELECT a.queue, a.priority, moment, a.id, a.name, 0, 0, 0, a.timeout FROM again a
    ), noted AS (
        INSERT INTO departures (job_id, departed_at, new_job_id, redrive_id, attempt, queue, how, actor)
        SELECT a.job_id, moment, a.id, redrive_entries.redrive_id, a.attempt, a.queue, 'redriven', who FROM again a
    )
    SELECT array_agg(a.id ORDER BY a.id), array_agg(DISTINCT a.queue) INTO fresh, queues FROM again a;
    PERFORM wake(q) FROM unnest(queues) q;
    RETURN coalesce(fresh, '{}');
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Redrives one dead job, with other data if given, and returns the new job's id.
-- entry is dlq_<job>_<attempt>, so a repeat cannot touch a later death: it gets
-- the id the first call made. PN404 when no such entry is or was there; PN412 when
-- it was purged.
CREATE FUNCTION penstock.redrive(queue text, entry text, data jsonb DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
DECLARE
    its_id  bigint;
    its_nth integer;
    fresh   bigint[];
    left_   departures;
BEGIN
    IF entry IS NULL OR entry !~ '^dlq_\d{1,18}_\d{1,9}$' THEN
        PERFORM refuse('entry', 'dlq_<job>_<attempt>', entry);
    END IF;
    IF coalesce(json_bytes(redrive.data), CASE WHEN redrive.data IS NOT NULL THEN 1048577 END) > 1048576 THEN
        PERFORM refuse('data', 'JSON of at most 1048576 bytes', 'more');
    END IF;
    its_id := split_part(entry, '_', 2);
    its_nth := split_part(entry, '_', 3);
    PERFORM FROM dead_jobs d WHERE d.job_id = its_id AND d.queue = redrive.queue AND d.attempt = its_nth FOR UPDATE;
    IF found THEN
        fresh := redrive_entries(ARRAY[its_id], ARRAY[its_nth], 32767, redrive.data);
        RETURN fresh[1];
    END IF;
    SELECT l.* INTO left_ FROM departures l WHERE l.job_id = its_id AND l.queue = redrive.queue AND l.attempt = its_nth;
    IF left_.how = 'redriven' THEN
        RETURN left_.new_job_id;
    ELSIF left_.how = 'purged' THEN
        RAISE EXCEPTION 'dead job % was purged', entry USING ERRCODE = 'PN412', HINT = 'Its data is gone: enqueue it anew.';
    END IF;
    RAISE EXCEPTION 'no dead job % in queue %', entry, redrive.queue USING ERRCODE = 'PN404';
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Redrives what is due by itself, of one queue or of all (null), up to max_jobs,
-- and returns the new ids. Many may call at once: each entry goes once.
CREATE FUNCTION penstock.process_scheduled_retries(queue text DEFAULT NULL, max_jobs integer DEFAULT 1000) RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
DECLARE
    ids  bigint[];
    nths integer[];
BEGIN
    IF max_jobs IS NULL OR max_jobs NOT BETWEEN 1 AND 10000 THEN
        PERFORM refuse('max_jobs', '1 to 10000', max_jobs::text);
    END IF;
    SELECT array_agg(d.job_id), array_agg(d.attempt) INTO ids, nths FROM (
        SELECT d.job_id, d.attempt FROM dead_jobs d
        WHERE d.next_retry_at <= clock_timestamp()
          AND (process_scheduled_retries.queue IS NULL OR d.queue = process_scheduled_retries.queue)
        ORDER BY d.next_retry_at LIMIT max_jobs FOR UPDATE SKIP LOCKED) d;
    IF ids IS NULL THEN
        RETURN '{}';
    END IF;
    RETURN redrive_entries(ids, nths);
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Purges dead jobs of a queue (* is every queue) that satisfy a filter and died
-- longer ago than older_than, one batch of up to max_jobs, and returns how many; call it until it returns 0.
CREATE FUNCTION penstock.purge_dead(queue text, older_than interval DEFAULT '30 days', filter jsonb DEFAULT '{}',
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
    IF purge_dead.queue IS DISTINCT FROM '*' THEN -- null is a forgotten queue, not every one
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
        -- A batch that others hold throughout is passed over: 0 says that none is left.
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
-- +goose StatementEnd

-- +goose StatementBegin
-- Purges what is older than its queue's retention, one batch of each queue; returns
-- how many; call it until it returns 0.
CREATE FUNCTION penstock.purge_expired_dead(max_jobs integer DEFAULT 1000) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
DECLARE
    one  record;
    gone integer := 0;
BEGIN
    FOR one IN
        SELECT d.queue, coalesce(q.retention, every.retention) AS retention
        FROM (SELECT DISTINCT d.queue FROM dead_jobs d) d
        LEFT JOIN dead_policies q ON q.queue = d.queue, dead_policies every WHERE every.queue = '*'
    LOOP
        gone := gone + purge_dead(one.queue, one.retention, '{}', max_jobs);
    END LOOP;
    RETURN gone;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Forgets how dead jobs left whose partition is gone and who left over 90 days ago,
-- up to max_rows; returns how many.
CREATE FUNCTION penstock.prune_departures(max_rows integer DEFAULT 10000) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
    WITH old AS MATERIALIZED (
        SELECT l.job_id, l.queue FROM penstock.departures l
        WHERE l.departed_at < clock_timestamp() - interval '90 days'
          AND l.job_id < (SELECT min(p.first_day) * 100000000000 FROM penstock.partitions p)
        ORDER BY l.departed_at LIMIT greatest(max_rows, 0) FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM penstock.departures l USING old o WHERE l.job_id = o.job_id AND l.queue = o.queue RETURNING 1
    )
    SELECT count(*)::integer FROM gone
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Marks an error group resolved, or open again. One that dies later is open by itself.
CREATE FUNCTION penstock.resolve_error(queue text, fingerprint text, resolved boolean DEFAULT true) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
BEGIN
    IF NOT EXISTS (SELECT FROM dead_jobs d WHERE d.queue = resolve_error.queue AND d.fingerprint = resolve_error.fingerprint) THEN
        RETURN false;
    END IF;
    PERFORM audit('error_groups.' || CASE WHEN resolved THEN 'resolve' ELSE 'reopen' END, resolve_error.queue, NULL,
        jsonb_build_object('fingerprint', resolve_error.fingerprint));
    IF resolved THEN
        INSERT INTO resolved_errors VALUES (resolve_error.queue, resolve_error.fingerprint, clock_timestamp(),
            actor())
        ON CONFLICT (queue, fingerprint) DO UPDATE SET resolved_at = excluded.resolved_at, actor = excluded.actor;
    ELSE
        DELETE FROM resolved_errors r WHERE r.queue = resolve_error.queue AND r.fingerprint = resolve_error.fingerprint;
    END IF;
    RETURN true;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Sets what becomes of the dead of a queue (or of every queue, *) by themselves;
-- null leaves a setting as it is.
CREATE FUNCTION penstock.set_dead_policy(queue text, delay interval DEFAULT NULL, multiplier float8 DEFAULT NULL,
    max_generations integer DEFAULT NULL, retention interval DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
BEGIN
    IF set_dead_policy.queue IS DISTINCT FROM '*' THEN
        PERFORM check_name('queue', set_dead_policy.queue);
    END IF;
    IF set_dead_policy.delay NOT BETWEEN '1 second' AND '366 days' THEN
        PERFORM refuse('delay', '1 second to 366 days', set_dead_policy.delay::text);
    ELSIF NOT set_dead_policy.multiplier BETWEEN 1 AND 1000 THEN
        PERFORM refuse('multiplier', '1 to 1000', set_dead_policy.multiplier::text);
    ELSIF set_dead_policy.max_generations NOT BETWEEN 0 AND 100 THEN
        PERFORM refuse('max_generations', '0 to 100', set_dead_policy.max_generations::text);
    ELSIF set_dead_policy.retention NOT BETWEEN '1 hour' AND '36600 days' THEN
        PERFORM refuse('retention', '1 hour to 36600 days', set_dead_policy.retention::text);
    END IF;
    -- The row for every queue is there, and may not be proposed anew with nulls.
    INSERT INTO dead_policies (queue) SELECT set_dead_policy.queue WHERE set_dead_policy.queue <> '*' ON CONFLICT DO NOTHING;
    UPDATE dead_policies p SET delay = coalesce(set_dead_policy.delay, p.delay),
        multiplier = coalesce(set_dead_policy.multiplier, p.multiplier),
        max_generations = coalesce(set_dead_policy.max_generations, p.max_generations),
        retention = coalesce(set_dead_policy.retention, p.retention)
    WHERE p.queue = set_dead_policy.queue;
END $$;
-- +goose StatementEnd

-- The dead by error: same queue, class, reason and message but for what fingerprint blanks.
CREATE VIEW penstock.error_groups AS
SELECT g.queue, g.fingerprint, g.error_class, g.reason, g.jobs, g.retryable, g.first_seen, g.last_seen, g.example_job_id,
    e.message AS example, r.resolved_at, coalesce(r.resolved_at >= g.last_seen, false)::boolean AS resolved
FROM (
    SELECT d.queue, d.fingerprint, d.error_class, d.reason, count(*) AS jobs, count(*) FILTER (WHERE d.can_retry) AS retryable,
        min(d.failed_at)::timestamptz AS first_seen, max(d.failed_at)::timestamptz AS last_seen,
        max(d.job_id)::bigint AS example_job_id
    FROM penstock.dead_jobs d GROUP BY d.queue, d.fingerprint, d.error_class, d.reason) g
JOIN penstock.dead_jobs e ON e.job_id = g.example_job_id AND e.queue = g.queue
LEFT JOIN penstock.resolved_errors r ON r.queue = g.queue AND r.fingerprint = g.fingerprint;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA penstock FROM PUBLIC;

-- +goose Down
DROP VIEW penstock.error_groups;
DROP FUNCTION penstock.set_dead_policy(text, interval, float8, integer, interval),
    penstock.resolve_error(text, text, boolean), penstock.prune_departures(integer), penstock.purge_expired_dead(integer),
    penstock.purge_dead(text, interval, jsonb, integer), penstock.process_scheduled_retries(text, integer),
    penstock.redrive(text, text, jsonb), penstock.redrive_entries(bigint[], integer[], integer, jsonb, bigint),
    penstock.find_dead(text, jsonb, timestamptz, bigint, integer, integer),
    penstock.check_filter(jsonb, text[], text[], text[]), penstock.data_holds(jsonb, jsonpath),
    penstock.dead_retry_at(text, smallint, timestamptz);
DROP INDEX penstock.dead_jobs_newest_of_all, penstock.dead_jobs_due;
DROP TABLE penstock.resolved_errors, penstock.dead_policies;
