-- Who works, who died, and what becomes of what the dead held.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
-- +goose StatementBegin
-- Registers one incarnation of a worker and returns its id.
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

-- +goose StatementBegin
-- Counts a beat and returns the ids of the worker's jobs whose cancel was asked;
-- null when the worker has no row: it was buried, must drop its work and register anew.
CREATE FUNCTION penstock.heartbeat(worker_id bigint) RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
#variable_conflict use_column
BEGIN
    UPDATE workers SET beat = beat + 1, beat_at = clock_timestamp() WHERE id = heartbeat.worker_id;
    IF NOT found THEN
        RETURN NULL;
    END IF;
    RETURN ARRAY(SELECT r.job_id FROM running r WHERE r.worker_id = heartbeat.worker_id AND r.cancel_requested);
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Ends every given attempt of many queues alike; returns how many were still leased.
CREATE FUNCTION penstock.settle_all(rows_given penstock.running[], outcome text, class text, message text)
RETURNS integer LANGUAGE plpgsql SET search_path = penstock, pg_temp AS $$
DECLARE
    one    record;
    ended  integer := 0;
    more   integer;
BEGIN
    FOR one IN SELECT r.queue, count(*)::integer AS n, array_agg(r.job_id ORDER BY r.job_id) AS ids,
            array_agg(r.attempt ORDER BY r.job_id) AS nths
        FROM unnest(rows_given) r GROUP BY r.queue ORDER BY r.queue
    LOOP
        SELECT count(*) INTO more FROM settle(one.queue, one.ids, one.nths, array_fill(outcome, ARRAY[one.n]),
            array_fill(class, ARRAY[one.n]), array_fill(message, ARRAY[one.n]), NULL, NULL, NULL) s
        WHERE s.status = 'accepted';
        ended := ended + more;
    END LOOP;
    RETURN ended;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Removes a worker whose beat is still the one given and ends its attempts as
-- lost; returns how many, or null when the worker beat meanwhile or is gone. A row
-- that an open transaction keeps (CompleteTx of a frozen worker) must not hold up
-- the others: it is passed over, and an orphan from now on.
CREATE FUNCTION penstock.bury(worker_id bigint, beat bigint) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
DECLARE
    lost integer;
BEGIN
    PERFORM FROM workers WHERE id = bury.worker_id AND beat = bury.beat FOR UPDATE;
    IF NOT found THEN
        RETURN NULL;
    END IF;
    -- Before its row goes: a dead job notes the version of the handler it died in.
    lost := settle_all(ARRAY(SELECT r FROM running r WHERE r.worker_id = bury.worker_id
        FOR UPDATE SKIP LOCKED), 'lost', 'WorkerLost',
        'the worker stopped beating');
    DELETE FROM workers WHERE id = bury.worker_id;
    RETURN lost;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Ends as lost what is leased to workers that have no row: a claim can commit
-- just after its worker was buried, and a burial passes over what is locked.
CREATE FUNCTION penstock.bury_orphans() RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
    SELECT penstock.settle_all(ARRAY(SELECT r FROM penstock.running r
        WHERE NOT EXISTS (SELECT FROM penstock.workers w WHERE w.id = r.worker_id)
        FOR UPDATE OF r SKIP LOCKED), 'lost', 'WorkerLost', 'the worker was buried during this attempt')
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- A worker takes its leave: what it still holds goes back at no cost, its row goes.
CREATE FUNCTION penstock.leave(worker_id bigint) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
DECLARE
    released integer;
BEGIN
    released := settle_all(ARRAY(SELECT r FROM running r WHERE r.worker_id = leave.worker_id
        FOR UPDATE SKIP LOCKED), 'released', '', '');
    DELETE FROM workers WHERE id = leave.worker_id;
    RETURN released;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Releases what a worker has leased in one queue and does not hold: a claim whose
