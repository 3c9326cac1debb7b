-- Managing jobs: finding them, moving them, stopping them, watching them.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
-- +goose StatementBegin
-- Finds jobs that satisfy a filter, the newest id first: up to max_rows, having
-- read at most max_scanned with ids below before_id (null: from the newest).
-- filter: queue, state, name, tag, class (of the last error), enqueuedFrom,
-- enqueuedTo, data. more says that there may be others below last_id. A filter by
-- waiting, scheduled, retrying, running or dead reads only what is in that state.
-- Rows come in an index's order, so a page is read no further than it goes.
CREATE FUNCTION penstock.find_jobs(filter jsonb, before_id bigint, max_rows integer, max_scanned integer,
    OUT ids bigint[], OUT more boolean, OUT last_id bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = penstock, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_material = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    f     CONSTANT jsonb := check_filter(filter, '{queue,state,name,tag,class}', '{enqueuedFrom,enqueuedTo}', '{}');
    state CONSTANT text := f ->> 'state';
    path  CONSTANT jsonpath := (f ->> 'data')::jsonpath;
    top   CONSTANT bigint := coalesce(least(before_id - 1, 9007199254740991), 9007199254740991);
    source text;
BEGIN
    source := CASE
        WHEN state IN ('waiting', 'scheduled', 'retrying') THEN 'SELECT t.job_id AS id, t.queue FROM pending t'
        WHEN state = 'running' THEN 'SELECT t.job_id AS id, t.queue FROM running t'
        WHEN state = 'dead' THEN 'SELECT t.job_id AS id, t.queue FROM dead_jobs t'
        WHEN state IS NULL OR state IN ('completed', 'cancelled', 'expired', 'redriven', 'purged') THEN
            'SELECT t.id, t.queue FROM jobs t' END;
    IF source IS NULL THEN
        PERFORM refuse('filter.state', 'waiting, scheduled, retrying, running, completed, cancelled, expired, dead, redriven or purged', state);
    END IF;
    -- The last row that may be read; null when the rest is fewer.
    EXECUTE format('SELECT p.id FROM (%s) p WHERE p.id <= $1 ORDER BY p.id DESC OFFSET $2 - 1 LIMIT 1', source)
    INTO last_id USING top, max_scanned;
    more := last_id IS NOT NULL;
    -- The state is asked row by row: joined, the view would be read as a whole.
    EXECUTE format('
        SELECT coalesce(array_agg(m.id ORDER BY m.id DESC), ''{}'') FROM (
            SELECT p.id FROM (%s) p JOIN jobs j ON j.id = p.id AND j.queue = p.queue
            WHERE p.id BETWEEN $1 AND $2
              AND ($3 ->> ''queue'' IS NULL OR p.queue = $3 ->> ''queue'')
              AND ($3 ->> ''name'' IS NULL OR j.name = $3 ->> ''name'')
              AND ($3 ->> ''tag'' IS NULL OR j.tags @> ARRAY[$3 ->> ''tag''])
              AND ($3 ->> ''enqueuedFrom'' IS NULL OR j.enqueued_at >= ($3 ->> ''enqueuedFrom'')::timestamptz)
              AND ($3 ->> ''enqueuedTo'' IS NULL OR j.enqueued_at < ($3 ->> ''enqueuedTo'')::timestamptz)
              AND ($4 IS NULL OR data_holds(j.data, $4))
              AND ($3 ->> ''state'' IS NULL OR $3 ->> ''state'' =
                  (SELECT i.state FROM job_states i WHERE i.id = p.id AND i.queue = p.queue))
              AND ($3 ->> ''class'' IS NULL OR $3 ->> ''class'' = (SELECT a.error_class FROM attempts a
                  WHERE a.job_id = p.id AND a.queue = p.queue AND a.error_class IS NOT NULL ORDER BY a.attempt DESC LIMIT 1))
            ORDER BY p.id DESC LIMIT $5) m', source)
    INTO ids USING coalesce(last_id, 0), top, f, path, max_rows;
    IF cardinality(ids) = max_rows THEN
        more := true;
        last_id := ids[max_rows];
    END IF;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Changes the priority of a waiting job; true if it was waiting.
CREATE FUNCTION penstock.reprioritize(job_id bigint, priority text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
DECLARE
    weight CONSTANT smallint := priority_weight(coalesce(to_jsonb(reprioritize.priority), '""'));
    its_queue text;
BEGIN
    UPDATE pending p SET priority = weight, run_at = greatest(p.run_at, clock_timestamp())
    WHERE p.job_id = reprioritize.job_id AND p.queue = (SELECT j.queue FROM jobs j WHERE j.id = reprioritize.job_id)
    RETURNING p.queue INTO its_queue;
    IF its_queue IS NOT NULL THEN
        PERFORM wake(its_queue);
    END IF;
    RETURN its_queue IS NOT NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Changes when a waiting job may start (null: now); true if it was waiting.
CREATE FUNCTION penstock.reschedule(job_id bigint, run_at timestamptz DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
DECLARE
    its_queue text;
BEGIN
    IF reschedule.run_at > clock_timestamp() + interval '100 years' THEN
        PERFORM refuse('run_at', 'at most 100 years ahead', reschedule.run_at::text);
    END IF;
    -- Never behind the clock: claims rely on it (watermark).
    UPDATE pending p SET run_at = greatest(coalesce(reschedule.run_at, clock_timestamp()), clock_timestamp())
    WHERE p.job_id = reschedule.job_id AND p.queue = (SELECT j.queue FROM jobs j WHERE j.id = reschedule.job_id)
    RETURNING p.queue INTO its_queue;
    IF its_queue IS NOT NULL THEN
        PERFORM wake(its_queue);
    END IF;
    RETURN its_queue IS NOT NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Does one thing to every job a filter finds among at most max_scanned: cancel,
-- run_now, reprioritize (argument: the priority) or reschedule (argument: the
-- time). Returns how many it changed; recorded in the audit log.
CREATE FUNCTION penstock.change_jobs(action text, filter jsonb, argument text DEFAULT NULL, before_id bigint DEFAULT NULL,
    max_rows integer DEFAULT 1000, max_scanned integer DEFAULT 10000,
    OUT changed integer, OUT more boolean, OUT last_id bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
DECLARE
    page record;
    one  bigint;
    due  timestamptz;
BEGIN
    IF action IS NULL OR action NOT IN ('cancel', 'run_now', 'reprioritize', 'reschedule') THEN
        PERFORM refuse('action', 'cancel, run_now, reprioritize or reschedule', action);
    ELSIF filter IS NULL THEN -- forgotten, not empty
        PERFORM refuse('filter', 'a JSON object; {} is every job', NULL);
    ELSIF action = 'reprioritize' THEN
        PERFORM priority_weight(coalesce(to_jsonb(argument), '""'));
    ELSIF action = 'reschedule' THEN
        BEGIN
            due := argument::timestamptz;
        EXCEPTION WHEN data_exception THEN
            due := NULL;
        END;
        IF due IS NULL THEN
            PERFORM refuse('argument', 'a timestamp such as 2026-01-31T12:00:00Z', argument);
        END IF;
    END IF;
    SELECT * INTO page FROM find_jobs(filter, before_id, max_rows, max_scanned);
    changed := 0;
    -- In the order in which finish locks what runs, so that neither deadlocks the other.
    FOR one IN SELECT u.id FROM unnest(page.ids) u(id) ORDER BY u.id LOOP
        changed := changed + CASE action
            WHEN 'cancel' THEN (coalesce(cancel(one), '') IN ('cancelled', 'cancelling'))::integer
            WHEN 'run_now' THEN reschedule(one)::integer
            WHEN 'reprioritize' THEN reprioritize(one, argument)::integer
            ELSE reschedule(one, due)::integer END;
    END LOOP;
    more := page.more;
    last_id := page.last_id;
    IF changed > 0 THEN
        PERFORM audit('jobs.' || action, filter ->> 'queue', NULL, jsonb_build_object('filter', filter, 'argument', argument, 'jobs', changed));
    END IF;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Notes how far a running attempt is (0-100) and a word about it; false when the
-- lease is lost. Kept with the attempt when it ends.
CREATE FUNCTION penstock.progress(queue text, job_id bigint, attempt integer, percent integer, note text DEFAULT NULL)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    IF percent IS NULL OR percent NOT BETWEEN 0 AND 100 THEN
        PERFORM refuse('percent', '0 to 100', percent::text);
    END IF;
    UPDATE running r SET progress = percent, progress_note = left(progress.note, 256)
    WHERE r.job_id = progress.job_id AND r.queue = progress.queue AND r.attempt = progress.attempt;
    RETURN found;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Lays a waiting job in the dead letter queue by hand (reason manual), with a word
-- about why; true if it was waiting. It can be redriven, but not by itself.
CREATE FUNCTION penstock.dead_letter(job_id bigint, message text DEFAULT '') RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    word   CONSTANT text := left(coalesce(dead_letter.message, ''), 2000);
    gone   pending;
BEGIN
    DELETE FROM pending p
    WHERE p.job_id = dead_letter.job_id AND p.queue = (SELECT j.queue FROM jobs j WHERE j.id = dead_letter.job_id)
    RETURNING p.* INTO gone;
    IF NOT found THEN
        RETURN false;
    END IF;
    INSERT INTO attempts (job_id, attempt, queue, name, priority, run_at, finished_at, outcome, error_class, message, fingerprint)
    VALUES (gone.job_id, gone.attempt + 1, gone.queue, gone.name, gone.priority, gone.run_at, moment, 'failed', 'Manual',
        word, fingerprint('Manual', word));
    INSERT INTO dead_jobs (job_id, enqueued_at, failed_at, timeout, origin_id, attempt, failures, generation, crashes, priority,
        asked_priority, max_attempts, asked_max_attempts, can_retry, queue, name, reason, error_class, message, fingerprint,
        first_error, tags, retry, retry_strategy, trace_context, data)
    SELECT j.id, j.enqueued_at, moment, j.timeout, j.origin_id, gone.attempt + 1, gone.failures, j.generation, gone.crashes,
        gone.priority, j.asked_priority, p.max_attempts, j.max_attempts, true, j.queue, j.name, 'manual', 'Manual', word,
        fingerprint('Manual', word),
        coalesce((SELECT a.error_class || ': ' || coalesce(a.message, '') FROM attempts a WHERE a.job_id = j.id
            AND a.queue = j.queue AND a.error_class IS NOT NULL ORDER BY a.attempt LIMIT 1), 'Manual: ' || word),
        j.tags, j.retry, jsonb_build_object('type', p.strategy, 'delay', extract(epoch FROM p.delay) * 1000,
            'maxAttempts', p.max_attempts, 'backoffMultiplier', p.multiplier,
            'maxDelay', extract(epoch FROM p.max_delay) * 1000, 'jitter', p.jitter), j.trace_context, j.data
    FROM jobs j CROSS JOIN LATERAL effective_policy(j.queue, j.name, j.retry, j.max_attempts) p
    WHERE j.id = gone.job_id AND j.queue = gone.queue;
    PERFORM audit('jobs.dead_letter', gone.queue, NULL, jsonb_build_object('jobId', gone.job_id::text));
    RETURN true;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Pauses a queue: claims hand out nothing, running jobs finish, enqueue goes on.
CREATE FUNCTION penstock.pause_queue(queue text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM check_name('queue', pause_queue.queue);
    INSERT INTO queues (queue, paused) VALUES (pause_queue.queue, true)
    ON CONFLICT (queue) DO UPDATE SET paused = true;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION penstock.resume_queue(queue text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM check_name('queue', resume_queue.queue);
    UPDATE queues q SET paused = false WHERE q.queue = resume_queue.queue;
    PERFORM wake(resume_queue.queue);
END $$;
-- +goose StatementEnd

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA penstock FROM PUBLIC;

-- +goose Down
DROP FUNCTION penstock.dead_letter(bigint, text), penstock.resume_queue(text), penstock.pause_queue(text), penstock.progress(text, bigint, integer, integer, text),
    penstock.change_jobs(text, jsonb, text, bigint, integer, integer), penstock.reschedule(bigint, timestamptz),
    penstock.reprioritize(bigint, text), penstock.find_jobs(jsonb, bigint, integer, integer);
