-- Workers without a connection of their own: they speak through an HTTP server, which
-- may answer and never be heard. A lease lasts while its worker beats, as for any
-- worker; what a lost reply left behind is found by its claim's id, or given back by
-- the next heartbeat that names what is held.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
ALTER TABLE penstock.workers ADD COLUMN owner text;
COMMENT ON COLUMN penstock.workers.owner IS
    'On whose behalf a remote worker may be spoken for; null for a worker with a connection of its own.';

-- What each claim of a remote worker leased, until all of it has ended or a minute
-- after a heartbeat could have named it.
CREATE TABLE penstock.remote_claims (
    worker_id  bigint      NOT NULL,
    claimed_at timestamptz NOT NULL,
    claim_id   text        NOT NULL,
    job_ids    bigint[]    NOT NULL,
    attempts   integer[]   NOT NULL,
    PRIMARY KEY (worker_id, claim_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- +goose StatementBegin
-- Counts a beat of a remote worker and locks its row for the transaction, so that its
-- calls take turns. PN410 when it was buried, has left, or is not this owner's.
CREATE FUNCTION penstock.remote_beat(worker_id bigint, owner text) RETURNS penstock.workers
LANGUAGE plpgsql SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
#variable_conflict use_column
DECLARE
    known workers;
BEGIN
    UPDATE workers w SET beat = beat + 1, beat_at = clock_timestamp()
    WHERE w.id = remote_beat.worker_id AND w.owner = remote_beat.owner RETURNING w.* INTO known;
    IF NOT found THEN
        RAISE EXCEPTION 'worker % is not registered', coalesce(remote_beat.worker_id::text, 'null')
            USING ERRCODE = 'PN410', HINT = 'It was buried or has left: drop what it holds and register anew.';
    END IF;
    RETURN known;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Registers a worker that speaks through a server. Only the same owner (the id of
-- an API token, or '' where there are none) may speak for it.
CREATE FUNCTION penstock.register_remote_worker(owner text, queues text[], host text DEFAULT '', pid integer DEFAULT 0,
    version text DEFAULT '', concurrency integer DEFAULT 1, handlers text[] DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
DECLARE
    new_id bigint := register_worker(queues, host, pid, version, concurrency, handlers);
BEGIN
    UPDATE workers w SET owner = coalesce(register_remote_worker.owner, '') WHERE w.id = new_id;
    RETURN new_id;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The queues a remote worker registered for. A beat.
CREATE FUNCTION penstock.remote_queues(worker_id bigint, owner text) RETURNS text[]
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
    SELECT (penstock.remote_beat(remote_queues.worker_id, remote_queues.owner)).queues
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Leases up to max_jobs due jobs of a remote worker's queues (of those in from_queues
-- when given), queue by queue in their order. The same claim_id again returns what it
-- leased before and is still leased; once that has ended, it claims anew. Only the last
-- claims are remembered: an id is to be repeated at once or never.
CREATE FUNCTION penstock.remote_claim(worker_id bigint, owner text, claim_id text, max_jobs integer,
    from_queues text[] DEFAULT NULL, default_timeout interval DEFAULT '5 minutes') RETURNS SETOF penstock.leases
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off AS $$
#variable_conflict use_column
DECLARE
    me       workers;
    foreign_ text;
    its      text;
    lease    leases;
    ids      bigint[] := '{}';
    nths     integer[] := '{}';
BEGIN
    IF claim_id IS NULL OR remote_claim.claim_id !~ '^[A-Za-z0-9._:-]{1,64}$' THEN
        PERFORM refuse('claim_id', '1 to 64 of letters, digits and . _ - :', remote_claim.claim_id);
    ELSIF max_jobs IS NULL OR max_jobs NOT BETWEEN 1 AND 1000 THEN
        PERFORM refuse('max_jobs', '1 to 1000', max_jobs::text);
    END IF;
    me := remote_beat(remote_claim.worker_id, remote_claim.owner);
    SELECT q INTO foreign_ FROM unnest(from_queues) q WHERE q <> ALL (me.queues) OR q IS NULL LIMIT 1;
    IF found THEN
        PERFORM refuse('queues', 'of those the worker registered for', foreign_);
    END IF;
    RETURN QUERY
    SELECT l.* FROM remote_claims c, unnest(c.job_ids, c.attempts) u(job_id, attempt)
    JOIN LATERAL (SELECT r.queue FROM running r WHERE r.job_id = u.job_id AND r.attempt = u.attempt
        AND r.worker_id = remote_claim.worker_id) mine ON true
    JOIN LATERAL (SELECT l.* FROM leases l WHERE l.job_id = u.job_id AND l.queue = mine.queue) l ON true
    WHERE c.worker_id = remote_claim.worker_id AND c.claim_id = remote_claim.claim_id;
    IF found THEN
        RETURN;
    END IF;
    FOREACH its IN ARRAY coalesce(from_queues, me.queues) LOOP
        FOR lease IN SELECT c.* FROM claim(its, remote_claim.worker_id, max_jobs - cardinality(ids), default_timeout) c LOOP
            ids := ids || lease.job_id;
            nths := nths || lease.attempt;
            RETURN NEXT lease;
        END LOOP;
        EXIT WHEN cardinality(ids) >= max_jobs;
    END LOOP;
    IF ids <> '{}' THEN
        INSERT INTO remote_claims AS c VALUES (remote_claim.worker_id, clock_timestamp(), remote_claim.claim_id, ids, nths)
        ON CONFLICT (worker_id, claim_id) DO UPDATE SET claimed_at = excluded.claimed_at, job_ids = excluded.job_ids,
            attempts = excluded.attempts;
    END IF;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Counts a beat of a remote worker. cancels: its jobs whose cancel was asked. lost:
-- of the attempts it says it holds, those that are not its any more. Where it says
-- what it holds, the rest of what claims older than 15 s leased to it is released:
-- their replies were lost.
CREATE FUNCTION penstock.remote_heartbeat(worker_id bigint, owner text, held_ids bigint[] DEFAULT NULL,
    held_attempts integer[] DEFAULT NULL, OUT cancels bigint[], OUT lost bigint[], OUT released integer)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off AS $$
#variable_conflict use_column
DECLARE
    stale running[];
BEGIN
    IF cardinality(held_ids) IS DISTINCT FROM cardinality(held_attempts) THEN
        PERFORM refuse('held_attempts', 'as many as held_ids', cardinality(held_attempts)::text);
    ELSIF cardinality(held_ids) > 10000 THEN
        PERFORM refuse('held_ids', 'at most 10000', cardinality(held_ids)::text);
    END IF;
    PERFORM remote_beat(remote_heartbeat.worker_id, remote_heartbeat.owner);
    released := 0;
    IF held_ids IS NOT NULL THEN
        -- In the order of ids, as every verb locks them.
        SELECT array_agg(r ORDER BY (r).job_id) INTO stale
        FROM remote_claims c, unnest(c.job_ids, c.attempts) u(job_id, attempt)
        JOIN LATERAL (SELECT r FROM running r WHERE r.job_id = u.job_id AND r.attempt = u.attempt
            AND r.worker_id = remote_heartbeat.worker_id) mine ON true
        WHERE c.worker_id = remote_heartbeat.worker_id AND c.claimed_at < clock_timestamp() - interval '15 seconds'
          AND u.job_id <> ALL (held_ids);
        released := settle_all(stale, 'released', '', '');
    END IF;
    -- What a claim leased is known once it could be named; its id, once nobody repeats it.
    DELETE FROM remote_claims c
    WHERE c.worker_id = remote_heartbeat.worker_id AND c.claimed_at < clock_timestamp() - interval '1 minute'
      AND NOT EXISTS (SELECT FROM unnest(c.job_ids, c.attempts) u(job_id, attempt)
          JOIN running r ON r.job_id = u.job_id AND r.attempt = u.attempt AND r.worker_id = c.worker_id);
    cancels := ARRAY(SELECT r.job_id FROM running r
        WHERE r.worker_id = remote_heartbeat.worker_id AND r.cancel_requested ORDER BY r.job_id);
    lost := ARRAY(SELECT h.job_id FROM unnest(held_ids, held_attempts) h(job_id, attempt)
        WHERE NOT EXISTS (SELECT FROM running r WHERE r.job_id = h.job_id AND r.attempt = h.attempt
            AND r.worker_id = remote_heartbeat.worker_id) ORDER BY h.job_id);
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- finish by a remote worker's word, which counts for its own attempts only: those of
-- others answer lease_lost, like stale ones. It need not be alive: a result that comes
-- after its worker's burial is fenced by its attempt, and one repeated is already_done.
CREATE FUNCTION penstock.remote_finish(worker_id bigint, owner text, queue text, job_ids bigint[], attempts integer[],
    outcomes text[] DEFAULT NULL, error_classes text[] DEFAULT NULL, messages text[] DEFAULT NULL,
    details text[] DEFAULT NULL, results jsonb[] DEFAULT NULL, delays interval[] DEFAULT NULL)
RETURNS SETOF penstock.endings
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off AS $$
#variable_conflict use_column
DECLARE
    others bigint[];
BEGIN
    UPDATE workers w SET beat = beat + 1, beat_at = clock_timestamp()
    WHERE w.id = remote_finish.worker_id AND w.owner = remote_finish.owner;
    IF NOT found AND EXISTS (SELECT FROM workers w WHERE w.id = remote_finish.worker_id) THEN
        PERFORM remote_beat(remote_finish.worker_id, remote_finish.owner); -- refuses: it is another's
    END IF;
    others := ARRAY(SELECT r.job_id FROM unnest(job_ids) u(job_id)
        JOIN running r ON r.job_id = u.job_id AND r.queue = remote_finish.queue
        WHERE r.worker_id <> remote_finish.worker_id);
    IF others = '{}' THEN
        RETURN QUERY SELECT e.* FROM finish(remote_finish.queue, job_ids, remote_finish.attempts, outcomes, error_classes,
            messages, details, results, delays) e;
        RETURN;
    END IF;
    RETURN QUERY SELECT u.job_id, u.attempt, 'lease_lost', NULL::text, NULL::text, NULL::timestamptz
        FROM unnest(job_ids, remote_finish.attempts) u(job_id, attempt) WHERE u.job_id = ANY (others);
    RETURN QUERY SELECT e.* FROM (
        SELECT array_agg(i.n) AS kept FROM generate_subscripts(job_ids, 1) i(n) WHERE job_ids[i.n] <> ALL (others)) own,
        LATERAL finish(remote_finish.queue,
            ARRAY(SELECT job_ids[n] FROM unnest(own.kept) n), ARRAY(SELECT remote_finish.attempts[n] FROM unnest(own.kept) n),
            CASE WHEN outcomes IS NOT NULL THEN ARRAY(SELECT outcomes[n] FROM unnest(own.kept) n) END,
            CASE WHEN error_classes IS NOT NULL THEN ARRAY(SELECT error_classes[n] FROM unnest(own.kept) n) END,
            CASE WHEN messages IS NOT NULL THEN ARRAY(SELECT messages[n] FROM unnest(own.kept) n) END,
            CASE WHEN details IS NOT NULL THEN ARRAY(SELECT details[n] FROM unnest(own.kept) n) END,
            CASE WHEN results IS NOT NULL THEN ARRAY(SELECT results[n] FROM unnest(own.kept) n) END,
            CASE WHEN delays IS NOT NULL THEN ARRAY(SELECT delays[n] FROM unnest(own.kept) n) END) e
    WHERE own.kept IS NOT NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- progress of several attempts of a remote worker; returns the jobs whose attempt is
-- not its any more, whose notes changed nothing.
CREATE FUNCTION penstock.remote_progress(worker_id bigint, owner text, job_ids bigint[], attempts integer[],
    percents integer[], notes text[]) RETURNS SETOF bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    PERFORM remote_beat(remote_progress.worker_id, remote_progress.owner);
    RETURN QUERY
    SELECT u.job_id FROM (SELECT * FROM unnest(job_ids, remote_progress.attempts, percents, notes)
            AS u(job_id, attempt, percent, note) ORDER BY u.job_id) u
    LEFT JOIN running r ON r.job_id = u.job_id AND r.attempt = u.attempt AND r.worker_id = remote_progress.worker_id
    WHERE r.job_id IS NULL OR NOT progress(r.queue, u.job_id, u.attempt, u.percent, coalesce(u.note, ''));
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- A remote worker takes its leave; see leave.
CREATE FUNCTION penstock.remote_leave(worker_id bigint, owner text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM remote_beat(remote_leave.worker_id, remote_leave.owner);
    DELETE FROM remote_claims c WHERE c.worker_id = remote_leave.worker_id;
    RETURN leave(remote_leave.worker_id);
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Beats on behalf of workers whose connection to a server is open while they wait
-- for jobs, and returns those that are still registered. Rows that another call
-- holds are beating already.
CREATE FUNCTION penstock.remote_beats(worker_ids bigint[]) RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    UPDATE workers w SET beat = beat + 1, beat_at = clock_timestamp()
    WHERE w.id IN (SELECT v.id FROM workers v WHERE v.id = ANY (worker_ids) AND v.owner IS NOT NULL
        ORDER BY v.id FOR UPDATE SKIP LOCKED);
    RETURN ARRAY(SELECT w.id FROM workers w WHERE w.id = ANY (worker_ids) ORDER BY w.id);
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- How long until each queue has a due job: zero or less where it has one, no entry
-- where none waits. Paused queues have none. Two probes per lane, however many wait.
CREATE FUNCTION penstock.due_in(queues text[], OUT queue text, OUT due interval) RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
    SELECT q.queue, head.due FROM unnest(queues) q(queue)
    CROSS JOIN LATERAL (
        SELECT min(h.run_at) - clock_timestamp() AS due FROM unnest(lanes(q.queue)) l(priority)
        CROSS JOIN LATERAL (SELECT p.run_at FROM pending p WHERE p.queue = q.queue AND p.priority = l.priority
            ORDER BY p.run_at LIMIT 1) h) head
    WHERE head.due IS NOT NULL AND NOT EXISTS (SELECT FROM queues s WHERE s.queue = q.queue AND s.paused)
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Forgets the claims of workers that are gone.
CREATE FUNCTION penstock.prune_remote_claims() RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
    WITH gone AS (DELETE FROM penstock.remote_claims c
        WHERE NOT EXISTS (SELECT FROM penstock.workers w WHERE w.id = c.worker_id) RETURNING 1)
    SELECT count(*)::integer FROM gone
$$;
-- +goose StatementEnd

REVOKE EXECUTE ON FUNCTION penstock.remote_beat(bigint, text), penstock.remote_queues(bigint, text),
    penstock.register_remote_worker(text, text[], text, integer, text, integer, text[]),
    penstock.remote_claim(bigint, text, text, integer, text[], interval),
    penstock.remote_heartbeat(bigint, text, bigint[], integer[]),
    penstock.remote_finish(bigint, text, text, bigint[], integer[], text[], text[], text[], text[], jsonb[], interval[]),
    penstock.remote_progress(bigint, text, bigint[], integer[], integer[], text[]),
    penstock.remote_leave(bigint, text), penstock.remote_beats(bigint[]), penstock.due_in(text[]),
    penstock.prune_remote_claims() FROM PUBLIC;

-- +goose Down
DROP FUNCTION penstock.prune_remote_claims(), penstock.due_in(text[]), penstock.remote_beats(bigint[]),
    penstock.remote_leave(bigint, text), penstock.remote_progress(bigint, text, bigint[], integer[], integer[], text[]),
    penstock.remote_finish(bigint, text, text, bigint[], integer[], text[], text[], text[], text[], jsonb[], interval[]),
    penstock.remote_heartbeat(bigint, text, bigint[], integer[]),
    penstock.remote_claim(bigint, text, text, integer, text[], interval),
    penstock.register_remote_worker(text, text[], text, integer, text, integer, text[]),
    penstock.remote_queues(bigint, text), penstock.remote_beat(bigint, text);
DROP TABLE penstock.remote_claims;
ALTER TABLE penstock.workers DROP COLUMN owner;