-- reply was lost. REQUIRES: no claim of this worker and queue is under way.
CREATE FUNCTION penstock.release_unheld(queue text, worker_id bigint, held bigint[]) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
    SELECT penstock.settle_all(ARRAY(SELECT r FROM penstock.running r
        WHERE r.worker_id = release_unheld.worker_id AND r.queue = release_unheld.queue
          AND r.job_id <> ALL (coalesce(held, '{}')) FOR UPDATE SKIP LOCKED), 'released', '', '')
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Fails attempts that are past their deadline by the grace: their worker lives
-- but does not end them. Such a failure counts like any other.
CREATE FUNCTION penstock.fail_overdue(grace interval DEFAULT '30 seconds') RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
    SELECT penstock.settle_all(ARRAY(SELECT r FROM penstock.running r WHERE r.deadline < clock_timestamp() - grace
        FOR UPDATE SKIP LOCKED),
        'failed', 'Timeout', 'not ended by its deadline')
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Ends waiting jobs whose expires_at has passed, up to max_jobs; returns how many.
CREATE FUNCTION penstock.expire_jobs(max_jobs integer DEFAULT 1000) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
    WITH due AS MATERIALIZED (
        SELECT p.job_id, p.queue FROM penstock.pending p WHERE p.expires_at <= clock_timestamp()
        ORDER BY p.expires_at LIMIT max_jobs FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM penstock.pending p USING due d WHERE p.job_id = ANY (ARRAY[d.job_id]) AND p.queue = d.queue RETURNING p.*
    ), noted AS (
        INSERT INTO penstock.attempts (job_id, attempt, queue, name, priority, run_at, finished_at, outcome)
        SELECT g.job_id, g.attempt + 1, g.queue, g.name, g.priority, g.run_at, clock_timestamp(), 'expired' FROM gone g
        RETURNING 1
    )
    SELECT count(*)::integer FROM noted
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Forgets idempotency keys that bind nobody any more, up to max_keys.
CREATE FUNCTION penstock.prune_keys(max_keys integer DEFAULT 10000) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
    WITH old AS MATERIALIZED (
        SELECT k.queue, k.key FROM penstock.idempotency_keys k
        WHERE k.until < clock_timestamp()
          AND NOT EXISTS (SELECT FROM penstock.pending p WHERE p.job_id = k.job_id AND p.queue = k.queue)
          AND NOT EXISTS (SELECT FROM penstock.running r WHERE r.job_id = k.job_id AND r.queue = k.queue)
        ORDER BY k.queue, k.key LIMIT max_keys FOR UPDATE OF k SKIP LOCKED
    ), gone AS (
        DELETE FROM penstock.idempotency_keys k USING old o WHERE k.queue = o.queue AND k.key = o.key RETURNING 1
    )
    SELECT count(*)::integer FROM gone
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Cancels a job: a waiting one ends at once (cancelled), a running one is told
-- through its worker's heartbeat and ends as cancelled unless it completes first
-- (cancelling). Returns that word, finished when there was nothing left to
-- cancel, or null when no such job is known.
CREATE FUNCTION penstock.cancel(job_id bigint) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
DECLARE
    its_queue text := (SELECT j.queue FROM jobs j WHERE j.id = cancel.job_id);
    gone      pending;
BEGIN
    IF its_queue IS NULL THEN
        RETURN NULL;
    END IF;
    -- A job moves between pending and running while this looks for it; one statement
    -- that finds it in neither proves that it has finished.
    LOOP
        DELETE FROM pending p WHERE p.job_id = cancel.job_id AND p.queue = its_queue RETURNING p.* INTO gone;
        IF found THEN
            INSERT INTO attempts (job_id, attempt, queue, name, priority, run_at, finished_at, outcome)
            VALUES (gone.job_id, gone.attempt + 1, gone.queue, gone.name, gone.priority, gone.run_at,
                clock_timestamp(), 'cancelled');
            RETURN 'cancelled';
        END IF;
        UPDATE running r SET cancel_requested = true WHERE r.job_id = cancel.job_id AND r.queue = its_queue;
        IF found THEN
            RETURN 'cancelling';
        END IF;
        EXIT WHEN NOT EXISTS (SELECT FROM pending p WHERE p.job_id = cancel.job_id AND p.queue = its_queue)
            AND NOT EXISTS (SELECT FROM running r WHERE r.job_id = cancel.job_id AND r.queue = its_queue);
    END LOOP;
    RETURN 'finished';
END $$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION penstock.cancel(bigint), penstock.prune_keys(integer), penstock.expire_jobs(integer),
    penstock.fail_overdue(interval), penstock.release_unheld(text, bigint, bigint[]), penstock.leave(bigint),
    penstock.bury_orphans(), penstock.bury(bigint, bigint),
    penstock.settle_all(penstock.running[], text, text, text), penstock.heartbeat(bigint),
    penstock.register_worker(text[], text, integer, text, integer, text[]);
